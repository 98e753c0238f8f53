"""Interactive figures: controls for a function that returns a figure, and an image to click on.

    sliders, lists, clicks ─▶ draw(**values) ─▶ Figure ─▶ shown below the controls

Only ipywidgets in HBox and VBox, which JupyterLab, Colab and VS Code all show. A viewer without widgets (a web page, a
test) shows a line of text instead.
"""

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
from ipywidgets import HBox, IntSlider, ValueWidget, VBox, interactive
from matplotlib.figure import Figure
from matplotlib.image import imsave
from traitlets import Bytes, Int, Tuple, Unicode, link

from ndic_core.errors import NDICError
from ndic_core.plots.style import pixels


class Explorer(interactive):
    """Controls above the figure that they change; created by `explore`."""

    def __repr__(self):
        # Also shown by a viewer without widgets.
        return f"[explorer of {', '.join(control.description for control in self.children[:-1])}: run to move it]"


def explore(draw: Callable[..., Figure], **controls) -> Explorer:
    """A figure with controls: it is drawn again whenever a control changes.

    As the last line of a cell it is shown. A control is an ipywidgets widget with a value, or an abbreviation as in
    `ipywidgets.interact`: `(low, high, step)` for a slider, a list or a dictionary for a choice, True or False for a
    check box. A control starts at the default of `draw`; an argument without a control gets one from its default
    (prevented by `ipywidgets.fixed(value)`).
    Sliders report their value when they are released, not while they are dragged.

    An exception in `draw` is shown instead of the figure, and fails the notebook's test.

    Args:
        draw: accepts the controls' values by name.
        controls: by the names of `draw`'s arguments; the name is also the label of a control without one.
    """

    @wraps(draw)
    def shown(**values) -> Figure:
        before = set(plt.get_fignums())
        try:
            figure = draw(**values)
        finally:  # figures of pyplot would otherwise stay in memory and be shown twice, also those not returned
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
        if isinstance(figure, Figure):
            plt.close(figure)
        return figure

    explorer = Explorer(shown, {"auto_display": True}, **controls)
    for control in explorer.children[:-1]:
        if control.has_trait("continuous_update"):
            control.continuous_update = False
        if control.has_trait("style"):
            control.style.description_width = "initial"  # labels are not truncated
            # the default width has no room for a slider beside a long label
            control.layout.width = control.layout.width or "30em"
    return explorer


class _Image(anywidget.AnyWidget):
    """The image; its code in the browser is click_image.js."""

    _esm = Path(__file__).with_name("click_image.js")
    png = Bytes().tag(sync=True)
    description = Unicode().tag(sync=True)
    value = Tuple(Int(), Int()).tag(sync=True)


class ClickImage(VBox, ValueWidget):
    """An image in which a click, or two sliders, select a pixel.

    Its `value` is (row, column), in pixels of the image, and changes once per click. It can be passed to `explore` like
    any other control.

    Args:
        image: (3, H, W) in [0, 1], a tensor or an array.
        row: initial value; the centre where None.
        column: likewise.
        description: alt text of the image.

    Attributes:
        row: the slider of the row; `column` that of the column.

    Raises:
        NDICError: it is no such image (see `plots.style.image`), or the initial pixel is outside it.
    """

    value = Tuple(Int(), Int())
    description = Unicode()

    def __init__(self, image, row: int | None = None, column: int | None = None, description: str = "image"):
        array = pixels(image)
        height, width = array.shape[:2]
        row = height // 2 if row is None else row
        column = width // 2 if column is None else column
        if not (0 <= row < height and 0 <= column < width):
            raise NDICError(f"({row}, {column}) is outside an image of {height} rows and {width} columns")
        png = BytesIO()
        imsave(png, array, format="png")

        shown = _Image(png=png.getvalue(), description=description, value=(row, column))
        look = dict(continuous_update=False, style=dict(description_width="initial"))
        self.row = IntSlider(row, 0, height - 1, description="row", **look)
        self.column = IntSlider(column, 0, width - 1, description="column", **look)
        super().__init__([shown, HBox([self.row, self.column])], value=(row, column), description=description)

        link((shown, "value"), (self, "value"))
        self.row.observe(lambda change: self.set_trait("value", (change.new, self.value[1])), "value")
        self.column.observe(lambda change: self.set_trait("value", (self.value[0], change.new)), "value")
        self.observe(self._move_sliders, "value")

    def _move_sliders(self, change):
        # `value` already has both numbers, so the sliders' callbacks do not change it again.
        self.row.value, self.column.value = change.new

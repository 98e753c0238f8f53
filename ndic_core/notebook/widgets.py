"""Interactive explorers: wiring only. What is drawn comes from a function that returns a figure.

    sliders, lists, clicks ─▶ draw(**values) ─▶ Figure ─▶ picture below the controls

Plain ipywidgets in plain boxes, which JupyterLab, Colab and VS Code all show. Where nothing can show a widget (a page
on the web, a test) there is a line of text in its place.
"""

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import HBox, IntSlider, ValueWidget, VBox, interactive
from matplotlib.figure import Figure
from matplotlib.image import imsave
from traitlets import Bytes, Int, Tuple, Unicode, link

from ndic_core.errors import NDICError


class Explorer(interactive):
    """Controls above the figure they move; made by `explore`."""

    def __repr__(self):
        # Also what a viewer without widgets shows.
        return f"[explorer of {', '.join(control.description for control in self.children[:-1])}: run to move it]"


def explore(draw: Callable[..., Figure], **controls) -> Explorer:
    """A figure with controls: whenever one is moved, the figure is drawn anew.

    As the last line of a cell it is shown. A control is an ipywidgets widget with a value, or what ipywidgets makes one
    of: `(low, high, step)` a slider, a list or a dictionary a choice, True or False a box to tick. `draw`'s own default
    is where a control starts, and an argument without control gets one made of its default (`ipywidgets.fixed(value)`
    keeps it out). Sliders report when they are let go, so that a slow figure doesn't lag behind.

    An exception in `draw` is shown in the figure's place, and fails the notebook's test.

    Args:
        draw: takes the controls' values by name.
        controls: by the names of `draw`'s arguments; the name is also the label of a control that brings none.

    Example:
        >>> from contextlib import redirect_stdout
        >>> from io import StringIO
        >>> def draw(power=2):
        ...     figure = Figure()
        ...     figure.subplots().plot([x**power for x in range(9)])
        ...     return figure
        >>> with redirect_stdout(StringIO()):  # outside a notebook there is nowhere to draw
        ...     explorer = explore(draw, power=(1, 5))
        >>> explorer, explorer.children[0].value
        ([explorer of power: run to move it], 2)
    """

    @wraps(draw)
    def shown(**values) -> Figure:
        figure = draw(**values)
        plt.close(figure)  # one that pyplot made would else stay in memory, and appear a second time
        return figure

    explorer = Explorer(shown, {"auto_display": True}, **controls)
    for control in explorer.children[:-1]:
        if control.has_trait("continuous_update"):
            control.continuous_update = False
        if control.has_trait("style"):
            control.style.description_width = "initial"  # labels are never cut off
            control.layout.width = control.layout.width or "30em"  # the default leaves a long label no slider
    return explorer


class _Picture(anywidget.AnyWidget):
    """The picture itself; the browser's half of it is click_image.js."""

    _esm = Path(__file__).with_name("click_image.js")
    png = Bytes().tag(sync=True)
    description = Unicode().tag(sync=True)
    value = Tuple(Int(), Int()).tag(sync=True)


class ClickImage(VBox, ValueWidget):
    """A picture with a place in it: two sliders choose its row and column, and so does a click.

    Its `value` is (row, column), in pixels of the picture, and changes once per click. To be given to `explore` like
    any other control.

    Args:
        picture: (3, H, W) in [0, 1], a tensor or an array.
        row: where to start; the middle where None.
        column: likewise.
        description: what the picture shows, in words: read out to those who don't see it.

    Attributes:
        row: the slider of the row; `column` that of the column.

    Raises:
        NDICError: not a picture of this shape, or a place outside it.

    Example:
        >>> place = ClickImage(np.zeros((3, 128, 256)), row=10)
        >>> place.value
        (10, 128)
        >>> place.column.value = 200
        >>> place.value
        (10, 200)
    """

    value = Tuple(Int(), Int())
    description = Unicode()

    def __init__(self, picture, row: int | None = None, column: int | None = None, description: str = "picture"):
        pixels = np.asarray(picture)
        if pixels.ndim != 3 or pixels.shape[0] != 3:
            raise NDICError(f"a picture to click on has shape (3, H, W), not {pixels.shape}")
        height, width = pixels.shape[1:]
        row = height // 2 if row is None else row
        column = width // 2 if column is None else column
        if not (0 <= row < height and 0 <= column < width):
            raise NDICError(f"({row}, {column}) is outside a picture of {height} rows and {width} columns")
        png = BytesIO()
        imsave(png, np.moveaxis(pixels, 0, -1).clip(0, 1), format="png")

        shown = _Picture(png=png.getvalue(), description=description, value=(row, column))
        look = dict(continuous_update=False, style=dict(description_width="initial"))
        self.row = IntSlider(row, 0, height - 1, description="row", **look)
        self.column = IntSlider(column, 0, width - 1, description="column", **look)
        super().__init__([shown, HBox([self.row, self.column])], value=(row, column), description=description)

        link((shown, "value"), (self, "value"))
        self.row.observe(lambda change: self.set_trait("value", (change.new, self.value[1])), "value")
        self.column.observe(lambda change: self.set_trait("value", (self.value[0], change.new)), "value")
        self.observe(self._move_sliders, "value")

    def _move_sliders(self, change):
        # By now `value` holds both numbers, so that a slider that follows changes nothing.
        self.row.value, self.column.value = change.new

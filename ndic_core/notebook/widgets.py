"""Interactive figures: controls for a function that returns a figure, and an image to click on.

    sliders, lists, clicks ─▶ draw(**values) ─▶ Figure ─▶ shown below the controls

Only ipywidgets in HBox and VBox, which JupyterLab, Colab and VS Code all show. A viewer without widgets (a web page, a
test) shows a line of text instead.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import wraps
from inspect import signature
from io import BytesIO
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from ipywidgets import DOMWidget, FloatRangeSlider, FloatSlider, HBox, IntSlider, ValueWidget, VBox, interactive
from matplotlib.figure import Figure
from matplotlib.image import imsave
from traitlets import Bool, Bytes, Int, TraitError, Tuple, Unicode, link

from ndic_core.errors import NDICError, brief, height_and_width
from ndic_core.notebook.figures import Described
from ndic_core.plots.style import inside, pixels

_BESIDE = {"flex_flow": "row wrap", "width": "100%"}  # of an image and a column of controls; below it where narrow


class _Page(anywidget.AnyWidget):
    """Invisible part of an explorer in the browser: accessible names, and the sign that a figure is being computed."""

    _esm = Path(__file__).with_name("explorer.js")
    _css = Path(__file__).with_name("explorer.css")
    busy = Bool().tag(sync=True)


class Explorer(interactive):
    """Controls above the figure that they change; created by `explore`.

    The figure is dimmed while the next one is computed. Controls have one width, and as many as fit share a row; beside
    an image to click on, they are in a column.
    """

    def __init__(self, draw: Callable[..., Figure], labels: Mapping[str, str], **controls):
        self._page, self._labels = _Page(), labels
        super().__init__(draw, {"auto_display": False}, **controls)
        self.add_class("ndic-explorer")
        self.layout.flex_flow = "row wrap"
        controls = list(self.children[:-1])
        click = next((control for control in controls if isinstance(control, ClickImage)), None)
        _align([control for one in controls for control in getattr(one, "sliders", [one])])
        if click:
            others = [control for control in controls if control is not click]
            controls = [HBox([click.children[0], VBox([*click.sliders, *others])], layout=_BESIDE)]
        figure = VBox([self.out, self._page], layout={"width": "100%"})
        figure.add_class("ndic-figure")
        self.children = [*controls, figure]

    def widgets_from_abbreviations(self, seq):
        """The controls, with their labels."""
        widgets = [control for one in seq for control in self._control(one)]
        self._names = [widget.description for widget in widgets if isinstance(widget, DOMWidget)]
        for widget in widgets:
            widget.description = self._labels.get(widget._kwarg, widget.description)
        return widgets

    def _control(self, one: tuple) -> list[DOMWidget]:
        """The control of (argument, abbreviation, default); none where it is `fixed`."""
        try:
            return super().widgets_from_abbreviations([one])
        except (ValueError, TypeError, TraitError) as error:
            accepted = "(low, high, step) with low below high, a list, True or False, or a widget"
            raise NDICError(f"{one[0]}={brief(one[1])} is no control: give {accepted}") from error

    def update(self, *_):
        """Draw the figure, and mark the explorer as busy meanwhile."""
        self._page.busy = True
        try:
            super().update()
        finally:
            self._page.busy = False

    def __repr__(self):
        # Also shown by a viewer without widgets.
        return f"[explorer of {', '.join(self._names)}: run to move it]"


def _align(controls: Sequence[DOMWidget]) -> None:
    """Give controls one width, labels one width, and numbers the decimals of the slider's step."""
    widest = max((len(control.description) for control in controls), default=0)
    for control in controls:
        if control.has_trait("continuous_update"):
            control.continuous_update = False
        if control.has_trait("style"):
            control.style.description_width = f"{widest}ch"
            control.layout.width = f"calc({widest}ch + 17em)"
        if isinstance(control, (FloatSlider, FloatRangeSlider)) and control.step:
            values = control.value if isinstance(control.value, tuple) else (control.value,)
            control.readout_format = f".{max(map(_decimals, (*values, control.min, control.step)))}f"


def _decimals(number: float) -> int:
    return max(0, -Decimal(str(round(number, 6))).normalize().as_tuple().exponent)


def _exact(value):
    """A slider's value without rounding errors: 0.3 for 0.30000000000000004, 0.0 for -2.8e-17 and -0.0."""
    if isinstance(value, tuple):
        return tuple(map(_exact, value))
    return round(value, 10) + 0.0 if isinstance(value, float) else value


def explore(
    draw: Callable[..., Figure], labels: Mapping[str, str] | None = None, alt: str = "", **controls
) -> Explorer:
    """A figure with controls: it is drawn again whenever a control changes.

    As the last line of a cell it is shown. A control is an ipywidgets widget with a value, or an abbreviation as in
    `ipywidgets.interact`: `(low, high, step)` for a slider, a list or a dictionary for a choice, True or False for a
    check box. A control starts at the default of `draw`; an argument without a control gets one from its default
    (prevented by `ipywidgets.fixed(value)`).
    Sliders report their value when they are released, not while they are dragged.

    An exception in `draw` is shown instead of the figure, and fails the notebook's test.

    Args:
        draw: accepts the controls' values by name.
        labels: of controls, by the names of `draw`'s arguments, with units; by default the control's own label or the
            name. Other names are ignored: several explorers may share their labels.
        alt: what the figure shows; the alt text is this and the controls' values.
        controls: by the names of `draw`'s arguments.

    Raises:
        NDICError: `draw` lacks an argument, one of its arguments has neither a control nor a default, or what is given
            makes no control.
    """
    labels = labels or {}
    try:
        signature(draw).bind(**controls)
    except TypeError as error:
        remedy = "give one for each argument without a default, under its name"
        raise NDICError(f"the controls are not those of this figure ({error}): {remedy}") from error

    @wraps(draw)
    def shown(**values) -> Figure:
        before = set(plt.get_fignums())
        try:
            figure = draw(**{name: _exact(value) for name, value in values.items()})
        finally:  # figures of pyplot would otherwise stay in memory and be shown twice, also those not returned
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
        if isinstance(figure, Figure):
            plt.close(figure)
            chosen = {name: value for name, value in values.items() if isinstance(value, (str, int, float, tuple))}
            settings = ", ".join(f"{labels.get(name, name)} {value}" for name, value in chosen.items())
            display(Described(figure, f"{alt or 'figure'} ({settings})"))
        elif figure is not None:
            display(figure)
        return figure

    return Explorer(shown, labels, **controls)


class _Image(anywidget.AnyWidget):
    """The image; its code in the browser is click_image.js."""

    _esm = Path(__file__).with_name("click_image.js")
    png = Bytes().tag(sync=True)
    description = Unicode().tag(sync=True)
    cell = Tuple(Int(), Int()).tag(sync=True)
    value = Tuple(Int(), Int()).tag(sync=True)


class ClickImage(HBox, ValueWidget):
    """An image in which a click, or two sliders beside it, select a pixel.

    Its `value` is (row, column), in pixels of the image, and changes once per click. It can be passed to `explore` like
    any other control; `explore` shows the other controls below the two sliders.

    Args:
        image: (3, H, W) in [0, 1], a tensor or an array.
        row: initial value; the centre where None.
        column: likewise.
        description: alt text of the image.
        cell: height and width of the cells of a grid; the cell that contains the pixel is framed. (0, 0): no grid.

    Attributes:
        row: the slider of the row; `column` that of the column.

    Raises:
        NDICError: it is no such image (see `plots.style.image`), the initial pixel is outside it, or a number is not
            whole.
    """

    value = Tuple(Int(), Int())
    description = Unicode()

    def __init__(
        self,
        image,
        row: int | None = None,
        column: int | None = None,
        description: str = "image",
        cell: tuple[int, int] = (0, 0),
    ):
        array = pixels(np.array(image, dtype=float) if isinstance(image, list) else image)
        height, width = array.shape[:2]
        start = (height // 2 if row is None else row, width // 2 if column is None else column)
        row, column = inside((height, width), *start)
        cell = height_and_width(cell, "cell", 0)
        png = BytesIO()
        imsave(png, array, format="png")

        shown = _Image(png=png.getvalue(), description=description, value=(row, column), cell=cell)
        self.row = IntSlider(row, 0, height - 1, description="row, pixels")
        self.column = IntSlider(column, 0, width - 1, description="column, pixels")
        self.sliders = (self.row, self.column)
        _align(self.sliders)
        children = [shown, VBox(self.sliders)]
        super().__init__(children, value=(row, column), description=description, layout=_BESIDE)

        link((shown, "value"), (self, "value"))
        self.row.observe(lambda change: self.set_trait("value", (change.new, self.value[1])), "value")
        self.column.observe(lambda change: self.set_trait("value", (self.value[0], change.new)), "value")
        self.observe(self._move_sliders, "value")

    def _move_sliders(self, change):
        # `value` already has both numbers, so the sliders' callbacks do not change it again.
        self.row.value, self.column.value = change.new

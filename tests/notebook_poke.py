"""Last cell of a notebook under test: moves every live widget to its ends and back, and measures the explorers."""

import math
import sys

from ipywidgets import Button, Widget, widget_serialization


def live_widgets() -> list[Widget]:
    """All widgets of this kernel that are not closed, in the order of their creation."""
    names = Widget.get_manager_state()["state"]
    return [widget_serialization["from_json"](f"IPY_MODEL_{name}", None) for name in names]


def ends(widget) -> tuple[str, list]:
    """The trait that a user changes, and the values to try; no values for a widget that cannot be moved."""
    if getattr(widget, "disabled", False):
        return "value", []
    if widget.has_trait("options"):  # lists, radio buttons, selection sliders; a multiple selection is a tuple
        several = isinstance(widget.index, tuple)
        places = [0, len(widget.options) - 1] if widget.options else []
        return "index", [(place,) if several else place for place in places]
    if widget.has_trait("min") and widget.has_trait("max"):
        low, high = widget.min, widget.max
        if isinstance(widget.value, tuple):  # a range
            return "value", [(low, low), (low, high), (high, high)]
        return "value", [low, high]
    if isinstance(getattr(widget, "value", None), bool):
        return "value", [not widget.value]
    return "value", []


def height_of(explorer) -> float:
    """Estimated height of an explorer in pixels, in JupyterLab on a laptop (934 pixels wide, labels of 7.3 per letter).

    The browser tests measure heights; this estimate needs no browser.
    """
    *controls, _ = explorer.children
    if controls and hasattr(controls[0], "children"):  # a ClickImage's image, and beside it all controls
        above = max(288, 32 * len(controls[0].children[1].children))
    else:
        letters = max((len(control.description) for control in controls), default=0)
        above = 32 * math.ceil(len(controls) / max(1, 934 // (7.3 * letters + 225)))
    width, height = (inches * explorer.result.dpi for inches in explorer.result.get_size_inches())
    return above + height * min(1, 914 / width)


def poke() -> None:
    """Move every widget. Exceptions in callbacks appear in the outputs of this cell or of the widget.

    An explorer that is too tall for a laptop's screen is reported on stderr.
    """
    widgets, tallest = live_widgets(), {}
    for widget in widgets:
        if isinstance(widget, Button):
            widget.click()
        trait, values = ends(widget)
        before = getattr(widget, trait, None)
        for value in [*values, before] if values else []:
            setattr(widget, trait, value)
            for explorer in widgets:
                if getattr(explorer, "result", None) is not None:
                    tallest[explorer] = max(tallest.get(explorer, 0), height_of(explorer))
    for explorer, height in tallest.items():
        if height > 645:
            print(f"{explorer!r} is {height:.0f} pixels tall", file=sys.stderr)

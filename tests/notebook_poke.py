"""Last cell of a notebook under test: moves every live widget to its ends and back."""

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


def poke() -> None:
    """Move every widget. Exceptions in callbacks appear in the outputs of this cell or of the widget."""
    for widget in live_widgets():
        if isinstance(widget, Button):
            widget.click()
        trait, values = ends(widget)
        before = getattr(widget, trait, None)
        for value in values:
            setattr(widget, trait, value)
        if values:
            setattr(widget, trait, before)

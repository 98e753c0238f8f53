"""The last cell of a notebook's copy: every live widget is moved to its ends and back, as a reader would."""

from ipywidgets import Button, Widget, widget_serialization


def live_widgets() -> list[Widget]:
    """All widgets of this kernel that haven't been closed, in the order they were made."""
    names = Widget.get_manager_state()["state"]
    return [widget_serialization["from_json"](f"IPY_MODEL_{name}", None) for name in names]


def ends(widget) -> tuple[str, list]:
    """The trait that a reader moves, and the values to try; none for what cannot be moved."""
    if getattr(widget, "disabled", False):
        return "value", []
    if widget.has_trait("options"):  # lists, radio buttons, selection sliders; those of several take a tuple
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
    """Move everything. What a callback raises appears in this cell's output, where nbval sees it."""
    for widget in live_widgets():
        if isinstance(widget, Button):
            widget.click()
        trait, values = ends(widget)
        before = getattr(widget, trait, None)
        for value in values:
            setattr(widget, trait, value)
        if values:
            setattr(widget, trait, before)

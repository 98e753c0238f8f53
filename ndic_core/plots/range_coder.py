"""Figures of the range coder: its states step by step, and the latents that a damaged payload gives."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from ndic_core.errors import NDICError, some
from ndic_core.plots import style

_OWNERS = ("#BFDCEE", "#F7CFA6", "#BFE3D0", "#E9C9DC", "#F5EDA0")  # pale colours of the symbols
_WRONG = ListedColormap(["white", "#444444", style.VERMILION, "#C8C8C8"])


def coder_states(shares: Mapping[str, tuple[int, int]], steps: Sequence[tuple[str, int, Sequence[int], int]]) -> Figure:
    """The states of a decimal rANS coder: written from left to right, read from right to left.

    Args:
        shares: the first of the last digits 0 to 9 that a symbol owns, and how many it owns.
        steps: in the order of writing: the symbol, the state before, the digits moved to the file, the state after.

    Raises:
        NDICError: there is no step, or the shares do not cover the digits 0 to 9 in order.
    """
    steps = some(steps, "step")
    owner = [symbol for symbol, (_, count) in shares.items() for _ in range(count)]
    if len(owner) != 10 or any(owner.index(symbol) != start for symbol, (start, _) in shares.items()):
        raise NDICError("the shares must cover the digits 0 to 9 in order: give the first digit and the count of each")
    colours = dict(zip(shares, _OWNERS, strict=False))
    figure = Figure(figsize=(8.4, 3.3), dpi=100, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 8.4), ylim=(0, 3.3))
    axis.set_axis_off()

    axis.text(0.1, 2.98, "last digit", fontsize=10, va="center")
    axis.text(0.1, 2.66, "its symbol", fontsize=10, va="center")
    for digit, symbol in enumerate(owner):
        axis.add_patch(Rectangle((1.1 + 0.4 * digit, 2.82), 0.4, 0.32, facecolor=colours[symbol], edgecolor="white"))
        axis.text(1.3 + 0.4 * digit, 2.98, str(digit), fontsize=11, ha="center", va="center", family="monospace")
    for symbol, (start, count) in shares.items():
        axis.text(1.1 + 0.4 * (start + count / 2), 2.66, symbol, fontsize=11, weight="bold", ha="center", va="center")

    gap = 7.6 / len(steps)
    places = [0.4 + gap * i for i in range(len(steps) + 1)]
    states = [steps[0][1], *(after for *_, after in steps)]
    for place, state in zip(places, states, strict=True):
        _state(axis, place, state, colours[owner[state % 10]])
    for (symbol, before, digits, _), left, right in zip(steps, places, places[1:], strict=False):
        look = dict(arrowstyle="-|>", lw=1.3, color=style.BLUE, mutation_scale=11)
        axis.annotate("", (right - 0.29, 1.72), (left + 0.29, 1.72), arrowprops=look)
        axis.annotate("", (left + 0.29, 1.48), (right - 0.29, 1.48), arrowprops=look | dict(color=style.GREEN))
        middle = (left + right) / 2
        axis.text(middle, 1.93, symbol, fontsize=12, weight="bold", ha="center", va="center", zorder=3)
        if digits:
            number = "".join(map(str, digits))
            axis.annotate(
                "", (middle, 0.72), (middle, 1.42), arrowprops=look | dict(arrowstyle="<|-|>", color="#777777")
            )
            axis.text(middle, 0.55, number, fontsize=13, ha="center", va="center", family="monospace")
            axis.text(middle, 0.33, f"{before} → {before // 10 ** len(digits)}", fontsize=8.5, ha="center", va="center")
    axis.text(places[0] - 0.3, 2.26, "write: left to right", fontsize=10, color=style.BLUE, va="center")
    axis.text(places[-1] + 0.3, 2.26, "read: right to left", fontsize=10, color=style.GREEN, va="center", ha="right")
    axis.text(0.1, 0.55, "to the file:", fontsize=10, va="center")
    axis.text(places[0], 1.14, "start", fontsize=9, ha="center", va="center")
    axis.text(places[-1], 1.14, "to the file", fontsize=9, ha="center", va="center")
    return figure


def _state(axis: Axes, place: float, state: int, colour: str) -> None:
    """A state as a box; the last digit, which names a symbol, has the symbol's colour."""
    look = dict(boxstyle="round,pad=0,rounding_size=0.06", facecolor="white", edgecolor="#444444", linewidth=1.2)
    axis.add_patch(FancyBboxPatch((place - 0.27, 1.34), 0.54, 0.52, **look))
    axis.add_patch(Rectangle((place + 0.01, 1.39), 0.22, 0.42, color=colour, linewidth=0))
    for digit, offset in zip(f"{state:02d}", (-0.11, 0.12), strict=True):
        axis.text(place + offset, 1.6, digit, fontsize=15, ha="center", va="center", family="monospace")


def latents_after(right: Tensor, cases: Mapping[str, tuple[Tensor, Tensor | None]]) -> Figure:
    """Which latents differ from the right ones in several decodings, and the images that these give.

    Args:
        right: the integers that were sent, (C, h, w).
        cases: by title: the integers as decoded, likewise, with NaN where the decoder had stopped; and the image
            (3, H, W) in [0, 1], or None where there is none.

    Returns:
        A column for each case: channels in the order of reading, each as a column of its positions, without those that
        are 0 everywhere; black where a latent is right and not 0, red where it is wrong. Below, the image.

    Raises:
        NDICError: there is no case, or the latents have different shapes.
    """
    titles, decoded = some(cases, "case"), [style.values(found) for found, _ in cases.values()]
    right = style.values(right)
    for title, found in zip(titles, decoded, strict=True):
        if found.shape != right.shape:
            raise NDICError(f"{title}: the latents must have the shape {tuple(right.shape)}, not {tuple(found.shape)}")
    used = np.any([(one != 0).flatten(1).any(1).numpy() for one in (right, *decoded)], axis=0)
    figure, axes = style.subplots((8.4, 2.9), 2, len(titles), dpi=100, squeeze=False, height_ratios=[1.2, 1])
    for i, (title, found) in enumerate(zip(titles, decoded, strict=True)):
        kind = (right != 0).long()
        kind[found != right] = 2
        kind[found.isnan()] = 3
        shown = kind[used].flatten(1).T.numpy()
        upper, lower = axes[:, i]
        upper.imshow(shown, cmap=_WRONG, vmin=0, vmax=3, aspect="auto", interpolation="none")
        upper.set(xticks=[], yticks=[])
        style.label(upper, title, "channels, first to last" if i == 0 else "", "positions" if i == 0 else "", 9)
        image = cases[title][1]
        if image is None:
            lower.text(0.5, 0.5, "refused:\nno image", ha="center", va="center", fontsize=10, transform=lower.transAxes)
            lower.set(xticks=[], yticks=[])
        else:
            style.show_image(lower, image)
    return figure

"""Figures of the first notebook: bins of short words, and one image at several rates."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plots import style

Word = Sequence[int]  # of bits

_LARGEST_ERROR = 64  # upper end of the error's colour scale, in 8-bit steps


def bins_of_words(bins: Mapping[Word, Sequence[Word]], x: Word, y: Word) -> Figure:
    """How binning works: the sender transmits the number of x's bin, the receiver takes the word in it nearest to y.

    Args:
        bins: the words in each bin, by the bits of the bin's number.
        x: the word sent.
        y: the word that the receiver knows.

    Raises:
        NDICError: no bin contains x.
    """
    sent = next((number for number, words in bins.items() if tuple(x) in map(tuple, words)), None)
    if sent is None:
        raise NDICError(f"no bin contains {_bits(x)}: give bins of words of as many bits")
    most = max(map(len, bins.values()))
    height = 0.85 + 0.46 * most
    figure, axis = style.subplots((9.0, height))
    axis.set(xlim=(0, 9), ylim=(0, height))
    axis.set_axis_off()
    top, middle = height - 0.6, (height - 0.6 + 0.08) / 2  # of the bins
    wide = 4.4 / len(bins)
    for i, (number, words) in enumerate(bins.items()):
        left, chosen = 2.3 + i * wide, number == sent
        look = dict(boxstyle="round,pad=0,rounding_size=0.08", linewidth=2.5 if chosen else 1, zorder=2)
        look |= dict(facecolor="#E6F1F8" if chosen else "white", edgecolor=style.BLUE if chosen else style.GREY)
        axis.add_patch(FancyBboxPatch((left, 0.08), wide - 0.16, top - 0.08, **look))
        centre, weight = left + wide / 2 - 0.08, "bold" if chosen else "normal"
        axis.text(centre, top + 0.12, f"bin {_bits(number)}", ha="center", fontsize=11, weight=weight)
        for j, word in enumerate(words):
            bottom = top - 0.3 - 0.46 * j
            nearest = chosen and tuple(word) == tuple(_nearest(words, y))
            colour, weight = (style.GREEN, "bold") if nearest else (style.BLACK, "normal")
            look = dict(ha="center", color=colour, zorder=3)
            axis.text(centre, bottom, _bits(word), fontsize=14, family="monospace", weight=weight, **look)
            if chosen:
                apart = _apart(word, y)
                axis.text(centre, bottom - 0.16, f"{apart} bit{'s' * (apart != 1)} from y", fontsize=8.5, **look)
    sender = {"SENDER": "bold", f"x = {_bits(x)}": "normal", f"sends bin {_bits(sent)}": "normal"}
    found = f"takes {_bits(_nearest(bins[sent], y))}"
    receiver = {"RECEIVER": "bold", f"y = {_bits(y)}": "normal", found: "normal"}
    for left, lines, colour in ((0.1, sender, style.BLUE), (7.3, receiver, style.GREEN)):
        for i, (line, weight) in enumerate(lines.items()):
            axis.text(left, middle + 0.3 - 0.36 * i, line, fontsize=12 if i else 10, weight=weight, color=colour)
    for start, end in ((1.72, 2.22), (6.68, 7.18)):
        axis.annotate("", (end, middle), (start, middle), arrowprops=dict(arrowstyle="-|>", lw=1.8, mutation_scale=16))
    return figure


def _nearest(words: Sequence[Word], y: Word) -> Word:
    return min(words, key=lambda word: _apart(word, y))


def _apart(a: Word, b: Word) -> int:
    return sum(i != j for i, j in zip(a, b, strict=True))


def _bits(word: Word) -> str:
    return "".join(map(str, word))


def rates_strip(x: Tensor, rows: Sequence[Mapping]) -> Figure:
    """One image at several rates: the reconstructions, and their errors below.

    Args:
        x: the image sent, (3, H, W) in [0, 1].
        rows: as `ndic_core.evaluation.roundtrip.roundtrip` returns them.

    Raises:
        NDICError: there is no row.
    """
    if not rows:
        raise NDICError("give a round trip for each rate")
    x = style.image(x)
    wide = 9.6 / len(rows)
    figure, axes = style.subplots((9.6, 2 * wide * x.shape[1] / x.shape[2] + 0.65), 2, len(rows), squeeze=False)
    for (above, below), row in zip(axes.T, rows, strict=True):
        style.show_image(above, style.image(row["x_hat"]), f"{row['bytes']:,} bytes", 11)
        last = style.show_error(below, x, style.image(row["x_hat"]), _LARGEST_ERROR)
        below.set_title("")
    figure.colorbar(last, ax=axes[1], shrink=0.9, label="error, 8-bit steps", pad=0.01)
    return figure

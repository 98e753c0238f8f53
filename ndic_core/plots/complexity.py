"""Computational cost of the sender and the receiver as bars."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ndic_core.errors import some
from ndic_core.evaluation.complexity import PARTS, REST, SIDES
from ndic_core.plots import style

# Blue: what the sender needs; warm colours: the cost of y.
_COLOURS = [style.BLUE, style.SKY, "#A6CEE3", style.YELLOW, style.ORANGE, "#B2DF8A"]
_COLOURS += [style.PURPLE, style.VERMILION, style.GREEN, "#8C510A", style.GREY]
_PART_COLOURS = dict(zip([*PARTS.values(), REST], _COLOURS, strict=True))


def cost_bars(
    panels: Mapping[str, Sequence[Mapping]], key: str, unit: str, scale: float = 1.0, cut: bool = True
) -> Figure:
    """Sender and receiver of each model as stacked bars, a panel for each set of rows.

    With `cut`, a bar that is more than three times as long as the next shorter total, which would make the others too
    short to compare, is cut at the edge, and its number is printed.

    Args:
        panels: by title: rows of `complexity.count_macs` or `complexity.seconds`, of one or several models.
        key: "gmac" or "seconds".
        unit: label of the axis.
        scale: from the rows' numbers to the unit.
        cut: False where the longest bar is the point.
    """
    names = some(dict.fromkeys(row["model"] for rows in panels.values() for row in rows))
    sides = {row["side"] for rows in panels.values() for row in rows}
    size = (9.0, 1.3 + 0.44 * len(names))
    figure, axes = style.subplots(size, columns=len(panels), dpi=90, sharey=True, squeeze=False)
    handles = {}
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        totals = {}
        for row in rows:
            apart = 0.2 if len(sides) > 1 else 0.0
            bar = (names.index(row["model"]) + (apart if row["side"] == SIDES[1] else -apart), row["side"])
            length = scale * row[key]
            left = totals.get(bar, 0.0)
            drawn = axis.barh(bar[0], length, 0.36, left=left, color=_PART_COLOURS[row["part"]], linewidth=0)
            handles.setdefault(row["part"], drawn)
            totals[bar] = left + length
        *shorter, longest = sorted(totals.values())
        if cut and len(shorter) > 1 and longest > 3 * shorter[-1]:
            longest = shorter[-1]
        edge = 1.45 * longest  # room for the labels
        for (position, side), total in totals.items():
            digits = f"{total:.0f}" if total >= 100 else f"{total:.3g}"
            words, look = f"{side} {digits}", dict(fontsize=7.5, va="center")
            if total > edge:
                axis.text(0.99 * edge, position, f"{words} →", ha="right", color="white", **look)
            else:
                axis.text(total + 0.012 * edge, position, words, ha="left", color="black", **look)
        axis.set_xlim(0, edge)
        style.label(axis, title, unit)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0, 0].invert_yaxis()
    order = [part for part in _PART_COLOURS if part in handles]
    figure.legend([handles[p] for p in order], order, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure

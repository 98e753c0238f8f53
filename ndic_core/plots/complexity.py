"""What sender and receiver compute, as bars: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ndic_core.errors import NDICError
from ndic_core.evaluation.complexity import PARTS, REST, SIDES

_COLOURS = dict(  # Okabe–Ito: blue what the sender needs, warm what y costs
    zip(
        [*PARTS.values(), REST],
        [
            "#0072B2",
            "#56B4E9",
            "#A6CEE3",
            "#F0E442",
            "#E69F00",
            "#B2DF8A",
            "#CC79A7",
            "#D55E00",
            "#009E73",
            "#8C510A",
            "#999999",
        ],
        strict=True,
    )
)


def cost_bars(panels: Mapping[str, Sequence[Mapping]], key: str, unit: str, scale: float = 1.0) -> Figure:
    """Sender and receiver of each model as stacked bars, a panel for each set of rows.

    A bar that is more than three times as long as the next shorter total would leave nothing to see of the others: it
    is cut at the edge, and its number tells.

    Args:
        panels: by title: rows of `complexity.count_macs` or `complexity.seconds`, of one or several models.
        key: "gmac" or "seconds".
        unit: as it stands at the axis.
        scale: from the rows' numbers to the unit.

    Raises:
        NDICError: no panel, a panel without rows, or rows without the key.

    Example:
        >>> rows = [dict(model="bls17", side="sender", part="analysis of x", gmac=0.1)]
        >>> cost_bars({"64 filters": rows}, "gmac", "GMAC").axes[0].get_title()
        '64 filters'
    """
    if not panels or not all(panels.values()):
        raise NDICError("a panel has no rows: give those of complexity.count_macs or complexity.seconds")
    if not all(key in row for rows in panels.values() for row in rows):
        raise NDICError(f"not all rows have {key!r}: those of count_macs have 'gmac', those of seconds 'seconds'")
    names = list(dict.fromkeys(row["model"] for rows in panels.values() for row in rows))
    figure = Figure(figsize=(9.0, 1.3 + 0.44 * len(names)), dpi=90, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    handles = {}
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        totals = {}
        for row in rows:
            bar = (row["model"], row["side"])
            place = names.index(bar[0]) + (0.2 if bar[1] == SIDES[1] else -0.2)
            length = scale * row[key]
            drawn = axis.barh(place, length, 0.36, left=totals.get(bar, 0.0), color=_COLOURS[row["part"]], linewidth=0)
            handles.setdefault(row["part"], drawn)
            totals[bar] = totals.get(bar, 0.0) + length
        edge = _edge(totals.values())
        for (name, side), total in totals.items():
            place = names.index(name) + (0.2 if side == SIDES[1] else -0.2)
            cut = total > edge
            label = f"{side} {_three(total)}" + (" →" if cut else "")
            axis.text(
                0.99 * edge if cut else total + 0.012 * edge,
                place,
                label,
                fontsize=7.5,
                va="center",
                ha="right" if cut else "left",
                color="white" if cut else "black",
            )
        axis.set_xlim(0, edge)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(unit)
    axes[0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0].invert_yaxis()
    order = [part for part in _COLOURS if part in handles]
    figure.legend([handles[p] for p in order], order, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def _edge(totals) -> float:
    """Where the axis ends: room for the labels beside the longest bar that isn't cut."""
    ordered = sorted(totals)
    longest = ordered[-1]
    if len(ordered) > 2 and longest > 3 * ordered[-2]:
        longest = ordered[-2]
    return 1.45 * longest


def _three(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

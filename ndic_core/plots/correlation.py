"""Correlation of x and y, and rate savings, over the distance between the cameras."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndic_core.errors import NDICError
from ndic_core.plots import style

_OTHER_SCENE = "another scene"  # its key among a model's points
_LINES = (("o-", style.BLUE), ("s--", style.VERMILION))


def savings_over_baseline(
    baselines: Sequence[float],
    correlations: Mapping[str, Sequence[float]],
    saved: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Figure:
    """Correlation coefficients of x and y, and the models' measured rate savings.

    Args:
        baselines: distances between the cameras in metres, rising.
        correlations: one or two lines by name, a number for each baseline, and optionally one more for the y of another
            scene.
        saved: by model, and then by baseline in metres or "another scene": mean share of the bits that is saved, and
            its standard error.

    Returns:
        A figure of two panels; hollow markers at the right are of another scene.

    Raises:
        NDICError: a line has fewer numbers than there are baselines, or more than one more.
    """
    count = len(baselines)
    for name, values in correlations.items():
        if not count <= len(values) <= count + 1:
            raise NDICError(f"{name} has {len(values)} numbers: give one for each of {count} baselines, and one more")
    figure, (left, right) = style.subplots((9.0, 3.8), columns=2, dpi=100)
    apart = 1.22 * max(baselines) or 0.5
    for (line, colour), (name, values) in zip(_LINES, correlations.items(), strict=False):
        left.plot(baselines, values[:count], line, color=colour, markersize=5, label=name)
        other = values[count:]
        left.plot([apart] * len(other), other, line[0], color=colour, markersize=7, markerfacecolor="none")
    left.set_ylim(min(0, left.dataLim.y0), 1.05)
    for model, points in saved.items():
        _draw_savings(right, model, points, apart)
    right.axhline(0, color=style.BLACK, linewidth=0.8)
    titles = {left: ("correlation coefficient of x and y", "ρ"), right: ("rate savings at equal MS-SSIM", "% of bytes")}
    for axis, (title, unit) in titles.items():
        ticks = [tick for tick in (0.0, 0.5, 1.0, 1.5, 2.0) if tick < 0.9 * apart]
        axis.set_xticks([*ticks, apart], [*(f"{tick:g}" for tick in ticks), "another\nscene"])
        style.label(axis, title, "distance between the cameras (metres)", unit, grid=True)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=9, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=2)
    return figure


def _draw_savings(axis: Axes, model: str, points: Mapping, apart: float) -> None:
    """Percent saved over the baseline, with its standard error, and a marker for the y of another scene."""
    colour, marker = style.MODEL_STYLE[model]
    look = dict(color=colour, marker=marker, markersize=6, linewidth=1.6, capsize=3)
    metres = sorted(place for place in points if place != _OTHER_SCENE)
    shares = 100 * np.array([points[place] for place in metres])
    axis.errorbar(metres, shares[:, 0], shares[:, 1], label=model, **look)
    if _OTHER_SCENE in points:
        mean, error = points[_OTHER_SCENE]
        axis.errorbar([apart], [100 * mean], [100 * error], markerfacecolor="none", linestyle="none", **look)

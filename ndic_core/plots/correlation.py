"""Rate savings over the correlation of x and y."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.plots import style

_OTHER_SCENE = "another scene"  # its key among a model's points
_LINES = (("o-", style.BLUE), ("s--", style.VERMILION))
_LARGEST_ERROR = 60  # upper end of the colour scale, in 8-bit steps


def savings_over_baseline(
    baselines: Sequence[float],
    correlations: Mapping[str, Sequence[float]],
    bounds: Mapping[str, Sequence[float]],
    saved: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Figure:
    """Correlation of x and y, the rate savings it allows for Gaussian samples, and the models' measured savings.

    Args:
        baselines: distances between the cameras in metres, rising.
        correlations: one or two lines by name, a number for each baseline, and optionally one more for the y of another
            scene.
        bounds: by the same names, upper bound of the bits per sample that y saves if the samples are Gaussian.
        saved: by model, and then by baseline in metres or "another scene": mean share of the bits that is saved, and
            its standard error.

    Returns:
        A figure of three panels: bits per independent sample and percent of a codec's file are different quantities.
    """
    figure, axes = style.subplots((10.5, 3.7), columns=3)
    apart = _other_position(baselines)
    count = len(baselines)
    for axis, lines in zip(axes, (correlations, bounds), strict=False):
        for (line, colour), (name, values) in zip(_LINES, lines.items(), strict=False):
            axis.plot(baselines, values[:count], line, color=colour, markersize=4, label=name)
            other = values[count:]
            axis.plot([apart] * len(other), other, line[0], color=colour, markersize=6, markerfacecolor="none")
        if min(map(min, lines.values())) >= 0:
            axis.set_ylim(bottom=0)
    for model, points in saved.items():
        _draw_savings(axes[2], model, points, apart)
    titles = {
        "correlation ρ of x and y": "coefficient of all samples",
        "½ log₂ 1/(1 − ρ²): Gaussian samples": "upper bound, bits per sample saved",
        "rate savings of models, at equal MS-SSIM": "% of the matched baseline's bytes, measured",
    }
    axes[2].axhline(0, color=style.BLACK, linewidth=0.8)
    for axis, (title, unit) in zip(axes, titles.items(), strict=True):
        _baseline_axis(axis, apart, title, unit)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    return figure


def savings_at_baseline(
    y: Tensor, x_hat: Tensor, x: Tensor, model: str, points: Mapping, here: tuple[float | None, float], title: str
) -> Figure:
    """One y, the reconstruction with it, its error, and the point on the curve of rate savings.

    Args:
        y, x_hat, x: (3, H, W) in [0, 1].
        model: its name.
        points: see `savings_over_baseline`.
        here: the baseline of y in metres, None for the y of another scene, and the share that is saved in this scene;
            NaN where the quality is not reached.

    Returns:
        A figure of three images and a curve with a ring at `here`. The error's colour scale is the same in all calls.
    """
    y, x_hat, x = style.images(y=y, x_hat=x_hat, x=x)
    figure, axes = style.subplots((8.0, 5.1), 2, 2)
    style.show_image(axes[0, 0], y, "y, at the decoder")
    style.show_image(axes[0, 1], x_hat, "x̂, decoded from the file and y")
    error = f"error |x − x̂|; lightest: {_LARGEST_ERROR} of 255 and more"
    style.show_error(axes[1, 0], x, x_hat, _LARGEST_ERROR, error)
    axis = axes[1, 1]
    metres, share = here
    apart = _other_position(_metres(points) + [metres] * (metres is not None))
    _draw_savings(axis, model, points, apart)
    position = apart if metres is None else metres
    look = dict(markersize=13, markerfacecolor="none", markeredgewidth=2)
    axis.plot(position, 100 * share, "o", color=style.VERMILION, **look)
    axis.axhline(0, color=style.BLACK, linewidth=0.8)
    _baseline_axis(axis, apart, "saved at equal MS-SSIM; ring: this image", "% of the bytes, measured")
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_savings(axis: Axes, model: str, points: Mapping, apart: float) -> None:
    """Percent saved over the baseline, with its standard error, and a marker for the y of another scene."""
    colour, marker = style.MODEL_STYLE[model]
    look = dict(color=colour, marker=marker, markersize=5, linewidth=1.6, capsize=2)
    metres = _metres(points)
    shares = 100 * np.array([points[place] for place in metres])
    axis.errorbar(metres, shares[:, 0], shares[:, 1], label=model, **look)
    if _OTHER_SCENE in points:
        mean, error = points[_OTHER_SCENE]
        axis.errorbar([apart], [100 * mean], [100 * error], markerfacecolor="none", linestyle="none", **look)


def _metres(points: Mapping) -> list[float]:
    return sorted(place for place in points if place != _OTHER_SCENE)


def _other_position(metres: Sequence[float]) -> float:
    """Position of the marker for the y of another scene: to the right of all baselines."""
    return 1.22 * max(metres) or 0.5


def _baseline_axis(axis: Axes, apart: float, title: str, unit: str) -> None:
    ticks = [tick for tick in (0.0, 0.5, 1.0, 1.5, 2.0) if tick < 0.9 * apart]
    axis.set_xticks([*ticks, apart], [*(f"{tick:g}" for tick in ticks), "another\nscene"])
    style.label(axis, title, "baseline, metres", unit, fontsize=9, grid=True)
    axis.tick_params(labelsize=9)

"""What y saves over how much it is like x: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plots.panels import model_style, pixels

_FOREIGN = "another\nscene"
_ANOTHER = "another scene"  # its key among a model's points
_LINES = (("o-", "#0072B2"), ("s--", "#D55E00"))  # Okabe–Ito
_LARGEST_ERROR = 60  # steps of a picture of 8 bits, where the colours end


def saving_over_baseline(
    baselines: Sequence[float],
    correlations: Mapping[str, Sequence[float]],
    bounds: Mapping[str, Sequence[float]],
    saved: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Figure:
    """Correlation of x and y, what it promises to Gaussian samples, and what models make of it.

    Args:
        baselines: metres between the cameras, rising.
        correlations: by name, a number for each baseline, and maybe one more for another scene's y.
        bounds: by the same names, bits per sample that y saves at most where the samples are Gaussian.
        saved: by model, and then by "baseline" in metres or "another scene": mean share of the bits that is saved, and
            its standard error.

    Returns:
        A figure of three panels over the baseline; each has an axis of its own, because bits per independent sample and
        percent of a codec's file are not the same thing.

    Raises:
        NDICError: no baseline, a line has too few or too many points, there are more than two lines, bounds have other
            names than correlations, or a model has no style.

    Example:
        >>> points = {0.0: (0.2, 0.01), 1.0: (0.1, 0.01), "another scene": (-0.3, 0.05)}
        >>> figure = saving_over_baseline([0, 1], {"y": [0.9, 0.5]}, {"y": [1.2, 0.2]}, {"ndic_bls17": points})
        >>> [len(axis.get_xticks()) for axis in figure.axes]
        [4, 4, 4]
    """
    if correlations.keys() != bounds.keys() or len(bounds) > len(_LINES):
        raise NDICError(
            f"give correlations and bounds of the same names, {len(_LINES)} at most, not {', '.join(correlations)} and "
            f"{', '.join(bounds)}"
        )
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    axes = figure.subplots(1, 3)
    apart = _apart(baselines)
    for axis, lines in zip(axes[:2], (correlations, bounds), strict=True):
        for (line, colour), name in zip(_LINES, correlations, strict=False):  # as many as there are
            values = lines[name]
            if len(values) not in (len(baselines), len(baselines) + 1):
                raise NDICError(f"{name} has {len(values)} points for {len(baselines)} baselines")
            axis.plot(baselines, values[: len(baselines)], line, color=colour, markersize=4, label=name)
            if len(values) > len(baselines):
                axis.plot([apart], values[-1:], line[0], color=colour, markersize=6, markerfacecolor="none")
    for model, points in saved.items():
        draw_saving(axes[2], model, points, apart)
    axes[2].axhline(0, color="black", linewidth=0.8)
    titles = {
        "correlation ρ of x and y": "coefficient of all samples",
        "½ log₂ 1/(1 − ρ²): Gaussian samples": "bits per sample saved, at most",
        "saved by models, at equal MS-SSIM": "% of the matched baseline's bytes, measured",
    }
    for axis, (title, label) in zip(axes, titles.items(), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(label, fontsize=9)
        _over_metres(axis, apart)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    for axis, lines in zip(axes[:2], (correlations, bounds), strict=True):
        if all(value >= 0 for values in lines.values() for value in values):
            axis.set_ylim(bottom=0)
    return figure


def draw_saving(axis: Axes, model: str, points: Mapping, apart: float) -> None:
    """One model's line: percent saved over the baseline, with its standard error, and a mark for another scene's y.

    Args:
        axis: to draw on.
        model: its name.
        points: see `saving_over_baseline`.
        apart: where on the axis the mark for another scene's y goes.

    Raises:
        NDICError: the model has no style, or there is no point at a baseline.
    """
    colour, marker = model_style(model)
    look = dict(color=colour, marker=marker, markersize=5, linewidth=1.6, capsize=2)
    metres = _metres(points)
    if not metres:
        raise NDICError(f"{model} has no point at a baseline: give one or more, in metres")
    shares = 100 * np.array([points[place] for place in metres])
    axis.errorbar(metres, shares[:, 0], shares[:, 1], label=model, **look)
    if _ANOTHER in points:
        mean, error = points[_ANOTHER]
        axis.errorbar([apart], [100 * mean], [100 * error], markerfacecolor="none", linestyle="none", **look)


def at_baseline(
    y: Tensor, x_hat: Tensor, x: Tensor, model: str, points: Mapping, here: tuple[float | None, float], title: str
) -> Figure:
    """One y, what the receiver draws with it, where that is wrong, and where this lies on the curve.

    Args:
        y, x_hat, x: (3, H, W) in [0, 1].
        model: its name.
        points: see `saving_over_baseline`.
        here: the baseline of y in metres, None for another scene's, and the share that is saved there in this scene;
            NaN where the quality is not reached.
        title: of the figure.

    Returns:
        A figure of three pictures and a curve with a ring at `here`. The error has one scale in all of them.

    Raises:
        NDICError: see `draw_saving`.
    """
    figure = Figure(figsize=(8.0, 5.1), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, picture, words in (
        (axes[0, 0], y, "y, at the receiver"),
        (axes[0, 1], x_hat, "x̂, drawn from file and y"),
    ):
        axis.imshow(pixels(picture), interpolation="none")
        axis.set_title(words, fontsize=10)
        axis.set_axis_off()
    error = 255 * (x - x_hat).abs().mean(0).cpu().numpy()
    axes[1, 0].imshow(error, cmap="magma", vmin=0, vmax=_LARGEST_ERROR, interpolation="none")
    axes[1, 0].set_title(f"error |x − x̂|; lightest: {_LARGEST_ERROR} of 255 and more", fontsize=10)
    axes[1, 0].set_axis_off()
    axis = axes[1, 1]
    metres, share = here
    apart = _apart(_metres(points) + [metres] * (metres is not None))
    draw_saving(axis, model, points, apart)
    place = apart if metres is None else metres
    axis.plot([place], [100 * share], "o", markersize=13, markerfacecolor="none", color="#D55E00", markeredgewidth=2)
    axis.axhline(0, color="black", linewidth=0.8)
    _over_metres(axis, apart)
    axis.set_title("saved at equal MS-SSIM; ring: this picture", fontsize=10)
    axis.set_ylabel("% of the bytes, measured", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _metres(points: Mapping) -> list[float]:
    return sorted(place for place in points if place != _ANOTHER)


def _apart(metres: Sequence[float]) -> float:
    """Where the mark for another scene's y goes: to the right of all baselines."""
    if not metres:
        raise NDICError("there is no baseline to draw over: give one or more, in metres")
    return 1.22 * max(metres) or 0.5


def _over_metres(axis: Axes, apart: float) -> None:
    """The horizontal axis: baselines, and another scene apart from them."""
    ticks = [tick for tick in (0.0, 0.5, 1.0, 1.5, 2.0) if tick < 0.9 * apart]
    axis.set_xticks([*ticks, apart], [*(f"{tick:g}" for tick in ticks), _FOREIGN])
    axis.set_xlabel("baseline, metres", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.grid(alpha=0.25)

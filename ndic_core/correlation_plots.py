"""What y saves over how much it is like x: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plotting import MODEL_STYLE

_FOREIGN = "another\nscene"
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
        NDICError: a line has too few or too many points.
    """
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    axes = figure.subplots(1, 3)
    apart = max(baselines) * 1.22
    for axis, lines in zip(axes, (correlations, bounds), strict=False):
        for (name, values), look in zip(lines.items(), ("o-", "s--"), strict=False):
            if len(values) not in (len(baselines), len(baselines) + 1):
                raise NDICError(f"{name} has {len(values)} points for {len(baselines)} baselines")
            colour = "#0072B2" if look == "o-" else "#D55E00"
            axis.plot(baselines, values[: len(baselines)], look, color=colour, markersize=4, label=name)
            if len(values) > len(baselines):
                axis.plot([apart], values[-1:], look[0], color=colour, markersize=6, markerfacecolor="none")
    for model, points in saved.items():
        draw_saving(axes[2], model, points, apart)
    axes[2].axhline(0, color="black", linewidth=0.8)
    titles = {
        "correlation ρ of x and y": "coefficient of all samples",
        "½ log₂ 1/(1 − ρ²): Gaussian samples": "bits per sample saved, at most",
        "saved by models, at equal MS-SSIM": "% of the matched baseline's bytes, measured",
    }
    ticks = [tick for tick in (0.0, 0.5, 1.0, 1.5, 2.0) if tick <= max(baselines)]
    for axis, (title, label) in zip(axes, titles.items(), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(label, fontsize=9)
        axis.set_xticks([*ticks, apart], [*(f"{tick:g}" for tick in ticks), _FOREIGN])
        axis.tick_params(labelsize=9)
        axis.set_xlabel("baseline, metres", fontsize=9)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    for axis in axes[:2]:
        axis.set_ylim(bottom=0)
    return figure


def draw_saving(axis: Axes, model: str, points: Mapping, apart: float) -> None:
    """One model's line: percent saved over the baseline, with its standard error, and a mark for another scene's y.

    Args:
        axis: to draw on.
        model: its name.
        points: see `saving_over_baseline`.
        apart: where on the axis the mark for another scene's y goes.
    """
    colour, marker = MODEL_STYLE[model]
    look = dict(color=colour, marker=marker, markersize=5, linewidth=1.6, capsize=2)
    metres = sorted(place for place in points if place != "another scene")
    shares = 100 * np.array([points[place] for place in metres])
    axis.errorbar(metres, shares[:, 0], shares[:, 1], label=model, **look)
    if "another scene" in points:
        mean, error = points["another scene"]
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
    """
    figure = Figure(figsize=(8.0, 5.1), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, picture, words in (
        (axes[0, 0], y, "y, at the receiver"),
        (axes[0, 1], x_hat, "x̂, drawn from file and y"),
    ):
        axis.imshow(picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy(), interpolation="none")
        axis.set_title(words, fontsize=10)
        axis.set_axis_off()
    error = 255 * (x - x_hat).abs().mean(0).cpu().numpy()
    axes[1, 0].imshow(error, cmap="magma", vmin=0, vmax=_LARGEST_ERROR, interpolation="none")
    axes[1, 0].set_title(f"error |x − x̂|; lightest: {_LARGEST_ERROR} of 255 and more", fontsize=10)
    axes[1, 0].set_axis_off()
    axis = axes[1, 1]
    apart = 1.22 * max(place for place in points if place != "another scene")
    draw_saving(axis, model, points, apart)
    metres, share = here
    place = apart if metres is None else metres
    axis.plot([place], [100 * share], "o", markersize=13, markerfacecolor="none", color="#D55E00", markeredgewidth=2)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks([0, 0.5, 1, 1.5, 2, apart], ["0", "0.5", "1", "1.5", "2", _FOREIGN])
    axis.set_title("saved at equal MS-SSIM; ring: this picture", fontsize=10)
    axis.set_xlabel("baseline, metres", fontsize=9)
    axis.set_ylabel("% of the bytes, measured", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    return figure

"""Comparison of codecs: BD-rate, spread over images, header costs, and the Lagrangian."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, choice, listing, some
from ndic_core.evaluation.bd_rate import rates_in_common
from ndic_core.plots import style


def rate_gap(
    anchor: Sequence[Mapping],
    test: Sequence[Mapping],
    metric: str = "ms_ssim_db",
    part: tuple[float, float] = (0.0, 1.0),
    title: str = "",
) -> Figure:
    """The BD-rate as an area between two rate–distortion curves, and the rate difference at each quality.

    Args:
        anchor, test: points of both codecs: mappings with `model`, `bpp` (measured) and the metric.
        metric: "psnr" or "ms_ssim_db".
        part: of the range of qualities that both reach, from 0 to 1: what the mean is computed over.
        title: what was measured.

    Returns:
        A figure of two panels with a common quality axis. The mean difference over the whole range is the BD-rate.

    Raises:
        NDICError: see `evaluation.bd_rate.rates_in_common`; or a model has no style.
    """
    chosen, before, after = rates_in_common(anchor, test, metric, part)
    whole = rates_in_common(anchor, test, metric)
    figure, (curves, gaps) = style.subplots((9.0, 3.8), columns=2, sharey=True, width_ratios=(3, 2), dpi=100)
    for points, wide in ((anchor, 3.4), (test, 1.7)):  # the wider one below: it stays visible where both coincide
        both = sorted((style.number_of(row, "bpp"), style.number_of(row, metric)) for row in points)
        rates, qualities = zip(*both, strict=True)
        name = points[0]["model"]
        curves.plot(rates, qualities, linewidth=wide, label=name, **style.curve_style(name))
    for bits, colour, words in (
        (after < before, style.SKY, "fewer bits"),
        (after >= before, style.ORANGE, "more bits"),
    ):
        if bits.any():
            look = dict(color=colour, alpha=0.55, linewidth=0)
            curves.fill_betweenx(chosen, before, after, where=bits, label=words, **look)
            gaps.fill_betweenx(chosen, 0, 100 * (after / before - 1), where=bits, **look)
    for quality in (whole[0][0], whole[0][-1]):
        for axis in (curves, gaps):
            axis.axhline(quality, color=style.GREY, linewidth=0.8, linestyle=":")
    gaps.plot(100 * (whole[2] / whole[1] - 1), whole[0], color=style.BLACK, linewidth=1.4)
    mean = 100 * np.expm1(np.log(after / before).mean())
    gaps.axvline(0, color=style.BLACK, linewidth=0.8)
    gaps.vlines(mean, chosen[0], chosen[-1], color=style.VERMILION, linewidth=2.2, linestyle="--")
    if chosen[0] == chosen[-1]:  # a line without length would be invisible
        gaps.plot(mean, chosen[0], "D", color=style.VERMILION)
    style.label(
        gaps, f"mean difference: {style.number(mean, '+.1f')} %", "more (+) or fewer (−) bits at this quality, %"
    )
    style.label(curves, title, "measured rate (bits per pixel), logarithmic", style.QUALITY[metric])
    curves.set_xscale("log")
    curves.set_xticks([0.05, 0.1, 0.2, 0.3, 0.5, 1, 2])
    curves.set_xticks([], minor=True)
    curves.xaxis.set_major_formatter("{x:g}")
    every = [style.number_of(row, "bpp") for row in [*anchor, *test]]
    curves.set_xlim(0.9 * min(every), max(every) / 0.9)
    curves.legend(fontsize=10.5, framealpha=1, edgecolor="none", loc="upper left", handlelength=2.6)
    for axis in (curves, gaps):
        axis.title.set_fontsize(12)
    return figure


def spread(
    differences: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float]],
    x: str,
    dot: str = "an image",
    bar: str = "mean and its interval",
) -> Figure:
    """One number for each image, or each repetition, (dots), their mean (diamond), and an interval (bar).

    Args:
        differences: by name, a number for each dot.
        intervals: lower and upper end of the interval, by the same names; the caller says which kind.
        x: label of the axis, with the unit.
        dot, bar: what they are, for the legend.

    Raises:
        NDICError: there is no number to draw, or an interval is missing.
    """
    differences = {
        name: style.values(some(given, "number"), torch.float64) for name, given in some(differences.items())
    }
    if lacking := [name for name in differences if name not in intervals]:
        raise NDICError(f"there is no interval of {listing(lacking)}: give one for each mean")
    figure, axis = style.subplots((9.0, 1.0 + 0.5 * len(differences)), dpi=100)
    for i, (name, values) in enumerate(differences.items()):
        low, high = style.values(intervals[name], torch.float64).tolist()
        dots, mean = (dot, bar) if i == 0 else (None, None)
        axis.plot(values, [i] * len(values), "o", color=style.SKY, alpha=0.7, label=dots)
        axis.plot([low, high], [i, i], color=style.VERMILION, linewidth=4, solid_capstyle="butt", zorder=3)
        axis.plot(values.mean(), i, "D", color=style.VERMILION, markeredgecolor="white", zorder=4, label=mean)
    axis.axvline(0, color=style.BLACK, linewidth=0.8)
    axis.set_yticks(range(len(differences)), list(differences))
    axis.set_ylim(len(differences) - 0.5, -0.5)
    axis.set_xlabel(x)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=11, frameon=False)
    return figure


def quality_over_offset(rows: Iterable[Mapping], title: str = "") -> Figure:
    """Quality over the time between x and y: a curve for each model, horizontal lines for no y and mismatched y.

    Args:
        rows: mappings with `model`, `ms_ssim_db`, `side_info` ("matching_y", "mismatched_y" or "no_y"), and
            `time_offset` in seconds where it is "matching_y". Several of one kind are averaged.
        title: what was measured.

    Raises:
        NDICError: there is no row, or one lacks such an entry.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for row in some(rows):
        key = choice(row.get("side_info"), "side_info", style.SIDE_INFO)
        key = style.number_of(row, "time_offset") if key == "matching_y" else key
        groups[row.get("model")][key].append(style.quality(row, "ms_ssim_db"))
    figure, axis = style.subplots((9.0, 4.6), dpi=100)
    for model, values in groups.items():
        means = {key: np.mean(some) for key, some in values.items()}
        moved = sorted((offset, mean) for offset, mean in means.items() if offset not in style.SIDE_INFO)
        if moved:
            axis.plot(*zip(*moved, strict=True), label=f"{model}, y of the same street", **style.curve_style(model))
        for kind in ("no_y", "mismatched_y"):
            if kind in means:
                line, words = style.SIDE_INFO[kind]
                axis.axhline(
                    means[kind], color=style.curve_style(model)["color"], linestyle=line, label=f"{model}, {words}"
                )
    style.label(axis, title, "seconds from x to y", "MS-SSIM (dB)", grid=True)
    place = dict(loc="upper center", bbox_to_anchor=(0.45, -0.15))
    axis.legend(fontsize=10.5, frameon=False, handlelength=2.6, ncols=max(1, len(groups)), **place)
    return figure


def lagrangian(
    points: Sequence[Mapping], lmbda: float, image: Tensor | None = None, title: str = "", metric: str = "MS-SSIM"
) -> Figure:
    """The operating point that minimises R + λ · 255² · D among the points of a codec.

    Args:
        points: mappings with `bpp` (estimated) and `distortion`, as `rate_distortion_loss` returns them.
        lmbda: weight of the distortion, above 0.
        image: (3, H, W) in [0, 1], shown beside it, under `title`.
        metric: of the distortion: "MS-SSIM", for 1 − MS-SSIM, or "MSE".

    Raises:
        NDICError: there is no point, or another metric.
    """
    points, metric = some(points, "point"), choice(metric, "metric", ("MS-SSIM", "MSE"))
    rate, distortion = (np.array([style.number_of(p, key) for p in points]) for key in ("bpp", "distortion"))
    weight = 255**2 * lmbda
    total = rate + weight * distortion
    best = total.argmin()

    columns = 1 if image is None else 2
    size = (5.5 if image is None else 9.5, 3.4)
    figure, axes = style.subplots(size, columns=columns, squeeze=False, width_ratios=[1, 1.25][:columns])
    axis = axes[0, 0]
    right, top = 1.08 * rate.max(), 1.15 * distortion.max()
    across, lowest = np.array([0, right]), total[best]
    for step in (0.6, 1.0, 1.6, 2.4):
        look = dict(color=style.GREEN, linewidth=2) if step == 1.0 else dict(color="#BBBBBB", linewidth=1)
        words = f"R + {weight:.3g} D = {lowest:.3g}" if step == 1.0 else None
        axis.plot(across, (step * lowest - across) / weight, label=words, zorder=1, **look)
    axis.plot(rate, distortion, "o-", color=style.BLACK, markersize=4, linewidth=1, label="points of the codec")
    axis.plot(rate[best], distortion[best], "o", color=style.GREEN, markersize=10, zorder=3, label="smallest sum")
    axis.set(xlim=(0, right), ylim=(0, top))
    y = "D: 1 − MS-SSIM" if metric == "MS-SSIM" else "D: mean squared error"
    style.label(axis, f"λ = {lmbda:.2g}", "R: bits per pixel, estimated", y)
    axis.legend(fontsize=8, loc="upper right")
    if image is not None:
        style.show_image(axes[0, 1], image, title)
    return figure

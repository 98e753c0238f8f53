"""How a comparison of codecs can mislead: the part of the curve, extrapolation, and headers of small files."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndic_core.errors import NDICError, choice, some
from ndic_core.evaluation.bd_rate import rates_in_common
from ndic_core.plots import style

_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
_SHORT = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}
Points = Sequence[Mapping]


def curve_panels(panels: Mapping[str, Points], metrics: str | Sequence[str] = "ms_ssim_db") -> Figure:
    """Few rate–distortion curves in each of several panels.

    Args:
        panels: by title, points in any order: mappings with `model`, `bpp` (measured) and the metric; `side_info`
            ("matching_y", "mismatched_y" or "no_y") where it is not matching; `weights`, a word, where there are
            several curves of one model.
        metrics: "psnr" or "ms_ssim_db", of all panels or of each.

    Raises:
        NDICError: there is no panel or no point, a model has no style, or a point has no such value.
    """
    metrics = [metrics] * len(panels) if isinstance(metrics, str) else list(metrics)
    if len(metrics) != len(some(panels, "panel")):
        raise NDICError(f"give a metric for each panel, not {len(metrics)} for {len(panels)}")
    same = len(set(metrics)) == 1
    figure, axes = style.subplots((9.2, 4.7), columns=len(panels), squeeze=False, dpi=100, sharey=same, sharex=True)
    for axis, (title, points), metric in zip(axes[0], panels.items(), metrics, strict=True):
        _draw_curves(axis, some(points, "point"), metric)
        style.label(
            axis, title, "measured rate, bits per pixel", _SHORT[metric] if axis is axes[0, 0] or not same else ""
        )
        axis.title.set_fontsize(12)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), fontsize=10.5, frameon=False, handlelength=2.6)
    return figure


def _draw_curves(axis: Axes, points: Points, metric: str) -> None:
    curves = defaultdict(list)
    for row in points:
        key = row.get("model"), row.get("weights") or "", row.get("side_info") or "matching_y"
        curves[key].append((style.number_of(row, "bpp"), style.quality(row, metric)))
    for (name, weights, side_info), curve in curves.items():
        look = style.curve_style(name)
        line, words = style.SIDE_INFO[choice(side_info, "side_info", style.SIDE_INFO)]
        if side_info != "matching_y":
            look |= dict(linestyle=line, markersize=4)
        if weights != next(other for model, other, _ in curves if model == name):
            look |= dict(markerfacecolor="white")
        label = ", ".join(filter(None, (name, weights, words if side_info != "matching_y" else "")))
        axis.plot(*zip(*sorted(curve), strict=True), label=label, linewidth=1.8, **look)
    _rates(axis)
    axis.grid(alpha=0.25)


def _rates(axis: Axes) -> None:
    low, high = axis.dataLim.intervalx
    axis.set(xscale="log", xlim=(0.9 * low, high / 0.9))
    axis.set_xticks([tick for tick in _TICKS if 0.9 * low <= tick <= high / 0.9])
    axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter("{x:g}")


def gap_strip(panels: Mapping[str, tuple[Points, Points, str]]) -> Figure:
    """The rate difference of two codecs at each quality, in several settings.

    Args:
        panels: by title: points of the anchor, points of the test (see `bd_rate`), and the metric, "psnr" or
            "ms_ssim_db".

    Returns:
        A figure with a panel for each setting, all with one axis of percent. The dashed line is the BD-rate.

    Raises:
        NDICError: there is no panel, or see `evaluation.bd_rate.rates_in_common`.
    """
    figure, axes = style.subplots((9.4, 3.7), columns=len(some(panels, "panel")), squeeze=False, dpi=100, sharex=True)
    for axis, (title, (anchor, test, metric)) in zip(axes[0], panels.items(), strict=True):
        qualities, before, after = rates_in_common(anchor, test, metric)
        gap = 100 * (after / before - 1)
        mean = 100 * np.expm1(np.log(after / before).mean())
        for where, colour in ((gap < 0, style.SKY), (gap >= 0, style.ORANGE)):
            axis.fill_betweenx(qualities, 0, gap, where=where, color=colour, alpha=0.6, linewidth=0)
        axis.plot(gap, qualities, color=style.BLACK, linewidth=1.4)
        axis.axvline(0, color=style.BLACK, linewidth=0.8)
        axis.vlines(mean, qualities[0], qualities[-1], color=style.VERMILION, linewidth=2.2, linestyle="--")
        style.label(axis, f"{title}\nmean {style.number(mean, '+.1f')} %", "", _SHORT[metric])
        axis.title.set_fontsize(12)
    figure.supxlabel("more (+) or fewer (−) bits at this quality, %", fontsize=11)
    return figure


def extrapolation(
    anchor: Points,
    test: Points,
    kept: tuple[Points, Points],
    rates: tuple[np.ndarray, np.ndarray],
    qualities: np.ndarray,
    metric: str = "ms_ssim_db",
) -> Figure:
    """What happens where two curves are continued beyond their points.

    Args:
        anchor, test: all points of both codecs, with `model`, `bpp` and the metric.
        kept: the points of each that the comparison knows.
        rates: of both continued curves, at `qualities`.
        qualities: (dB) over the whole interval.
        metric: "psnr" or "ms_ssim_db".

    Returns:
        A figure of two panels: points known (filled) and withheld (hollow) with the continued curves; and the
        difference of the rates, true and extrapolated. The overlap of the known points is shaded.

    Raises:
        NDICError: see `evaluation.bd_rate.rates_in_common`.
    """
    true_q, before, after = rates_in_common(anchor, test, metric)
    figure, (left, right) = style.subplots((9.2, 4.0), columns=2, dpi=100, sharey=True, width_ratios=(3, 2))
    looks = ((style.BLUE, "s"), (style.BLACK, "o"))
    for every, known, rate, (colour, marker) in zip((anchor, test), kept, rates, looks, strict=True):
        name = every[0]["model"]
        for points, fill, words in ((every, "white", "withheld"), (known, colour, "known")):
            places = [(style.number_of(row, "bpp"), style.number_of(row, metric)) for row in points]
            look = dict(color=colour, markerfacecolor=fill, label=f"{name}, {words}")
            left.plot(*zip(*places, strict=True), marker, **look)
        left.plot(rate, qualities, color=colour, linestyle="--", linewidth=1.6, zorder=1, label=f"{name}, extrapolated")
    low, high = (f(ends) for f, ends in ((max, [k[0][metric] for k in kept]), (min, [k[-1][metric] for k in kept])))
    for axis in (left, right):
        axis.axhspan(low, high, color=style.GREY, alpha=0.3, linewidth=0)
    right.plot(100 * (after / before - 1), true_q, color=style.BLACK, label="all points")
    right.plot(100 * (rates[1] / rates[0] - 1), qualities, color=style.VERMILION, linestyle="--", label="extrapolated")
    right.axvline(0, color=style.BLACK, linewidth=0.8)
    _rates(left)
    style.label(left, "known and withheld points", "measured rate, bits per pixel", _SHORT[metric])
    style.label(right, "difference at each quality", "more (+) or fewer (−) bits, %")
    right.legend(fontsize=10.5, frameon=False)
    left.legend(fontsize=10, frameon=False, loc="upper left")
    return figure


def overheads(sizes: Mapping[str, tuple[float, float]], savings: Mapping[str, tuple[float, float]]) -> Figure:
    """How much of the smallest files is overhead, such as headers, and what that does to a BD-rate.

    Args:
        sizes: by codec, bytes of the overhead and of the smallest file.
        savings: by codec, a BD-rate against it in percent: of whole files, and of files less their overhead. A codec
            may be missing.

    Raises:
        NDICError: there is no codec.
    """
    names = list(some(sizes, "codec"))
    figure, (left, right) = style.subplots((9.2, 0.9 + 0.48 * len(names)), columns=2, dpi=100, sharey=True)
    overhead, whole = np.array([sizes[name] for name in names], dtype=float).T
    rows = range(len(names))
    left.barh(rows, overhead, color=style.ORANGE, label="overhead", height=0.62)
    left.barh(rows, whole - overhead, left=overhead, color=style.SKY, label="content", height=0.62)
    left.set_yticks(rows, names, fontsize=11)
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_xlabel("bytes of the smallest file")
    for i, name in enumerate(names):
        if name in savings:
            files, less = savings[name]
            right.plot([files, less], [i, i], color=style.GREY, linewidth=2, zorder=1)
            right.plot(files, i, "o", color=style.BLACK, markersize=8, label="whole files" if i == 0 else None)
            look = dict(color=style.BLACK, markerfacecolor="white", markersize=8)
            right.plot(less, i, "o", label="less overhead" if i == 0 else None, **look)
    right.axvline(0, color=style.BLACK, linewidth=0.8)
    right.grid(axis="x", alpha=0.25)
    right.set_xlabel("BD-rate at equal MS-SSIM, %")
    for axis in (left, right):
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=10.5, frameon=False)
    return figure

"""Curves and numbers held against each other: data in, matplotlib Figure out."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import rates_in_common
from ndic_core.plots.panels import CODEC_STYLE, MODEL_STYLE

_QUALITY = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}
_FEWER, _MORE = "#56B4E9", "#E69F00"  # Okabe–Ito: where the test needs fewer bits than its anchor, and more
_NO_Y = {"no_y": (":", "no y"), "mismatched_y": ("--", "another scene's y")}


def rate_gap(
    anchor: Iterable[Mapping],
    test: Iterable[Mapping],
    metric: str = "ms_ssim_db",
    part: tuple[float, float] = (0.0, 1.0),
    title: str = "",
) -> Figure:
    """A BD-rate as an area: two curves, what lies between them, and the gap at each quality with its mean.

    Args:
        anchor: points of the codec compared against: mappings with `model`, `bpp` (measured) and the metric.
        test: points of the codec in question, likewise.
        metric: "psnr" or "ms_ssim_db".
        part: of the qualities that both reach, from 0 to 1: what the mean is taken over.
        title: what was measured.

    Returns:
        A figure of two panels with one axis of quality: the curves over the logarithm of the rate, and the gap in
        percent with its mean, which for the whole interval is the BD-rate.

    Raises:
        NDICError: see `evaluation.bd_rate.rates_in_common`; or a point without a name, or one that has no style.

    Example:
        >>> anchor = [dict(model="bls17", bpp=0.1 * 2**n, psnr=30.0 + 3 * n) for n in range(4)]
        >>> test = [dict(row, model="bmshj18", bpp=row["bpp"] / 2) for row in anchor]
        >>> rate_gap(anchor, test, "psnr").axes[1].get_title()
        'mean of the gap: -50.0 %'
    """
    anchor, test = list(anchor), list(test)
    if not all("model" in row for row in [*anchor, *test]):
        raise NDICError("every point needs model, the name of what it was measured of")
    chosen, before, after = rates_in_common(anchor, test, metric, part)
    whole = rates_in_common(anchor, test, metric)
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    curves, gaps = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for points, wide in ((anchor, 3.4), (test, 1.7)):  # the wider one below: it stays visible where both coincide
        rates, qualities = zip(*sorted((row["bpp"], row[metric]) for row in points), strict=True)
        curves.plot(rates, qualities, linewidth=wide, label=points[0]["model"], **_look(points[0]["model"]))
    for bits, colour, what in ((after < before, _FEWER, "fewer bits"), (after >= before, _MORE, "more bits")):
        if bits.any():
            look = dict(color=colour, alpha=0.55, linewidth=0)
            curves.fill_betweenx(chosen, before, after, where=bits, label=what, **look)
            gaps.fill_betweenx(chosen, 0, 100 * (after / before - 1), where=bits, **look)
    for quality in (whole[0][0], whole[0][-1]):
        for axis in (curves, gaps):
            axis.axhline(quality, color="#999999", linewidth=0.8, linestyle=":")
    gaps.plot(100 * (whole[2] / whole[1] - 1), whole[0], color="black", linewidth=1.4)
    mean = 100 * np.expm1(np.log(after / before).mean())
    gaps.axvline(0, color="black", linewidth=0.8)
    gaps.vlines(mean, chosen[0], chosen[-1], color="#D55E00", linewidth=2.2, linestyle="--")
    if chosen[0] == chosen[-1]:  # a line without length would not be seen
        gaps.plot(mean, chosen[0], "D", color="#D55E00")
    gaps.set_title(f"mean of the gap: {mean:+.1f} %", fontsize=10)
    gaps.set_xlabel("bits more (+) or fewer (−) at this quality, %")
    curves.set_xscale("log")
    curves.set_xticks([0.05, 0.1, 0.2, 0.3, 0.5, 1, 2])
    curves.set_xticks([], minor=True)
    curves.xaxis.set_major_formatter("{x:g}")
    every = [row["bpp"] for row in [*anchor, *test]]
    curves.set_xlim(0.9 * min(every), max(every) / 0.9)
    curves.set_xlabel("measured rate (bits per pixel), logarithmic")
    curves.set_ylabel(_QUALITY[metric])
    curves.set_title(title, fontsize=10)
    curves.legend(fontsize=9, framealpha=0.9, edgecolor="none", loc="upper left")
    return figure


def spread(
    differences: Mapping[str, Sequence[float]], intervals: Mapping[str, tuple[float, float]], label: str
) -> Figure:
    """One number for each picture, their mean, and how far the mean may be trusted.

    Args:
        differences: numbers by what they are of, a list each: one for every picture.
        intervals: low and high end of where the mean may lie, by the same names; of any kind, say which beside it.
        label: what the numbers are, with their unit.

    Returns:
        A figure with a row of dots each, a diamond for the mean and a bar for the interval.

    Raises:
        NDICError: the names differ, or a row has no number.

    Example:
        >>> figure = spread({"a": [1.0, 2.0, 3.0]}, {"a": (1.5, 2.5)}, "%")
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['a']
    """
    if not differences or differences.keys() != intervals.keys() or not all(map(len, differences.values())):
        raise NDICError("every row needs one number or more, and an interval of the same name")
    figure = Figure(figsize=(9.0, 0.8 + 0.62 * len(differences)), layout="constrained")
    axis = figure.subplots()
    for i, (name, values) in enumerate(differences.items()):
        first = i == 0
        axis.plot(values, [i] * len(values), "o", color="#56B4E9", alpha=0.7, label="a picture" if first else None)
        axis.plot(intervals[name], [i, i], color="#D55E00", linewidth=4, solid_capstyle="butt", zorder=3)
        words = "mean, and the interval where it may lie" if first else None
        axis.plot(np.mean(values), i, "D", color="#D55E00", markeredgecolor="white", zorder=4, label=words)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(differences)), list(differences))
    axis.set_ylim(len(differences) - 0.5, -0.5)
    axis.set_xlabel(label)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9, frameon=False)
    return figure


def header_costs(costs: Mapping[str, Mapping[int, int]]) -> Figure:
    """What a file costs before it says anything, over the size of the picture.

    Args:
        costs: by codec, classical or a model: bytes of such a file by the picture's number of pixels.

    Returns:
        A figure of bits per pixel over pixels, both logarithmic.

    Raises:
        NDICError: a name that has no style.

    Example:
        >>> axis = header_costs({"JPEG": {32768: 473}, "bls17": {32768: 19}}).axes[0]
        >>> axis.lines[0].get_ydata().round(3).tolist()
        [0.115]
    """
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    axis = figure.subplots()
    for name, by_size in costs.items():
        pixels = np.array(sorted(by_size))
        bits = np.array([8 * by_size[n] for n in sorted(by_size)])
        axis.plot(pixels, bits / pixels, linewidth=2.2, label=name, **_look(name))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("pixels of the picture")
    axis.set_ylabel("bits per pixel (measured)")
    axis.grid(alpha=0.25)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False, handlelength=3.2)
    return figure


def quality_over_offset(rows: Iterable[Mapping], title: str = "") -> Figure:
    """What a later y is still worth: quality over the time between the two pictures.

    Args:
        rows: mappings with `model`, `ms_ssim_db`, `side_info` ("matching_y", "mismatched_y" or "no_y"), and
            `time_offset` in seconds where it is "matching_y". Several of one kind are averaged.
        title: what was measured.

    Returns:
        A figure with a curve for each model, and level lines for no y and another scene's.

    Raises:
        NDICError: no row, one that lacks a number, or a model that has no style.

    Example:
        >>> rows = [dict(model="ndic_bls17", side_info="matching_y", time_offset=t, ms_ssim_db=11 - t) for t in (0, 1)]
        >>> quality_over_offset(rows).axes[0].lines[0].get_ydata().tolist()
        [11.0, 10.0]
    """
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        moved = row.get("side_info") == "matching_y"
        if missing := [key for key in ("model", "side_info", "ms_ssim_db", *["time_offset"] * moved) if key not in row]:
            raise NDICError(f"a row lacks {missing[0]}: without it there is nowhere to draw it")
        offset = row["time_offset"] if moved else None
        groups.setdefault((row["model"], row["side_info"], offset), []).append(row["ms_ssim_db"])
    if not groups:
        raise NDICError("there is no point to draw: give rows with model, side_info and ms_ssim_db")
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    axis = figure.subplots()
    for model in dict.fromkeys(model for model, _, _ in groups):
        means = {key[1:]: np.mean(values) for key, values in groups.items() if key[0] == model}
        moved = sorted((offset, db) for (kind, offset), db in means.items() if kind == "matching_y")
        look = _look(model)
        if moved:
            axis.plot(*zip(*moved, strict=True), label=f"{model}, y of the same street", **look)
        for kind, (line, words) in _NO_Y.items():
            if (kind, None) in means:
                axis.axhline(means[kind, None], color=look["color"], linestyle=line, label=f"{model}, {words}")
    axis.set_xlabel("seconds from x to y")
    axis.set_ylabel(_QUALITY["ms_ssim_db"])
    axis.grid(alpha=0.25)
    axis.set_title(title, fontsize=10)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False, handlelength=2.6)
    return figure


def _look(name: str) -> dict:
    if name in MODEL_STYLE:
        colour, marker = MODEL_STYLE[name]
        return dict(color=colour, marker=marker, markersize=6)
    if name in CODEC_STYLE:
        colour, dashes = CODEC_STYLE[name]
        return dict(color=colour, linestyle=(0, dashes))
    raise NDICError(f"{name!r} has no style: choose from {', '.join([*MODEL_STYLE, *CODEC_STYLE])}")

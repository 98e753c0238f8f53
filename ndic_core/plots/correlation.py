"""Correlation of x and y in decibels and bits, and the rate savings of models over it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data.correlation import DECODED
from ndic_core.errors import NDICError, some
from ndic_core.metrics import psnr
from ndic_core.plots import style

_OTHER_SCENE = "another scene"  # its key among a model's points
_LINES = (("o-", style.BLUE), ("s--", style.VERMILION))
_LARGEST_ERROR = 60  # upper end of the colour scale, in 8-bit steps


def kinds_of_side_information(
    x: Tensor, kinds: Mapping[str, tuple[Tensor, Tensor, float]], alone: float, floor: float
) -> Figure:
    """Several kinds of y: the image, the prediction of x from it, and the bits per sample of x that it saves.

    Args:
        x: (3, H, W) in [0, 1].
        kinds: by name: y, x as predicted from y, both like x, and H(x|y) in bits per sample.
        alone: H(x), bits per sample.
        floor: entropy of the sensor's noise, bits per sample.

    Raises:
        NDICError: there is no kind, or images have different sizes.
    """
    some(kinds, "kind of y")
    tall = 7.6 / len(kinds) * x.shape[1] / x.shape[2]
    figure = Figure(figsize=(7.6, 2 * tall + 2.7), layout="constrained")
    images, bars = figure.subfigures(2, 1, height_ratios=(2 * tall + 0.5, 2.2))
    axes = images.subplots(2, len(kinds), squeeze=False)
    axis = bars.subplots()
    for i, (name, (y, predicted, given)) in enumerate(kinds.items()):
        x, y, predicted = style.images(x=x, y=y, predicted=predicted)
        style.show_image(axes[0, i], y, name)
        style.show_image(axes[1, i], predicted, f"prediction: {psnr(x[None], predicted[None]).item():.1f} dB")
        saved = alone - given
        bar = dict(height=0.6)
        axis.barh(i, given, color=style.BLUE, label="H(x|y): needed" if i == 0 else None, **bar)
        axis.barh(i, max(saved, 0), left=given, color=style.ORANGE, label="I(x; y): saved" if i == 0 else None, **bar)
        words = f"{style.number(abs(saved), '.2f')} {'saved' if saved >= 0 else 'more'}"
        axis.text(max(alone, given) + 0.06, i, words, va="center", fontsize=9)
    axis.axvline(alone, color=style.BLACK, linewidth=1.4, label="H(x): without y")
    axis.axvline(floor, color=style.DARK_GREY, linewidth=1.4, linestyle="--", label="noise of one camera")
    axis.set_yticks(range(len(kinds)), list(kinds), fontsize=9)
    axis.set(xlim=(0, 1.22 * alone), ylim=(len(kinds) - 0.5, -0.5))
    style.label(axis, "", "estimated bits per sample of x", fontsize=9)
    axis.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False, handlelength=1.3)
    return figure


def correlation_over_baseline(
    baselines: Sequence[float],
    quality: Mapping[str, Sequence[float]],
    bits: Mapping[str, Sequence[float]],
    floor: float,
) -> Figure:
    """Prediction of x from y in decibels, and entropies of x in bits, over the distance of the cameras.

    Args:
        baselines: metres, rising.
        quality: PSNR of x as predicted from y, dB, for each baseline, by the name of the prediction.
        bits: bits per sample, likewise: H(x), H(x|y) and, optionally, further ones. What is between the first two is
            the mutual information.
        floor: entropy of the sensor's noise, bits per sample.

    Raises:
        NDICError: a line has another length than `baselines`, or there are fewer than two lines of bits.
    """
    for name, line in (quality | bits).items() if len(bits) > 1 else [("H(x|y)", ())]:
        if len(line) != len(baselines):
            raise NDICError(
                f"the line {name!r} has {len(line)} values for {len(baselines)} baselines: give one for each"
            )
    figure, axes = style.subplots((7.6, 3.7), columns=2)
    markers = ("o-", "s--", "^:", "D-.")
    for axis, lines, colours in (
        (axes[0], quality, (style.BLUE, style.GREY, style.GREEN, style.PURPLE)),
        (axes[1], bits, (style.BLACK, style.BLUE, style.VERMILION, style.PURPLE)),
    ):
        for (name, values), colour, marker in zip(lines.items(), colours, markers, strict=False):
            axis.plot(baselines, values, marker, color=colour, markersize=4, label=name)
    alone, given, *_ = bits.values()
    axes[1].fill_between(baselines, alone, given, color=style.ORANGE, alpha=0.4, label="I(x; y)")
    axes[1].axhline(floor, color=style.DARK_GREY, linewidth=1.4, linestyle="--", label="noise of one camera")
    style.label(axes[0], "PSNR of x predicted from y", "baseline, metres", "dB", 9, grid=True)
    style.label(axes[1], "estimated bits per sample of x", "baseline, metres", "bits", 9, grid=True)
    for axis in axes:
        axis.tick_params(labelsize=9)
        axis.legend(fontsize=8.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    return figure


def samples_of_context() -> Figure:
    """The samples from which a lossless coder in raster order predicts one sample: ten of x, and nine of y."""
    figure, axes = style.subplots((6.4, 2.2), columns=2)
    decoded = [(row, column) for row in range(3) for column in range(7) if (row, column) < (2, 3)]
    grids = {
        "x, decoded row by row": (decoded, [(2 - up, 3 + on) for up, on in DECODED], "a", style.BLUE),
        "y, at the match of the decoded samples": (
            [(row, column) for row in range(3) for column in range(7)],
            [(row, column) for row in range(3) for column in (1, 2, 3)],
            "b",
            style.GREEN,
        ),
    }
    for axis, (title, (known, context, letter, colour)) in zip(axes, grids.items(), strict=True):
        for row in range(3):
            for column in range(7):
                face = colour if (row, column) in context else "#DDDDDD" if (row, column) in known else "white"
                axis.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor=style.GREY, linewidth=0.8))
        centred = dict(ha="center", va="center", fontsize=12, weight="bold")
        for row, column in context:
            axis.text(column + 0.5, row + 0.5, letter, color="white", **centred)
        if letter == "a":
            axis.text(3.5, 2.5, "?", color=style.VERMILION, **centred)
        axis.set(xlim=(-0.1, 7.1), ylim=(3.1, -0.1), aspect="equal")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure


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

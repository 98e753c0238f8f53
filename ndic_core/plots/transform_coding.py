"""A transform codec step by step: patterns of the synthesis, intervals of a range coder, lambdas, and comparison."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, choice, some
from ndic_core.plots import style
from ndic_core.plots.panels import rate_distortion

_SHADES = ("#CFE4F2", "#FBE3CC", "#CDEBE0", "#F3DCE8")  # of the symbols' intervals


def patterns(rows: Mapping[str, Sequence[Tensor]]) -> Figure:
    """What single coefficients add to an image: rows of patches, each scaled to its own largest value.

    Args:
        rows: patches (3, H, W) by the row's title, as many in each; 0 is shown grey.

    Raises:
        NDICError: there is no patch, or the rows have different lengths.
    """
    rows = {title: [style.image(patch, title) for patch in some(patches, "patch")] for title, patches in rows.items()}
    lengths = {len(patches) for patches in some(rows.values(), "row")}
    if len(lengths) > 1:
        raise NDICError(f"rows of patches have one length, not {sorted(lengths)}")
    (columns,) = lengths
    figure = Figure(figsize=(9.0, len(rows) * (9.0 / columns + 0.3)), layout="constrained")
    for part, (title, patches) in zip(np.atleast_1d(figure.subfigures(len(rows), 1)), rows.items(), strict=True):
        part.suptitle(title, fontsize=11)
        for axis, patch in zip(part.subplots(1, columns, squeeze=False)[0], patches, strict=True):
            style.show_image(axis, 0.5 + 0.5 * patch / patch.abs().max().clamp(min=1e-9))
    return figure


def intervals(probabilities: Mapping[str, float], message: Sequence[str]) -> Figure:
    """How a range coder narrows an interval, symbol by symbol.

    Args:
        probabilities: of every symbol, by its name; they sum to 1.
        message: the symbols to code, five at most.

    Returns:
        A figure with a bar per step, each divided in proportion to the probabilities; the part of the coded symbol is
        outlined and magnified to the whole of the next bar. Ends are in decimals.

    Raises:
        NDICError: the probabilities do not sum to 1, or the message is empty, too long, or has another symbol.
    """
    if abs(sum(probabilities.values()) - 1) > 1e-6:
        raise NDICError(f"probabilities sum to 1, not {sum(probabilities.values()):g}")
    if not 1 <= len(message) <= 5 or any(symbol not in probabilities for symbol in message):
        raise NDICError(f"the message has one to five symbols of {', '.join(probabilities)}, not {list(message)}")
    names, p = list(probabilities), list(probabilities.values())
    low, width = 0.0, 1.0
    figure, axis = style.subplots((9.0, 0.9 * len(message) + 0.9))
    for step in range(len(message) + 1):
        bottom = len(message) - step
        for end, side in ((low, "right"), (low + width, "left")):
            x = -0.01 if end == low else 1.01
            axis.text(x, bottom + 0.3, f"{end:.4g}", ha=side, va="center", fontsize=11)
        if step == len(message):
            look = dict(facecolor=style.YELLOW, edgecolor=style.BLACK, alpha=0.6)
            axis.barh(bottom, 1, 0.6, align="edge", **look)
            words = f"any number in here means {' '.join(message)}: {-np.log2(width):.2f} bits"
            axis.text(0.5, bottom + 0.3, words, ha="center", va="center", fontsize=11)
            break
        chosen = names.index(message[step])
        starts = [sum(p[:i]) for i in range(len(p))]
        for i, name in enumerate(names):
            look = dict(facecolor=_SHADES[i % len(_SHADES)], edgecolor=style.BLACK, linewidth=0.7)
            axis.barh(bottom, p[i], 0.6, left=starts[i], align="edge", **look)
            weight = "bold" if i == chosen else "normal"
            axis.text(starts[i] + p[i] / 2, bottom + 0.3, name, ha="center", va="center", weight=weight)
        left, right = starts[chosen], starts[chosen] + p[chosen]
        axis.barh(bottom, right - left, 0.6, left=left, align="edge", fill=False, linewidth=2.6, zorder=3)
        for top, below in ((left, 0), (right, 1)):
            axis.plot([top, below], [bottom, bottom - 0.4], color=style.DARK_GREY, linewidth=1, linestyle=":")
        low, width = low + width * sum(p[:chosen]), width * p[chosen]
    axis.set(xlim=(-0.1, 1.1), ylim=(-0.05, len(message) + 0.65))
    axis.set_axis_off()
    return figure


def lambda_strip(
    x: Tensor,
    points: Sequence[Mapping],
    sent: Sequence[Mapping],
    metric: str = "MS-SSIM",
    part: tuple[slice, slice] = (slice(None), slice(None)),
) -> Figure:
    """One image at several lambdas: in each column the line of the smallest loss, and below it the reconstruction.

    Args:
        x: (3, H, W) in [0, 1], the image sent.
        points: what the codec offers: mappings with `bpp` (estimated) and `distortion`.
        sent: round trips of x: mappings with `lmbda`, `bytes` and `x_hat`.
        metric: of the distortion: "MS-SSIM", for 1 − MS-SSIM, or "MSE".
        part: rows and columns of the images to show.

    Raises:
        NDICError: there is no point, no round trip or no such metric, or an image has another size than x.
    """
    name = {"MS-SSIM": "D: 1 − MS-SSIM", "MSE": "D: mean squared error"}[choice(metric, "metric", ("MS-SSIM", "MSE"))]
    points, columns = some(points, "point"), len(some(sent, "round trip")) + 1
    rate, distortion = (np.array([style.number_of(p, key) for p in points]) for key in ("bpp", "distortion"))
    shown = [style.images(x=x, x_hat=row["x_hat"])[1][:, part[0], part[1]] for row in sent]
    x = style.image(x)[:, part[0], part[1]]
    tall = 9.0 / columns * x.shape[1] / x.shape[2]
    figure, axes = style.subplots((9.0, 2.2 + tall + 0.6), 2, columns, height_ratios=(2.2, tall + 0.1))
    style.show_image(axes[1, 0], x, "x")
    for i, (row, x_hat) in enumerate(zip(sent, shown, strict=True), 1):
        axis = axes[0, i]
        lines = _draw_lines(axis, rate, distortion, 255**2 * row["lmbda"])
        style.label(axis, f"λ = {row['lmbda']:.1e}", "R: bits per pixel", name if i == 1 else "", fontsize=9)
        axis.tick_params(labelsize=8, labelleft=i == 1)
        axis.locator_params(nbins=4)
        style.show_image(axes[1, i], x_hat, f"{row['bytes']} bytes, measured")
    axes[0, 0].set_axis_off()
    axes[0, 0].legend(handles=lines, loc="center", fontsize=9, frameon=False)
    return figure


def _draw_lines(axis: Axes, rate: np.ndarray, distortion: np.ndarray, weight: float) -> list:
    """The codec's points, and lines of equal R + weight · D: the lowest that has a point, and two others."""
    total = rate + weight * distortion
    best, ends = total.argmin(), np.array([0, 1.06 * rate.max()])
    (curve,) = axis.plot(
        rate, distortion, "o-", color=style.BLACK, markersize=3, linewidth=1, label="rates of the codec"
    )
    for step in (1.5, 2.2):
        look = dict(color="#BBBBBB", linewidth=1, label="larger sums")
        (other,) = axis.plot(ends, (step * total[best] - ends) / weight, **look)
    look = dict(color=style.GREEN, linewidth=2, label="smallest $R + 255^2 λ D$")
    (lowest,) = axis.plot(ends, (total[best] - ends) / weight, **look)
    axis.plot(rate[best], distortion[best], "o", color=style.GREEN, markersize=9, zorder=3)
    axis.set(xlim=tuple(ends), ylim=(0, 1.08 * distortion.max()))
    return [curve, lowest, other]


def against_classical(rows: Iterable[Mapping], metric: str = "ms_ssim_db", title: str = "") -> Figure:
    """Measured rate–distortion curves of a model and of classical codecs, with the names at the ends of the lines.

    Args:
        rows: points, as in `panels.rate_distortion`.
        metric: "psnr" or "ms_ssim_db".
        title: what was measured.

    Returns:
        A figure in which models have wide lines and bold names, and classical codecs thin lines and names at the right.

    Raises:
        NDICError: as in `panels.rate_distortion`.
    """
    figure = rate_distortion(rows, metric, title=title)
    (axis,) = figure.axes
    axis.get_legend().remove()
    names = {line.get_label(): line for line in axis.get_lines()}
    ends = {name: (line.get_xdata()[-1], line.get_ydata()[-1]) for name, line in names.items()}
    low, high = axis.get_ylim()
    place = -np.inf  # of the name below
    for name in sorted(ends, key=lambda name: ends[name][1]):
        colour = names[name].get_color()
        if name in style.CODEC_STYLE:
            names[name].set_linewidth(1.3)
            place = max((ends[name][1] - low) / (high - low), place + 0.065)
            look = dict(xycoords="data", textcoords="axes fraction", va="center", color=colour, fontsize=11)
            leader = dict(arrowstyle="-", color=colour, linewidth=0.6, shrinkA=2, shrinkB=2)
            axis.annotate(name, ends[name], (1.03, place), arrowprops=leader, **look)
        else:
            names[name].set(linewidth=4, markersize=9)
            look = dict(textcoords="offset points", ha="right", va="bottom", weight="bold", fontsize=13)
            axis.annotate(name, ends[name], (-6, 8), **look)
    return figure

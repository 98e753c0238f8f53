"""Binning: random bins, nested quantisers, learned bins, and what a decoder reconstructs with different y."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy.stats import norm

from ndic_core.errors import NDICError, some
from ndic_core.plots import style
from ndic_core.theory.wyner_ziv import conditional_variance, gaussian_rate, ideal_quantiser

_BINS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.VERMILION, style.BLACK, style.GREY)
_COUNTS = {"no candidate": "#F2F2F2", "1": style.SKY, "2 or 3": style.BLUE, "4 or more": "#00304D"}  # of a bin


def random_bins(cases: Mapping[str, tuple[int, Sequence[int]]]) -> Figure:
    """Candidates for x in random bins, in the order of the bins' numbers, row by row.

    Args:
        cases: by title, one to four: the number of bits sent, even, and the bin of every candidate, that of x first.

    Returns:
        A figure with a square of small squares for each, the bins; the bin of x is framed.
    """
    rows = some(cases.items(), "case")
    figure, axes = style.subplots((3.0 * len(rows), 3.6), columns=len(rows), squeeze=False)
    colours = ListedColormap(list(_COUNTS.values()))
    for axis, (title, (sent, bins)) in zip(axes.flat, rows, strict=True):
        if sent % 2 or sent < 0:
            raise NDICError(f"{sent} bits sent: give an even number, so that the bins fill a square")
        side = 2 ** (sent // 2)
        counts = np.bincount(bins, minlength=4 ** (sent // 2)).reshape(side, side)
        steps = BoundaryNorm([0, 0.5, 1.5, 3.5, np.inf], 4)
        axis.imshow(counts, cmap=colours, norm=steps, interpolation="none", extent=(0, side, side, 0))
        gaps = np.arange(1, side) if side <= 16 else []
        axis.vlines(gaps, 0, side, color="white", linewidth=1)
        axis.hlines(gaps, 0, side, color="white", linewidth=1)
        row, column = divmod(int(bins[0]), side)
        frame = max(1.0, side / 24)  # visible also where bins are small
        place = (column + 0.5 - frame / 2, row + 0.5 - frame / 2)
        axis.add_patch(
            Rectangle(place, frame, frame, fill=False, edgecolor=style.VERMILION, linewidth=3, clip_on=False)
        )
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontsize=11)
    handles = [Patch(color=colour, label=label) for label, colour in _COUNTS.items()]
    handles.append(Patch(facecolor="none", edgecolor=style.VERMILION, linewidth=2.5, label="the bin of x"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=10.5, frameon=False)
    return figure


def nested_quantiser(step: float, bins: Sequence[int], noise: float, y: float) -> Figure:
    """A nested quantiser: cells share bins, and y selects one cell of the transmitted bin.

    Args:
        step: width of a cell, in standard deviations of x, above 0.
        bins: numbers of bins, one to four of them, 1 or more each; cells are assigned to the bins in turn. 8 bins have
            different colours.
        noise: variance of y's noise.
        y: the side information.

    Returns:
        A figure over x with a panel for each number of bins: cells coloured and numbered by bin, and the density of x
        given y. x is in the framed cell, the next one above that of E[x | y]. Its bin is sent, and the density is
        filled in the cells of this bin.
    """
    variance, rows = conditional_variance(noise), some(bins, "number of bins")
    mean, deviation = y / (1 + noise), np.sqrt(variance)
    sent = int(np.rint(mean / step)) + 1
    x = np.linspace(-3, 3, 1201)
    index, density = np.rint(x / step).astype(int), norm.pdf(x, mean, deviation)
    figure, axes = style.subplots((7.6, 0.9 + 1.75 * len(rows)), len(rows), squeeze=False, sharex=True)
    top = 1.1 * norm.pdf(0, 0, deviation)
    for axis, count in zip(axes.flat, rows, strict=True):
        for i in range(index[0], index[-1] + 1):
            left, right = np.clip([(i - 0.5) * step, (i + 0.5) * step], -3, 3)
            colour = _BINS[i % count % len(_BINS)]
            axis.fill_between([left, right], -0.24 * top, -0.02 * top, color=colour, linewidth=0, alpha=0.9)
            axis.axvline(right, color="#DDDDDD", linewidth=0.7, zorder=0)
            if right - left > 0.17:
                axis.text((left + right) / 2, -0.14 * top, i % count, ha="center", va="center", fontsize=10, color="w")
            if (i - sent) % count == 0:
                here = index == i
                axis.fill_between(x[here], density[here], color=colour, alpha=0.55, linewidth=0)
        frame = dict(facecolor="none", edgecolor=style.BLACK, linewidth=2.5, zorder=3, label="the cell of x")
        axis.add_patch(Rectangle(((sent - 0.5) * step, -0.24 * top), step, 0.22 * top, **frame))
        axis.plot(x, density, color=style.BLACK, label="density of x given y")
        axis.axvline(y, color=style.VERMILION, linestyle="--", label=f"y = {y:g}")
        axis.axvline(mean, color=style.BLACK, linestyle=":", label=f"E[x | y] = {style.number(mean, '.2f')}")
        cells = np.arange(sent - 40 * count, sent + 40 * count + 1, count)
        share = norm.cdf((cells + 0.5) * step, mean, deviation) - norm.cdf((cells - 0.5) * step, mean, deviation)
        words = "all cells share one bin" if count == 1 else f"{count} bins"
        likeliest = share.max() / share.sum()
        certainty = "more than 99.9%" if likeliest > 0.999 else f"{likeliest:.1%}"
        found = "that of x" if cells[share.argmax()] == sent else "not that of x"
        axis.set_title(f"{words}; bin {sent % count} is sent: its likeliest cell, {found}, has {certainty}")
        axis.set(xlim=(-3, 3), ylim=(-0.26 * top, top), yticks=[])
        axis.spines["left"].set_visible(False)
    axes[-1, 0].set_xlabel("x, in standard deviations; below each curve: the bins of the cells")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=10, frameon=False)
    return figure


def learned_bins(
    encoders: Mapping[str, Sequence[tuple[int, float, float]]], points: Sequence[tuple[float, float]], noise: float
) -> Figure:
    """What learned encoders send for each x, and their rates with the bounds of a Gaussian x.

    Args:
        encoders: by title, one to four: index, left and right end of each interval of x, in their order. Indexes are
            numbered and coloured as they appear from left to right.
        points: distortion (mean squared error) and rate, in bits per sample, of each encoder.
        noise: variance of y's noise.

    Returns:
        A figure with a row of coloured intervals for each encoder, and a panel of rates over distortions with three
        references: the Wyner–Ziv bound, the bound without y, and a uniform quantiser, whose index needs H(index) bits
        and whose decoder has y.
    """
    rows = some(encoders.items(), "encoder")
    if len(points) != len(rows):
        raise NDICError(f"each encoder has one point of distortion and rate, not {len(points)} for {len(rows)}")
    figure, (axis, rates) = style.subplots((9.4, 4.0), columns=2, width_ratios=(1.25, 1))
    for row, (_, intervals) in enumerate(rows):
        numbers = {}
        for index, left, right in intervals:
            number = numbers.setdefault(index, len(numbers))
            axis.barh(row, right - left, 0.7, left, color=_BINS[number % len(_BINS)], edgecolor="white", linewidth=1)
            if right - left > 0.2:
                axis.text((left + right) / 2, row, number, ha="center", va="center", fontsize=10, color="w")
    axis.set(xlim=(-3, 3), ylim=(len(rows) - 0.5, -0.5), xlabel="x, in standard deviations")
    axis.set_yticks(range(len(rows)), [title for title, _ in rows])
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_title("index sent for each x")

    variance, distortion = conditional_variance(noise), np.geomspace(5e-3, 0.2, 200)
    steps = np.geomspace(0.2, 4, 40)
    errors, entropies = zip(*((ideal_quantiser(s, noise)[1], ideal_quantiser(s)[0]) for s in steps), strict=True)
    rates.plot(distortion, gaussian_rate(distortion), color=style.BLACK, label="bound without y")
    rates.plot(errors, entropies, ":", color=style.BLACK, label="quantiser without bins, decoder with y")
    rates.plot(distortion, gaussian_rate(distortion, variance), color=style.BLUE, label="Wyner–Ziv bound")
    rates.plot(*zip(*points, strict=True), "o", color=style.VERMILION, label="learned codes, decoder with y")
    rates.set(xscale="log", xlim=(5e-3, 0.2), ylim=(0, 4), ylabel="rate, bits per sample")
    rates.set_xlabel("mean squared error, logarithmic")
    rates.grid(alpha=0.25)
    figure.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def reconstructions(x: np.ndarray, decoded: Mapping[str, np.ndarray], samples: int = 1500) -> Figure:
    """Reconstructed over original samples, with the mean squared error.

    Args:
        x: original samples, any shape.
        decoded: reconstructed samples of the same shape by title, one to four.
        samples: number of points drawn.
    """
    cases = some(decoded.items(), "reconstruction")
    figure, axes = style.subplots((3.0 * len(cases), 3.5), columns=len(cases), squeeze=False, sharex=True, sharey=True)
    for axis, (title, x_hat) in zip(axes.flat, cases, strict=True):
        if np.shape(x_hat) != np.shape(x):
            raise NDICError(f"{title}: reconstructions have the shape of x, {np.shape(x)}, not {np.shape(x_hat)}")
        points = np.ravel(x)[:samples], np.ravel(x_hat)[:samples]
        axis.plot([-4, 4], [-4, 4], color=style.GREY, linewidth=1, zorder=0)
        axis.plot(*points, ".", markersize=2.5, color=style.BLUE)
        axis.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="x")
        axis.set_title(f"{title}\nmean squared error {np.mean(np.subtract(x, x_hat) ** 2):.3f}", fontsize=11)
    axes[0, 0].set_ylabel("x̂")
    return figure

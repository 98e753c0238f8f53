"""Distributed source coding: rate regions, LDPC thresholds, Wyner–Ziv bounds, common information."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from ndic_core.plots import style
from ndic_core.theory.common_information import gaussian_mutual, wyner_flipped_bit, wyner_gaussian
from ndic_core.theory.entropy import binary_entropy, entropies
from ndic_core.theory.wyner_ziv import (
    binary_conditional_rate,
    binary_rate,
    conditional_variance,
    critical_distortion,
    gaussian_rate,
    ideal_quantiser,
)

_BINS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.VERMILION, style.BLACK, style.GREY)


def slepian_wolf_region(joint, title: str = "") -> Figure:
    """Slepian–Wolf region: the rates of two separate encoders that allow lossless decoding of x and y.

    Args:
        joint: (values of x, values of y), probabilities.
    """
    both = entropies(joint)
    # Axes extend a fifth beyond the rates of separate coding, and do not move with the region's corner.
    right, top = 1.2 * max(both.x, 0.1), 1.2 * max(both.y, 0.1)
    figure, axis = style.subplots((7.2, 4.4))
    corners = [(both.x_given_y, both.y), (both.x, both.y_given_x)]
    outline = [(both.x_given_y, top), *corners, (right, both.y_given_x)]
    axis.fill(*zip(*outline, (right, top), strict=True), color=style.SKY, alpha=0.35, label="achievable rates")
    axis.plot(*zip(*outline, strict=True), color=style.BLUE)
    axis.plot(*corners[0], "o", color=style.VERMILION, markersize=9, label="y sent whole, x binned", clip_on=False)
    axis.plot(*corners[1], "s", color=style.ORANGE, markersize=8, label="x sent whole, y binned", clip_on=False)
    axis.plot(both.x, both.y, "D", color=style.BLACK, markersize=7, label="separate coding")
    axis.plot([], [], " ", label=f"sum rate H(X,Y) = {both.pair:.4f}")
    axis.set(xlabel="rate of x, bits per symbol", ylabel="rate of y, bits per symbol", title=title)
    axis.set(xlim=(0, right), ylim=(0, top), aspect="equal")
    for value, text in ((both.x_given_y, "H(X|Y)"), (both.x, "H(X)")):
        aside = dict(xytext=(-5, 6), ha="right") if text == "H(X|Y)" and value > right / 4 else dict(xytext=(5, 6))
        words = f"{text}\n{style.number(value, '.4f')}"
        axis.annotate(words, (value, 0), textcoords="offset points", fontsize=9, **aside)
        axis.axvline(value, color=style.GREY, linewidth=0.8, linestyle=":", zorder=0)
    style.legend_beside(axis)
    return figure


def waterfall(
    flips: Sequence[float], curves: Mapping[str, Sequence[float]], threshold: float, limit: float, title: str = ""
) -> Figure:
    """Block error rate of LDPC codes over the crossover probability.

    Args:
        flips: crossover probabilities.
        curves: up to three, by label: block error rates in [0, 1].
        threshold: of density evolution, for infinitely long blocks.
        limit: the Slepian–Wolf limit of this rate.
    """
    figure, axis = style.subplots((7.2, 3.8))
    looks = zip(curves.items(), (style.BLUE, style.ORANGE, style.GREEN), ("o-", "s--", "^:"), strict=False)
    for (label, lost), colour, look in looks:
        axis.plot(flips, lost, look, color=colour, label=label)
    axis.axvline(threshold, color=style.VERMILION, linestyle="-.", label=f"threshold, infinite blocks, {threshold:.3f}")
    axis.axvline(limit, color=style.BLACK, linestyle=":", label=f"Slepian–Wolf limit, {limit:.3f}")
    axis.set(xlabel="crossover probability p", ylabel="block error rate", title=title, ylim=(-0.04, 1.04))
    axis.grid(alpha=0.25)
    style.legend_beside(axis)
    return figure


def nested_quantiser(step: float, bins: int, noise: float, y: float) -> Figure:
    """A nested quantiser: cells share bins, and y selects one cell of the transmitted bin.

    Args:
        step: width of a cell, in standard deviations of x, above 0.
        bins: number of bins, 1 or more, assigned to the cells in turn; 8 have different colours.
        noise: variance of y's noise.
        y: the side information.

    Returns:
        A figure over x: cells coloured and numbered by bin, and the density of x given y. The transmitted bin is that
        of the cell next above y; the density is filled in its cells.
    """
    variance = conditional_variance(noise)
    mean, deviation = y / (1 + noise), np.sqrt(variance)
    sent = int(np.rint(y / step)) + 1
    x = np.linspace(-3, 3, 1201)
    index, density = np.rint(x / step).astype(int), norm.pdf(x, mean, deviation)
    figure, axis = style.subplots((8.4, 3.3))
    top = 1.25 * norm.pdf(0, 0, deviation)
    for i in range(index[0], index[-1] + 1):
        left, right = np.clip([(i - 0.5) * step, (i + 0.5) * step], -3, 3)
        colour = _BINS[i % bins % len(_BINS)]
        axis.fill_between([left, right], -0.13 * top, -0.02 * top, color=colour, linewidth=0, alpha=0.9)
        axis.axvline(right, color="#DDDDDD", linewidth=0.7, zorder=0)
        if right - left > 0.17:
            axis.text((left + right) / 2, -0.075 * top, i % bins, ha="center", va="center", fontsize=9, color="white")
        if (i - sent) % bins == 0:
            here = index == i
            axis.fill_between(x[here], density[here], color=colour, alpha=0.55, linewidth=0)
    axis.plot(x, density, color=style.BLACK, label="density of x given y")
    axis.axvline(y, color=style.VERMILION, linestyle="--", label=f"y = {y:g}")
    cells = np.arange(sent - 40 * bins, sent + 40 * bins + 1, bins)
    share = norm.cdf((cells + 0.5) * step, mean, deviation) - norm.cdf((cells - 0.5) * step, mean, deviation)
    likeliest = share.max() / share.sum()
    turns = "all cells share one bin" if bins == 1 else f"cells alternate between {bins} bins"
    axis.set_title(f"{turns}; {sent % bins} is sent: its likeliest cell has {likeliest:.1%}")
    axis.set(xlim=(-3, 3), ylim=(-0.14 * top, top), yticks=[])
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("x, in standard deviations; below: the bins of the cells")
    axis.legend(loc="upper right", fontsize=9, frameon=False)
    return figure


def gaussian_rates(noise: float, measured: Sequence[tuple[float, float]] = ()) -> Figure:
    """Rate–distortion bounds of a Gaussian x, and scalar quantisers with ideal coding, with and without y.

    Args:
        noise: variance of y's noise.
        measured: points (mean squared error, measured bits per sample) of a codec.
    """
    variance = conditional_variance(noise)
    distortion = np.geomspace(1e-3, 1, 200)
    figure, axis = style.subplots((8.4, 4.2))
    cases = (
        (1.0, np.inf, style.BLACK, "without side information", "entropy"),
        (variance, noise, style.BLUE, "with y at the decoder, and with y at both", "Slepian–Wolf"),
    )
    for power, side, colour, bound, code in cases:
        rate, error = zip(*(ideal_quantiser(step, side) for step in np.geomspace(0.1, 8, 60)), strict=True)
        axis.plot(distortion, gaussian_rate(distortion, power), color=colour, label=f"bound {bound}")
        axis.plot(error, rate, color=colour, linestyle=":", label=f"scalar quantiser, ideal {code} code")
    axis.axvline(variance, color=style.GREY, linewidth=0.9, zorder=0)
    axis.annotate("var(X|Y)", (variance, 5.0), xytext=(4, 0), textcoords="offset points", fontsize=9, color="#555555")
    if len(measured):
        axis.plot(*zip(*measured, strict=True), "o", color=style.VERMILION, label="our codec, measured bytes")
    axis.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 5.3), ylabel="rate, bits per sample")
    axis.set_xlabel("distortion D, mean squared error (x has variance 1), logarithmic")
    axis.set_title(f"noise of variance {noise:g}, correlation {(1 + noise) ** -0.5:.3f}")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=9, frameon=False)
    return figure


def binary_rates(p: float) -> Figure:
    """Rate–distortion functions of a fair bit x, where y is x flipped with probability p.

    The Wyner–Ziv function is a straight line from the critical distortion on.
    """
    critical = critical_distortion(p)
    distortion = np.linspace(1e-6, p, 300)
    figure, axis = style.subplots((7.2, 3.8))
    wyner_ziv, conditional = binary_rate(distortion, p), binary_conditional_rate(distortion, p)
    axis.plot(distortion, wyner_ziv, color=style.BLUE, label="y at the decoder (Wyner–Ziv)")
    axis.plot(distortion, conditional, color=style.GREEN, linestyle="--", label="y at both")
    axis.fill_between(distortion, conditional, wyner_ziv, color=style.SKY, alpha=0.3, label="rate loss", linewidth=0)
    label = f"critical distortion {critical:.3f},\nrate {binary_rate(critical, p):.3f}"
    axis.plot(critical, binary_rate(critical, p), "o", color=style.VERMILION, label=label)
    axis.set(xlim=(0, 0.5), ylim=(0, 1), xlabel="distortion D, share of wrong bits", ylabel="rate, bits per bit of x")
    axis.set_title(f"y is x flipped with probability {p:g}")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper right", fontsize=9, frameon=False)
    return figure


def common_informations(p: float, rho: float) -> Figure:
    """Gács–Körner, mutual and Wyner's information of a bit and its flipped copy, and of two Gaussian variables.

    Args:
        p: crossover probability that is marked, 0 to 1/2.
        rho: correlation that is marked, 0 or more and below 1.
    """
    flips, correlations = np.linspace(0, 0.5, 200), np.linspace(0, 0.99, 200)
    figure, (bits, gaussian) = style.subplots((9.0, 3.6), columns=2)
    measures = (
        (bits, flips, p, wyner_flipped_bit, lambda p: 1 - binary_entropy(p)),
        (gaussian, correlations, rho, wyner_gaussian, gaussian_mutual),
    )
    for axis, x, marked, wyner, mutual in measures:
        axis.plot(x, wyner(x), color=style.BLUE, label="C, Wyner's common information")
        axis.plot(x, mutual(x), color=style.BLACK, label="I, mutual information")
        axis.plot(x, 0 * x, color=style.VERMILION, linewidth=2.5, clip_on=False, label="K, Gács–Körner information")
        axis.plot([marked] * 3, (wyner(marked), mutual(marked), 0), "o", color="#555555", clip_on=False, zorder=3)
        axis.set_ylim(bottom=0)
        axis.margins(x=0)
        axis.grid(alpha=0.25)
        axis.set_ylabel("bits")
    bits.plot(0, 1, "o", color=style.VERMILION, markerfacecolor="none", clip_on=False, zorder=4)  # K is 1 where y is x
    bits.set(xlabel="crossover probability p", title="a fair bit and its flipped copy")
    bits.legend(fontsize=9, frameon=False)
    gaussian.set(xlabel="correlation ρ", title="two Gaussian variables")
    return figure

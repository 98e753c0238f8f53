"""The figures of distributed source coding: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from ndic_core.errors import NDICError
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

_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK = (  # Okabe–Ito
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_BINS = (_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _VERMILION, _BLACK, "#999999")


def slepian_wolf_region(joint, title: str = "") -> Figure:
    """The rates at which two encoders that never speak can send x and y without loss.

    Args:
        joint: (values of x, values of y), probabilities.
        title: of the figure.

    Returns:
        A figure: the region shaded, its two corners, the point where each is sent as if alone, and the sum rate.
    """
    both = entropies(joint)
    # Axes reach a fifth beyond what separate coding needs, and don't move with the region's corner.
    right, top = 1.2 * max(both.x, 0.1), 1.2 * max(both.y, 0.1)
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axis = figure.subplots()
    corners = [(both.x_given_y, both.y), (both.x, both.y_given_x)]
    outline = [(both.x_given_y, top), *corners, (right, both.y_given_x)]
    axis.fill(*zip(*outline, (right, top), strict=True), color=_SKY, alpha=0.35, label="possible without loss")
    axis.plot(*zip(*outline, strict=True), color=_BLUE)
    axis.plot(*corners[0], "o", color=_VERMILION, markersize=9, label="y sent whole, x binned", clip_on=False)
    axis.plot(*corners[1], "s", color=_ORANGE, markersize=8, label="x sent whole, y binned", clip_on=False)
    axis.plot(both.x, both.y, "D", color=_BLACK, markersize=7, label="each sent as if alone")
    axis.plot([], [], " ", label=f"sum rate H(X,Y) = {both.pair:.4f}")
    axis.set_xlim(0, right)
    axis.set_ylim(0, top)
    axis.set_aspect("equal")
    axis.set_xlabel("rate of x, bits per symbol")
    axis.set_ylabel("rate of y, bits per symbol")
    for value, text in ((both.x_given_y, "H(X|Y)"), (both.x, "H(X)")):
        aside = dict(xytext=(-5, 6), ha="right") if text == "H(X|Y)" and value > right / 4 else dict(xytext=(5, 6))
        axis.annotate(f"{text}\n{value:.4f}", (value, 0), textcoords="offset points", fontsize=9, **aside)
        axis.axvline(value, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    axis.set_title(title)
    axis.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9, frameon=False)
    return figure


def waterfall(
    flips: Sequence[float], curves: Mapping[str, Sequence[float]], threshold: float, limit: float, title: str = ""
) -> Figure:
    """Share of lost blocks over the probability of a flip.

    Args:
        flips: probabilities.
        curves: for each label as many shares in [0, 1].
        threshold: what density evolution promises to endless blocks.
        limit: where no code of this rate can do any better.
        title: of the figure.

    Returns:
        A figure with both lines drawn in.
    """
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axis = figure.subplots()
    looks = zip(curves.items(), (_BLUE, _ORANGE, _GREEN), ("o-", "s--", "^:"), strict=False)
    for (label, lost), colour, look in looks:
        axis.plot(flips, lost, look, color=colour, label=label)
    axis.axvline(threshold, color=_VERMILION, linestyle="-.", label=f"threshold of endless blocks, {threshold:.3f}")
    axis.axvline(limit, color=_BLACK, linestyle=":", label=f"Slepian–Wolf limit, {limit:.3f}")
    axis.set_xlabel("probability of a flip, p")
    axis.set_ylabel("share of blocks lost")
    axis.set_title(title)
    axis.set_ylim(-0.04, 1.04)
    axis.grid(alpha=0.25)
    axis.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9, frameon=False)
    return figure


def nested_quantiser(step: float, bins: int, noise: float, y: float) -> Figure:
    """A quantiser whose cells share bins, and how y picks one cell of the bin that was sent.

    Args:
        step: width of a cell, in standard deviations of x, above 0.
        bins: how many; cells take turns. Here from 1 to 8, so that each has a colour.
        noise: variance of y's noise.
        y: what the decoder has.

    Returns:
        A figure over x: cells coloured by their bins with the bins' numbers, and what y says of x. One bin is taken to
        have been sent, that of the cell next above y; in its cells the density is filled.
    """
    if not 1 <= bins <= len(_BINS):
        raise NDICError(f"a quantiser of 1 to {len(_BINS)} bins can be drawn, not of {bins}")
    if not step > 0:
        raise NDICError(f"the step of a quantiser is above 0, not {step}")
    variance = conditional_variance(noise)
    mean, deviation = y / (1 + noise), np.sqrt(variance)
    sent = int(np.rint(y / step)) + 1
    x = np.linspace(-3, 3, 1201)
    index, density = np.rint(x / step).astype(int), norm.pdf(x, mean, deviation)
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    axis = figure.subplots()
    top = 1.25 * norm.pdf(0, 0, deviation)
    for i in range(index[0], index[-1] + 1):
        left, right = np.clip([(i - 0.5) * step, (i + 0.5) * step], -3, 3)
        axis.fill_between([left, right], -0.13 * top, -0.02 * top, color=_BINS[i % bins], linewidth=0, alpha=0.9)
        axis.axvline(right, color="#DDDDDD", linewidth=0.7, zorder=0)
        if right - left > 0.17:
            axis.text((left + right) / 2, -0.075 * top, i % bins, ha="center", va="center", fontsize=9, color="white")
        if (i - sent) % bins == 0:
            here = index == i
            axis.fill_between(x[here], density[here], color=_BINS[i % bins], alpha=0.55, linewidth=0)
    axis.plot(x, density, color=_BLACK, label="what y says of x")
    axis.axvline(y, color=_VERMILION, linestyle="--", label=f"y = {y:g}")
    cells = np.arange(sent - 40 * bins, sent + 40 * bins + 1, bins)
    share = norm.cdf((cells + 0.5) * step, mean, deviation) - norm.cdf((cells - 0.5) * step, mean, deviation)
    likeliest = share.max() / share.sum()
    turns = "all cells share one bin" if bins == 1 else f"cells take turns in {bins} bins"
    axis.set_title(f"{turns}; {sent % bins} is sent: its likeliest cell has {likeliest:.1%}")
    axis.set_xlim(-3, 3)
    axis.set_ylim(-0.14 * top, top)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("x, in standard deviations; below: the bins of the cells")
    axis.legend(loc="upper right", fontsize=9, frameon=False)
    return figure


def gaussian_rates(noise: float, measured: Sequence[tuple[float, float]] = ()) -> Figure:
    """Bits per sample over distortion for a Gaussian x, with and without y at the decoder.

    Args:
        noise: variance of y's noise.
        measured: points (mean squared error, bits really sent per sample) of a codec.

    Returns:
        A figure with the bounds, and what scalar quantisers reach with ideal coding of their index.
    """
    variance = conditional_variance(noise)
    distortion = np.geomspace(1e-3, 1, 200)
    steps = np.geomspace(0.1, 8, 60)
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(distortion, gaussian_rate(distortion), color=_BLACK, label="bound without side information")
    rate, error = zip(*map(ideal_quantiser, steps), strict=True)
    axis.plot(error, rate, color=_BLACK, linestyle=":", label="scalar quantiser, ideal entropy code")
    rate, error = zip(*(ideal_quantiser(step, noise) for step in steps), strict=True)
    axis.plot(
        distortion,
        gaussian_rate(distortion, variance),
        color=_BLUE,
        label="bound with y at the decoder, and with y at both",
    )
    axis.plot(error, rate, color=_BLUE, linestyle=":", label="scalar quantiser, ideal Slepian–Wolf code")
    axis.axvline(variance, color="#999999", linewidth=0.9, zorder=0)
    axis.annotate("var(X|Y)", (variance, 5.0), xytext=(4, 0), textcoords="offset points", fontsize=9, color="#555555")
    if len(measured):
        axis.plot(*zip(*measured, strict=True), "o", color=_VERMILION, label="our codec, measured (bytes sent)")
    axis.set_xscale("log")
    axis.set_xlim(1e-3, 1)
    axis.set_ylim(0, 5.3)
    axis.set_xlabel("distortion D, mean squared error (x has variance 1), logarithmic")
    axis.set_ylabel("rate, bits per sample")
    axis.set_title(f"noise of variance {noise:g}, correlation {(1 + noise) ** -0.5:.3f}")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=9, frameon=False)
    return figure


def binary_rates(p: float) -> Figure:
    """Bits per bit over the share of wrong bits for a fair bit, when y is the bit flipped with probability p.

    Returns:
        A figure: Wyner–Ziv function, the same if the encoder knows y, the point where the straight line starts.
    """
    critical = critical_distortion(p)
    distortion = np.linspace(1e-6, p, 300)
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axis = figure.subplots()
    with_line, without = binary_rate(distortion, p), binary_conditional_rate(distortion, p)
    axis.plot(distortion, with_line, color=_BLUE, label="y at the decoder (Wyner–Ziv)")
    axis.plot(distortion, without, color=_GREEN, linestyle="--", label="y at both")
    axis.fill_between(
        distortion, without, with_line, color=_SKY, alpha=0.3, label="what the silence costs", linewidth=0
    )
    label = f"critical distortion {critical:.3f},\nrate {binary_rate(critical, p):.3f}"
    axis.plot(critical, binary_rate(critical, p), "o", color=_VERMILION, label=label)
    axis.set_xlim(0, 0.5)
    axis.set_ylim(0, 1)
    axis.set_xlabel("distortion D, share of wrong bits")
    axis.set_ylabel("rate, bits per bit of x")
    axis.set_title(f"y is x with flips of probability {p:g}")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper right", fontsize=9, frameon=False)
    return figure


def common_informations(p: float, rho: float) -> Figure:
    """What a fair bit and its flip, and two Gaussian variables, have in common, by three measures.

    Args:
        p: probability of a flip, 0 to 1/2, that is marked.
        rho: correlation, 0 or more and below 1, that is marked.

    Returns:
        A figure of two panels: Gács–Körner, mutual and Wyner's information in bits, over p and over ρ.
    """
    flips, correlations = np.linspace(0, 0.5, 200), np.linspace(0, 0.99, 200)
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    bits, gaussian = figure.subplots(1, 2)
    measures = (
        (bits, flips, p, wyner_flipped_bit, lambda p: 1 - binary_entropy(p)),
        (gaussian, correlations, rho, wyner_gaussian, gaussian_mutual),
    )
    for axis, places, marked, wyner, mutual in measures:
        at = (marked, marked, marked)
        axis.plot(places, wyner(places), color=_BLUE, label="C, Wyner: to explain it")
        axis.plot(places, mutual(places), color=_BLACK, label="I, mutual information")
        axis.plot(
            places, 0 * places, color=_VERMILION, linewidth=2.5, clip_on=False, label="K, Gács–Körner: both can name"
        )
        axis.plot(at, (wyner(marked), mutual(marked), 0), "o", color="#555555", clip_on=False, zorder=3)
        axis.set_ylim(bottom=0)
        axis.margins(x=0)
        axis.grid(alpha=0.25)
        axis.set_ylabel("bits")
    bits.plot(0, 1, "o", color=_VERMILION, markerfacecolor="none", clip_on=False, zorder=4)  # K is 1 where y is x
    bits.set_xlabel("probability of a flip, p")
    bits.set_title("a fair bit and its flip")
    bits.legend(fontsize=9, frameon=False)
    gaussian.set_xlabel("correlation ρ")
    gaussian.set_title("two Gaussian variables")
    return figure

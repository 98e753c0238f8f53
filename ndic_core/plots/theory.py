"""Bounds of distributed source coding: rate regions, rate–distortion functions, common information."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ndic_core.errors import some
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


def slepian_wolf_regions(joints: Mapping[str, np.ndarray]) -> Figure:
    """Slepian–Wolf regions: the rates of two separate encoders that allow lossless decoding of x and y.

    Args:
        joints: (values of x, values of y), probabilities, by title; one to four.

    Returns:
        A figure with a panel for each. The line of the least sum rate joins the two corners; its distance from the
        point of separate coding, along either axis, is the mutual information.
    """
    cases = some(joints.items(), "joint distribution")
    figure, axes = style.subplots((max(6.4, 0.4 + 3.0 * len(cases)), 4.3), columns=len(cases), squeeze=False)
    for axis, (title, joint) in zip(axes.flat, cases, strict=True):
        both = entropies(joint)
        # Axes extend beyond the rates of separate coding, and do not move with the region's corner.
        right, top = 1.25 * max(both.x, 0.1), 1.25 * max(both.y, 0.1)
        corners = [(both.x_given_y, both.y), (both.x, both.y_given_x)]
        outline = [(both.x_given_y, top), *corners, (right, both.y_given_x)]
        axis.fill(*zip(*outline, (right, top), strict=True), color=style.SKY, alpha=0.35, label="achievable rates")
        axis.plot(*zip(*outline, strict=True), color=style.BLUE)
        axis.plot(*corners[0], "o", color=style.VERMILION, markersize=9, label="y known to the decoder", clip_on=False)
        axis.plot(both.x, both.y, "D", color=style.BLACK, markersize=7, label="correlation ignored")
        axis.plot([both.x_given_y] * 2, [0, both.y], ":", color=style.DARK_GREY, linewidth=1.2)
        axis.plot([0, both.x], [both.y_given_x] * 2, ":", color=style.DARK_GREY, linewidth=1.2)
        look = dict(textcoords="offset points", color=style.BLUE, fontsize=11)
        axis.annotate("H(X|Y)", (both.x_given_y, top), xytext=(0, 3), ha="center", va="bottom", **look)
        side = dict(xytext=(-3, 3), ha="right", va="bottom") if both.y_given_x < 0.8 * both.y else {}
        side = side or dict(xytext=(-3, -3), ha="right", va="top")
        axis.annotate("H(Y|X)", (right, both.y_given_x), **side, **look)
        axis.set_title(f"{title}\nH(X|Y) = {style.number(both.x_given_y, '.3f')}\n", fontsize=11)
        axis.set(xlim=(0, right), ylim=(0, top), aspect="equal", xlabel="rate of x, bits")
        axis.locator_params(nbins=4)
    axes[0, 0].set_ylabel("rate of y, bits")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=10.5, frameon=False)
    return figure


def gaussian_rates(noise: float, measured: Sequence[tuple[float, float]] = ()) -> Figure:
    """Rate–distortion bounds of a Gaussian x, and scalar quantisers with ideal coding, with and without y.

    Args:
        noise: variance of y's noise.
        measured: points (mean squared error, measured bits per sample) of a codec.
    """
    variance = conditional_variance(noise)
    distortion = np.geomspace(1e-3, 1, 200)
    figure, axis = style.subplots((7.6, 4.2))
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
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=9.5, frameon=False)
    return figure


def binary_rates(flips: Sequence[float]) -> Figure:
    """Rate–distortion functions of a fair bit x, where y is x flipped, for several crossover probabilities.

    The Wyner–Ziv function is a straight line from the critical distortion, a dot, on.

    Args:
        flips: crossover probabilities, above 0 and below 1/2; one to four.
    """
    flips = some(flips, "crossover probability")
    figure, axes = style.subplots((max(6.4, 3.0 * len(flips)), 3.9), columns=len(flips), squeeze=False, sharey=True)
    for axis, p in zip(axes.flat, flips, strict=True):
        critical, distortion = critical_distortion(p), np.linspace(1e-6, p, 300)
        wyner_ziv, conditional = binary_rate(distortion, p), binary_conditional_rate(distortion, p)
        axis.plot(distortion, wyner_ziv, color=style.BLUE, label="y at the decoder")
        axis.plot(distortion, conditional, color=style.GREEN, linestyle="--", label="y at both")
        axis.fill_between(
            distortion, conditional, wyner_ziv, color=style.SKY, alpha=0.4, label="rate loss", linewidth=0
        )
        axis.plot(critical, binary_rate(critical, p), "o", color=style.VERMILION, label="critical distortion")
        axis.set(xlim=(0, None), ylim=(0, 1), xlabel="distortion D", title=f"p = {p:g}")
        axis.locator_params(axis="x", nbins=4)
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("rate, bits per bit of x")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=10, frameon=False)
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

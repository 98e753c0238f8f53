"""Wyner–Ziv rate–distortion functions of Gaussian and binary sources, and the rates of scalar quantisers."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from ndic_core.errors import NDICError
from ndic_core.theory.entropy import binary_entropy


def gaussian_rate(distortion, variance: float = 1.0):
    """Rate–distortion function of a Gaussian variable, ½ log2(variance / D), in bits.

    With the variance of x given y it is also the Wyner–Ziv function: for Gaussian x = y + noise and squared error an
    encoder without y needs no more bits than one with y.

    Source: A. Wyner and J. Ziv, "The rate-distortion function for source coding with side information at the decoder",
    IEEE Trans. Inf. Theory 22, 1976; Gaussian case in A. Wyner, Information and Control 38, 1978.

    Args:
        distortion: mean squared error, above 0; a number or an array.
        variance: of x, or of x given y.
    """
    distortion = np.asarray(distortion)
    if not ((distortion > 0).all() and np.all(variance > 0)):
        raise NDICError(f"distortion and variance must be above 0, not {distortion} and {variance}")
    return np.maximum(0.0, np.log2(variance / distortion) / 2)


def gaussian_scheme(blur: float, noise: float) -> tuple[float, float]:
    """Rate and distortion of an encoder without y that describes u = x + blur to a decoder with y.

    The description needs I(x; u) bits, of which binning saves I(y; u). Computed from the covariance of (x, y, u).

    Args:
        blur: variance of u − x, above 0.
        noise: variance of y − x, above 0.

    Returns:
        Bits per sample, and mean squared error of E[x | y, u].
    """
    if not (blur > 0 and noise > 0):
        raise NDICError(f"blur and noise must be variances above 0, not {blur} and {noise}")
    covariance = np.ones((3, 3)) + np.diag([0, noise, blur])

    def information(i, j) -> float:
        pair = covariance[np.ix_([i, j], [i, j])]
        return np.log2(covariance[i, i] * covariance[j, j] / np.linalg.det(pair)) / 2

    x, y, u = 0, 1, 2
    known = covariance[np.ix_([y, u], [y, u])]
    distortion = 1 - covariance[x, [y, u]] @ np.linalg.solve(known, covariance[[y, u], x])
    return information(x, u) - information(y, u), distortion


def conditional_variance(noise: float) -> float:
    """Variance of x given y, where x has variance 1 and y is x with noise of this variance, above 0."""
    if not noise > 0:
        raise NDICError(f"noise must be a variance above 0, not {noise}")
    return 1 / (1 + 1 / noise)  # 1 where the noise is infinite


def binary_rate(distortion, p: float):
    """Wyner–Ziv function of a fair bit, in bits, when y is the bit flipped with probability p.

    Up to the critical distortion it is h(p∗D) − h(D), with p∗D = p(1−D) + D(1−p); from there to (p, 0), where nothing
    is sent and the decoder outputs y, it is a straight line (time sharing).

    Source: Wyner and Ziv 1976.

    Args:
        distortion: share of wrong bits, from 0; a number or an array.
        p: probability of a flip, above 0 and below 1/2.

    Raises:
        NDICError: another p, or a distortion that is not a share.
    """
    distortion, critical = np.asarray(distortion, dtype=float), critical_distortion(p)
    line = _curve(critical, p) * (p - distortion) / (p - critical)
    return np.where(distortion <= critical, _curve(distortion, p), np.maximum(line, 0.0))


def binary_conditional_rate(distortion, p: float):
    """The conditional rate–distortion function, where the encoder also has y: h(p) − h(D)."""
    return np.maximum(0.0, binary_entropy(p) - binary_entropy(np.minimum(distortion, p)))


def critical_distortion(p: float) -> float:
    """The distortion at which the tangent through (p, 0) touches h(p∗D) − h(D)."""
    if not 0 < p <= 0.5 - 1e-6:
        raise NDICError(f"the probability of a flip must be above 0 and below 1/2 - 1e-6, not {p}")

    def slope(d):
        mixed = p + d - 2 * p * d
        return (1 - 2 * p) * np.log2((1 - mixed) / mixed) - np.log2((1 - d) / d)

    def gap(log_ratio):  # of the tangent at d and (p, 0)
        d = p * np.exp(log_ratio)
        return _curve(d, p) + slope(d) * (p - d)

    # On a logarithmic scale: the solution is near p² / e for small p, near p for p near 1/2.
    return float(p * np.exp(brentq(gap, 2 * np.log(p), -1e-6)))


def _curve(distortion, p: float):
    return binary_entropy(p + distortion - 2 * p * distortion) - binary_entropy(distortion)


def ideal_quantiser(step: float, noise: float = np.inf) -> tuple[float, float]:
    """Rate and distortion of a uniform quantiser of x with ideal coding of its index in H(index | y) bits.

    Computed by sums over the cells and over a fine grid of y.

    Args:
        step: width of the cells, in standard deviations of x.
        noise: variance of y's noise; without side information where infinite.

    Returns:
        Bits per sample, and mean squared error of E[x | cell, y].
    """
    variance = conditional_variance(noise)
    spread_of_means = np.sqrt(1 - variance)  # of E[x | y], which is Gaussian
    count = 1 + int(np.ceil(40 * spread_of_means / np.sqrt(variance)))  # finer than the standard deviation of x given y
    nodes = np.linspace(-7, 7, 2 * count + 1)
    means, weights = nodes[:, None] * spread_of_means, norm.pdf(nodes)
    share, _, spread = cell_statistics(cells(step, reach=12.0), means, variance, step)
    rate = -(share * np.log2(np.maximum(share, 1e-300))).sum(1)
    weights = weights / weights.sum()
    return weights @ rate, weights @ (share * spread).sum(1)


def cells(step: float, reach: float = 7.0) -> np.ndarray:
    """Indices of all cells of width `step` within `reach` standard deviations of x."""
    if not 0 < step < 100:
        raise NDICError(f"the step must be above 0 and below 100 standard deviations, not {step}")
    last = int(np.ceil(reach / step))
    return np.arange(-last, last + 1)


def cell_statistics(index, mean, variance: float, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, mean and variance of a Gaussian variable in cells [(i − ½) step, (i + ½) step].

    Args:
        index: of the cells; broadcast with `mean`.
        mean, variance: of the variable.
        step: width of the cells.

    Returns:
        Three arrays; in cells of negligible probability, mean and variance are those of a uniform distribution.
    """
    deviation = np.sqrt(variance)
    centre = (np.asarray(index) * step - mean) / deviation
    low, high = centre - step / deviation / 2, centre + step / deviation / 2
    mirror = centre > 0  # the upper tail is mirrored to the lower one, where differences are precise
    share = np.where(mirror, norm.cdf(-low) - norm.cdf(-high), norm.cdf(high) - norm.cdf(low))
    seen = share > 1e-12
    safe = np.where(seen, share, 1.0)
    first = (norm.pdf(low) - norm.pdf(high)) / safe
    second = 1 + (low * norm.pdf(low) - high * norm.pdf(high)) / safe
    first, spread = np.where(seen, first, centre), np.where(seen, second - first**2, (high - low) ** 2 / 12)
    return share, mean + deviation * first, variance * spread

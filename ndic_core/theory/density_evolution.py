"""Density evolution of belief propagation on infinitely long LDPC codes, with a population of messages."""

from collections.abc import Callable, Iterator

import numpy as np

from ndic_core.errors import NDICError

_WEIGHT = 3  # checks per bit, as in `LDPC`


def evolve(ratios: np.ndarray, rate: float, iterations: int = 200, population: int = 20_000) -> Iterator:
    """The share of wrong bits after each iteration of belief propagation on infinitely long syndromes.

    On a long random code the incoming messages of a check, or of a bit, are independent samples of one distribution,
    which changes from iteration to iteration. A population of messages represents it: each new message is computed from
    random ones of the last population, as `LDPC.iterate` computes it from its neighbours. A positive message is right.

    Source: T. Richardson and R. Urbanke, "The capacity of low-density parity-check codes under message-passing
    decoding", IEEE Trans. Inf. Theory 47, 2001; a population in place of a density.

    Args:
        ratios: (K,) log-likelihood ratios of the decoder before it uses the syndrome: log P(true bit) / P(other bit).
        rate: checks per bit, above 0, up to 1.
        iterations: maximum number.
        population: number of messages.

    Yields:
        Shares in [0, 1], the first one before any message. A bit with a ratio of 0 counts as half wrong.

    Raises:
        NDICError: a rate out of its range, or no ratio.
    """
    if not 0 < rate <= 1:
        raise NDICError(f"the rate in checks per bit must be above 0 and at most 1, not {rate}")
    rng = np.random.default_rng(0)
    ratios = np.asarray(ratios, dtype=np.float32)
    if ratios.ndim != 1 or not len(ratios):
        raise NDICError(f"log-likelihood ratios must have shape (K,) with K at least 1, not {ratios.shape}")
    smaller = int(_WEIGHT / rate)  # bits of a check, or one more
    larger_checks = _WEIGHT / rate - smaller
    larger = round(larger_checks * (smaller + 1) * rate / _WEIGHT * population)  # messages from larger checks
    to_bits = np.zeros(population, dtype=np.float32)
    for _ in range(iterations + 1):
        prior = rng.choice(ratios, population)
        incoming = [to_bits[rng.integers(population, size=population)] for _ in range(_WEIGHT)]
        belief = prior + sum(incoming)
        yield float((belief < 0).mean() + (belief == 0).mean() / 2)
        tanh = np.tanh((prior + sum(incoming[1:])) / 2)
        product = np.ones(population, dtype=np.float32)
        for _ in range(smaller - 1):
            product *= tanh[rng.integers(population, size=population)]
        product[:larger] *= tanh[rng.integers(population, size=larger)]
        to_bits = 2 * np.arctanh(np.clip(product, -1 + 1e-7, 1 - 1e-7))


def succeeds(ratios: np.ndarray, rate: float, **how) -> bool:
    """Whether belief propagation gets below a share of wrong bits from which it always succeeds; see `evolve`."""
    return any(wrong < 1e-3 for wrong in evolve(ratios, rate, **how))


def flip_ratios(p: float) -> np.ndarray:
    """20,000 log-likelihood ratios of bits observed through flips of probability p, in exact proportions."""
    if not 0 < p < 1:
        raise NDICError(f"the probability of a flip must be above 0 and below 1, not {p}")
    ratio = np.full(20_000, np.log((1 - p) / p), dtype=np.float32)
    ratio[: round(p * len(ratio))] *= -1
    return ratio


def flip_threshold(rate: float, precision: float = 5e-4, **how) -> float:
    """The largest probability of a flip at which syndromes of this rate, in checks per bit, decode on a long code.

    The precision is that of the answer; for the other arguments see `evolve`.
    """
    return sum(_bisect(lambda p: not succeeds(flip_ratios(p), rate, **how), 0.0, 0.5, precision)) / 2


def needed_rate(ratios: np.ndarray, **how) -> float:
    """The smallest syndrome rate, in checks per bit within 0.01, at which bits with these ratios decode; see `evolve`.

    Returns:
        At least the conditional entropy of the bits, a lower bound for every code, and 0.02; at most 1.
    """
    entropy = np.logaddexp2(0, -np.asarray(ratios) / np.log(2)).mean()
    return _bisect(lambda rate: succeeds(ratios, rate, **how), min(max(entropy, 0.02), 1.0), 1.0, 0.01)[1]


def _bisect(holds: Callable[[float], bool], low: float, high: float, precision: float) -> tuple[float, float]:
    """Bisection: an interval of this size at whose lower end the condition fails and at whose upper end it holds."""
    while high - low > precision:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low, high

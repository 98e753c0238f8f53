"""Entropies in bits, and the Slepian–Wolf rate region of a pair of variables."""

from typing import NamedTuple

import numpy as np
from scipy.special import entr

from ndic_core.errors import NDICError


def binary_entropy(p):
    """h(p), the entropy of a bit that is 1 with probability p; of a number or of an array.

    Raises:
        NDICError: a number that is not a probability.
    """
    p = np.asarray(p)
    if not ((p >= 0) & (p <= 1)).all():
        raise NDICError(f"a probability is between 0 and 1, not {p}")
    return (entr(p) + entr(1 - p)) / np.log(2)


def entropy(law) -> float:
    """Entropy of a distribution, given as an array of probabilities of any shape.

    Raises:
        NDICError: a negative entry, or a sum other than 1.
    """
    law = np.asarray(law, dtype=float)
    least = law.min(initial=np.inf)
    if least < 0 or not np.isclose(law.sum(), 1):
        raise NDICError(f"probabilities must be 0 or more and sum to 1; sum {law.sum():g}, minimum {least:g}")
    return entr(law).sum() / np.log(2)


class Entropies(NamedTuple):
    """Entropies of a pair of variables, in bits."""

    x: float  # H(X)
    y: float  # H(Y)
    pair: float  # H(X, Y)

    @property
    def x_given_y(self) -> float:
        return self.pair - self.y

    @property
    def y_given_x(self) -> float:
        return self.pair - self.x

    @property
    def mutual(self) -> float:
        return self.x + self.y - self.pair

    def allows(self, rate_x: float, rate_y: float) -> bool:
        """Whether separate encoders can send x and y losslessly at these rates to one decoder.

        Source: D. Slepian and J. Wolf, "Noiseless coding of correlated information sources", IEEE Trans. Inf. Theory
        19, 1973.
        """
        needed = (self.x_given_y, self.y_given_x, self.pair)
        return all(rate >= least - 1e-12 for rate, least in zip((rate_x, rate_y, rate_x + rate_y), needed, strict=True))


def entropies(joint) -> Entropies:
    """The entropies of a joint distribution.

    Args:
        joint: (number of values of x, number of values of y), probabilities.

    Example:
        >>> both = entropies(flipped_bit(0.1))
        >>> round(float(both.pair), 4), round(float(both.x_given_y), 4), both.allows(0.5, 1.0)
        (1.469, 0.469, True)
    """
    joint = joint_law(joint)
    return Entropies(x=entropy(joint.sum(1)), y=entropy(joint.sum(0)), pair=entropy(joint))


def joint_law(joint) -> np.ndarray:
    """A joint distribution of x and y as an array, checked.

    Args:
        joint: (number of values of x, number of values of y), probabilities.

    Raises:
        NDICError: another shape, or not a distribution.
    """
    joint = np.asarray(joint, dtype=float)
    if joint.ndim != 2:
        raise NDICError(f"a joint distribution has shape (values of x, values of y), not {joint.shape}")
    entropy(joint)
    return joint


def flipped_bit(p: float) -> np.ndarray:
    """The doubly symmetric binary source: x is a fair bit, y is x flipped with probability p; shape (2, 2)."""
    if not 0 <= p <= 1:
        raise NDICError(f"a probability is between 0 and 1, not {p}")
    return np.array([[1 - p, p], [p, 1 - p]]) / 2

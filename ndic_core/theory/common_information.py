"""Common information of two variables: Gács–Körner, Wyner, and mutual information.

Gács–Körner K  ≤  mutual information I  ≤  Wyner C
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ndic_core.errors import NDICError
from ndic_core.theory.entropy import binary_entropy, entropies, entropy, joint_law


def gacs_korner(joint) -> tuple[float, np.ndarray, np.ndarray]:
    """Gács–Körner common information: the entropy of the finest variable that x and y determine each alone.

    Values of x and of y that can occur together are connected in a bipartite graph. The variable is the connected
    component.

    Source: P. Gács and J. Körner, "Common information is far less than mutual information", Problems of Control and
    Information Theory 2, 1973.

    Args:
        joint: (number of values of x, number of values of y), probabilities.

    Returns:
        K in bits, the component of each value of x, and the component of each value of y.
    """
    joint = joint_law(joint)
    edges = np.block([[np.zeros((len(joint),) * 2), joint], [joint.T, np.zeros((joint.shape[1],) * 2)]])
    parts, part = connected_components(csr_array(edges > 0), directed=False)
    of_x, of_y = part[: len(joint)], part[len(joint) :]
    return entropy(np.bincount(of_x, weights=joint.sum(1), minlength=parts)), of_x, of_y


def wyner_flipped_bit(p):
    """Wyner's common information of a fair bit and its flip, in bits: 1 + h(p) − 2 h(a) with p = 2 a (1 − a).

    Source: A. Wyner, "The common information of two dependent random variables", IEEE Trans. Inf. Theory 21, 1975.

    Args:
        p: probability of a flip, 0 to 1/2, or an array of them.
    """
    return 1 + binary_entropy(p) - 2 * binary_entropy(_half_flip(p))


def wyner_variable(p: float) -> np.ndarray:
    """The W that attains `wyner_flipped_bit`: a fair bit, of which x and y are independent flips of probability a.

    Returns:
        (2, 2, 2) probabilities of (w, x, y).
    """
    a = _half_flip(p)
    flips = np.array([[1 - a, a], [a, 1 - a]])
    return 0.5 * flips[:, :, None] * flips[:, None, :]


def _half_flip(p):
    """a such that two successive flips of probability a are one of probability p."""
    if not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 0.5)):
        raise NDICError(f"the probability of a flip must be from 0 to 1/2, not {p}")
    return (1 - np.sqrt(1 - 2 * np.asarray(p))) / 2


def explains(triple: np.ndarray) -> tuple[float, float]:
    """The information of a variable w about a pair, and the information that the pair shares given w.

    Args:
        triple: (values of w, values of x, values of y), probabilities.

    Returns:
        I(X, Y; W) and I(X; Y | W) in bits. Wyner's common information is the least I(X, Y; W) over all w for which
        I(X; Y | W) is 0.
    """
    triple = np.asarray(triple, dtype=float)
    if triple.ndim != 3:
        raise NDICError(f"the joint distribution of (w, x, y) has three dimensions, not shape {triple.shape}")
    weights = triple.sum((1, 2))
    given = [(weight, entropies(pair / weight)) for weight, pair in zip(weights, triple, strict=True) if weight > 0]
    told = entropy(triple.sum(0)) - sum(weight * pair.pair for weight, pair in given)
    return told, sum(weight * pair.mutual for weight, pair in given)


def gaussian_mutual(rho):
    """Mutual information of two Gaussian variables of correlation rho, between −1 and 1, in bits."""
    if not (np.abs(rho) < 1).all():
        raise NDICError(f"the correlation must be between -1 and 1, not {rho}: at either end information is infinite")
    return np.log2(1 / (1 - np.square(rho))) / 2


def explains_gaussian(covariance) -> tuple[float, float]:
    """`explains` for Gaussian variables, from the covariance (3, 3) of (w, x, y)."""
    covariance = np.asarray(covariance, dtype=float)
    if covariance.shape != (3, 3) or not np.allclose(covariance, covariance.T):
        raise NDICError(f"the covariance of (w, x, y) is a symmetric 3 × 3 matrix, not {covariance.tolist()}")
    if np.linalg.eigvalsh(covariance)[0] < 1e-12:
        raise NDICError("not a covariance, or one variable is determined by the others: the information is infinite")

    def h(*which) -> float:  # differential entropy up to constants that cancel
        return np.log2(np.linalg.det(covariance[np.ix_(which, which)])) / 2

    w, x, y = 0, 1, 2
    return h(w) + h(x, y) - h(w, x, y), h(w, x) + h(w, y) - h(w) - h(w, x, y)


def wyner_gaussian(rho):
    """Wyner's common information of two Gaussian variables of correlation rho from 0 to below 1: ½ log2((1+ρ)/(1−ρ)).

    Source: G. Xu, W. Liu and B. Chen, "A lossy source coding interpretation of Wyner's common information", IEEE Trans.
    Inf. Theory 62, 2016.
    """
    rho = np.asarray(rho)
    if not ((rho >= 0) & (rho < 1)).all():
        raise NDICError(f"the correlation must be from 0 to below 1, not {rho}: negate x for a negative one")
    return np.log2((1 + rho) / (1 - rho)) / 2

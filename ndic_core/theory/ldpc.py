"""LDPC codes for Slepian–Wolf coding: syndromes are the bins, decoded by belief propagation with y.

x ── syndrome ═══ m bits for n ═══ belief propagation ──► x
                                          ▲
y ── log-likelihood ratio of every bit ───┘
"""

import numpy as np
from scipy.sparse import csr_matrix, triu

from ndic_core.errors import NDICError
from ndic_core.theory.factor_graph import FactorGraph

_WEIGHT = 3  # checks per bit
_FEWEST = 12  # checks of a code: with fewer, three different ones per bit are hard to find


class LDPC(FactorGraph):
    """A low-density parity-check code as a binning of words, decoded by belief propagation.

    Every bit is in three checks, and the sizes of checks differ by at most one: the code is (3, 6)-regular at half as
    many checks as bits. The construction is random from the seed, so encoder and decoder have the same code; then edges
    are swapped until no two bits share two checks (a cycle of length 4), as far as the number of checks allows.

    Source: R. Gallager, "Low-density parity-check codes", 1962; for syndromes A. Liveris, Z. Xiong and C. Georghiades,
    "Compression of binary sources with side information at the decoder using LDPC codes", IEEE Communications Letters
    6, 2002.

    Args:
        bits: n, the length of a word.
        checks: m, the length of a syndrome, from 12 to n.
        seed: of the construction.

    Raises:
        NDICError: numbers of bits and checks that give no such code.

    Example:
        >>> code = LDPC(bits=600, checks=300)
        >>> x = np.random.default_rng(1).integers(0, 2, size=(5, 600), dtype=np.uint8)
        >>> y = x ^ (np.random.default_rng(2).random(x.shape) < 0.03)
        >>> x_hat, solved = code.decode(code.syndrome(x), (1 - 2.0 * y) * np.log(0.97 / 0.03))
        >>> bool(solved.all()), np.array_equal(x_hat, x)
        (True, True)
    """

    def __init__(self, bits: int, checks: int, seed: int = 0):
        if not _FEWEST <= checks <= bits:
            raise NDICError(f"a code has from {_FEWEST} checks to as many as there are bits, not {checks} of {bits}")
        bit = np.repeat(np.arange(bits), _WEIGHT)
        check = _without_short_cycles(np.arange(_WEIGHT * bits) % checks, bit, np.random.default_rng(seed))
        ones = np.ones(len(bit), dtype=np.float32)
        super().__init__(csr_matrix((ones, (check, bit)), shape=(checks, bits)))

    @property
    def short_cycles(self) -> int:
        """Number of pairs of bits that share more than one check."""
        return len(_sharing_pairs(self.check, self.bit)[0])


def wrong_bits(code: LDPC, p: float, blocks: int, exact: bool = True, seed: int = 0) -> np.ndarray:
    """Bit errors of random words that are decoded from their syndromes and a flipped copy.

    Args:
        code: the code.
        p: probability of a flip, above 0 and below 1/2.
        blocks: number of words.
        exact: whether each block has exactly p n flips, at random positions; otherwise bits flip independently.
        seed: of words and flips.

    Returns:
        Wrong bits of each block before the first and after each of 100 iterations, (blocks, 101). A block fails where
        the last number is not 0.
    """
    if not 0 < p < 0.5:
        raise NDICError(f"the probability of a flip must be above 0 and below 1/2, not {p}")
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, size=(blocks, code.bits), dtype=np.uint8)
    draws = rng.random(x.shape)
    flips = draws.argsort(axis=1) < round(p * code.bits) if exact else draws < p
    prior = (1.0 - 2.0 * (x ^ flips)) * np.log((1 - p) / p)
    wrong = np.zeros((blocks, 101), dtype=int)
    for step, (rows, words, _) in enumerate(code.iterate(code.syndrome(x), prior, iterations=100)):
        wrong[:, step] = wrong[:, step - 1]
        wrong[rows, step] = (words != x[rows]).sum(1)
    wrong[:, step:] = wrong[:, [step]]
    return wrong


def _sharing_pairs(check: np.ndarray, bit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = csr_matrix((np.ones(len(bit)), (check, bit)))
    shared = triu(matrix.T @ matrix, k=1, format="coo")
    return shared.row[shared.data > 1], shared.col[shared.data > 1]


def _without_short_cycles(check: np.ndarray, bit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the checks over the edges; then, round by round, swap an edge of every offending bit with another.

    No bit may be twice in one check. Bits may share two checks where there are too few pairs of checks.
    """
    check = rng.permutation(check)
    checks = check.max() + 1
    rounds = 60 if 4 * len(check) < checks * (checks - 1) / 2 else 0
    while True:
        at_bit = np.sort(check.reshape(-1, _WEIGHT), axis=1)
        offending = np.flatnonzero((np.diff(at_bit, axis=1) == 0).any(1))
        if not len(offending) and rounds:
            offending, rounds = np.unique(_sharing_pairs(check, bit)[0]), rounds - 1
        if not len(offending):
            return check
        moved = _WEIGHT * offending + rng.integers(_WEIGHT, size=len(offending))
        for edge, other in zip(moved, rng.integers(len(check), size=len(moved)), strict=True):
            check[[edge, other]] = check[[other, edge]]

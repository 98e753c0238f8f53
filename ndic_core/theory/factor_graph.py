"""Belief propagation on the factor graph of parity checks: a syndrome and y determine x.

prior ──► bits ══ messages along edges ══ checks ◄── syndrome
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, issparse

from ndic_core.errors import NDICError

_LARGEST = 17.0  # above, tanh is 1 in single precision


class Messages(NamedTuple):
    """State of belief propagation: log-likelihood ratios, positive for 0."""

    to_checks: np.ndarray  # (edges,)
    to_bits: np.ndarray  # (edges,)
    belief: np.ndarray  # (n,), the sum of a bit's prior and of all messages to it


class FactorGraph:
    """Parity checks as a bipartite graph: an edge joins a check to each of its bits.

    An edge has two messages, log-likelihood ratios of its bit. To the check: the sum of the bit's prior and the
    messages of its other checks. To the bit: 2 atanh ∏ tanh(message / 2) over the check's other bits, with the sign of
    the parity. On a graph without cycles the beliefs converge to the exact posterior; with cycles they are an
    approximation.

    Source: R. Gallager, "Low-density parity-check codes", 1962; for syndromes A. Liveris, Z. Xiong and C. Georghiades,
    "Compression of binary sources with side information at the decoder using LDPC codes", IEEE Communications Letters
    6, 2002.

    Args:
        parities: (m, n) of 0 and 1, dense or sparse: row c has a 1 at each bit of check c.

    Attributes:
        bit, check: the bit and the check of every edge, (edges,).

    Raises:
        NDICError: not such a matrix.

    Example:
        >>> graph = FactorGraph([[1, 1, 0], [0, 1, 1]])  # 000 and 111 have the same syndrome
        >>> graph.run(syndrome=[0, 0], prior=[2.0, 2.0, -2.0], passes=2).belief.round(1)
        array([2., 2., 2.], dtype=float32)
    """

    def __init__(self, parities):
        matrix = coo_matrix(parities if issparse(parities) else np.asarray(parities, dtype=np.float32))
        if not np.isin(matrix.data, (0, 1)).all():
            raise NDICError("parities must be a matrix (m, n) of 0 and 1")
        self.checks, self.bits = matrix.shape
        self.matrix = csr_matrix(matrix, dtype=np.float32)
        self.matrix.eliminate_zeros()
        by_bit = self.matrix.tocsc()
        self.bit, self.check = np.repeat(np.arange(self.bits), np.diff(by_bit.indptr)), by_bit.indices
        edge = np.arange(len(self.bit))
        ones = np.ones(len(edge), dtype=np.float32)
        self._sum_at_bits = csr_matrix((ones, (self.bit, edge)), shape=(self.bits, len(edge)))
        self._sum_at_checks = csr_matrix((ones, (self.check, edge)), shape=(self.checks, len(edge)))

    def syndrome(self, words: np.ndarray) -> np.ndarray:
        """The parities of the checks: (B, n) of 0 and 1 to (B, m)."""
        words = np.asarray(words, dtype=np.float32)
        if words.ndim != 2 or words.shape[1] != self.bits:
            raise NDICError(f"words of this code have shape (B, {self.bits}), not {words.shape}")
        return (self.matrix @ words.T % 2).T.astype(np.uint8)

    def decode(self, syndromes: np.ndarray, prior: np.ndarray, iterations: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """The most likely words of these bins, by belief propagation.

        Args:
            syndromes: (B, m) of 0 and 1.
            prior: (B, n), log P(bit = 0) / P(bit = 1) given the side information.
            iterations: maximum number.

        Returns:
            The words, (B, n) of 0 and 1, and whether each has the given syndrome, (B,).
        """
        words = np.zeros(np.shape(prior), dtype=np.uint8)
        solved = np.zeros(len(words), dtype=bool)
        for blocks, guess, right in self.iterate(syndromes, prior, iterations):
            words[blocks], solved[blocks] = guess, right
        return words, solved

    def iterate(
        self, syndromes: np.ndarray, prior: np.ndarray, iterations: int = 200
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Belief propagation step by step; arguments as in `decode`. Blocks with the right syndrome are finished.

        Yields:
            Before the first and after each iteration: the numbers of the unfinished blocks, their words (b, n) so far,
            and whether their syndromes are right (b,).
        """
        wanted, prior = np.asarray(syndromes, dtype=np.float32).T, np.asarray(prior, dtype=np.float32).T
        blocks = prior.shape[-1]
        if wanted.shape != (self.checks, blocks) or prior.shape != (self.bits, blocks):
            shapes = f"{wanted.T.shape} and {prior.T.shape}"
            raise NDICError(f"syndromes must have shape (B, {self.checks}) and priors (B, {self.bits}), not {shapes}")
        blocks = np.arange(blocks)
        to_bits = np.zeros((len(self.bit), len(blocks)), dtype=np.float32)
        for _ in range(iterations + 1):
            belief = prior + self._sum_at_bits @ to_bits
            right = (self.matrix @ (belief < 0).astype(np.float32) % 2 == wanted).all(0)
            yield blocks, (belief < 0).T, right
            if right.all():
                return
            wanted, prior, blocks, to_bits, belief = (a[..., ~right] for a in (wanted, prior, blocks, to_bits, belief))
            to_bits = self._to_bits(wanted, belief[self.bit] - to_bits)

    def run(self, syndrome, prior, passes: int) -> Messages:
        """The messages of one block after a number of passes; finished blocks continue.

        Args:
            syndrome: (m,) of 0 and 1.
            prior: (n,), log P(bit = 0) / P(bit = 1) given the side information.
            passes: 0 or more. A pass computes all messages to checks, then all messages to bits.
        """
        wanted, prior = np.asarray(syndrome, dtype=np.float32), np.asarray(prior, dtype=np.float32)
        if wanted.shape != (self.checks,) or prior.shape != (self.bits,):
            shapes = f"{wanted.shape} and {prior.shape}"
            raise NDICError(f"the syndrome must have shape ({self.checks},) and the prior ({self.bits},), not {shapes}")
        if passes < 0:
            raise NDICError(f"passes must be 0 or more, not {passes}")
        to_checks = to_bits = np.zeros(len(self.bit), dtype=np.float32)
        belief = prior
        for _ in range(passes):
            to_checks = belief[self.bit] - to_bits
            to_bits = self._to_bits(wanted, to_checks)
            belief = prior + self._sum_at_bits @ to_bits
        return Messages(to_checks, to_bits, belief)

    def _to_bits(self, wanted: np.ndarray, to_checks: np.ndarray) -> np.ndarray:
        negative, size = (to_checks < 0).astype(np.float32), _phi(np.abs(to_checks))
        flip = ((self._sum_at_checks @ negative + wanted)[self.check] - negative) % 2
        return (1 - 2 * flip) * _phi((self._sum_at_checks @ size)[self.check] - size)


def _phi(x: np.ndarray) -> np.ndarray:
    """−log tanh(x / 2), its own inverse: products of tanh become sums."""
    return -np.log(np.tanh(np.clip(x, 1e-7, _LARGEST) / 2))

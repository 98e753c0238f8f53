"""Sparse parity checks: their syndromes are the bins, and belief propagation finds the word of the bin that y hints at.

x ── syndrome ═══ m bits for n ═══ belief propagation ──► x
                                          ▲
y ── log-likelihood ratio of every bit ───┘
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix, triu

from ndic_core.errors import NDICError

_WEIGHT = 3  # checks that every bit takes part in
_FEWEST = 12  # checks: with fewer, a bit has hardly three different ones to choose
_LARGEST = 17.0  # beyond it, tanh is 1 in single precision


class LDPC:
    """A low-density parity-check code as a binning of words, decoded by belief propagation.

    Every bit is in three checks, and checks differ in size by one bit at most: (3, 6)-regular where there are half as
    many checks as bits. Drawn at random from the seed, so that both ends have the same code; then edges are swapped
    until no two bits share two checks (a cycle of length four, which would let a message come back at once), as far as
    there is room for that.

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
            raise NDICError(
                f"a syndrome has from {_FEWEST} checks to as many as there are bits, not {checks} of {bits}"
            )
        self.bits, self.checks = bits, checks
        edges = _WEIGHT * bits
        self.bit = np.repeat(np.arange(bits), _WEIGHT)  # the bit and the check of every edge
        self.check = _without_short_cycles(np.arange(edges) % checks, self.bit, np.random.default_rng(seed))
        ones, edge = np.ones(edges, dtype=np.float32), np.arange(edges)
        self._sum_at_bits = csr_matrix((ones, (self.bit, edge)), shape=(bits, edges))
        self._sum_at_checks = csr_matrix((ones, (self.check, edge)), shape=(checks, edges))
        self.matrix = csr_matrix((ones, (self.check, self.bit)), shape=(checks, bits))

    def syndrome(self, words: np.ndarray) -> np.ndarray:
        """The parities of the checks: (B, n) of 0 and 1 to (B, m)."""
        words = np.asarray(words, dtype=np.float32)
        if words.ndim != 2 or words.shape[1] != self.bits:
            raise NDICError(f"this code has syndromes of words (B, {self.bits}), not of shape {words.shape}")
        return (self.matrix @ words.T % 2).T.astype(np.uint8)

    def decode(self, syndromes: np.ndarray, prior: np.ndarray, iterations: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """The words of these bins that the prior speaks for.

        Args:
            syndromes: (B, m) of 0 and 1.
            prior: (B, n), log P(bit = 0) / P(bit = 1) given what the decoder has.
            iterations: at most so many.

        Returns:
            The words, (B, n) of 0 and 1, and for each whether its syndrome is the one asked for, (B,).
        """
        words = np.zeros(np.shape(prior), dtype=np.uint8)
        solved = np.zeros(len(words), dtype=bool)
        for blocks, guess, right in self.iterate(syndromes, prior, iterations):
            words[blocks], solved[blocks] = guess, right
        return words, solved

    def iterate(
        self, syndromes: np.ndarray, prior: np.ndarray, iterations: int = 200
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Belief propagation step by step; arguments as those of `decode`.

        An edge carries two messages, log-likelihood ratios of its bit. To the check: what the bit's prior and its two
        other checks say. To the bit: what the check's other bits say, `2 atanh ∏ tanh(message / 2)`, with the sign that
        makes the parity right. Blocks whose syndrome is right are done.

        Yields:
            Before the first and after each iteration: the numbers of the blocks worked on, their words (b, n) so far,
            and whether their syndromes are right (b,).
        """
        wanted, prior = np.asarray(syndromes, dtype=np.float32).T, np.asarray(prior, dtype=np.float32).T
        blocks = prior.shape[-1]
        if wanted.shape != (self.checks, blocks) or prior.shape != (self.bits, blocks):
            shapes = f"{wanted.T.shape} and {prior.T.shape}"
            raise NDICError(f"syndromes (B, {self.checks}) and priors (B, {self.bits}) are decoded, not {shapes}")
        blocks = np.arange(blocks)
        to_bits = np.zeros((len(self.bit), len(blocks)), dtype=np.float32)
        for _ in range(iterations + 1):
            belief = prior + self._sum_at_bits @ to_bits
            right = (self.matrix @ (belief < 0).astype(np.float32) % 2 == wanted).all(0)
            yield blocks, (belief < 0).T, right
            if right.all():
                return
            wanted, prior, blocks, to_bits, belief = (a[..., ~right] for a in (wanted, prior, blocks, to_bits, belief))
            to_checks = belief[self.bit] - to_bits
            negative, size = (to_checks < 0).astype(np.float32), _phi(np.abs(to_checks))
            flip = ((self._sum_at_checks @ negative + wanted)[self.check] - negative) % 2
            to_bits = (1 - 2 * flip) * _phi((self._sum_at_checks @ size)[self.check] - size)

    @property
    def short_cycles(self) -> int:
        """Pairs of bits that share more than one check."""
        return len(_sharing_pairs(self.check, self.bit)[0])


def wrong_bits(
    code: LDPC, p: float, blocks: int, exact: bool = True, iterations: int = 100, seed: int = 0
) -> np.ndarray:
    """Send random words by their syndromes to a decoder that has them with flips, and count what is wrong.

    Args:
        code: the code.
        p: probability of a flip, above 0 and below 1/2.
        blocks: how many words.
        exact: each block has exactly p n flips, at random places; else every bit flips by itself, and a block has now
            more, now fewer of them.
        iterations: of belief propagation, at most.
        seed: of words and flips.

    Returns:
        Wrong bits of each block before the first and after each iteration, (blocks, iterations + 1). A block is lost
        where the last is not 0.

    Example:
        >>> wrong_bits(LDPC(600, 300), p=0.02, blocks=2)[:, [0, -1]].tolist()
        [[12, 0], [12, 0]]
    """
    if not 0 < p < 0.5:
        raise NDICError(f"a flip has a probability above 0 and below 1/2 here, not {p}")
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, size=(blocks, code.bits), dtype=np.uint8)
    draws = rng.random(x.shape)
    flips = draws.argsort(axis=1) < round(p * code.bits) if exact else draws < p
    prior = (1.0 - 2.0 * (x ^ flips)) * np.log((1 - p) / p)
    wrong = np.zeros((blocks, iterations + 1), dtype=int)
    for step, (rows, words, _) in enumerate(code.iterate(code.syndrome(x), prior, iterations)):
        wrong[:, step] = wrong[:, step - 1]
        wrong[rows, step] = (words != x[rows]).sum(1)
    wrong[:, step:] = wrong[:, [step]]
    return wrong


def _phi(x: np.ndarray) -> np.ndarray:
    """−log tanh(x / 2), its own inverse: products of tanh become sums."""
    return -np.log(np.tanh(np.clip(x, 1e-7, _LARGEST) / 2))


def _sharing_pairs(check: np.ndarray, bit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = csr_matrix((np.ones(len(bit)), (check, bit)))
    shared = triu(matrix.T @ matrix, k=1, format="coo")
    return shared.row[shared.data > 1], shared.col[shared.data > 1]


def _without_short_cycles(check: np.ndarray, bit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the checks over the edges; then, round by round, swap an edge of every offending bit with another.

    A bit that is twice in one check must not stay. Bits that share two checks may where checks are few: there are only
    so many pairs of checks to go round.
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

"""Slepian–Wolf coding with syndromes of small linear codes: the syndrome is the bin, decoded by distance to y."""

from itertools import product

import numpy as np

from ndic_core.errors import NDICError


class SyndromeCode:
    """Words of n bits in 2^m bins, given by m parities.

    The words of a bin have the minimum distance of the code, so a y near x identifies x within its bin.

    Source: A. Wyner, "Recent results in the Shannon theory", IEEE Trans. Inf. Theory 20, 1974; S. Pradhan and
    K. Ramchandran, "Distributed source coding using syndromes (DISCUS)", IEEE Trans. Inf. Theory 49, 2003.

    Args:
        parities: (m, n) of 0 and 1: row i has a 1 at each bit of the i-th parity. All bins are tabulated: n is at most
            16.

    Raises:
        NDICError: not such a matrix, or more than 16 bits.

    Example:
        >>> HAMMING.syndrome([0, 0, 0, 0, 1, 0, 0])
        array([1, 0, 1], dtype=uint8)
        >>> HAMMING.decode([1, 0, 1], y=[0, 0, 0, 1, 1, 0, 0])
        array([0, 0, 0, 0, 1, 0, 0], dtype=uint8)
    """

    def __init__(self, parities):
        parities = np.asarray(parities)
        if parities.ndim != 2 or not 1 <= parities.shape[1] <= 16 or not np.isin(parities, (0, 1)).all():
            raise NDICError("parities must be a matrix of 0 and 1 with a column for each of at most 16 bits")
        self.parities = parities.astype(np.uint8)
        self.words = np.array(list(product((0, 1), repeat=self.parities.shape[1])), dtype=np.uint8)
        self.bins = {}
        for word in self.words:
            self.bins.setdefault(tuple(self.syndrome(word).tolist()), []).append(word)
        self.bins = {syndrome: np.array(words) for syndrome, words in sorted(self.bins.items())}

    def syndrome(self, word) -> np.ndarray:
        """The m parities of a word (n,): what is transmitted."""
        return self.parities @ self._word(word) % 2

    def decode(self, syndrome, y) -> np.ndarray:
        """The word of the bin nearest to y in Hamming distance; the first one in a tie."""
        key = tuple(np.ravel(syndrome).tolist())
        if key not in self.bins:
            raise NDICError(f"no word has the syndrome {key}")
        words = self.bins[key]
        return words[(words != self._word(y)).sum(1).argmin()]

    def _word(self, bits) -> np.ndarray:
        bits = np.asarray(bits)
        if bits.shape != self.parities.shape[1:] or not np.isin(bits, (0, 1)).all():
            raise NDICError(f"a word of this code has {self.parities.shape[1]} bits, each 0 or 1, not {bits}")
        return bits.astype(np.uint8)


# The example of DISCUS: three bits, bins {000, 111}, {001, 110}, {010, 101}, {011, 100}.
DISCUS = SyndromeCode([[1, 1, 0], [1, 0, 1]])

# Hamming (7, 4): the columns count from 1 to 7, so the syndrome of a single flip is its position.
HAMMING = SyndromeCode([[n >> bit & 1 for n in range(1, 8)] for bit in (2, 1, 0)])


def nearby(code: SyndromeCode, flips: int) -> np.ndarray:
    """The joint distribution of a uniform word x and a y that is uniform within a number of flips of x.

    Args:
        code: of few bits, since the table has 4^n entries.
        flips: maximum number, 0 or more.

    Returns:
        (2^n, 2^n) probabilities, indexed by the words of `code.words`.

    Raises:
        NDICError: fewer than 0 flips.
    """
    if flips < 0:
        raise NDICError(f"flips must be 0 or more, not {flips}")
    near = (code.words[:, None] != code.words[None]).sum(-1) <= flips
    return near / near.sum()

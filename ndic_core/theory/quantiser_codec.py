"""Wyner–Ziv codec for a Gaussian source: a uniform quantiser with nested bins and LDPC syndromes.

x ── cell index i ──┬─ i mod 2^k ── bit 0 ── as it is, or syndrome ═══╗
                    │               bit 1 ── syndrome ════════════════╬═ bytes ═► bit by bit, each with
                    │               ...                               ║           P(bit | y, bits so far)
                    └─ the rest is never sent                         ║                   │
y ── P(i | y) ────────────────────────────────────────────────────────╨───────────────────┴──► i ──► E[x | i, y]
"""

import numpy as np

from ndic_core.errors import NDICError
from ndic_core.theory.density_evolution import needed_rate
from ndic_core.theory.ldpc import LDPC
from ndic_core.theory.wyner_ziv import cell_statistics, conditional_variance

_REACH = 4.5  # half a period of the bins, in standard deviations of x given y: beyond it decoding fails
_RAW = 0.97  # bits whose syndrome would be nearly as long are sent raw


class QuantiserCodec:
    """Codes blocks of x, of variance 1, for a decoder with y, which is x with Gaussian noise.

    First, cells 2^k apart share a bin; y resolves them. Then the bits of the bin's number are coded as syndromes:
    belief propagation uses the distribution of each bit given y and the lower bits. Density evolution on simulated
    pairs determines the number of checks of each bit when the codec is constructed; the encoder never uses y.

    Source: S. Pradhan and K. Ramchandran, IEEE Trans. Inf. Theory 49, 2003 (cosets of a quantiser); Z. Liu, S. Cheng,
    A. Liveris and Z. Xiong, "Slepian–Wolf coded nested lattice quantization for Wyner–Ziv coding", IEEE Trans. Inf.
    Theory 52, 2006 (syndromes on top).

    Args:
        step: width of the cells, in standard deviations of x.
        noise: variance of y's noise.
        length: samples of a block.
        margin: checks per bit beyond those of density evolution, since blocks are finite.

    Attributes:
        rates: checks per sample for each bit of the bin's number, lowest bit first; 1 where the bit is sent raw.

    Raises:
        NDICError: a step or noise that is not above 0, or infinite; too short blocks (see `LDPC`).
    """

    def __init__(self, step: float, noise: float, length: int = 10_000, margin: float = 0.03):
        if not (0 < step < np.inf and 0 < noise < np.inf):
            raise NDICError(f"step and noise must be above 0 and finite, not {step} and {noise}")
        self.step, self.noise, self.length = step, noise, length
        self.variance = conditional_variance(noise)
        planes = max(1, int(np.ceil(np.log2(2 * _REACH * np.sqrt(self.variance) / step))))

        rng = np.random.default_rng(0)
        x = rng.normal(size=(1, 20_000))
        index = self.index(x)
        y = x + rng.normal(scale=noise**0.5, size=x.shape)
        self.rates, self.codes = [], []
        for plane in range(planes):
            ratios = (1 - 2 * (index >> plane & 1)) * self._ratios(*self._candidates(y, plane, index), plane)
            rate = needed_rate(ratios.ravel(), population=10_000) + margin
            checks = round(rate * length)
            self.codes.append(LDPC(length, checks) if rate < _RAW else None)
            self.rates.append(checks / length if rate < _RAW else 1.0)

    def index(self, x: np.ndarray) -> np.ndarray:
        """The index of the cell of each x."""
        return np.rint(np.asarray(x) / self.step).astype(np.int64)

    def encode(self, x: np.ndarray) -> bytes:
        """Encode blocks of x, (B, length), to bytes."""
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or x.shape[1] != self.length:
            raise NDICError(f"x must have shape (B, {self.length}), not {x.shape}")
        bits = [(self.index(x) >> plane & 1).astype(np.uint8) for plane in range(len(self.codes))]
        sent = [bit if code is None else code.syndrome(bit) for bit, code in zip(bits, self.codes, strict=True)]
        return np.packbits(np.concatenate(sent, axis=1)).tobytes()

    def decode(self, stream: bytes, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode bytes with y, (B, length), to x_hat, and whether each block has the right syndromes, (B,)."""
        index, solved = self.decode_index(stream, y)
        _, mean, _ = cell_statistics(index, self._mean(y), self.variance, self.step)
        return mean, solved

    def decode_index(self, stream: bytes, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `decode`, but to the indices of the cells, (B, length)."""
        y = np.asarray(y, dtype=float)
        if y.ndim != 2 or y.shape[1] != self.length:
            raise NDICError(f"y must have shape (B, {self.length}), not {y.shape}")
        widths = [self.length if code is None else code.checks for code in self.codes]
        if len(stream) != -(-len(y) * sum(widths) // 8):
            raise NDICError(f"{len(stream)} bytes are not a stream of {len(y)} blocks of this codec")
        sent = np.unpackbits(np.frombuffer(stream, np.uint8))[: len(y) * sum(widths)].reshape(len(y), -1)
        sent = np.split(sent, np.cumsum(widths)[:-1], axis=1)
        known, solved = np.zeros(y.shape, dtype=np.int64), np.ones(len(y), dtype=bool)
        for plane, (part, code) in enumerate(zip(sent, self.codes, strict=True)):
            bit, right = part, True
            if code is not None:
                bit, right = code.decode(part, self._ratios(*self._candidates(y, plane, known), plane))
            known += bit.astype(np.int64) << plane
            solved &= right
        candidates, share = self._candidates(y, len(self.codes), known)
        return np.take_along_axis(candidates, share.argmax(-1)[..., None], -1)[..., 0], solved

    def _candidates(self, y: np.ndarray, planes: int, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells around E[x | y], (B, length, cells), and their unnormalised probabilities.

        These are 0 where the lowest `planes` bits differ from the known number.
        """
        mean = self._mean(y)[..., None]
        reach = int(np.ceil(2 * _REACH * np.sqrt(self.variance) / self.step)) + 1
        candidates = self.index(mean) + np.arange(-reach, reach + 1)
        share, _, _ = cell_statistics(candidates, mean, self.variance, self.step)
        return candidates, share * ((candidates - known[..., None]) % 2**planes == 0)

    @staticmethod
    def _ratios(candidates: np.ndarray, share: np.ndarray, plane: int) -> np.ndarray:
        """log P(0) / P(1) of one bit of the number."""
        one = candidates >> plane & 1
        zeros, ones = (share * (1 - one)).sum(-1), (share * one).sum(-1)
        return np.log(np.maximum(zeros, 1e-12)) - np.log(np.maximum(ones, 1e-12))

    def _mean(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(y) / (1 + self.noise)

"""Range coder: CompressAI's rANS with a compact state, safe for untrusted input.

All latents of an image share one stream, so that the 64-bit state of the coder (rANS, Duda 2013) is stored once.
Symbols are read in the order in which they were written.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models._compressai import BufferedRansEncoder, RansDecoder

PRECISION = 16  # bits of the coder's probabilities
MAX_SYMBOL = 2**24  # integers up to here are exact in float32
_AT_A_TIME = 2**20  # symbols that are Python numbers at a time, to save memory
_STATE_BYTES = 8
_LONGEST_SYMBOL = 8  # bytes; 16 bits to escape, one group for the count and seven for the value make 6
_MIN_STATE_BYTES = 5  # of 5 to 8; the payload's length modulo 4 determines how many


@dataclass(frozen=True)
class Tables:
    """Cumulative distributions of a coder; each symbol selects one by its index.

    Attributes:
        cdfs: a row per distribution, from 0 to 2**16, strictly increasing. The last interval is the
            escape for values outside the table, which follow in plain bits.
        offsets: the value of each row's first interval.
    """

    cdfs: list[list[int]]
    offsets: list[int]

    @property
    def sizes(self) -> list[int]:
        return [len(cdf) for cdf in self.cdfs]

    def shares(self) -> list[dict[int, tuple[int, int]]]:
        """For each row, what each value owns of 0 to 2**16: the first number, and how many. Without the escape.

        Example:
            >>> Tables([[0, 30000, 60000, 65536]], [-1]).shares()
            [{-1: (0, 30000), 0: (30000, 30000)}]
        """
        rows = [enumerate(pairwise(cdf[:-1]), offset) for cdf, offset in zip(self.cdfs, self.offsets, strict=True)]
        return [{value: (start, end - start) for value, (start, end) in row} for row in rows]

    def cheapest_bits(self) -> Tensor:
        """Bits of the likeliest symbol of each row, shape (rows,)."""
        widest = [max(b - a for a, b in pairwise(cdf)) for cdf in self.cdfs]
        return PRECISION - torch.tensor(widest, dtype=torch.float64).log2()


class SymbolEncoder:
    """Collects integers, then writes them as one string of bytes.

    Example:
        >>> import torch
        >>> tables = Tables([[0, 30000, 60000, 65536]], [0])  # P(0) = P(1) = 0.46, else outside
        >>> encoder = SymbolEncoder()
        >>> symbols = torch.tensor([0, 1, 1, 0, 700, -3])
        >>> encoder.put(symbols, torch.zeros(6, dtype=torch.int32), tables)
        >>> payload = encoder.finish()
        >>> SymbolDecoder(payload, 6).take(torch.zeros(6, dtype=torch.int32), tables).tolist()
        [0.0, 1.0, 1.0, 0.0, 700.0, -3.0]
    """

    def __init__(self):
        self._encoder = BufferedRansEncoder()

    def put(self, symbols: Tensor, indexes: Tensor, tables: Tables) -> None:
        """Append integer `symbols`, each coded with the table row named in `indexes` (same shape).

        Raises:
            NDICError: a symbol is not finite or larger than 2**24 in magnitude.
        """
        if not bool((symbols.abs() <= MAX_SYMBOL).all()):  # NaN fails the comparison too
            raise NDICError("the latents of this image overflow; these weights cannot code it")
        values = symbols.flatten().to("cpu", torch.int32)
        for some, rows in zip(values.split(_AT_A_TIME), indexes.flatten().split(_AT_A_TIME), strict=True):
            self._encoder.encode_with_indexes(some.tolist(), rows.tolist(), tables.cdfs, tables.sizes, tables.offsets)

    def finish(self) -> bytes:
        """The payload. Its first 5 to 8 bytes are the coder's state without its leading zeros."""
        # The coder's buffer has the size of the number of symbols, and overflows with fewer than three of them: a few
        # unused symbols at the end enlarge it.
        spare = Tables([[0, 65534, 65535, 65536]], [0])
        self._encoder.encode_with_indexes([0] * 4, [0] * 4, spare.cdfs, spare.sizes, spare.offsets)
        stream = self._encoder.flush()
        state = stream[:_STATE_BYTES].rstrip(b"\0").ljust(_MIN_STATE_BYTES, b"\0")
        return state + stream[_STATE_BYTES:]


class SymbolDecoder:
    """Reads back, in the order of writing, what a `SymbolEncoder` wrote.

    Args:
        payload: bytes from `SymbolEncoder.finish`, or untrusted ones.
        count: number of symbols that will be read.
    """

    def __init__(self, payload: bytes, count: int):
        if len(payload) < _MIN_STATE_BYTES:
            raise NDICError("the stream's payload is too short to hold any image")
        if len(payload) > _LONGEST_SYMBOL * count + 2 * _STATE_BYTES:
            raise NDICError("the stream's payload is longer than any image of the size in its header")
        kept = state_bytes(payload)
        stream = payload[:kept].ljust(_STATE_BYTES, b"\0") + payload[kept:]
        self._decoder = RansDecoder()
        self._decoder.set_stream(stream + bytes(overrun(count, len(stream))))

    def take(self, indexes: Tensor, tables: Tables) -> Tensor:
        """The next symbols, float32 in the shape of `indexes` (rows of `tables`).

        Raises:
            NDICError: a symbol is larger than 2**24 in magnitude.
        """
        found = []
        for rows in indexes.flatten().split(_AT_A_TIME):
            values = self._decoder.decode_stream(rows.tolist(), tables.cdfs, tables.sizes, tables.offsets)
            symbols = torch.tensor(values, dtype=torch.int64)
            if symbols.numel() and int(symbols.abs().max()) > MAX_SYMBOL:
                raise NDICError("the stream's payload is damaged: it has values that no encoder writes")
            found.append(symbols.to(torch.float32))
        return torch.cat(found).reshape(indexes.shape)


def state_bytes(payload: bytes) -> int:
    """Number of bytes at the start of a payload that are the coder's state, 5 to 8; the others are words of 4 bytes.

    Example:
        >>> state_bytes(bytes(485))
        5
    """
    return _MIN_STATE_BYTES + (len(payload) - _MIN_STATE_BYTES) % 4


def overrun(count: int, length: int) -> int:
    """Upper bound of the bytes that the range coder reads beyond a stream of `length` bytes for `count` symbols.

    It does not check for the end of its input, so this many zeros must follow. After an escape, groups of four bits
    give the number of groups of the value; a group of ones adds 15 and is followed by another. Groups from the
    stream itself can give 15 times its length. Beyond the stream, zeros enter below the rest of the 63-bit state: at
    most 9 groups of ones follow each other, then at most 149 groups of the value; with the symbol itself these are 22
    words of 4 bytes, for every symbol.
    """
    return 96 * count + 16 * length + 256


def fewest_bytes(bits: float) -> int:
    """Lower bound of the length of a payload with `bits` of information, with a margin for the coder's rounding."""
    return max(_MIN_STATE_BYTES, math.floor(0.98 * bits / 8) - _STATE_BYTES)

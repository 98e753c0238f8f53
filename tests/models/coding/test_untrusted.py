"""Damaged and forged files: a clear error, or an image of the size in the header, and nothing else."""

import copy
import functools
import math
import random
import zlib

import pytest
import torch
from conftest import lively
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ndic_core as ndic
from ndic_core.models.coding.container import unpack
from ndic_core.models.coding.rans import overrun


@functools.cache
def model_and_stream(name):
    """A small model, a side image of 60 × 60 (so that there is padding), and a stream."""
    model = lively(name, num_filters=4)
    x, y = torch.rand(2, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    return model, y, ndic.encode(model, x)


def sealed(body: bytes) -> bytes:
    """With a correct checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


# In one to four places: where, how many bytes are removed, what is inserted there.
EDITS = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.sampled_from([0, 1, 8, 10**6]),
        st.binary(max_size=8) | st.binary(min_size=8, max_size=8).map(lambda run: run * 100),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, edits) -> bytes:
    for place, removed, inserted in edits:
        at = place % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    return data


def survives(model, stream, y):
    """An image within bounds, or an error of one sentence."""
    try:
        x_hat = ndic.decode(model, stream, y)
    except ndic.NDICError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    header, _ = unpack(stream)
    assert x_hat.shape == (3, header.height, header.width)
    assert ((x_hat >= 0) & (x_hat <= 1)).all()


several = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = ["bls17", "ndic_bmshj18", "cross_attention", "parallax_attention"]  # of each prior and alignment


@several
@given(edits=EDITS)
def test_damaged_files_are_refused(edits):
    """The checksum finds any damage."""
    model, y, stream = model_and_stream("ndic_bmshj18")
    bent = damaged(stream, edits)
    assume(bent != stream)
    with pytest.raises(ndic.NDICError) as caught:
        ndic.decode(model, bent, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", KINDS)
@several
@given(edits=EDITS, whole=st.booleans())
def test_forged_files_cannot_crash(name, edits, whole):
    """With a correct checksum the coder reads hostile bytes: an error, or an image within bounds."""
    model, y, stream = model_and_stream(name)
    head = 0 if whole else 8  # damage everything, or the payload only
    survives(model, sealed(stream[:head] + damaged(stream[head:-4], edits)), y)


@pytest.mark.parametrize("name", ["bls17", "ndic_bmshj18"])
@pytest.mark.parametrize("byte", [0x00, 0xFF, 0xF0, 0x55])
def test_runs_of_one_byte_end(name, byte):
    """The coder's escape codes ask for the largest number of bits: decoding still ends, within bounds."""
    model, y, stream = model_and_stream(name)
    for length in (5, 64, 3000):
        survives(model, sealed(stream[:8] + bytes([byte]) * length), y)


def test_giant_images_are_refused_before_memory_is_taken():
    """41 bytes cannot hold 16 megapixels, and no memory is allocated for them."""
    model, _, stream = model_and_stream("bls17")
    for size, sentence in [
        ([0x80, 0x20] * 2, "too short for an image of the size in its header"),  # 4096 × 4096
        ([0xFF, 0x3F] * 2, "from 1 to 16777216 pixels can be coded"),  # 8191 × 8191
        ([0x01, 0x80, 0x80, 0x80, 0x04], "1 × 8388608, padded for bls17, is 16 × 8388608 pixels"),
    ]:
        with pytest.raises(ndic.NDICError, match=sentence):
            ndic.decode(model, sealed(stream[:6] + bytes(size) + bytes(27)))


def test_longer_payloads_than_any_encoder_writes_are_refused():
    model, y, stream = model_and_stream("ndic_bls17")
    with pytest.raises(ndic.NDICError, match="longer than any image of the size in its header"):
        ndic.decode(model, sealed(stream[:-4] + bytes([0xFF]) * 100_000), y)


class SimulatedDecoder:
    """CompressAI's range decoder in Python integers, counting the words that it reads."""

    def __init__(self, stream: bytes):
        self.words = [int.from_bytes(stream[i : i + 4], "little") for i in range(0, len(stream), 4)]
        self.read = 2
        self.state = self.words[0] | self.words[1] << 32

    def renormalise(self):
        if self.state < 2**31:
            self.state = self.state << 32 | (self.words[self.read] if self.read < len(self.words) else 0)
            self.read += 1

    def bits(self) -> int:
        value, self.state = self.state & 15, self.state >> 4
        self.renormalise()
        return value

    def take(self, cdf: list[int]) -> int:
        """Words read so far, after one symbol."""
        low = self.state & 0xFFFF
        symbol = next(i for i, edge in enumerate(cdf) if edge > low) - 1
        self.state = (cdf[symbol + 1] - cdf[symbol]) * (self.state >> 16) + low - cdf[symbol]
        self.renormalise()
        if symbol == len(cdf) - 2:
            groups = value = self.bits()
            while value == 15:
                value = self.bits()
                groups += value
            for _ in range(groups):
                self.bits()
        return self.read


@settings(max_examples=100, deadline=None)
@given(
    stream=st.binary(min_size=8, max_size=40).map(lambda s: s[: len(s) // 4 * 4])
    | st.integers(2, 60).map(lambda n: b"\xff" * 4 * n),
    edges=st.lists(
        st.lists(st.integers(1, 65535), min_size=1, max_size=3, unique=True).map(sorted), min_size=1, max_size=40
    ),
)
def test_what_follows_a_stream_suffices(stream, edges):
    """With any stream and tables the coder reads no further than `overrun`."""
    decoder = SimulatedDecoder(stream)
    for count, row in enumerate(edges, 1):
        assert 4 * decoder.take([0, *row, 65536]) <= len(stream) + overrun(count, len(stream))


def test_what_follows_a_stream_suffices_against_chosen_tables():
    """Hostile weights can choose the table of every symbol: a greedy choice maximises what the coder reads."""
    decoder = SimulatedDecoder(bytes([255] * 7 + [127]))
    symbols = random.Random(0)
    for count in range(1, 81):
        low = decoder.state & 0xFFFF  # a last interval that starts at or below this is the escape
        if low == 0:
            decoder.take([0, 65535, 65536])
            continue
        best = None
        for start in {1, low, *(symbols.randint(1, low) for _ in range(100))}:
            trial = copy.copy(decoder)
            trial.take([0, start, 65536])
            score = trial.read + math.log2(65536 - start)  # words taken, and information left to take more with
            if best is None or score > best[0]:
                best = score, trial
        decoder = best[1]
        assert 4 * decoder.read <= 8 + overrun(count, 8)
    assert decoder.read > 1.3 * count  # the attack is effective: no real stream needs a word for each symbol

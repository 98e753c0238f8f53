"""Thousands of damaged and hostile files: a clear error, or an image of the size in its header, and nothing else."""

import copy
import math
import random
import zlib

import pytest
import torch
from conftest import lively
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ndic_core as ndic
from ndic_core.models.coding.container import unpack
from ndic_core.models.coding.rans import overrun

EXAMPLES = 250  # per test and model: 3,000 files in all
MODELS = {}


def model_and_stream(name):
    """A small model, a pair of 60 × 60 (so that there is padding), its stream and its reconstruction."""
    if name not in MODELS:
        model = lively(name, num_filters=4)
        x, y = torch.rand(2, 3, 60, 60, generator=torch.Generator().manual_seed(0))
        stream = ndic.encode(model, x)
        MODELS[name] = model, y, stream, ndic.decode(model, stream, y)
    return MODELS[name]


@st.composite
def mutations(draw):
    """A function that damages bytes in one to four places."""
    kinds = st.sampled_from(["flip", "set", "cut", "insert", "swap", "zero", "append"])
    steps = draw(
        st.lists(st.tuples(kinds, st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)
    )

    def damage(data: bytes) -> bytes:
        for kind, place, extra in steps:
            at = place % max(1, len(data))
            if kind == "flip" and data:
                data = data[:at] + bytes([data[at] ^ 1 << extra[0] % 8]) + data[at + 1 :]
            elif kind == "set":
                data = data[:at] + extra + data[at + len(extra) :]
            elif kind == "cut":
                data = data[:at]
            elif kind == "insert":
                data = data[:at] + extra + data[at:]
            elif kind == "swap":
                data = data[at:] + data[:at]
            elif kind == "zero":
                data = data[:at] + bytes(len(data) - at)
            elif kind == "append":
                data += extra * 100
        return data

    return damage


def survives(model, stream, y):
    """An image within bounds, or one sentence."""
    try:
        x_hat = ndic.decode(model, stream, y)
    except ndic.NDICError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    header, _ = unpack(stream)
    assert x_hat.shape == (3, header.height, header.width)
    assert ((x_hat >= 0) & (x_hat <= 1)).all()


several = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", ndic.MODELS)
@several
@given(damage=mutations())
def test_damaged_files_are_refused(name, damage):
    """The checksum finds any damage."""
    model, y, stream, _ = model_and_stream(name)
    damaged = damage(stream)
    if damaged == stream:
        return
    with pytest.raises(ndic.NDICError) as caught:
        ndic.decode(model, damaged, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ndic.MODELS)
@several
@given(damage=mutations(), whole=st.booleans())
def test_forged_files_cannot_crash(name, damage, whole):
    """With a correct checksum the coder reads hostile bytes: an error, or an image within bounds."""
    model, y, stream, _ = model_and_stream(name)
    head = 0 if whole else 8  # damage everything, or the payload only
    body = stream[:head] + damage(stream[head:-4])
    forged = body + zlib.crc32(body).to_bytes(4, "little")
    survives(model, forged, y)


@pytest.mark.parametrize("name", ndic.MODELS)
@pytest.mark.parametrize("byte", [0x00, 0xFF, 0xF0, 0x55])
def test_runs_of_one_byte_end(name, byte):
    """The coder's escape codes ask for the largest number of bits: decoding still ends, within bounds."""
    model, y, stream, _ = model_and_stream(name)
    for length in (5, 64, 3000):
        body = stream[:8] + bytes([byte]) * length
        forged = body + zlib.crc32(body).to_bytes(4, "little")
        survives(model, forged, y)


def test_giant_images_are_refused_before_memory_is_taken():
    """41 bytes cannot hold 16 megapixels, and no memory is allocated for them."""
    model, _, stream, _ = model_and_stream("bls17")
    for size, sentence in [
        ([0x80, 0x20] * 2, "too short for an image of the size in its header"),  # 4096 × 4096
        ([0xFF, 0x3F] * 2, "from 1 to 16777216 pixels can be coded"),  # 8191 × 8191
        ([0x01, 0x80, 0x80, 0x80, 0x04], "1 × 8388608, padded for bls17, is 16 × 8388608 pixels"),
    ]:
        body = stream[:6] + bytes(size) + bytes(27)
        with pytest.raises(ndic.NDICError, match=sentence):
            ndic.decode(model, body + zlib.crc32(body).to_bytes(4, "little"))


def test_longer_payloads_than_any_encoder_writes_are_refused():
    model, y, stream, _ = model_and_stream("ndic_bls17")
    body = stream[:-4] + bytes([0xFF]) * 100_000
    with pytest.raises(ndic.NDICError, match="longer than any image of the size in its header"):
        ndic.decode(model, body + zlib.crc32(body).to_bytes(4, "little"), y)


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


@settings(max_examples=300, deadline=None)
@given(
    stream=st.binary(min_size=8, max_size=40).map(lambda s: s[: len(s) // 4 * 4])
    | st.integers(2, 60).map(lambda n: b"\xff" * 4 * n),
    edges=st.lists(
        st.lists(st.integers(1, 65535), min_size=1, max_size=3, unique=True).map(sorted), min_size=1, max_size=40
    ),
)
def test_what_follows_a_stream_suffices(stream, edges):
    """Whatever the stream and the tables, the coder stays within the zeros allocated for it."""
    decoder = SimulatedDecoder(stream)
    for count, row in enumerate(edges, 1):
        assert 4 * decoder.take([0, *row, 65536]) <= len(stream) + overrun(count, len(stream))


def test_the_undamaged_file_decodes():
    for name in ndic.MODELS:
        model, y, stream, x_hat = model_and_stream(name)
        assert torch.equal(ndic.decode(model, stream, y), x_hat)


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

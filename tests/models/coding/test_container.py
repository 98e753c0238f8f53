"""The header: what is written is read, and every field is checked."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndic_core import MODELS, NDICError
from ndic_core.models.coding.container import MAX_PIXELS, Header, fields, pack, unpack

headers = st.builds(
    Header,
    model=st.sampled_from(MODELS),
    fingerprint=st.binary(min_size=3, max_size=3),
    height=st.integers(1, 4096),
    width=st.integers(1, 4096),
    level=st.none() | st.integers(0, 255),
)


def test_layout_is_as_documented():
    stream = pack(Header("cross_attention", b"\x01\x02\x03", 128, 255, 7), b"PAYLOAD")
    assert stream[:2] == b"ND"
    assert stream[2] == 0b001_1_0101  # version 1, a level follows, model 5
    assert stream[3:6] == b"\x01\x02\x03"
    assert stream[6:8] == bytes([0x80, 1])  # 128
    assert stream[8:10] == bytes([0xFF, 1])  # 255
    assert stream[10] == 7
    assert stream[11:18] == b"PAYLOAD"
    assert stream[18:] == zlib.crc32(stream[:18]).to_bytes(4, "little")


@given(headers, st.binary(max_size=50))
def test_round_trip_and_fields(header, payload):
    stream = pack(header, payload)
    assert unpack(stream) == (header, payload)
    assert len(stream) - len(payload) <= 15
    parts = fields(stream)
    assert b"".join(part.content for part in parts) == stream
    assert all(stream[part.start :].startswith(part.content) for part in parts)
    found = {part.name: part for part in parts}
    assert len(found) == len(parts) == 8 - (header.level is None)
    assert found["payload"].content == payload
    assert found["height"].meaning == f"{header.height} pixels"


def test_fields_of_numbers_written_longer_than_need_be():
    stream = sealed(b"ND" + bytes([1 << 5]) + b"abc" + b"\x85\x80\x00" + b"\x05" + b"payload")
    assert [part.content for part in fields(stream)[3:6]] == [b"\x85\x80\x00", b"\x05", b"payload"]


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not an .ndic file"),
        (pack(Header("bls17", bytes(3), 5, 5), bytes(9))[:-1], "truncated or damaged"),
        (sealed(b"ND" + bytes([2 << 5]) + bytes(12)), "format version 2; this release reads version 1"),
        (sealed(b"ND" + bytes([1 << 5 | 15]) + bytes(3) + b"\x05\x05" + bytes(9)), "model number 15"),
        (sealed(b"ND" + bytes([1 << 5]) + bytes(3) + b"\xff" * 9), "impossible image size"),
        (sealed(b"ND" + bytes([1 << 5]) + bytes(3) + b"\x00\x05" + bytes(9)), "0 × 5 pixels"),
        (sealed(b"ND" + bytes([1 << 5 | 1 << 4]) + bytes(3) + b"\x05\x05"), "ends within its header"),
    ],
)
def test_bad_headers(stream, sentence):
    with pytest.raises(NDICError, match=sentence):
        unpack(stream)


def test_too_large_an_image_is_refused_when_writing():
    with pytest.raises(NDICError, match="pixels can be coded"):
        pack(Header("bls17", bytes(3), MAX_PIXELS, 2), b"")

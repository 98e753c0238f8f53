"""The `.ndic` file format: a compact header, the range-coded payload, a checksum.

| bytes  | content |
|--------|------|
| 2      | `ND` |
| 1      | format version (3 bits), whether a rate level follows (1 bit), model (4 bits) |
| 3      | fingerprint of the weights: first bytes of a SHA-256 over configuration, weights and coding tables |
| 1 to 4 | height of the image, 7 bits a byte, lowest first, high bit set where more follow |
| 1 to 4 | width, likewise |
| 0 or 1 | rate level of a variable-rate model, 0 (its lowest lambda) to 255 (its highest), in equal ratios |
| n      | payload |
| 4      | CRC-32 of everything before, least byte first |

Padding and tiles follow from the image's size and the model; the decoder removes the padding. Nothing here needs
PyTorch. A stream is untrusted input: for any bytes, `unpack` returns a header within bounds or raises `NDICError`.
"""

import zlib
from dataclasses import dataclass

from ndic_core.catalogue import CATALOGUE
from ndic_core.errors import NDICError

MAGIC = b"ND"
VERSION = 1
FINGERPRINT_BYTES = 3
MAX_PIXELS = 2**24  # 16.8 megapixels, padding included; more is refused when writing and when reading
_CRC_BYTES = 4
_SHORTEST = len(MAGIC) + 1 + FINGERPRINT_BYTES + 2 + _CRC_BYTES
_NAMES = {info.code: name for name, info in CATALOGUE.items()}


@dataclass(frozen=True)
class Header:
    """What the decoder needs before the first symbol.

    Attributes:
        model: name of the model, one of `ndic_core.MODELS`.
        fingerprint: first three bytes of the weights' fingerprint.
        height, width: of the original image, in pixels, before any padding.
        level: rate level of a variable-rate model, 0 to 255; None for single-rate weights.
    """

    model: str
    fingerprint: bytes
    height: int
    width: int
    level: int | None = None


@dataclass(frozen=True)
class Field:
    """Some bytes of a file, from byte `start` of it, and their meaning in words."""

    name: str
    start: int
    content: bytes
    meaning: str


def pack(header: Header, payload: bytes) -> bytes:
    """The bytes of a file.

    Raises:
        NDICError: the image has more than 2**24 pixels.

    Example:
        >>> stream = pack(Header("bls17", bytes(3), height=128, width=256), b"payload")
        >>> len(stream), stream[:2]
        (21, b'ND')
        >>> unpack(stream)
        (Header(model='bls17', fingerprint=b'\\x00\\x00\\x00', height=128, width=256, level=None), b'payload')
    """
    check_size(header.height, header.width, "this image")
    leveled = header.level is not None
    body = MAGIC + bytes([VERSION << 5 | leveled << 4 | CATALOGUE[header.model].code])
    body += header.fingerprint + _varint(header.height) + _varint(header.width)
    body += bytes([header.level]) if leveled else b""
    body += payload
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def unpack(stream: bytes) -> tuple[Header, bytes]:
    """Header and payload of a file's bytes.

    Raises:
        NDICError: the bytes are no `.ndic` file, of a newer version, truncated, damaged or out of bounds.
    """
    if len(stream) < _SHORTEST or not stream.startswith(MAGIC):
        raise NDICError("this is not an .ndic file: encode an image with `ndic encode` to make one")
    version = stream[2] >> 5
    if version != VERSION:
        raise NDICError(f"this .ndic file has format version {version}; this release reads version {VERSION}")
    body, crc = stream[:-_CRC_BYTES], stream[-_CRC_BYTES:]
    if zlib.crc32(body).to_bytes(_CRC_BYTES, "little") != crc:
        raise NDICError("this .ndic file is truncated or damaged (its checksum fails): get it again from its source")
    code, leveled = stream[2] & 15, stream[2] >> 4 & 1
    if code not in _NAMES:
        raise NDICError(f"this .ndic file was made by model number {code}, which this release does not have")
    start = 3 + FINGERPRINT_BYTES
    fingerprint = body[3:start]
    height, start = _read_varint(body, start)
    width, start = _read_varint(body, start)
    check_size(height, width, "the image in this .ndic file")
    level = None
    if leveled:
        if start >= len(body):
            raise NDICError("this .ndic file ends within its header")
        level, start = body[start], start + 1
    return Header(_NAMES[code], fingerprint, height, width, level), body[start:]


def fields(stream: bytes) -> list[Field]:
    """The fields of a file, in order; errors as of `unpack`.

    Example:
        >>> stream = pack(Header("bls17", bytes(3), height=128, width=256), b"payload")
        >>> [(field.name, field.content.hex(" "), field.meaning) for field in fields(stream)][3:5]
        [('height', '80 01', '128 pixels'), ('width', '80 02', '256 pixels')]
    """
    header, payload = unpack(stream)
    leveled = header.level is not None
    height = 3 + FINGERPRINT_BYTES
    _, width = _read_varint(stream, height)
    crc = len(stream) - _CRC_BYTES
    body = crc - len(payload)
    follows = "a rate level follows" if leveled else "no rate level"
    model = f"version {VERSION}; {follows}; model {CATALOGUE[header.model].code}, {header.model}"
    starts = [
        ("magic", 0, "this is an .ndic file"),
        ("version, flag, model", len(MAGIC), model),
        ("fingerprint", 3, "of the weights"),
        ("height", height, f"{header.height} pixels"),
        ("width", width, f"{header.width} pixels"),
        *([("level", body - 1, f"rate {header.level} of 0 to 255")] if leveled else []),
        ("payload", body, "the latent, as the range coder wrote it"),
        ("checksum", crc, "CRC-32 of everything before, least byte first"),
    ]
    ends = [*(start for _, start, _ in starts[1:]), len(stream)]
    return [Field(name, start, stream[start:end], why) for (name, start, why), end in zip(starts, ends, strict=True)]


def check_size(height: int, width: int, what: str) -> None:
    """Raise `NDICError` unless an image of this size, with its padding, can be coded."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise NDICError(f"{what} is {height} × {width} pixels; from 1 to {MAX_PIXELS} pixels can be coded")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_varint(body: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and the start of the next field."""
    value = 0
    for i, byte in enumerate(body[start : start + 4]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, start + i + 1
    raise NDICError("this .ndic file's header has an impossible image size")

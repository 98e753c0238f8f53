"""Decoding and encoding of image files, and atomic writes."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ndic_core import NDICError
from ndic_core.io import decode_image, expand_path, image_size, read_image, read_text, write_image, write_whole


def test_png_round_trip_is_exact(tmp_path):
    image = torch.randint(0, 256, (3, 7, 11)) / 255
    write_image(image, tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png"), image)
    assert np.array_equal(decode_image((tmp_path / "a.png").read_bytes()), decode_image(tmp_path / "a.png"))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_modes_become_rgb_unless_they_are_excluded(mode, tmp_path):
    file = tmp_path / "a.tiff"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert(mode).save(file)
    assert read_image(file).shape == (3, 8, 8)
    for decode in (decode_image, image_size):
        with pytest.raises(NDICError, match=rf"a\.tiff has mode {mode}, not RGB or YCbCr: convert it to 8-bit RGB"):
            decode(file, modes=["RGB", "YCbCr"])


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 9])
def test_images_are_turned_upright(extension, orientation, tmp_path):
    """The size in the header is that of the decoded image; an orientation that does not exist is ignored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (64, 32), "red")
    stored.paste("blue", (0, 0, 32, 32))  # the left half; the upper half after a rotation by 90° clockwise
    stored.save(tmp_path / f"a.{extension}", exif=exif)
    size = (64, 32) if orientation == 6 else (32, 64)
    image = read_image(tmp_path / f"a.{extension}")
    assert image.shape == (3, *size)
    assert image_size(tmp_path / f"a.{extension}") == size
    assert image[2, 0, 0].round() == (orientation != 3)
    assert image[2, -1, 0].round() == (orientation not in (3, 6))


def deep_rgb_png(side: int = 2) -> bytes:
    """A PNG file with 16 bits per channel, which Pillow cannot write and reads as 8-bit RGB without a warning."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(2 * (1 + 2 * 6))))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("decode", [read_image, image_size])
def test_sixteen_bits_are_refused(decode, tmp_path):
    (tmp_path / "colour.png").write_bytes(deep_rgb_png())
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "grey.png")
    for name in ("colour", "grey"):
        with pytest.raises(NDICError, match=rf"{name}\.png has more than 8 bits per channel: convert it"):
            decode(tmp_path / f"{name}.png")


def test_files_that_cannot_be_decoded(tmp_path):
    write_image(torch.rand(3, 64, 64), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with pytest.raises(NDICError, match=r"a\.png has more than 4095 pixels: reduce its size"):
        decode_image(tmp_path / "a.png", max_pixels=4095)
    with pytest.raises(NDICError, match="this image has more than 16777216 pixels"):
        decode_image(deep_rgb_png(20_000), name="this image")  # more than Pillow accepts
    with pytest.raises(NDICError, match="this image is truncated or damaged"):
        decode_image(content[: len(content) // 2], name="this image")
    for broken in (b"", content[:10]):
        with pytest.raises(NDICError, match="this image is not an image that Pillow can read"):
            decode_image(broken, name="this image")
    for missing in (tmp_path / "b.png", tmp_path):
        with pytest.raises(NDICError, match=f"{missing} cannot be read: .*; check its name"):
            image_size(missing)


@pytest.mark.parametrize("extension", [".xbm", ".msp", ".grib", ""])
def test_formats_that_cannot_hold_the_image(extension, tmp_path):
    with pytest.raises(NDICError, match=r"use \.png"):
        write_image(torch.rand(3, 4, 4), tmp_path / f"a{extension}")
    assert os.listdir(tmp_path) == []


def test_writing_is_atomic(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_whole(file, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(NDICError, match="No space left"):
        write_whole(file, b"new")
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a"])
    with pytest.raises(NDICError, match="No such file or directory"):
        write_whole(tmp_path / "no" / "a", b"")


def test_links_are_followed_and_devices_are_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(NDICError, match="it is not an ordinary file"):
            write_whole(path, b"new")


@pytest.mark.parametrize("written", ["~/a.png", "$PLACE/a.png", "${PLACE}/a.png", "~/$EMPTY/a.png"])
def test_home_and_environment_variables_are_expanded(written, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE", "PLACE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("EMPTY", "")
    assert expand_path(written) == tmp_path / "a.png"


def test_a_dollar_in_an_existing_name_stays_and_an_unknown_variable_is_refused(tmp_path, monkeypatch):
    (tmp_path / "$PLACE").mkdir()
    monkeypatch.setenv("PLACE", "elsewhere")
    assert expand_path(tmp_path / "$PLACE") == tmp_path / "$PLACE"
    monkeypatch.delenv("PLACE")
    with pytest.raises(NDICError, match="the environment variable PLACE is not set"):
        expand_path("$PLACE/a.png")
    with pytest.raises(NDICError, match="NUL character"):
        expand_path("a\0b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_with_any_byte_order_mark(encoding, tmp_path):
    (tmp_path / "a.csv").write_bytes("Straße,1\r\nc,2\r\n".encode(encoding))
    assert read_text(tmp_path / "a.csv") == "Straße,1\nc,2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nStraße".encode("latin-1"), r"byte 0xdf in line 2, perhaps Latin-1 or Windows-1252\): save it as UTF-8"),
        ("name".encode("utf-16-le"), r"NUL characters, perhaps UTF-16 or no text\): save it as UTF-8"),
        ("name".encode("utf-16")[:-1], "begins as UTF-16-LE but is damaged"),
    ],
)
def test_text_of_another_encoding_is_refused_in_one_line(content, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(NDICError, match=message) as error:
        read_text(tmp_path / "a.csv")
    assert "a.csv" in str(error.value)
    assert "\n" not in str(error.value)

"""Pictures in and out, and writing that is whole or not at all."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ndic_core import NDICError
from ndic_core.io import read_image, write_image, write_whole


def test_png_round_trip_is_exact(tmp_path):
    image = torch.randint(0, 256, (3, 7, 11)) / 255
    write_image(image, tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png"), image)


def test_grey_palette_and_transparent_pictures(tmp_path):
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for mode in ("L", "P", "RGBA", "CMYK", "1", "LA"):
        grey.convert(mode).save(tmp_path / "a.tiff")
        assert read_image(tmp_path / "a.tiff").shape == (3, 8, 8)


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (3, 8, 4)


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(NDICError, match="more than 8 bits a channel"):
        read_image(tmp_path / "a.png")


def test_sixteen_bits_of_colour_are_refused(tmp_path):
    """Pillow reads such a file as 8-bit RGB without a word; made here by hand."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(2 * (1 + 2 * 6))))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGB"
    with pytest.raises(NDICError, match="more than 8 bits a channel"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("ending", [".xbm", ".msp", ".grib", ".hdf", ".xyz", ""])
def test_formats_that_cannot_hold_the_picture(ending, tmp_path):
    with pytest.raises(NDICError, match=r"use \.png"):
        write_image(torch.rand(3, 4, 4), tmp_path / f"a{ending}")
    assert os.listdir(tmp_path) == []


def test_truncated_and_oversized_pictures(tmp_path, monkeypatch):
    write_image(torch.rand(3, 64, 64), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    for length in (100, len(content) // 2):
        (tmp_path / "cut.png").write_bytes(content[:length])
        with pytest.raises(NDICError, match=r"truncated or damaged|no picture"):
            read_image(tmp_path / "cut.png")
    monkeypatch.setattr("ndic_core.io.MAX_PIXELS", 100)
    with pytest.raises(NDICError, match="has 4096 pixels; at most 100"):
        read_image(tmp_path / "a.png")


def test_writing_is_atomic(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_whole(file, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(NDICError, match="No space left"):
        write_whole(file, b"new")
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a"])
    with pytest.raises(NDICError, match="No such file or directory"):
        write_whole(tmp_path / "no" / "a", b"")


def test_links_are_followed_and_devices_left_alone(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(NDICError, match="it is no ordinary file"):
            write_whole(place, b"new")

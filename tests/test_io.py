"""Decoding and encoding of image files."""

import os
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from test_image_checks import deep_rgb_png

from ndic_core import NDICError, io
from ndic_core.io import decode_image, image_size, read_image, write_image


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


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, KeyError, struct.error])
def test_whatever_pillow_raises_is_one_sentence(error):
    def fails(_):
        raise error("no such thing")

    with pytest.raises(NDICError, match=r"^x is truncated or damaged .*no such thing"):
        decode_image(b"", name="x", read_header=fails)


@pytest.mark.parametrize(
    "error", [MemoryError(), *map(RuntimeError, ("DefaultCPUAllocator: not enough memory", "std::bad_alloc"))]
)
def test_not_enough_memory_is_one_sentence(error, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise error

    write_image(torch.rand(3, 500, 1000), tmp_path / "a.png")
    message = r"^there is not enough memory \(10 MB\) to read .*a\.png: close other programs, or reduce its size$"
    with monkeypatch.context() as patch:
        patch.setattr(io, "image_to_tensor", fails)
        with pytest.raises(NDICError, match=message):
            read_image(tmp_path / "a.png")
    if isinstance(error, MemoryError):
        monkeypatch.setattr(Image.Image, "convert", fails)
        with pytest.raises(NDICError, match=message):
            read_image(tmp_path / "a.png")


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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((3, 4, 5), 100, dtype=torch.uint8), r"a tensor \(3, 4, 5\) of uint8: save image / 255$"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), r"of int64: save image / 255$"),
        (torch.zeros(3, 4, 5, dtype=torch.bool), r"of bool: save image.float\(\)$"),
        (
            torch.linspace(0, 255, 60).view(3, 4, 5),
            r"with values from 0 to 255: scale them \(8-bit values: image / 255",
        ),
        (torch.linspace(-1, 1, 60).view(3, 4, 5), r"with values from -1 to 1: scale them .* or clip them"),
        (
            torch.tensor([0, torch.nan, torch.inf]).expand(3, 4, 3),
            r"\(3, 4, 3\) with 24 values that are NaN or infinite",
        ),
        (torch.rand(1, 3, 4, 5), r"\(1, 3, 4, 5\) of float32: save each image of the batch"),
        (torch.rand(4, 5, 3), r"\(4, 5, 3\) of float32: save image.permute\(2, 0, 1\)$"),
        (torch.rand(4, 5), r"\(4, 5\) of float32: save image.expand\(3, -1, -1\)$"),
        (torch.rand(1, 4, 5), r"save image.expand\(3, -1, -1\)$"),
        (torch.rand(4, 4, 5), r"save image\[:3\]$"),
        (torch.rand(3, 0, 5), r"\(3, 0, 5\) of float32$"),
        (torch.rand(2), r"\(2,\) of float32$"),
        (np.zeros((3, 4, 5), np.float32), r"an array \(3, 4, 5\) of float32: save torch.from_numpy\(image\)$"),
        (np.zeros((4, 5, 3), np.uint8), r"save torch.from_numpy\(image\).permute\(2, 0, 1\) / 255$"),
        (Image.new("RGB", (4, 4)), "of type Image$"),
        (None, "of type NoneType$"),
    ],
)
def test_what_is_no_image_is_not_written(image, message, tmp_path):
    start = r"a\.png: an image is a float tensor \(3, H, W\) with values in \[0, 1\], this is .*"
    with pytest.raises(NDICError, match=start + message):
        write_image(image, tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_values_of_decoders_are_clipped(dtype, tmp_path):
    image = torch.linspace(-0.5, 1.5, 60, dtype=dtype).view(3, 4, 5).requires_grad_()
    write_image(image, tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") - image.detach().clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


def test_users_paths_of_images_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", "elsewhere")
    image = torch.rand(3, 4, 5).mul(255).round() / 255
    write_image(image, "~/a.png")
    assert torch.equal(read_image("~/a.png"), image)
    (tmp_path / "$PLACE").mkdir()  # found in a folder, not written by a user
    write_image(image, tmp_path / "$PLACE" / "b.png")
    (tmp_path / "$PLACE" / "b.png").rename(tmp_path / "$NO.png")
    assert torch.equal(read_image(tmp_path / "$NO.png"), image)
    for path in (None, 3):
        with pytest.raises(NDICError, match=f"a path must be a string or a Path; got {type(path).__name__}"):
            read_image(path)


@pytest.mark.parametrize("extension", [".xbm", ".msp", ".grib", ""])
def test_formats_that_cannot_hold_the_image(extension, tmp_path):
    with pytest.raises(NDICError, match=r"use \.png"):
        write_image(torch.rand(3, 4, 4), tmp_path / f"a{extension}")
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_no_image(tmp_path):
    """Reading would wait for a writer."""
    os.mkfifo(tmp_path / "a.png")
    for read in (read_image, image_size):
        with pytest.raises(NDICError, match=r"a\.png is a pipe, not a file: save the image in a file first"):
            read(tmp_path / "a.png")

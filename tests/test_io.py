"""Decoding and encoding of image files."""

import os
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

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


def saved(format: str, image: Image.Image | None = None, **options) -> bytes:
    """An image file as Pillow writes it."""
    (image or Image.new("RGB", (64, 32), "red")).save(buffer := BytesIO(), format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, added: bytes, before: bytes) -> bytes:
    place = png.index(before) - 4
    return png[:place] + added + png[place:]


def deep_rgb_png(side: int = 2, interlaced: bool = False) -> bytes:
    """A PNG file with 16 bits per channel, which Pillow cannot write and reads as 8-bit RGB without a warning."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, interlaced))
    pixels = chunk(b"IDAT", zlib.compress(bytes(2 * (1 + 2 * 6))))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def deep_tiff(
    samples: int, photometric: int, order: str = "<", planar: int = 1, kind: int = 1, bits: int = 16
) -> bytes:
    """A TIFF file of 4 × 4 pixels with more than 8 bits per channel; Pillow writes such files only in grey."""
    tags = [(256, 4), (257, 4), (258, [bits] * samples), (259, 1), (262, photometric), (273, 300), (277, samples)]
    tags += [(278, 4), (279, 2 * bits * samples), (284, planar), (339, [kind] * samples)]
    entries, far = b"", b""
    for tag, value in tags:
        values = value if isinstance(value, list) else [value]
        data = struct.pack(f"{order}{len(values)}H", *values)
        if len(data) > 4:
            data, far = struct.pack(f"{order}I", 200 + len(far)), far + data
        entries += struct.pack(f"{order}HHI", tag, 3, len(values)) + data.ljust(4, b"\0")
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags)) + entries
    return (start.ljust(200, b"\0") + far).ljust(300, b"\0") + bytes(2 * bits * samples)


def ppm(kind: str, highest: int) -> bytes:
    """A PPM or PGM file, binary or as text, that is white."""
    count, header = (16 if kind in ("P2", "P5") else 48), f"{kind}\n# made here\n4 4\n{highest}\n".encode()
    if kind in ("P2", "P3"):
        return header + b" ".join([b"%d" % highest] * count)
    return header + struct.pack(f">{count}{'H' if highest > 255 else 'B'}", *[highest] * count)


def patched(content: bytes, marker: bytes, offset: int, value: int) -> bytes:
    place = content.index(marker) + offset
    return content[:place] + bytes([value]) + content[place + 1 :]


DEEP = {
    "png": deep_rgb_png,
    "interlaced png": lambda: deep_rgb_png(interlaced=True),
    "grey png": lambda: saved("PNG", Image.new("I;16", (4, 4))),
    "tiff": lambda: deep_tiff(3, photometric=2),
    "big-endian tiff": lambda: deep_tiff(3, photometric=2, order=">"),
    "planar tiff": lambda: deep_tiff(3, photometric=2, planar=2),
    "cmyk tiff": lambda: deep_tiff(4, photometric=5),
    "grey tiff": lambda: deep_tiff(1, photometric=1),
    "float tiff": lambda: deep_tiff(1, photometric=1, kind=3, bits=32),
    "ppm 256": lambda: ppm("P6", 256),
    "ppm 65535": lambda: ppm("P6", 65535),
    "text ppm": lambda: ppm("P3", 1023),
    "pgm": lambda: ppm("P5", 4095),
    "text pgm": lambda: ppm("P2", 4095),
    "pfm": lambda: b"Pf 1 1\n-1.0\n" + bytes(4),
    "jp2": lambda: patched(saved("JPEG2000"), b"\xff\x4f\xff\x51", 42, 11),
    "second channel of jp2": lambda: patched(saved("JPEG2000", no_jp2=True), b"\xff\x4f\xff\x51", 45, 15),
    "avif": lambda: patched(saved("AVIF"), b"av1C", 6, 0x4C).replace(b"\x03\x08\x08\x08", b"\x03\x0a\x0a\x0a"),
    "sgi": lambda: saved("SGI", bpc=2),
}


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_are_refused_in_every_kind_of_file(kind):
    if kind == "avif":
        pytest.importorskip("PIL._avif")
    for decode in (decode_image, image_size):
        with pytest.raises(NDICError, match=r"^x has more than 8 bits per channel: convert it to 8-bit RGB$"):
            decode(DEEP[kind](), name="x")


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("highest", [1, 100, 255])
def test_fewer_than_8_bits_are_scaled(kind, highest):
    assert decode_image(ppm(kind, highest)).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("decode", [read_image, image_size])
def test_sixteen_bits_are_refused(decode, tmp_path):
    (tmp_path / "colour.png").write_bytes(deep_rgb_png())
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "grey.png")
    for name in ("colour", "grey"):
        with pytest.raises(NDICError, match=rf"{name}\.png has more than 8 bits per channel: convert it"):
            decode(tmp_path / f"{name}.png")


def xmp(orientation: int) -> bytes:
    return f'<rdf:Description tiff:Orientation="{orientation}" />'.encode()


def exif(orientation: int, kind: int = 3) -> bytes:
    """EXIF data with an orientation of a TIFF type: 2 text, 3 short, 4 long, 11 float."""
    value = str(orientation).encode() if kind == 2 else struct.pack({3: "<H", 4: "<I", 11: "<f"}[kind], orientation)
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x0112, kind, 1) + value.ljust(4, b"\0") + bytes(4)


ORIENTED = {
    "tiff": lambda o: saved("TIFF", tiffinfo={274: o}),
    "lzw tiff": lambda o: saved("TIFF", tiffinfo={274: o}, compression="tiff_lzw"),
    "tiff with xmp": lambda o: saved("TIFF", tiffinfo={700: xmp(o)}),
    "jpeg": lambda o: saved("JPEG", exif=b"Exif\0\0" + exif(o)),
    "jpeg with a long": lambda o: saved("JPEG", exif=b"Exif\0\0" + exif(o, 4)),
    "jpeg with a float": lambda o: saved("JPEG", exif=b"Exif\0\0" + exif(o, 11)),
    "jpeg with xmp": lambda o: saved("JPEG", xmp=xmp(o)),
    "webp with xmp": lambda o: saved("WEBP", xmp=xmp(o)),
    "png": lambda o: saved("PNG", exif=exif(o)),
    "png, at the end": lambda o: with_chunk(saved("PNG"), chunk(b"eXIf", exif(o)), before=b"IEND"),
    "png with xmp": lambda o: with_chunk(
        saved("PNG"), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(o)), before=b"IEND"
    ),
}


@pytest.mark.parametrize("kind", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once(kind, orientation):
    file = ORIENTED[kind](orientation)
    size = (64, 32) if orientation >= 5 else (32, 64)
    image = decode_image(file)
    assert image_size(file) == (image.height, image.width) == size


@pytest.mark.parametrize("metadata", [exif(9), exif(0), exif(6, 2), b"garbage", b"II*\0\xff\xff\xff\x7f", exif(6)[:15]])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_an_invalid_orientation_is_ignored_without_a_warning(metadata, format):
    file = with_chunk(saved("PNG"), chunk(b"eXIf", metadata), before=b"IDAT")
    if format != "PNG":
        file = saved(format, exif=b"Exif\0\0" + metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(file) == (32, 64)
        assert decode_image(file).size == (64, 32)


LONG = zlib.compress(bytes(2_000_000))


@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(("kind", "content"), [(b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")])
def test_long_texts_and_profiles_in_png_files_are_skipped(kind, content, place):
    file = with_chunk(saved("PNG"), chunk(kind, content + LONG), place)
    assert image_size(file) == (32, 64)
    assert decode_image(file).tobytes() == decode_image(saved("PNG")).tobytes()


def test_a_long_text_that_may_state_the_orientation_is_no_damage():
    file = with_chunk(saved("PNG"), chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG), b"IDAT")
    with pytest.raises(NDICError, match=r"^x has a text of more than 1 MB: save it without metadata$"):
        image_size(file, name="x")


def test_transparency_is_dropped_without_a_warning(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png", transparency=bytes([255, 10]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(tmp_path / "a.png").getextrema() == ((255, 255), (0, 0), (0, 0))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(format):
    file = saved(format, save_all=True, append_images=[Image.new("RGB", (64, 32), "blue")])
    for decode in (decode_image, image_size):
        with pytest.raises(
            NDICError, match=r"^x has several frames or pages: save the one to use as a file of its own"
        ):
            decode(file, name="x")
    assert image_size(saved(format)) == (32, 64)


def test_the_second_view_of_a_camera_is_no_frame():
    assert image_size(saved("MPO", save_all=True, append_images=[Image.new("RGB", (64, 32))])) == (32, 64)


def test_modes_that_cannot_become_rgb():
    with pytest.raises(NDICError, match=r"^x has mode LAB: convert it to 8-bit RGB$"):
        decode_image(saved("TIFF", Image.new("LAB", (4, 4))), name="x")


@pytest.mark.parametrize(
    ("format", "content"),
    [("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"), ("HDF5", b"\x89HDF\r\n\x1a\n")],
)
def test_formats_for_other_programs_are_not_called_damaged(format, content):
    with pytest.raises(NDICError, match=f"^x is a file of format {format}, whose pixels Pillow cannot read: convert"):
        decode_image(content, name="x")


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

"""What is checked of image files: bits per channel, orientation, metadata, frames, formats."""

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ndic_core import NDICError
from ndic_core.io import decode_image, image_size, read_image


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

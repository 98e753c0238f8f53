"""Classical image codecs: JPEG, JPEG 2000, WebP and AVIF through Pillow, HEVC intra through pillow-heif.

Rates are measured on whole files. The header is expensive for a small image: at 128 × 256 pixels 100 bytes are 0.024
bits per pixel. JPEG, WebP and AVIF hardly get below 0.2 bits per pixel there at any quality; JPEG 2000 does. Encoder
options favour the codec as long as the encoder stays fast: optimised Huffman tables, WebP's slowest search, JPEG 2000
as a bare codestream in YCbCr, which Pillow omits by default (3 to 5 dB at these rates), x265 tuned for PSNR.

HEVC intra is the content of BPG files, the usual anchor in papers on distributed image compression; a HEIF file spends
some 400 bytes on its container. It is available where pillow-heif is installed (`pip install pillow-heif`).
"""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from numbers import Real
from typing import BinaryIO

from PIL import Image, __version__, features
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.evaluation.evaluate import averages
from ndic_core.evaluation.roundtrip import measure
from ndic_core.io import decode_image, image_to_tensor
from ndic_core.models.codec import check_image


@dataclass(frozen=True)
class ClassicalCodec:
    """One codec as Pillow offers it.

    Attributes:
        format: its name in Pillow.
        feature: Pillow's name of its library; None for the package pillow-heif.
        quality: meaning of the quality parameter; larger is always better and needs more bits.
        lowest, highest: range of the parameter.
        qualities: from the codec's lowest rates (or about 0.05) to 2 bits per pixel on street scenes of
            128 × 256 pixels.
        options: from the parameter to the arguments of Pillow's `save` (or of pillow-heif's `encode`).
    """

    format: str
    feature: str | None
    quality: str
    lowest: int
    highest: int
    qualities: tuple[int, ...]
    options: Callable[[float], dict]


CODECS = {
    "JPEG": ClassicalCodec(
        "JPEG",
        "jpg",
        quality="scale of the quantisation tables: 50 is the standard's own, 100 quantises hardly at all",
        lowest=1,
        highest=100,
        qualities=(2, 5, 10, 15, 22, 32, 45, 60, 80),
        # one scan: at these sizes the extra headers of a progressive file cost more than it saves
        options=lambda quality: dict(quality=round(quality), optimize=True, progressive=False, subsampling="4:2:0"),
    ),
    "JPEG 2000": ClassicalCodec(
        "JPEG2000",
        "jpg_2000",
        quality="PSNR in dB which the file is cut off at; it is met within 1 dB",
        lowest=10,
        highest=60,
        qualities=(17, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38),
        options=lambda quality: dict(
            quality_mode="dB", quality_layers=[quality], irreversible=True, mct=1, no_jp2=True, num_resolutions=5
        ),
    ),
    "WebP": ClassicalCodec(
        "WEBP",
        "webp",
        quality="WebP's own scale, roughly that of JPEG",
        lowest=0,
        highest=100,
        qualities=(0, 2, 6, 12, 20, 32, 48, 65, 76, 85),
        options=lambda quality: dict(quality=quality, method=6),
    ),
    "AVIF": ClassicalCodec(
        "AVIF",
        "avif",
        quality="libavif's scale, mapped by it to AV1's quantiser index 63 to 0",
        lowest=0,
        highest=100,
        qualities=(0, 10, 20, 30, 38, 46, 54, 62, 70, 76),
        # the number of threads changes the file: with one it is the same on every machine
        options=lambda quality: dict(quality=round(quality), speed=6, subsampling="4:2:0", max_threads=1),
    ),
    "HEVC": ClassicalCodec(
        "HEIF",
        None,
        quality="libheif's own scale",
        lowest=1,
        highest=100,
        qualities=(1, 5, 10, 15, 20, 26, 32, 38, 44),
        options=lambda quality: dict(quality=round(quality), chroma=420, enc_params={"tune": "psnr"}),
    ),
}


def available() -> list[str]:
    """The names of `CODECS` that this installation supports."""
    return [name for name, codec in CODECS.items() if _installed(codec)]


def encode(name: str, x: Tensor, quality: float) -> bytes:
    """Encode an image to the bytes of a file.

    Args:
        name: one of `CODECS`.
        x: (3, H, W) in [0, 1]; rounded to 8 bits a channel.
        quality: in the codec's own terms, see `CODECS[name].quality`; larger needs more bits. JPEG and AVIF round
            it to a whole number.

    Raises:
        NDICError: unknown codec, quality out of range, not such an image, or this Pillow lacks the codec.
    """
    codec = _codec(name)
    if not isinstance(quality, Real) or not codec.lowest <= quality <= codec.highest:
        raise NDICError(f"{name} requires a quality from {codec.lowest} to {codec.highest}, not {quality!r}")
    check_image(x, "x")
    pixels = (x.detach().cpu() * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = BytesIO()
    try:
        if codec.feature is None:
            import pillow_heif  # an optional dependency

            pillow_heif.encode("RGB", (x.shape[2], x.shape[1]), pixels.tobytes(), buffer, **codec.options(quality))
        else:
            Image.fromarray(pixels).save(buffer, codec.format, **codec.options(quality))
    except (OSError, ValueError, RuntimeError) as error:
        raise NDICError(f"{name} cannot code an image of {x.shape[1]} × {x.shape[2]} pixels ({error})") from error
    return buffer.getvalue()


def decode(data: bytes) -> Tensor:
    """Decode the bytes of a file to an image (3, H, W) in [0, 1]; the codec is recognised by the content.

    Raises:
        NDICError: not an intact RGB image of one of `CODECS`, or more than 2**24 pixels.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise NDICError(f"a file's content must be bytes as encode returns them; got {type(data).__name__}")
    kind = f"a file of {', '.join(CODECS)}"
    return image_to_tensor(decode_image(bytes(data), name="this image", modes=["RGB"], read_header=_opened, kind=kind))


def curve(
    name: str,
    images: Iterable[Tensor],
    qualities: Iterable[float] | None = None,
    names: Sequence[str] | None = None,
) -> list[dict]:
    """Rate–distortion curve of one codec: every image coded, decoded and measured at every quality.

    Args:
        name: one of `CODECS`.
        images: (3, H, W) each, in [0, 1], all of them above 96 pixels on both sides, or MS-SSIM is None.
        qualities: of the curve; those of `CODECS` where None.
        names: of the images, see Returns; their numbers from 0 where None.

    Returns:
        A row for each quality: model (the codec's name), quality, images (how many), and the means of the values of
        `roundtrip.measure`; also psnr_capped, the names of images, where PSNR is capped: see `evaluate.averages`.

    Raises:
        NDICError: no image is given, or one cannot be coded.
    """
    images = list(images)
    if not images:
        raise NDICError("a curve is an average over images: give at least one")
    names = [f"image {i}" for i in range(len(images))] if names is None else names
    points = []
    for quality in _codec(name).qualities if qualities is None else qualities:
        codec = partial(encode, name, quality=quality), lambda stream, _: decode(stream)
        known = dict(model=name, quality=quality)
        rows = [known | dict(name=of) | row for of, x in zip(names, images, strict=True) for row in measure(*codec, x)]
        points += averages(rows, by=("model", "quality"))
    return points


def _opened(stream: BinaryIO) -> Image.Image:
    """The image in a file of one of `CODECS`; only its header is read."""
    start = stream.read(12)
    stream.seek(0)
    if start[4:11] == b"ftyphei" and _installed(CODECS["HEVC"]):  # Pillow itself would not know it
        import pillow_heif  # an optional dependency

        return pillow_heif.HeifImageFile(stream)
    formats = [codec.format for codec in CODECS.values() if codec.feature and _installed(codec)]
    return Image.open(stream, formats=formats)


def _codec(name: str) -> ClassicalCodec:
    if name not in CODECS:
        raise NDICError(f"there is no classical codec {name!r}: choose from {', '.join(CODECS)}")
    if _installed(CODECS[name]):
        return CODECS[name]
    if CODECS[name].feature is None:
        raise NDICError(f"{name} requires a package that is not installed: pip install pillow-heif")
    raise NDICError(f"this Pillow ({__version__}) was built without {name}: pip install --upgrade 'pillow>=11.3'")


def _installed(codec: ClassicalCodec) -> bool:
    if codec.feature is None:
        return importlib.util.find_spec("pillow_heif") is not None
    return features.check(codec.feature)

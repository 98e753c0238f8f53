"""The classical codecs, measured in bytes of whole files: JPEG, JPEG 2000, WebP and AVIF through Pillow, HEVC intra
through pillow-heif where it is installed (`pip install pillow-heif`).

A small image pays dearly for a file's header: at 128 × 256 pixels 100 bytes are 0.024 bits per pixel. JPEG, WebP and
AVIF hardly get below 0.2 bits per pixel there, whatever their quality is set to; JPEG 2000 does. Where a codec has a
choice, it is taken in its favour as far as an encoder stays fast: optimised Huffman tables, WebP's thorough search,
JPEG 2000 as a bare codestream in the YCbCr colours that Pillow leaves out by default (3 to 5 dB at these rates), x265
tuned for PSNR.

HEVC intra is what BPG files hold, the usual anchor of papers on distributed image compression; but a HEIF file spends
some 400 bytes on its container.
"""

import importlib.util
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, __version__, features

from ndic_core.errors import NDICError
from ndic_core.io import decode_image, image_to_tensor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassicalCodec:
    """How Pillow is asked for one codec.

    Attributes:
        format: Pillow's name of it.
        feature: Pillow's name of the library behind it; None where the package pillow-heif has it.
        quality: what the parameter means; larger is always better and takes more bits.
        lowest: of the parameter's values.
        highest: likewise.
        qualities: a ladder from the codec's lowest rates (or about 0.05) to 2 bits per pixel on street scenes of
            128 × 256 pixels.
        options: the parameter → arguments of Pillow's `save` (or of pillow-heif's `encode`).
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
    """Those of `CODECS` that can be used here."""
    return [name for name, codec in CODECS.items() if _installed(codec)]


def encode(name: str, x: "Tensor", quality: float) -> bytes:
    """An image → the bytes of a file.

    Args:
        name: one of `CODECS`.
        x: (3, H, W) in [0, 1]; rounded to 8 bits a channel.
        quality: in the codec's own terms, see `CODECS[name].quality`; larger takes more bits. JPEG and AVIF round it
            to a whole number.

    Raises:
        NDICError: the codec, the quality or the image is none that can be coded, or this Pillow lacks the codec.

    Example:
        >>> import torch
        >>> data = encode("JPEG", torch.full((3, 64, 64), 0.5), quality=50)
        >>> decode(data).shape
        torch.Size([3, 64, 64])
    """
    codec = _codec(name)
    if not codec.lowest <= quality <= codec.highest:
        raise NDICError(f"{name} takes a quality from {codec.lowest} to {codec.highest}, not {quality}")
    if x.ndim != 3 or x.shape[0] != 3 or x.numel() == 0 or not x.is_floating_point():
        raise NDICError(f"{name} codes one image (3, H, W) in [0, 1]; this is {x.dtype} with shape {tuple(x.shape)}")
    pixels = (x.detach().cpu() * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    buffer = BytesIO()
    try:
        if codec.feature is None:
            _pillow_heif().encode("RGB", (x.shape[2], x.shape[1]), pixels.tobytes(), buffer, **codec.options(quality))
        else:
            Image.fromarray(pixels).save(buffer, codec.format, **codec.options(quality))
    except (OSError, ValueError, RuntimeError) as error:
        raise NDICError(f"{name} cannot code an image of {x.shape[1]} × {x.shape[2]} pixels ({error})") from error
    return buffer.getvalue()


def decode(data: bytes) -> "Tensor":
    """The bytes of a file → an image (3, H, W) in [0, 1]; the content shows which codec wrote it.

    Raises:
        NDICError: it is not an intact RGB image of one of `CODECS`, or an image of more than 2**24 pixels.
    """
    kind = f"a file of {', '.join(CODECS)}"
    return image_to_tensor(decode_image(data, name="this image", modes=["RGB"], read_header=_opened, kind=kind))


def curve(name: str, images: Iterable["Tensor"], qualities: Iterable[float] | None = None) -> list[dict]:
    """One codec's rate–distortion curve: every image coded, decoded and measured at every quality.

    Args:
        name: one of `CODECS`.
        images: (3, H, W) each, in [0, 1], both sides above 96.
        qualities: to try; the codec's own ladder where None.

    Returns:
        A row for each quality with averages over the images: model (the codec's name), quality, bytes (of whole
        files), bpp (measured), psnr (dB), ms_ssim, ms_ssim_db (of each image first, then averaged), encode_seconds,
        decode_seconds (an image, from tensor to bytes and back).

    Raises:
        NDICError: no image is given, or one cannot be coded or measured.
    """
    images = list(images)
    if not images:
        raise NDICError("a curve is an average over images: give at least one")
    rows = []
    for quality in _codec(name).qualities if qualities is None else qualities:
        measured = [_measure(name, x, quality) for x in images]
        averages = {key: fmean(one[key] for one in measured) for key in measured[0]}
        rows.append(dict(model=name, quality=quality, **averages))
    return rows


def _measure(name: str, x: "Tensor", quality: float) -> dict:
    from ndic_core.metrics import measured_bpp, ms_ssim, ms_ssim_db, psnr

    times = [time.perf_counter()]
    data = encode(name, x, quality)
    times.append(time.perf_counter())
    x_hat = decode(data)
    times.append(time.perf_counter())
    pair = x.detach().cpu()[None], x_hat[None]
    similarity = ms_ssim(*pair)
    return dict(
        bytes=len(data),
        bpp=measured_bpp(data, x.shape[-2] * x.shape[-1]),
        psnr=psnr(*pair).item(),
        ms_ssim=similarity.item(),
        ms_ssim_db=ms_ssim_db(similarity).item(),
        encode_seconds=times[1] - times[0],
        decode_seconds=times[2] - times[1],
    )


def _opened(stream: BinaryIO) -> Image.Image:
    """The image in a file of one of `CODECS`; only its header is read."""
    start = stream.read(12)
    stream.seek(0)
    if start[4:11] == b"ftyphei" and _installed(CODECS["HEVC"]):  # Pillow itself would not know it
        return _pillow_heif().HeifImageFile(stream)
    return Image.open(
        stream, formats=[codec.format for codec in CODECS.values() if codec.feature and _installed(codec)]
    )


def _codec(name: str) -> ClassicalCodec:
    if name not in CODECS:
        raise NDICError(f"there is no classical codec {name!r}: choose from {', '.join(CODECS)}")
    if _installed(CODECS[name]):
        return CODECS[name]
    if CODECS[name].feature is None:
        raise NDICError(f"{name} is coded by a package that is not installed: pip install pillow-heif")
    raise NDICError(f"this Pillow ({__version__}) was built without {name}: pip install --upgrade 'pillow>=11.3'")


def _installed(codec: ClassicalCodec) -> bool:
    if codec.feature is None:
        return importlib.util.find_spec("pillow_heif") is not None
    return features.check(codec.feature)


def _pillow_heif():
    import pillow_heif  # only here: it is no dependency, and it loads codecs of its own

    return pillow_heif

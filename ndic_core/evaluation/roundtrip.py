"""Round trips on real bytes: an image is encoded, decoded and measured, at a given rate or at a target."""

import time
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from numbers import Real

from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.evaluation.bit_maps import bit_maps
from ndic_core.metrics import MS_SSIM_SMALLEST, measured_bpp, quality
from ndic_core.models.codec import Codec, check_image, unwrap
from ndic_core.models.coding.compress import decode, encode
from ndic_core.models.coding.state import LEVELS


def measure(
    encode: Callable[[Tensor], bytes],
    decode: Callable[[bytes, Tensor | None], Tensor],
    x: Tensor,
    ys: Iterable[Tensor | None] = (None,),
) -> list[dict]:
    """Encode an image once, decode the bytes with each y, and measure rate, quality and time.

    Args:
        encode: any codec's encoder.
        decode: its decoder, called with the bytes and a side image.
        x: (3, H, W) in [0, 1].
        ys: the side images; None where there is none.

    Returns:
        A row for each y: bytes (of the whole file), bpp (measured: from these bytes), psnr (dB), ms_ssim, ms_ssim_db
        (both None below 97 pixels), encode_seconds, decode_seconds, x_hat (3, H, W) on the CPU.
    """
    start = time.perf_counter()
    stream = encode(x)
    encode_seconds = time.perf_counter() - start
    rate = dict(bytes=len(stream), bpp=measured_bpp(stream, x[0].numel()))
    rows = []
    for y in ys:
        start = time.perf_counter()
        x_hat = decode(stream, y).cpu()
        decode_seconds = time.perf_counter() - start
        seconds = dict(encode_seconds=encode_seconds, decode_seconds=decode_seconds)
        rows.append(rate | quality(x.cpu(), x_hat) | seconds | dict(x_hat=x_hat))
    return rows


def roundtrips(model: Codec, x: Tensor, ys: Mapping[Hashable, Tensor | None], lmbda: float | None = None) -> list[dict]:
    """One file of a model, decoded with several side images.

    Args:
        model: with trained weights.
        x: (3, H, W) in [0, 1], the image to encode.
        ys: side images by name; None for none. Models without side information ignore them.
        lmbda: the rate of variable-rate weights; see `encode`.

    Returns:
        The rows of `measure` with model (its name), lmbda (of the rate level that the file names), side_info (the name
        of y) and bpp_estimated (from likelihoods).

    Raises:
        NDICError: see `encode` and `decode`.
    """
    model = unwrap(model)
    check_image(x, "x")
    model.gains(lmbda, 1)  # refuses a lambda that is not offered
    level = model.level(lmbda)
    model.coding(level)  # tables are computed once for given weights: not part of an image's time
    measured = measure(partial(encode, model, lmbda=lmbda), partial(decode, model), x.to(model.device), ys.values())
    estimate = sum(part.sum().item() for part in bit_maps(model, x, lmbda).values()) / x[0].numel()
    known = dict(model=model.name, lmbda=model.lmbda_at(level))
    return [known | dict(side_info=name, bpp_estimated=estimate) | row for name, row in zip(ys, measured, strict=True)]


def roundtrip(model: Codec, x: Tensor, y: Tensor | None = None, lmbda: float | None = None) -> dict:
    """One file of a model, decoded with one side image: the row of `roundtrips`, without side_info."""
    (row,) = roundtrips(model, x, {"": y}, lmbda)
    del row["side_info"]
    return row


def roundtrip_at(model: Codec, x: Tensor, y: Tensor | None, key: str, target: float) -> dict:
    """The round trip at the rate where one measured value is nearest to a target.

    So models are compared at equal bytes or equal quality. Binary search over the 256 rate levels that a file can name,
    since the values rise with lambda.

    Args:
        model: with variable-rate weights.
        x, y: see `roundtrip`.
        key: "bytes", "bpp", "psnr" or "ms_ssim_db".
        target: the value wanted.

    Returns:
        See `roundtrip`.

    Raises:
        NDICError: another key, weights of one rate, a target out of reach, or MS-SSIM below 97 pixels.
    """
    model = unwrap(model)
    check_image(x, "x")
    if not isinstance(target, Real):
        raise NDICError(f"the target must be a number, not {target!r}")
    if key not in ("bytes", "bpp", "psnr", "ms_ssim_db"):
        raise NDICError(f"the value to reach is bytes, bpp, psnr or ms_ssim_db, not {key!r}")
    if model.gain is None:
        raise NDICError(f"these weights of {model.name} have one rate: there is none to search for")
    if key == "ms_ssim_db" and min(x.shape[-2:]) < MS_SSIM_SMALLEST:
        size = " × ".join(map(str, x.shape[-2:]))
        raise NDICError(f"MS-SSIM needs both sides above {MS_SSIM_SMALLEST - 1} pixels, not {size}: search for psnr")
    tried: dict[int, float] = {}

    def measured(level: int) -> float:
        if level not in tried:
            lmbda = model.lmbda_at(level)
            if key in ("bytes", "bpp"):  # no need to decode
                size = len(encode(model, x, lmbda))
                tried[level] = size if key == "bytes" else 8 * size / x[0].numel()
            else:
                tried[level] = roundtrip(model, x, y, lmbda)[key]
        return tried[level]

    low, high = measured(0), measured(LEVELS)
    if not low <= target <= high:
        raise NDICError(f"{model.name} codes this image with {key} from {low:.4g} to {high:.4g}, not {target:.4g}")
    bisect_left(range(LEVELS + 1), target, key=measured)  # tries the levels on both sides of the target
    nearest = min(tried, key=lambda level: abs(tried[level] - target))
    return roundtrip(model, x, y, model.lmbda_at(nearest))

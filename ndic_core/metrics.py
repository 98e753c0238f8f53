"""Image quality and rate: PSNR, MS-SSIM, estimated and measured bits.

Values are per image, so that averages are taken over images, in dB, as published. Images are (B, 3, H, W) in [0, 1]; a
model's `x_hat` is not clipped: clamp it first to measure the image as displayed.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.codec import check_tensor

MS_SSIM_WINDOW = 7
MS_SSIM_SIGMA = 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, from the finest
MS_SSIM_SMALLEST = (MS_SSIM_WINDOW - 1) * 2**4 + 1  # at the fifth scale the window must still fit: 97 pixels
_FURTHEST = 0.5  # values of x this far outside [0, 1] are of another range, not of rounding or resampling
_FINEST = 2.0**-24  # the step of float32 just below 1, in which MS-SSIM is computed


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """Peak signal-to-noise ratio; the mean squared error runs over the channels and pixels of an image.

    Args:
        x, x_hat: images and their reconstructions, (B, 3, H, W) in [0, 1].

    Returns:
        (B,) in dB; infinite where an image is reproduced exactly.

    Raises:
        NDICError: x and x_hat are not batches of one shape, or (checked on the CPU) x has another range.

    Example:
        >>> psnr(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1))
        tensor([20., 20.])
    """
    x, x_hat = _images(x, x_hat)
    return -10 * (x - x_hat).square().flatten(1).mean(1).log10()


def ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang, Simoncelli & Bovik 2003), as in the published results of NDIC.

    Five scales, Gaussian window of 7 pixels (standard deviation 1.5), data range 1. Differentiable: `1 - ms_ssim` is
    the training distortion.

    Args:
        x, x_hat: images and their reconstructions, (B, 3, H, W) in [0, 1], both sides above 96.

    Returns:
        (B,), at most 1 up to rounding; 1 is equality.

    Raises:
        NDICError: x and x_hat are not batches of one shape, (checked on the CPU) x has another range, or a side is too
            short for five scales.

    Example:
        >>> x = torch.rand(1, 3, 128, 256, generator=torch.Generator().manual_seed(0))
        >>> ms_ssim(x, x)
        tensor([1.])
    """
    from pytorch_msssim.ssim import _ssim  # the library's loop over scales synchronises a GPU in each training step

    x, x_hat = _images(x, x_hat)
    height, width = x.shape[-2:]
    if min(height, width) < MS_SSIM_SMALLEST:
        raise NDICError(
            f"MS-SSIM needs images with both sides above {MS_SSIM_SMALLEST - 1} pixels (five scales, window "
            f"{MS_SSIM_WINDOW}); these are {height} × {width}: use larger ones, or PSNR"
        )
    # A CPU filters channels_last five times as fast; a GPU keeps full float32 precision only in contiguous layout.
    layout = torch.contiguous_format if x.is_cuda else torch.channels_last
    x, x_hat = (images.contiguous(memory_format=layout) for images in (x, x_hat))
    window, values = _window(x.device, x.dtype), []
    with torch.autocast(x.device.type, enabled=False):  # variances of small windows need full float32 precision
        for weight in MS_SSIM_WEIGHTS:
            if values:
                odd = [side % 2 for side in x.shape[-2:]]
                x, x_hat = (F.avg_pool2d(images, 2, padding=odd) for images in (x, x_hat))
            similarity, contrast = _ssim(x, x_hat, data_range=1.0, win=window, size_average=False)
            values.append(contrast.relu() ** weight)
        values[-1] = similarity.relu() ** weight
        return reduce(torch.mul, values).mean(1)


@lru_cache
@torch.inference_mode(False)  # the cached window must be usable in training as well
def _window(device: torch.device, dtype: torch.dtype) -> Tensor:
    """MS-SSIM's Gaussian window, (3, 1, 1, 7)."""
    offset = torch.arange(MS_SSIM_WINDOW) - MS_SSIM_WINDOW // 2
    window = torch.exp(-(offset**2) / (2 * MS_SSIM_SIGMA**2))
    return (window / window.sum()).repeat(3, 1, 1, 1).to(device, dtype)


def ms_ssim_db(value: Tensor | float) -> Tensor:
    """MS-SSIM in dB, `-10 log10(1 - value)`: near 1 equal steps are equal ratios of the error.

    MS-SSIM is computed in float32, whose step below 1 is 2**-24: so the result is at most 72.2 dB, and finite.

    Args:
        value: MS-SSIM, any shape, at most 1 (larger values by rounding are clipped).

    Returns:
        dB, same shape.

    Raises:
        NDICError: the value is neither a number nor a tensor.
    """
    if not isinstance(value, (Tensor, Real)):
        raise NDICError(f"MS-SSIM must be a number or a tensor; got {type(value).__name__}")
    value = torch.as_tensor(value)
    return -10 * (1 - value).clamp(min=_FINEST).log10()


def bits(likelihoods: Tensor) -> Tensor:
    """Ideal code length of symbols, the sum of `-log2 likelihood` for each image: an *estimate* of the size of a file.

    Args:
        likelihoods: (B, ...) in (0, 1].

    Returns:
        (B,) in bits.

    Raises:
        NDICError: they are not floats.
    """
    if not isinstance(likelihoods, Tensor) or not likelihoods.is_floating_point():
        given = likelihoods.dtype if isinstance(likelihoods, Tensor) else type(likelihoods).__name__
        raise NDICError(f"likelihoods must be a float tensor with values in (0, 1]; got {given}")
    return -_at_least_float32(likelihoods).log2().flatten(1).sum(1)


def estimated_bpp(likelihoods: Mapping[str, Tensor], parts: Iterable[str], pixels: int) -> Tensor:
    """Estimated rate of some parts of a model's output; with `model.transmitted`, the transmitted rate.

    Args:
        likelihoods: `out["likelihoods"]` of a model.
        parts: the keys to count.
        pixels: height times width of an image.

    Returns:
        (B,) in bits per pixel.

    Raises:
        NDICError: there is no pixel, or the likelihoods are not floats.
    """
    _check_pixels(pixels)
    return sum(bits(likelihoods[part]) for part in parts) / pixels


def measured_bpp(data: bytes, pixels: int) -> float:
    """Measured rate: the bytes of a whole file, header included, in bits per pixel; `NDICError` without pixels."""
    _check_pixels(pixels)
    return 8 * len(data) / pixels


def quality(x: Tensor, x_hat: Tensor) -> dict:
    """psnr (dB), ms_ssim and ms_ssim_db (both None below 97 pixels) of one image (3, H, W) and its reconstruction."""
    _check_images(x, x_hat, "(3, H, W)")
    row = {"psnr": psnr(x[None], x_hat[None]).item(), "ms_ssim": None, "ms_ssim_db": None}
    if min(x.shape[-2:]) >= MS_SSIM_SMALLEST:
        similarity = ms_ssim(x[None], x_hat[None])
        row |= {"ms_ssim": similarity.item(), "ms_ssim_db": ms_ssim_db(similarity).item()}
    return row


def _images(x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    _check_images(x, x_hat, "(B, 3, H, W)")
    dtype = torch.float64 if torch.float64 in (x.dtype, x_hat.dtype) else torch.float32
    return x.to(dtype), x_hat.to(dtype)


def _check_images(x: Tensor, x_hat: Tensor, shape: str) -> None:
    """Raise `NDICError` unless these can be compared; values of x are read on the CPU only, as a GPU is waited for."""
    for image, name in ((x, "x"), (x_hat, "x_hat")):
        check_tensor(image, name, shape)
    if x.shape != x_hat.shape:
        raise NDICError(f"x and x_hat must have one shape; x is {tuple(x.shape)}, x_hat is {tuple(x_hat.shape)}")
    if x.device != x_hat.device:
        raise NDICError(f"x and x_hat must be on one device; x is on {x.device}, x_hat on {x_hat.device}")
    if x.device.type == "cpu" and x.numel():
        low, high = x.detach().aminmax()
        if low < -_FURTHEST or high > 1 + _FURTHEST:
            raise NDICError(f"x must have values in [0, 1], not {low:g} to {high:g}: divide 8-bit values by 255 first")


def _check_pixels(pixels: int) -> None:
    if not isinstance(pixels, Real) or not pixels >= 1:
        raise NDICError(f"pixels is the height times the width of an image, 1 or more, not {pixels!r}")


def _at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision has three digits: too few for small errors and for sums over 100,000 symbols."""
    return tensor.float() if torch.finfo(tensor.dtype).bits < 32 else tensor

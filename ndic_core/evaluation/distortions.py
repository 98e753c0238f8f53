"""Four kinds of damage to an image, at a strength or at a given PSNR: what quality metrics react to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError, brief, choice
from ndic_core.metrics import psnr
from ndic_core.models.codec import check_image

_STEPS = 40  # of the bisection
_SEED = 0


@dataclass(frozen=True)
class Distortion:
    """One kind of damage.

    Attributes:
        apply: from the image and the strength to the damaged image, not clipped.
        unit: of the strength.
        strongest: upper end of the search in `distort_to_psnr`.
    """

    apply: Callable[[Tensor, float], Tensor]
    unit: str
    strongest: float


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Convolution with a Gaussian; the edges of the image are repeated."""
    reach = int(4 * sigma) + 1
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(x[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _noise(x: Tensor, sigma: float) -> Tensor:
    """Gaussian noise, independent in each pixel and channel, the same in every call."""
    pattern = torch.randn(x.shape, generator=torch.Generator().manual_seed(_SEED), dtype=x.dtype)
    return x + sigma * pattern.to(x.device)


def _shift(x: Tensor, columns: float) -> Tensor:
    """To the right; a fraction is interpolated linearly; the left edge is repeated."""
    whole = int(columns)
    padded = F.pad(x[None], (whole + 1, 0, 0, 0), mode="replicate")[0]
    width, part = x.shape[-1], columns - whole
    return (1 - part) * padded[..., 1 : width + 1] + part * padded[..., :width]


def _colour(x: Tensor, offset: float) -> Tensor:
    """More red and less blue, by the same amount in all pixels."""
    return x + offset * torch.tensor([1.0, 0.0, -1.0], dtype=x.dtype, device=x.device)[:, None, None]


DISTORTIONS = {
    "blur": Distortion(_blur, "standard deviation in pixels", 16.0),
    "noise": Distortion(_noise, "standard deviation, values from 0 to 1", 1.0),
    "shift": Distortion(_shift, "pixels to the right", 16.0),
    "colour": Distortion(_colour, "added to red and taken from blue, values from 0 to 1", 1.0),
}


def distort(x: Tensor, kind: str, strength: float) -> Tensor:
    """Damage an image.

    Args:
        x: (3, H, W) in [0, 1].
        kind: one of `DISTORTIONS`, which states the unit of the strength.
        strength: above 0.

    Returns:
        The damaged image, clipped to [0, 1].

    Raises:
        NDICError: not such an image, another kind, or a strength that is not above 0.
    """
    check_image(x, "x")
    choice(kind, "kind", DISTORTIONS)
    if not isinstance(strength, (int, float)) or not 0 < strength <= DISTORTIONS[kind].strongest:
        raise NDICError(
            f"strength of {kind} is {brief(strength)}: give a number above 0, up to {DISTORTIONS[kind].strongest:g}"
        )
    return DISTORTIONS[kind].apply(x, strength).clamp(0, 1)


def distort_to_psnr(x: Tensor, kind: str, target: float) -> Tensor:
    """Damage an image as strongly as a PSNR requires.

    The strength is found by bisection.

    Args:
        x: (3, H, W) in [0, 1].
        kind: one of `DISTORTIONS`.
        target: PSNR in dB.

    Returns:
        The damaged image, clipped to [0, 1]; its PSNR is within 0.05 dB of the target.

    Raises:
        NDICError: not such an image, another kind, or a PSNR that this kind does not reach on this image.
    """
    check_image(x, "x")
    choice(kind, "kind", DISTORTIONS)
    low, high = 0.0, DISTORTIONS[kind].strongest
    for _ in range(_STEPS):
        middle = (low + high) / 2
        damaged = distort(x, kind, middle)
        found = psnr(x[None], damaged[None]).item()
        low, high = (middle, high) if found > target else (low, middle)
    if not abs(found - target) < 0.05:
        raise NDICError(f"{kind} does not reach a PSNR of {target:g} dB on this image: give a higher one")
    return damaged

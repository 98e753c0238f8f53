"""Bit maps: the estimated bits of every transmitted latent, position by position."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.errors import NDICError
from ndic_core.models.codec import Codec, check_image, evaluating, unwrap
from ndic_core.models.coding.tiling import Tiling

STEP = {"x": DOWNSAMPLING, "z": 4 * DOWNSAMPLING}  # pixels of the image along each side of a position


@torch.no_grad()
def bit_maps(model: Codec, x: Tensor, lmbda: float | None = None) -> dict[str, Tensor]:
    """Estimated bits, `-log2 likelihood`, of every latent that a file of `x` transmits, at the rate level of that file.

    The sum over a map's channels is the bits per position; the sum over all maps is the estimated size of the file
    without its header.

    Args:
        model: any of `ndic_core.MODELS`; the sender needs no side image.
        x: (3, H, W) in [0, 1], of any size.
        lmbda: the rate of variable-rate weights; see `ndic_core.encode`.

    Returns:
        A map (N, h, w) in bits for each name in `model.transmitted`: "x", the latent, a position for 16 × 16 pixels,
        and "z", the hyper-latent where there is one, a position for 64 × 64. They cover the image as padded (or tiled)
        for the model, so they may extend beyond its right and lower edges.

    Raises:
        NDICError: `x` is not such an image, or `lmbda` is not offered.

    Example:
        >>> import ndic_core as ndic
        >>> maps = bit_maps(ndic.build_model("bmshj18", num_filters=8), torch.rand(3, 100, 200))
        >>> {name: tuple(bits.shape) for name, bits in maps.items()}
        {'x': (8, 8, 16), 'z': (8, 2, 4)}
    """
    model = unwrap(model)
    check_image(x, "x")
    model.gains(lmbda, 1)  # refuses a lambda that is not offered
    level = model.level(lmbda)
    tiling = model.tiling(*x.shape[-2:])
    with evaluating(model), torch.autocast(model.device.type, enabled=False):
        tiles = tiling.split(model.to_model(x))
        gain, _ = model.gains(None if level is None else model.lmbda_at(level), len(tiles))
        _, likelihoods = model.prior_x(model.analyse(tiles, gain), gain)
    maps = {}
    for name, p in zip(model.transmitted, likelihoods, strict=True):
        height, width = p.shape[-2:]
        maps[name] = Tiling(tiling.rows * height, tiling.columns * width, (height, width)).join(-p.log2())
    return maps


def over_image(bits: Tensor, step: int, height: int, width: int) -> Tensor:
    """A map at image resolution: every pixel gets an equal share of the bits of the position that covers it.

    Args:
        bits: (h, w), in bits per position.
        step: pixels per position along each side: `STEP["x"]` or `STEP["z"]`.
        height, width: of the image, in pixels; the map is cropped to it.

    Returns:
        (height, width), in bits per pixel.

    Raises:
        NDICError: not such a map, or it is too small for the image.
    """
    if bits.ndim != 2:
        raise NDICError(f"a map of bits per position has shape (h, w), not {tuple(bits.shape)}: sum over channels")
    if bits.shape[0] * step < height or bits.shape[1] * step < width:
        raise NDICError(
            f"a map of {bits.shape[0]} × {bits.shape[1]} positions of {step} pixels does not cover an image of "
            f"{height} × {width}"
        )
    spread = F.interpolate(bits[None, None] / step**2, scale_factor=step, mode="nearest")
    return spread[0, 0, :height, :width]


def covered(mask: Tensor, step: int) -> Tensor:
    """The positions of which every pixel is in a mask.

    Args:
        mask: (H, W) or (B, H, W), True or False.
        step: pixels per position along each side: `STEP["x"]` or `STEP["z"]`.

    Returns:
        Booleans (H // step, W // step), with B where it was given; incomplete positions at the edges are left out.

    Raises:
        NDICError: the mask has another shape, or is smaller than a position.
    """
    if mask.ndim not in (2, 3) or min(mask.shape[-2:]) < step:
        raise NDICError(f"a mask has shape (H, W) or (B, H, W), sides of {step} at least, not {tuple(mask.shape)}")
    batch = mask.reshape(-1, 1, *mask.shape[-2:])
    outside = F.max_pool2d((~batch.bool()).float(), step)[:, 0]
    return (outside == 0).reshape(*mask.shape[:-2], *outside.shape[-2:])

"""How many bits y saves: files of one picture at several rates, decoded with any y, read off at equal quality.

    x ── send_at_levels ──▶ latents, bytes ── decode_all, with a y ──▶ Curve ── rate_saved ──▶ share of the bytes

The sender never sees y. So the files are made once, and stay the same whatever y the receiver has.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.evaluation.common_information import sent_latent
from ndic_core.metrics import measured_bpp, ms_ssim, ms_ssim_db
from ndic_core.models.codec import Codec, evaluating
from ndic_core.models.coding.compress import encode
from ndic_core.models.coding.state import LEVELS


class Sent(NamedTuple):
    """Files of some pictures at one rate level.

    Args:
        level: 0 to 255.
        latent: (B, N, h, w), what the files carry, as the receiver's synthesis takes it.
        bpp: (B,), measured on the whole files.
    """

    level: int
    latent: Tensor
    bpp: Tensor


class Curve(NamedTuple):
    """Rate and quality of some pictures at several levels.

    Args:
        bpp: (levels, B), measured.
        ms_ssim_db: (levels, B), in dB.
    """

    bpp: Tensor
    ms_ssim_db: Tensor


def send_at_levels(model: Codec, x: Tensor, levels: Sequence[int]) -> list[Sent]:
    """Write a file of every picture at every level.

    Args:
        model: with variable-rate weights.
        x: (B, 3, H, W) in [0, 1], of a size that the model takes.
        levels: whole numbers from 0 to 255.

    Raises:
        NDICError: these weights have one rate, a level is not among those, or the pictures don't fit the model.

    Example:
        >>> import ndic_core as ndic
        >>> model = ndic.build_model("ndic_bls17", num_filters=4, lmbda=(1e-3, 1e-2))
        >>> sent = send_at_levels(model, torch.rand(2, 3, 32, 48), (0, 255))
        >>> [(one.level, one.latent.shape, one.bpp.shape) for one in sent][1]
        (255, torch.Size([2, 4, 2, 3]), torch.Size([2]))
    """
    if model.gain is None:
        raise NDICError(f"these weights of {model.name} have one rate, not levels from 0 to 255")
    if wrong := [level for level in levels if level not in range(LEVELS + 1)]:
        raise NDICError(f"levels are whole numbers from 0 to {LEVELS}, not {wrong[0]}")
    sent = []
    for level in levels:
        lmbda = model.lmbda_at(level)
        latent = sent_latent(model, x, lmbda)  # first: it refuses what doesn't fit
        bpp = [measured_bpp(encode(model, image, lmbda), image[0].numel()) for image in x]
        sent.append(Sent(level, latent, torch.tensor(bpp)))
    return sent


@torch.no_grad()
def decode_all(model: Codec, x: Tensor, sent: Sequence[Sent], y: Tensor | None = None) -> Curve:
    """Decode all files with one y each, and measure.

    Args:
        model: that made the files.
        x: the pictures sent.
        sent: from `send_at_levels`.
        y: (B, 3, H, W), what the receiver has; None for a model without side information.

    Raises:
        NDICError: there is no file, the files are of other pictures than `x`, or `x` or `y` doesn't fit the model.

    Example:
        >>> import ndic_core as ndic
        >>> model, x = ndic.build_model("ndic_bls17", num_filters=4, lmbda=(1e-3, 1e-2)), torch.rand(2, 3, 112, 112)
        >>> decode_all(model, x, send_at_levels(model, x, (0, 255)), x).ms_ssim_db.shape
        torch.Size([2, 2])
    """
    model.check(x, y)
    if not sent or any(len(one.latent) != len(x) for one in sent):
        raise NDICError(f"there must be files of these {len(x)} pictures, from send_at_levels, at one level or more")
    side = model.to_model(y) if model.info.side_info else None
    quality = []
    with evaluating(model):
        for one in sent:
            x_hat = model.reconstruct(one.latent, side).clamp(0, 1)
            quality.append(ms_ssim_db(ms_ssim(x, x_hat.to(x))).cpu())
    return Curve(torch.stack([one.bpp for one in sent]), torch.stack(quality))


def rate_savings(anchor: Curve, test: Curve) -> Tensor:
    """The share of the anchor's bits that `test` does without, at the anchor's quality, picture by picture.

    Between two levels the logarithm of the rate is interpolated over quality by a straight line. A level that another
    one beats (no more bits, no less quality) is left out: nobody would send at it, and a line through it would promise
    less than the other one gives.

    Args:
        anchor: of one level.
        test: of several levels, of the same pictures.

    Returns:
        (B,): 0.1 where 10 % of the bits are saved, negative where more are needed; NaN where that quality
        does not lie within those of the levels that are left.

    Raises:
        NDICError: the anchor has several levels, or the curves are of different pictures.

    Example:
        >>> anchor = Curve(torch.tensor([[0.2]]), torch.tensor([[11.0]]))
        >>> test = Curve(torch.tensor([[0.1], [0.4]]), torch.tensor([[11.0], [13.0]]))
        >>> round(rate_savings(anchor, test).item(), 4)
        0.5
    """
    if len(anchor.bpp) != 1 or anchor.bpp.shape[1] != test.bpp.shape[1]:
        raise NDICError(
            f"compare one level of the anchor with levels of the same pictures, not {tuple(anchor.bpp.shape)} with "
            f"{tuple(test.bpp.shape)}"
        )
    saved = []
    for target, least, rates, qualities in zip(
        anchor.ms_ssim_db[0].tolist(),
        anchor.bpp[0].tolist(),
        test.bpp.T.numpy(),
        test.ms_ssim_db.T.numpy(),
        strict=True,
    ):
        kept = _unbeaten(rates, qualities)
        log_rate = np.interp(target, qualities[kept], np.log(rates[kept]), left=np.nan, right=np.nan)
        saved.append(1 - np.exp(log_rate) / least)
    return torch.tensor(saved)


def _unbeaten(rates: np.ndarray, qualities: np.ndarray) -> list[int]:
    """Which points no other beats in both, in rising order of rate and so of quality."""
    kept: list[int] = []
    for i in np.lexsort((-qualities, rates)):  # by rate; at one rate the best first
        if not kept or qualities[i] > qualities[kept[-1]]:
            kept.append(i)
    return kept

"""Attention guided towards the true match, where the training pairs know it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ndic_core.config import Config
from ndic_core.data.matches import true_match

FLOOR = 1e-4  # added to a weight before its logarithm: the gradient at a weight of 0 is bounded


def guidance_weight(config: Config, done: float) -> float:
    """Weight of the loss when a share `done` of all steps is done: `guidance` at first, 0 from the half on.

    So the attention finds its way early, and what follows is trained for rate and distortion alone.

    Args:
        config: of the experiment.
        done: from 0 to 1.

    Returns:
        The weight, 0 or more.

    Example:
        >>> from ndic_core.config import load_config
        >>> config = load_config("teaching", model="parallax_attention", guidance=0.2)
        >>> [guidance_weight(config, done) for done in (0.0, 0.25, 0.5, 1.0)]
        [0.2, 0.1, 0.0, 0.0]
    """
    return config.guidance * max(0.0, 1 - 2 * done)


def guidance_loss(maps: Sequence[Tensor], disparity: Tensor) -> Tensor:
    """How far attention is from the truth, over the pairs of a batch that know it: the mean over layers of

        −(Σ_visible log(p + 1e-4) + Σ_hidden log(p₀ + 1e-4)) / number of these positions

    p is the weight that a position gives to its true match, read between the two nearest offsets, and p₀ that of
    "nothing matches", both averaged over the heads. Visible is a position whose pixels y all shows, hidden one of which
    y shows none; others, and those whose match lies outside the window, are left out.

    Args:
        maps: of each layer, as `ParallaxAttentionModule.attention` gives them.
        disparity: (B, H, W), pixels, in the same row; x at column u is y at column u − disparity, NaN where y does not
            show it.

    Returns:
        A float32 scalar: 9.2 where every weight asked for is 0, and about 0.25 on the street where all weight lies at
        the offset nearest to the match, since that seldom is the match itself; 0 where no position counts.

    Example:
        >>> import math
        >>> maps = [torch.tensor([0.25, 0.5, 0.25]).expand(1, 1, 2, 4, 1, 3)]
        >>> round(guidance_loss(maps, torch.zeros(1, 4, 8)).item(), 3), round(-math.log(0.5), 3)
        (0.693, 0.693)
    """
    return torch.stack([_layer_loss(weights, disparity) for weights in maps]).mean()


def _layer_loss(weights: Tensor, disparity: Tensor) -> Tensor:
    """The loss of one layer: (B, heads, h, w, rows, columns)."""
    target, hidden = true_match(disparity.float(), disparity.isnan(), disparity.shape[-1] // weights.shape[3])
    weights = weights.float().mean(1)
    nothing = 1 - weights.sum((-2, -1))
    row = weights[..., weights.shape[-2] // 2, :]
    last = row.shape[-1] - 1
    place = target + last / 2  # in the row's window; NaN compares as false
    visible = (place >= 0) & (place <= last)
    place = place.where(visible, 0)
    left = place.floor().long()
    near, far = (row.gather(-1, i[..., None])[..., 0] for i in (left, (left + 1).clamp(max=last)))
    p = torch.lerp(near, far, place - left)
    counts = visible | hidden
    log = torch.log(p.where(visible, nothing) + FLOOR)
    return -log.where(counts, 0).sum() / counts.sum().clamp(min=1)

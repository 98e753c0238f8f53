"""Attention guided towards the true match, where the training pairs know it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.config import Config
from ndic_core.data.ground_truth import true_offsets
from ndic_core.models.matching import Match

FLOOR = 1e-4  # added to a weight before its logarithm: the gradient at a weight of 0 is bounded


def guidance_weight(config: Config, done: float) -> float:
    """Weight of the loss when a share `done` of all steps is done: `matching_loss_weight` at first, 0 from the half on.

    So the attention finds its way early, and what follows is trained for rate and distortion alone.

    Args:
        config: of the experiment.
        done: from 0 to 1.

    Returns:
        The weight, 0 or more.

    Example:
        >>> from ndic_core.config import load_config
        >>> config = load_config("teaching", model="parallax_attention", matching_loss_weight=0.2)
        >>> [guidance_weight(config, done) for done in (0.0, 0.25, 0.5, 1.0)]
        [0.2, 0.1, 0.0, 0.0]
    """
    return config.matching_loss_weight * max(0.0, 1 - 2 * done)


def matching_loss(matches: Sequence[Match], disparity: Tensor) -> Tensor:
    """How far matches are from the truth, over the pairs of a batch that know it: the mean over scales of

        coarsest    −(Σ_visible log(p + 1e-4) + Σ_hidden log(p₀ + 1e-4)) / number of these positions
        finer       half of the mean over visible of the offset's error (Huber), and half of
                    −(Σ_visible log(1 − p₀ + 1e-4) + Σ_hidden log(p₀ + 1e-4)) / number of these positions

    p is the weight that a position gives to its true match, read between the two nearest offsets, and p₀ that of the
    no-match token. Visible is a position whose pixels y all shows, hidden one of which y shows none; others, and those
    whose match lies beyond the offsets that the coarsest scale compares, are left out.

    Args:
        matches: of each scale, the coarsest first, as `ParallaxAttention.watched` gives them.
        disparity: (B, H, W), pixels, in the same row; x at column u is y at column u − disparity, NaN where y does not
            show it.

    Returns:
        A float32 scalar: 0 or more; 0 where no position counts.

    Example:
        >>> import math
        >>> weights = torch.tensor([0.25, 0.5, 0.25, 0.0])[:, None, None].expand(1, 4, 2, 4)
        >>> places = torch.tensor([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]])[None, :, :, None, None]
        >>> match = Match(torch.zeros(1, 2, 2, 4), places, weights)
        >>> round(guidance_loss([match], torch.zeros(1, 4, 8)).item(), 3), round(-math.log(0.5), 3)
        (0.693, 0.693)
    """
    furthest = matches[0].places[:, :, 1].abs().amax() * (disparity.shape[-1] // matches[0].weights.shape[-1])
    coarsest, *finer = [_Scale(match, disparity, furthest) for match in matches]
    losses = [coarsest.surprise(coarsest.at_truth())]
    losses += [0.5 * scale.error() + 0.5 * scale.surprise(scale.match.confidence) for scale in finer]
    return torch.stack(losses).mean()


class _Scale:
    """Matches of one scale beside the truth; `furthest` is the largest disparity that is searched, in pixels."""

    def __init__(self, match: Match, disparity: Tensor, furthest: Tensor):
        stride = disparity.shape[-1] // match.weights.shape[-1]
        target, self.hidden = true_offsets(disparity.float(), disparity.isnan(), stride)
        self.match = match
        self.visible = target.abs() * stride <= furthest  # NaN compares as false
        self.target = target.where(self.visible, 0)

    def at_truth(self) -> Tensor:
        """Weight of the true match, (B, h, w)."""
        near = (1 - (self.match.places[:, :, 1] - self.target[:, None]).abs()).clamp(min=0)
        near = near * (self.match.places[:, :, 0] == 0)
        return (self.match.weights[:, :-1] * near).sum(1)

    def surprise(self, believed: Tensor) -> Tensor:
        """Minus the mean logarithm of what visible positions believe, and of the token's weight at hidden ones."""
        counts = self.visible | self.hidden
        log = torch.log(believed.where(self.visible, self.match.weights[:, -1]) + FLOOR)
        return -log.where(counts, 0).sum() / counts.sum().clamp(min=1)

    def error(self) -> Tensor:
        """Of the offset, in positions."""
        error = F.smooth_l1_loss(self.match.offset[:, 1], self.target, reduction="none")
        return error.where(self.visible, 0).sum() / self.visible.sum().clamp(min=1)

"""Matching loss: supervision of the attention weights by a known disparity."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.data.disparity import true_offsets
from ndic_core.models.matching import Match

FLOOR = 1e-4  # added to a weight before its logarithm, which bounds the gradient at a weight of 0


def matching_loss_weight_at(weight: float, done: float) -> float:
    """Weight of the matching loss after a fraction `done` of all steps: falls linearly from `weight` to 0 at the half.

    The attention learns the correspondence early; the second half is trained for rate and distortion alone.

    Args:
        weight: at the start, 0 or more.
        done: in [0, 1].

    Example:
        >>> [matching_loss_weight_at(0.2, done) for done in (0.0, 0.25, 0.5, 1.0)]
        [0.2, 0.1, 0.0, 0.0]
    """
    return weight * max(0.0, 1 - 2 * done)


def matching_loss(matches: Sequence[Match], disparity: Tensor) -> Tensor:
    """Error of the matches against the true disparity, the mean over scales.

    The terms of a scale::

        coarsest    −(Σ_visible log(p + 1e-4) + Σ_hidden log(p₀ + 1e-4)) / number of these positions
        finer       half of the mean over visible of the offset's error (Huber), and half of
                    −(Σ_visible log(1 − p₀ + 1e-4) + Σ_hidden log(p₀ + 1e-4)) / number of these positions

    p is the attention weight of a position's true match, interpolated between the two nearest offsets, and p₀ that of
    the no-match token. A position is visible if all of its pixels are visible in y, hidden if none is; other positions,
    and those whose match is beyond the search range of the coarsest scale, are excluded.

    Args:
        matches: of each scale, the coarsest first, as recorded by `ParallaxAttention.watched`.
        disparity: (B, H, W), pixels, in the same row; x at column u is y at column u − disparity, NaN where it is
            occluded in y.

    Returns:
        A float32 scalar: 0 or more; 0 if all positions are excluded.

    Example:
        >>> import math
        >>> weights = torch.tensor([0.25, 0.5, 0.25, 0.0])[:, None, None].expand(1, 4, 2, 4)
        >>> places = torch.tensor([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]])[None, :, :, None, None]
        >>> match = Match(torch.zeros(1, 2, 2, 4), places, weights)
        >>> round(matching_loss([match], torch.zeros(1, 4, 8)).item(), 3), round(-math.log(0.5), 3)
        (0.693, 0.693)
    """
    furthest = matches[0].places[:, :, 1].abs().amax() * (disparity.shape[-1] // matches[0].weights.shape[-1])
    coarsest, *finer = [_Scale(match, disparity, furthest) for match in matches]
    losses = [coarsest.cross_entropy(coarsest.weight_of_true_match())]
    losses += [0.5 * scale.offset_error() + 0.5 * scale.cross_entropy(scale.match.confidence) for scale in finer]
    return torch.stack(losses).mean()


class _Scale:
    """Matches and true disparity at one scale; `furthest` is the search range in pixels."""

    def __init__(self, match: Match, disparity: Tensor, furthest: Tensor):
        stride = disparity.shape[-1] // match.weights.shape[-1]
        target, self.hidden = true_offsets(disparity.float(), disparity.isnan(), stride)
        self.match = match
        self.visible = target.abs() * stride <= furthest  # NaN compares as false
        self.target = target.where(self.visible, 0)

    def weight_of_true_match(self) -> Tensor:
        """(B, h, w)."""
        near = (1 - (self.match.places[:, :, 1] - self.target[:, None]).abs()).clamp(min=0)
        near = near * (self.match.places[:, :, 0] == 0)
        return (self.match.weights[:, :-1] * near).sum(1)

    def cross_entropy(self, visible_weight: Tensor) -> Tensor:
        """Minus the mean log of `visible_weight` at visible positions and of the no-match weight at hidden ones."""
        counts = self.visible | self.hidden
        log = torch.log(visible_weight.where(self.visible, self.match.weights[:, -1]) + FLOOR)
        return -log.where(counts, 0).sum() / counts.sum().clamp(min=1)

    def offset_error(self) -> Tensor:
        """Huber loss of the offset, in positions."""
        error = F.smooth_l1_loss(self.match.offset[:, 1], self.target, reduction="none")
        return error.where(self.visible, 0).sum() / self.visible.sum().clamp(min=1)

"""Gain units of variable-rate models: they scale the latent before quantisation and back after it."""

import math

import torch
from torch import Tensor, nn

ANCHORS = 8  # rates with learned gains; between them logarithms are interpolated


class GainUnits(nn.Module):
    """A gain and an inverse gain per channel for every rate from 0 to 1 (Cui et al. 2021, "Asymmetric Gained Deep Image
    Compression With Continuous Rate Adaptation", CVPR, arXiv 2003.02057, sections 3.2 and 3.3).

        h ── × gain ── quantise, code ── × inverse ── ĥ

    A larger gain means finer steps, more bits and a better image. Gain and inverse gain are learned separately, as
    there. They are initialised as reciprocals, the gain proportional to the square root of lambda, as the optimal step
    of a uniform quantiser requires at high rate.

    Args:
        channels: of the latent.
        lambdas: lowest and highest lambda, at positions 0 and 1.

    Example:
        >>> gain, inverse = GainUnits(4, (0.01, 0.16))(torch.tensor([0.0, 1.0]))
        >>> gain.shape, gain[:, 0].tolist(), inverse[:, 0].tolist()
        (torch.Size([2, 4]), [0.25, 1.0], [4.0, 1.0])
    """

    def __init__(self, channels: int, lambdas: tuple[float, float]):
        super().__init__()
        lowest = -math.log(lambdas[1] / lambdas[0]) / 2
        start = torch.linspace(lowest, 0, ANCHORS)[:, None].expand(ANCHORS, channels)
        self.log_gain = nn.Parameter(start.clone())
        self.log_inverse = nn.Parameter(-start)

    def forward(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Gains and inverse gains, (B, channels) each, at positions (B,) in [0, 1] between the two lambdas."""
        anchor = position.to(self.log_gain.dtype) * (ANCHORS - 1)
        below = anchor.detach().floor().clamp(0, ANCHORS - 2).long()
        weight = (anchor - below)[:, None]
        return tuple(logs[below].lerp(logs[below + 1], weight).exp() for logs in (self.log_gain, self.log_inverse))


def scaled(latent: Tensor, gain: Tensor | None) -> Tensor:
    """`latent` (B, C, h, w) times `gain` (B, C); unchanged without a gain (single-rate weights)."""
    return latent if gain is None else latent * gain[:, :, None, None]

"""Dependence between feature channels: correlation of the responses, and of their magnitudes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndic_core.errors import NDICError


@dataclass(frozen=True)
class Dependence:
    """Statistics of the responses of C channels, NaN where a channel is constant.

    Attributes:
        centred: (C, n), the responses minus each channel's mean.
        correlation: (C, C), of the responses.
        magnitudes: (C, C), of their absolute values.
    """

    centred: Tensor
    correlation: Tensor
    magnitudes: Tensor

    @property
    def mean_of_magnitudes(self) -> float:
        """Mean correlation of the magnitudes over all pairs of different channels."""
        return self.magnitudes[_pairs(self.magnitudes)].nanmean().item()


def dependence(features: Tensor) -> Dependence:
    """The statistics of features (B, C, H, W), over all images and positions.

    Raises:
        NDICError: there are fewer than two channels.

    Example:
        >>> strength = torch.randn(1, 1, 50, 50).exp()
        >>> dependence(strength * torch.randn(1, 2, 50, 50)).mean_of_magnitudes > 0.2
        True
    """
    if features.ndim != 4 or features.shape[1] < 2:
        raise NDICError(f"features have shape (B, C, H, W) with two channels or more, not {tuple(features.shape)}")
    channels = features.detach().cpu().double().transpose(0, 1).flatten(1)
    centred = channels - channels.mean(1, keepdim=True)
    return Dependence(centred, torch.corrcoef(centred), torch.corrcoef(centred.abs()))


def most_changed_pair(before: Dependence, after: Dependence) -> list[int]:
    """The two channels whose magnitudes lose most of their correlation from `before` to `after`.

    If there are any, one of the pairs that are nearly uncorrelated before, so that their dependence is in the
    magnitudes alone, and heavy-tailed after, so that a change of their spread is easily seen.
    """
    pairs = _pairs(before.magnitudes)
    lost = (before.magnitudes - after.magnitudes).nan_to_num(-2.0)  # any other pair loses at least −2
    squares = after.centred**2
    tailed = (squares**2).mean(1) > 3 * squares.mean(1) ** 2  # more than a Gaussian
    clear = pairs & (before.correlation.abs() < 0.2) & tailed & tailed[:, None]
    candidates = clear if clear.any() else pairs
    return list(divmod(torch.where(candidates, lost, -3.0).argmax().item(), len(lost)))


def _pairs(table: Tensor) -> Tensor:
    """Each pair of different channels once."""
    return torch.ones_like(table).triu(1).bool()

"""Attention maps with known matches, for tests of measures and plots."""

import torch


def pointing(offset: torch.Tensor, reach: int) -> torch.Tensor:
    """(1, 1, h, w, 1, 2·reach + 1): all weight at an offset; none where it is NaN."""
    weights = torch.zeros(*offset.shape, 2 * reach + 1)
    known = offset.isfinite()
    index = torch.where(known, offset + reach, 0).round().long().clamp(0, 2 * reach)
    weights.scatter_(-1, index[..., None], known[..., None].float())
    return weights[None, None, :, :, None]

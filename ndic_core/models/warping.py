"""Resampling of features: bilinear reading at an offset, shifted views, and mirroring."""

import torch
import torch.nn.functional as F
from torch import Tensor


def read_at(features: Tensor, offset: Tensor, vertical: bool) -> Tensor:
    """Features read at an offset from each position, by bilinear interpolation.

    Args:
        features: (B, h, w, C); beyond the border the last row or column is repeated.
        offset: (B, 2, h, w), rows and columns, in float32.
        vertical: whether the offset of the rows is used.

    Returns:
        (B, h, w, C) in float32.

    Example:
        >>> row = torch.tensor([0.0, 10.0, 20.0]).reshape(1, 1, 3, 1)
        >>> read_at(row, torch.full((1, 2, 1, 3), 0.5), vertical=False).flatten()
        tensor([ 5., 15., 20.])
    """
    b, h, w, c = features.shape
    steps = [torch.arange(side, device=features.device) for side in (b, h, w)]
    rows = _neighbours(steps[1][:, None] + offset[:, 0], h) if vertical else [(steps[1][:, None], 1.0)]
    columns = _neighbours(steps[2] + offset[:, 1], w)
    first = (steps[0] * h)[:, None, None]
    corners = [((first + i) * w + j, share * part) for i, share in rows for j, part in columns]
    index, share = (torch.stack(parts, -1).flatten(0, 2) for parts in zip(*corners, strict=True))
    # One pass over memory; a gather for each corner and the products would need several.
    read = F.embedding_bag(index, features.reshape(-1, c).float(), per_sample_weights=share, mode="sum")
    return read.reshape(b, h, w, c)


def _neighbours(at: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """The two integer positions around each, and their bilinear weights, along a side."""
    at = at.clamp(0, side - 1)
    below = at.detach().floor()
    return [(below.long(), 1 - (at - below)), ((below + 1).clamp(max=side - 1).long(), at - below)]


def shifted(features: Tensor, rows: int, left: int, right: int, beyond: float = 0.0) -> list[Tensor]:
    """The features at every integer offset from each position, row by row: K times (B, h, w, C).

    Args:
        features: (B, h, w, C).
        rows, left, right: the largest offsets up and down, to the left and to the right.
        beyond: the value outside the features.
    """
    _, h, w, _ = features.shape
    padded = F.pad(features, (0, 0, left, right, rows, rows), value=beyond)
    return [padded[:, i : i + h, j : j + w] for i in range(2 * rows + 1) for j in range(left + right + 1)]


def chosen(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """For each image of a batch `other` where `which` (B,) is true, else `one`."""
    return torch.where(which.reshape(-1, *[1] * (one.ndim - 1)), other, one)


def mirrored(features: Tensor, which: Tensor | bool) -> Tensor:
    """Features (B, ..., w), mirrored left for right in all images, in none, or in those where `which` (B,) is true."""
    if isinstance(which, bool):
        return features.flip(-1) if which else features
    return chosen(which, features, features.flip(-1))


def channels_end(features: Tensor) -> Tensor:
    """(B, C, h, w) → (B, h, w, C)."""
    return features.permute(0, 2, 3, 1)


def channels_begin(features: Tensor) -> Tensor:
    """(B, h, w, C) → (B, C, h, w)."""
    return features.permute(0, 3, 1, 2)

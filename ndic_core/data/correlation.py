"""Correlation of two views, measured on the images without a trained model: block matching, H(x) and H(x|y).

    x, y ─▶ block_matching ─▶ disparity ─▶ prediction of x from y ─▶ PSNR
    x, y ─▶ conditional_entropy ─▶ bits per sample of x in a lossless coder, with y or without

Estimates of H(x) and H(x|y) from one image under a chosen model: a better model gives lower ones.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError

# Rows up and columns to the right of the nearest samples that are decoded before, in raster order.
DECODED = ((0, -1), (0, -2), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1))


class BlockMatch(NamedTuple):
    """The match of each position of x in y; each (H, W)."""

    disparity: Tensor  # whole pixels: the match of column u is column u − disparity
    drop: Tensor  # vertical offset of the match, whole pixels downwards
    error: Tensor  # mean squared difference of the two blocks


class Bits(NamedTuple):
    """Two estimates of one entropy, in bits per sample."""

    gaussian: float  # of a Gaussian residual with the measured variance
    histogram: float  # of the frequencies of the rounded residual


def block_matching(
    x: Tensor, y: Tensor, columns: tuple[int, int] = (0, 64), rows: int = 0, patch: int = 9, causal: bool = False
) -> BlockMatch:
    """Block matching: for each position of x, the block of y with the smallest mean squared difference.

    Args:
        x: (C, H, W).
        y: likewise. Beyond its border, its last column or row is repeated.
        columns: smallest and largest disparity to try; negative ones are to the right.
        rows: how many rows to search up and down.
        patch: height and width of a block, odd, pixels.
        causal: compare only samples above, or left in the same row: those that a decoder in raster order has decoded.
            The first sample has none: its match is the first candidate, with error 0.

    Returns:
        The match of every position; the first, by disparity, of several that are equally good.

    Raises:
        NDICError: the views differ in shape, or a number is out of its range.

    Example:
        >>> x = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(0))
        >>> y = x.roll(-5, dims=2)  # 5 columns to the left
        >>> block_matching(x, y, columns=(0, 8)).disparity[:, 16:48].unique()
        tensor([5])
    """
    if x.ndim != 3 or x.shape != y.shape:
        raise NDICError(f"two views are (C, H, W) of one shape, not {tuple(x.shape)} and {tuple(y.shape)}")
    if not x.numel():
        raise NDICError(f"views of {tuple(x.shape)} have no pixel to match")
    low, high = columns
    if low > high or rows < 0 or patch < 3 or patch % 2 == 0:
        raise NDICError(
            f"columns={columns}, rows={rows}, patch={patch}: expected are a range, 0 or more, and an odd number from 3"
        )
    height, width = x.shape[1:]
    half = patch // 2
    # Rows and columns of a block, counted from its corner: a square, or the part of it that is already decoded.
    areas = [(0, half, 0, patch), (half, half + 1, 0, half)] if causal else [(0, patch, 0, patch)]

    def over_areas(values: Tensor) -> Tensor:
        # Beyond the border no sample is decoded; otherwise the border is repeated.
        beyond = "constant" if causal else "replicate"
        # Summed-area table: sums over all rectangles at once, exact enough in double precision.
        corner = F.pad(F.pad(values[None, None], [half] * 4, beyond)[0, 0], (1, 0, 1, 0)).cumsum(0).cumsum(1)
        total = 0
        for top, bottom, start, end in areas:
            down = corner[bottom : bottom + height] - corner[top : top + height]
            total = total + (down[:, end : end + width] - down[:, start : start + width])
        return total

    least = torch.full((height, width), torch.inf, dtype=torch.double, device=x.device)
    samples = over_areas(torch.ones_like(least)).clamp(min=1)
    left, right = max(high, 0), max(-low, 0)
    wide = F.pad(y[None], (left, right, rows, rows), mode="replicate")[0]
    disparity, drop = torch.zeros(2, height, width, dtype=torch.long, device=x.device)
    for d in range(low, high + 1):
        for down in range(-rows, rows + 1):
            candidate = wide[:, rows + down : rows + down + height, left - d : left - d + width]
            error = over_areas((x - candidate).square().mean(0).double()) / samples
            better = error < least
            least = torch.where(better, error, least)
            disparity, drop = disparity.masked_fill(better, d), drop.masked_fill(better, down)
    return BlockMatch(disparity, drop, least)


def conditional_entropy(
    x: Tensor, y: Tensor | None = None, columns: tuple[int, int] = (0, 64), groups: int = 4
) -> Bits:
    """Bits per sample of x, an estimate: those of a lossless coder in raster order, with or without y.

    The context of a sample is its ten nearest decoded neighbours. With y it also has the 3 × 3 samples of y around the
    match of the decoded neighbourhood (`block_matching`, causal). The sample is predicted linearly from its context by
    least squares. Samples are first sorted into groups by their context: how rough the decoded neighbourhood is, and
    how well y fits it. Each group has its own weights and histogram (as in lossless coders such as CALIC, Wu and
    Memon, 1997).

    The weights and histograms are fitted to the image itself and their bits are not counted; the bias is corrected by
    the degrees of freedom and after Miller (1955).

    Args:
        x: (H, W) in [0, 1], one channel, rounded to 8 bits. The first row and column, which have no complete
            neighbourhood, are not counted.
        y: likewise, the side information; None estimates the entropy of x alone.
        columns: range of disparities, see `block_matching`.
        groups: square root of the number of groups; 1 keeps all samples together.

    Raises:
        NDICError: a view is not (H, W) in [0, 1], or there are too few samples for so many groups.

    Example:
        >>> noise = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
        >>> bits = conditional_entropy(0.5 + 20 / 255 * noise)  # a Gaussian of 20 levels has 6.37 bits
        >>> round(bits.gaussian, 1), round(bits.histogram, 1)
        (6.4, 6.4)
    """
    if x.ndim != 2:
        raise NDICError(f"the entropy is that of one channel, (H, W), not of {tuple(x.shape)}")
    total = (x.shape[0] - 1) * (x.shape[1] - 1)
    if groups < 1 or total < 100 * groups**2:
        raise NDICError(f"{total} samples are too few for {groups}² groups: at least 100 per group are needed")
    x = _levels(x)
    known = _neighbours(x)
    rough = (known - known.mean(0)).square().mean(0)
    if y is None:
        group = _ranked(rough, groups**2)
    else:
        y = _levels(y)
        match = block_matching(x[None], y[None], columns, patch=11, causal=True)
        known = torch.cat([known, _around(y, match)])
        group = groups * _ranked(rough, groups) + _ranked(match.error, groups)

    known = torch.cat([known, torch.ones_like(known[:1])])
    x, known, group = x[1:, 1:], known[:, 1:, 1:], group[1:, 1:]  # neighbours of the border would be the border itself
    gaussian = histogram = 0.0
    for number in group.unique():
        samples, given = x[group == number], known[:, group == number].T
        weights = torch.linalg.lstsq(given, samples, driver="gelsd").solution  # neighbours may be all equal
        predicted = given @ weights
        share = len(samples) / total
        variance = (samples - predicted).square().sum() / max(1, len(samples) - given.shape[1])
        gaussian += share * 0.5 * math.log2(2 * math.pi * math.e * max(variance.item(), _CERTAIN))
        histogram += share * _entropy(samples - predicted.round())
    return Bits(gaussian, histogram)


_CERTAIN = 1 / (2 * math.pi * math.e)  # variance below which the Gaussian's bits would be negative


def _levels(view: Tensor) -> Tensor:
    """8-bit levels, 0 to 255, on the CPU: least squares of equal neighbours need it."""
    if not (view.is_floating_point() and ((view >= 0) & (view <= 1)).all()):
        raise NDICError("a view has numbers in [0, 1]: divide 8-bit values by 255 first")
    return (view * 255).round().cpu().double()


def _neighbours(x: Tensor) -> Tensor:
    """The decoded neighbours of each sample, (10, H, W)."""
    height, width = x.shape
    wide = F.pad(x[None, None], (2, 2, 2, 0), mode="replicate")[0, 0]
    return torch.stack([wide[2 - up : 2 - up + height, 2 + on : 2 + on + width] for up, on in DECODED])


def _around(y: Tensor, match: BlockMatch) -> Tensor:
    """The 3 × 3 samples of y around each match, (9, H, W)."""
    height, width = y.shape
    row = (torch.arange(height)[:, None] + match.drop).clamp(0, height - 1)
    column = (torch.arange(width) - match.disparity).clamp(0, width - 1)
    wide = F.pad(y[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    return torch.stack([wide[row + down, column + on] for down in range(3) for on in range(3)])


def _ranked(values: Tensor, groups: int) -> Tensor:
    """The quantile group of each value."""
    steps = torch.arange(1, groups, dtype=values.dtype) / groups
    return torch.bucketize(values, values.flatten().quantile(steps))


def _entropy(values: Tensor) -> float:
    """Entropy of the values' histogram, bits, with Miller's correction."""
    counts = values.unique(return_counts=True)[1].double()
    shares = counts / counts.sum()
    return (-(shares * shares.log2()).sum() + (len(counts) - 1) / (2 * math.log(2) * counts.sum())).item()

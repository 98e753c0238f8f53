"""Ground-truth correspondence from a known disparity: per pixel, per feature position, per patch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError


def true_offsets(disparity: Tensor, occluded: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The true column offset from each feature position of x to its match in y.

    Args:
        disparity: (H, W), or (B, H, W) of several pairs, pixels; x at column u corresponds to y at column
            u − disparity.
        occluded: bool, in the same shape.
        stride: image pixels per feature position.

    Returns:
        The offsets, (h, w) or (B, h, w), in feature positions, 0 or negative (of a mirrored pair positive), NaN where
        part of the position is occluded; and bool in the same shape, True where all of it is.

    Example:
        >>> disparity, occluded = torch.full((4, 8), 3.0), torch.arange(8).expand(4, 8) < 4
        >>> true_offsets(disparity, occluded, 2)[0][0]
        tensor([    nan,     nan, -1.5000, -1.5000])
    """
    offset = -F.avg_pool2d(disparity[None], stride)[0] / stride
    share = F.avg_pool2d(occluded[None].to(disparity), stride)[0]
    return offset.masked_fill(share > 0, torch.nan), share == 1


def warp(y: Tensor, disparity: Tensor, drop: Tensor | None = None) -> Tensor:
    """y aligned with x: the value of y at the match of every position of x, by bicubic interpolation.

    Args:
        y: (C, H, W).
        disparity: (H, W), pixels; the match of column u is column u − disparity. Beyond y's border, its last column is
            repeated.
        drop: (H, W), vertical offset of the match, pixels downwards; 0 where None.

    Returns:
        (C, H, W). Where the match is a whole number of pixels away, y's own values.

    Example:
        >>> y = torch.arange(8.0).expand(1, 2, 8)
        >>> warp(y, torch.full((2, 8), 3.0))[0, 0]
        tensor([0., 0., 0., 0., 1., 2., 3., 4.])
    """
    height, width = disparity.shape
    column, row = (torch.arange(side, device=disparity.device) for side in (width, height))
    across, down = column - disparity, row[:, None].expand(height, width)
    down = down if drop is None else down + drop
    grid = torch.stack([(across + 0.5) / width * 2 - 1, (down + 0.5) / height * 2 - 1], -1)
    return F.grid_sample(y[None].double(), grid[None].double(), "bicubic", "border", align_corners=False)[0].to(y)


def patch_shares(
    disparity: Tensor, occluded: Tensor | None = None, patch_grid: int = 4, drop: Tensor | None = None
) -> Tensor:
    """The ground truth of attention between patches: how the pixels of each patch of x distribute over y's patches.

    Args:
        disparity: (H, W), pixels; x at column u is y at column u − disparity. H and W are multiples of `patch_grid`.
        occluded: bool, (H, W), pixels without a match in y; none where None.
        patch_grid: patches per side, P.
        drop: (H, W), vertical offset of the match, pixels downwards; 0 where None.

    Returns:
        (P, P, P, P): for patch row and column of x, the share of its visible pixels whose match is in patch row and
        column of y. Sums to 1 over y's patches; NaN where no pixel of the patch has a match.

    Raises:
        NDICError: the sides are not multiples of `patch_grid`.

    Example:
        >>> patch_shares(torch.full((8, 8), 1.0), patch_grid=2)[0, 1]  # one of four columns is in the left patch
        tensor([[0.2500, 0.7500],
                [0.0000, 0.0000]])
    """
    height, width = disparity.shape
    if height % patch_grid or width % patch_grid:
        raise NDICError(f"an image of {height} × {width} does not divide into {patch_grid} × {patch_grid} patches")
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    down, across = row if drop is None else (row + drop).round().long(), (column - disparity).round().long()
    visible = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    visible = visible if occluded is None else visible & ~occluded

    def number(row: Tensor, column: Tensor) -> Tensor:
        return row[visible] // (height // patch_grid) * patch_grid + column[visible] // (width // patch_grid)

    shares = torch.zeros(patch_grid**2, patch_grid**2)
    shares.index_put_((number(row, column), number(down, across)), torch.tensor(1.0), accumulate=True)
    return (shares / shares.sum(1, keepdim=True)).reshape([patch_grid] * 4)

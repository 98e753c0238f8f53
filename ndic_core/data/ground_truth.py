"""Where y shows what x shows, from a known disparity: by pixels, by positions of features, by patches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ndic_core.errors import NDICError


def true_match(disparity: Tensor, occluded: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Where y shows what each position of x's features stands for.

    Args:
        disparity: (H, W), or (B, H, W) of several pairs, pixels; x at column u is y at column u − disparity.
        occluded: bool, in the same shape.
        shrink: the features are this much smaller.

    Returns:
        The column offset from x's position to y's, (h, w) or (B, h, w), in feature pixels, 0 or negative (of a mirrored
        pair positive), NaN where y does not show all of the position; and bool in the same shape, whether it shows none
        of it.

    Example:
        >>> disparity, occluded = torch.full((4, 8), 3.0), torch.arange(8).expand(4, 8) < 4
        >>> true_match(disparity, occluded, 2)[0][0]
        tensor([    nan,     nan, -1.5000, -1.5000])
    """
    offset = -F.avg_pool2d(disparity[None], stride)[0] / stride
    share = F.avg_pool2d(occluded[None].to(disparity), stride)[0]
    return offset.masked_fill(share > 0, torch.nan), share == 1


def warp(y: Tensor, disparity: Tensor, drop: Tensor | None = None) -> Tensor:
    """y as seen from x: at every position of x what y shows at its match, read between pixels by bicubic weights.

    Args:
        y: (C, H, W).
        disparity: (H, W), pixels; the match of column u is column u − disparity. Beyond y's border, its last column is
            repeated.
        drop: (H, W), pixels that the match lies further down; 0 where None.

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
    """In which of y's patches the parts of each patch of x lie: what attention between patches should find.

    Args:
        disparity: (H, W), pixels; x at column u is y at column u − disparity. H and W are multiples of `patch_grid`.
        occluded: bool, (H, W), pixels that y does not show; none where None.
        patch_grid: patches per side, P.
        drop: (H, W), pixels that the match lies further down; 0 where None.

    Returns:
        (P, P, P, P): of patch row and column in x, the share of its visible pixels whose match lies in patch row and
        column of y. Adds up to 1 over y's patches; NaN where y shows nothing of the patch.

    Raises:
        NDICError: the sides are not multiples of `patch_grid`.

    Example:
        >>> patch_shares(torch.full((8, 8), 1.0), patch_grid=2)[0, 1]  # one of four columns lies in the left patch
        tensor([[0.2500, 0.7500],
                [0.0000, 0.0000]])
    """
    height, width = disparity.shape
    if height % patch_grid or width % patch_grid:
        raise NDICError(f"a picture of {height} × {width} does not divide into {patch_grid} × {patch_grid} patches")
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    down, across = row if drop is None else (row + drop).round().long(), (column - disparity).round().long()
    visible = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    visible = visible if occluded is None else visible & ~occluded

    def number(row: Tensor, column: Tensor) -> Tensor:
        return row[visible] // (height // patch_grid) * patch_grid + column[visible] // (width // patch_grid)

    shares = torch.zeros(patch_grid**2, patch_grid**2)
    shares.index_put_((number(row, column), number(down, across)), torch.tensor(1.0), accumulate=True)
    return (shares / shares.sum(1, keepdim=True)).reshape([patch_grid] * 4)

"""Where y shows what x shows, at the scale of features: from a known disparity."""

import torch
import torch.nn.functional as F
from torch import Tensor


def true_match(disparity: Tensor, occluded: Tensor, shrink: int) -> tuple[Tensor, Tensor]:
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
    offset = -F.avg_pool2d(disparity[None], shrink)[0] / shrink
    share = F.avg_pool2d(occluded[None].to(disparity), shrink)[0]
    return offset.masked_fill(share > 0, torch.nan), share == 1

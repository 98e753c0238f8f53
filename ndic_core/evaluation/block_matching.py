"""Block matching of pixels: where y has the patch that is most similar to one of x."""

import torch
import torch.nn.functional as F

from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError


def most_similar_patch(
    pair: StreetPair, row: int, column: int, half: int = 4, reach: int = 48
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The centre of the patch of y with the smallest squared difference from a patch of x.

    Args:
        pair: two images of one size.
        row, column: centre of the patch of x, in pixels.
        half: rows and columns of the patch to either side of its centre.
        reach: columns to either side that are searched in the row.

    Returns:
        Row and column in y: of the best patch of the whole image, and of the best one in the same row.

    Raises:
        NDICError: the patch is not within x.
    """
    height, width = pair.x.shape[-2:]
    if not (half <= row < height - half and half <= column < width - half):
        raise NDICError(f"a patch around ({row}, {column}) is not within the image: stay {half} pixels from its border")
    patch = pair.x[:, row - half : row + half + 1, column - half : column + half + 1]
    squares = F.conv2d(pair.y[None].square(), torch.ones_like(patch)[None])
    cost = (squares - 2 * F.conv2d(pair.y[None], patch[None]))[0, 0]  # |y − patch|², up to a constant
    i, j = divmod(cost.argmin().item(), cost.shape[1])
    left = max(0, column - half - reach)
    along = left + cost[row - half, left : column - half + reach + 1].argmin().item()
    return (i + half, j + half), (row, along + half)

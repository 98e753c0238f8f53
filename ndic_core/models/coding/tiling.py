"""Padding and tiles for images of any size."""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """An image of `height` × `width` on a grid of equal tiles.

    A model that accepts multiples of some step has one tile, the image padded to the next multiple. A model of a fixed
    image size has as many tiles of that size, `tile`, as cover the image.

    Example:
        >>> import torch
        >>> tiling = Tiling(375, 1242, (128, 256))
        >>> tiling.rows, tiling.columns
        (3, 5)
        >>> x = torch.rand(3, 375, 1242)
        >>> tiling.split(x).shape
        torch.Size([15, 3, 128, 256])
        >>> bool((tiling.join(tiling.split(x)) == x).all())
        True
    """

    height: int
    width: int
    tile: tuple[int, int]

    @property
    def rows(self) -> int:
        return math.ceil(self.height / self.tile[0])

    @property
    def columns(self) -> int:
        return math.ceil(self.width / self.tile[1])

    def split(self, image: Tensor) -> Tensor:
        """`(3, height, width)` → `(rows · columns, 3, *tile)`; the last row and column fill the grid."""
        h, w = self.tile
        below, right = self.rows * h - self.height, self.columns * w - self.width
        padded = F.pad(image[None], (0, right, 0, below), mode="replicate")[0] if below or right else image
        grid = padded.reshape(-1, self.rows, h, self.columns, w)
        return grid.permute(1, 3, 0, 2, 4).reshape(self.rows * self.columns, -1, h, w)

    def join(self, tiles: Tensor) -> Tensor:
        """The inverse of `split`; the padding is removed."""
        h, w = self.tile
        grid = tiles.reshape(self.rows, self.columns, -1, h, w).permute(2, 0, 3, 1, 4)
        return grid.reshape(-1, self.rows * h, self.columns * w)[:, : self.height, : self.width]

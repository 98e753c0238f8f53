"""Pixels held on a GPU, where all crops of a batch are read in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ndic_core.data.pairs import Pairs


class HeldPixels:
    """The images of several sets of pairs in one piece of memory.

    Args:
        sets: of pairs, images of one size within each.
        device: that holds them.
        largest: height and width that no crop exceeds.

    Example:
        >>> import numpy as np
        >>> pairs = Pairs(np.full((2, 8, 16, 3), 7, np.uint8), np.array([[0, 1]]), ["a"])
        >>> held = HeldPixels([pairs], torch.device("cpu"), (8, 16))
        >>> held.crops(torch.tensor(held.places(0, 0))[None], torch.tensor([[2, 3, 4, 8]]), (2, 4))[0, :, 0]
        tensor([[[7., 7., 7., 7.],
                 [7., 7., 7., 7.]],
        <BLANKLINE>
                [[7., 7., 7., 7.],
                 [7., 7., 7., 7.]]])
    """

    def __init__(self, sets: Sequence[Pairs], device: torch.device, largest: tuple[int, int]):
        self.sets, self.largest = list(sets), largest
        sizes = [pairs.images[..., 0].size for pairs in self.sets]
        self._first = [sum(sizes[:i]) for i in range(len(sizes))]
        self._pixels = torch.empty(sum(sizes), 3, dtype=torch.uint8, device=device)
        for pairs, first, size in zip(self.sets, self._first, sizes, strict=True):
            self._pixels[first : first + size] = torch.tensor(pairs.images.reshape(-1, 3), device=device)

    @staticmethod
    def bytes(sets: Sequence[Pairs]) -> int:
        """Memory that the images of `sets` take."""
        return sum(pairs.images.nbytes for pairs in sets)

    def places(self, which: int, number: int) -> list[int]:
        """Where pair `number` of set `which` is: the first pixel of x, that of y, and how wide an image is."""
        height, width = self.sets[which].size
        return [self._first[which] + int(image) * height * width for image in self.sets[which].index[number]] + [width]

    def crops(self, places: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Crops of both images of some pairs, made smaller as Pillow and torchvision do (a triangle filter that covers
        what a pixel stands for).

        Args:
            places: (B, 3), whole numbers of `places`.
            boxes: (B, 4), whole numbers: top, left, height and width, at most `largest`.
            size: height and width to make of them.

        Returns:
            (B, 2, 3, height, width), whole numbers from 0 to 255, as floats.
        """
        top, left, height, width = boxes.T[..., None]
        # What lies beyond a crop is given no weight; it only must be somewhere in memory.
        rows = top + torch.arange(self.largest[0], device=boxes.device).minimum(height - 1)
        columns = left + torch.arange(self.largest[1], device=boxes.device).minimum(width - 1)
        index = (rows * places[:, 2:])[:, :, None, None] + places[:, None, :2, None] + columns[:, None, None]
        pixels = self._pixels[index].float()  # (B, rows, 2, columns, 3)
        shape = pixels.shape
        down = _weights(height, size[0], self.largest[0])
        pixels = (down @ pixels.flatten(2)).reshape(shape[0], size[0], *shape[2:])
        pixels = pixels.permute(0, 2, 4, 1, 3)  # (B, 2, 3, height, columns)
        across = _weights(width, size[1], self.largest[1]).transpose(1, 2)
        return (pixels.flatten(1, 3) @ across).reshape(shape[0], 2, 3, *size).round()


def _weights(sides: Tensor, size: int, largest: int) -> Tensor:
    """How much each pixel of a side counts for each pixel that is made of it, (B, size, largest), from sides (B, 1)."""
    scale = (sides / size)[..., None]
    centre = (torch.arange(size, device=sides.device)[:, None] + 0.5) * scale
    pixel = torch.arange(largest, device=sides.device)
    weights = (1 - ((pixel + 0.5 - centre) / scale.clamp(min=1)).abs()).clamp(min=0) * (pixel < sides[..., None])
    return weights / weights.sum(-1, keepdim=True)

"""Images in GPU memory, from which all crops of a batch are computed in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ndic_core.data.pairs import Pairs


class GpuImages:
    """The images of several sets of pairs in one tensor.

    Args:
        sets: of pairs, images of one size within each.
        device: of the tensor.
        max_crop: height and width that no crop exceeds.
    """

    def __init__(self, sets: Sequence[Pairs], device: torch.device, max_crop: tuple[int, int]):
        self.sets, self.max_crop = list(sets), max_crop
        sizes = [pairs.images[..., 0].size for pairs in self.sets]
        self._first = [sum(sizes[:i]) for i in range(len(sizes))]
        self._pixels = torch.empty(sum(sizes), 3, dtype=torch.uint8, device=device)
        for pairs, first, size in zip(self.sets, self._first, sizes, strict=True):
            self._pixels[first : first + size] = torch.tensor(pairs.images.reshape(-1, 3), device=device)

    def offsets(self, which: int, number: int) -> list[int]:
        """Index of the first pixel of x and of y of pair `number` in set `which`, and the width of an image."""
        height, width = self.sets[which].size
        return [self._first[which] + int(image) * height * width for image in self.sets[which].index[number]] + [width]

    def crops(self, offsets: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Crops of both images of some pairs, resized as Pillow and torchvision do (antialiased triangle filter).

        Args:
            offsets: (B, 3), integers of `offsets`.
            boxes: (B, 4), integers: top, left, height and width, at most `max_crop`.
            size: height and width to resize to.

        Returns:
            (B, 2, 3, height, width), integers from 0 to 255, as floats.
        """
        top, left, height, width = boxes.T[..., None]
        # Pixels beyond a crop have weight 0; the index only has to be valid.
        rows = top + torch.arange(self.max_crop[0], device=boxes.device).minimum(height - 1)
        columns = left + torch.arange(self.max_crop[1], device=boxes.device).minimum(width - 1)
        index = (rows * offsets[:, 2:])[:, :, None, None] + offsets[:, None, :2, None] + columns[:, None, None]
        pixels = self._pixels[index].float()  # (B, rows, 2, columns, 3)
        shape = pixels.shape
        down = _weights(height, size[0], self.max_crop[0])
        pixels = (down @ pixels.flatten(2)).reshape(shape[0], size[0], *shape[2:])
        pixels = pixels.permute(0, 2, 4, 1, 3)  # (B, 2, 3, height, columns)
        across = _weights(width, size[1], self.max_crop[1]).transpose(1, 2)
        return (pixels.flatten(1, 3) @ across).reshape(shape[0], 2, 3, *size).round()


def _weights(sides: Tensor, size: int, max_side: int) -> Tensor:
    """Resampling weights (B, size, max_side) from the pixels of sides (B, 1) to `size` pixels."""
    scale = (sides / size)[..., None]
    centre = (torch.arange(size, device=sides.device)[:, None] + 0.5) * scale
    pixel = torch.arange(max_side, device=sides.device)
    weights = (1 - ((pixel + 0.5 - centre) / scale.clamp(min=1)).abs()).clamp(min=0) * (pixel < sides[..., None])
    return weights / weights.sum(-1, keepdim=True)

"""Large images in bands of rows, so that features at full width need memory for one band only.

A row of features depends on a few rows of the input; how many follows from the kernels and strides of the layers. Each
band is computed from its rows and those beyond its edges that it depends on, so that the result is that of the whole
image, up to the last bits of a sum. The bands follow from the size of the image alone: on the same machine, sender and
receiver compute the same values.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.models.transforms import channels_last

BAND_PIXELS = 2**20  # images of up to this size are computed as a whole
_WHOLE = 4  # pixels per position, along each side, from which on features are small enough to be computed as a whole

Layer = Callable[[Tensor], Tensor]  # a module; what is no convolution works on each row alone


class Rows(NamedTuple):
    """The rows from `start` to before `stop`, of an image or of features."""

    start: int
    stop: int

    def wider(self, margin: int, height: int) -> "Rows":
        """With `margin` more rows at both ends, as far as features of this height have them."""
        return Rows(max(0, self.start - margin), min(height, self.stop + margin))

    def coarser(self, height: int) -> "Rows":
        """The rows at half the resolution, of `height`, that an upsampling by 2 to these rows depends on."""
        return Rows(self.start // 2, -(-self.stop // 2)).wider(1, height)

    def finer(self) -> "Rows":
        """The same rows at twice the resolution."""
        return Rows(2 * self.start, 2 * self.stop)

    def within(self, other: "Rows") -> slice:
        """Where these rows are in a tensor that holds the rows `other`."""
        return slice(self.start - other.start, self.stop - other.start)

    def of(self, features: Tensor) -> Tensor:
        """These rows of features (B, C, H, W)."""
        return features[:, :, self.start : self.stop]


def bands(height: int, width: int) -> list[Rows]:
    """The bands of an image; their edges are at multiples of 16 rows.

    Example:
        >>> bands(512, 1024), bands(1072, 2048)
        ([Rows(start=0, stop=512)], [Rows(start=0, stop=368), Rows(start=368, stop=736), Rows(start=736, stop=1072)])
    """
    count = -(-height * width // BAND_PIXELS)
    rows = -(-height // (count * DOWNSAMPLING)) * DOWNSAMPLING
    return [Rows(start, min(start + rows, height)) for start in range(0, height, rows)]


def analysed(layers: nn.Sequential, image: Tensor) -> Tensor:
    """`layers(image)`, an analysis: (B, 3, H, W) → (B, N, H/16, W/16); of a large image the first layers in bands."""
    parts = bands(*image.shape[-2:])
    if len(parts) == 1:
        return layers(channels_last(image))
    layers, first, stride = list(layers), [], 1
    while layers and (stride < _WHOLE or not isinstance(layers[0], nn.Conv2d)):
        first.append(layers.pop(0))
        stride = stride * first[-1].stride[0] if isinstance(first[-1], nn.Conv2d) else stride
    parts = [Rows(*(row // stride for row in part)) for part in parts]
    features = together(parts, lambda part: rows_of(first, image, part))
    for layer in layers:
        features = layer(features)
    return features


def synthesised(layers: nn.Sequential, latent: Tensor) -> Tensor:
    """`layers(latent)`, a synthesis: (B, C, h, w) → (B, 3, 16h, 16w); a large image in bands."""
    parts = bands(*(DOWNSAMPLING * side for side in latent.shape[-2:]))
    if len(parts) == 1:
        return layers(channels_last(latent))
    return together(parts, lambda part: rows_of(layers, latent, part))


def rows_of(layers: Sequence[Layer], features: Tensor, rows: Rows) -> Tensor:
    """Some rows of what the layers make of features (B, C, H, W), computed from the rows that these depend on.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(1, 1, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1))
        >>> x = torch.rand(1, 1, 64, 8)
        >>> torch.allclose(rows_of(layers, x, Rows(10, 12)), layers(x)[:, :, 10:12], atol=1e-6)
        True
    """
    heights = [features.shape[-2]]
    for layer in layers:
        heights.append(_height(layer, heights[-1]))
    wanted = [rows]
    for layer, height in zip(reversed(layers), heights[-2::-1], strict=True):
        wanted.insert(0, _needed(layer, wanted[0]).wider(0, height))
    features = channels_last(wanted[0].of(features))
    for layer, given, kept in zip(layers, wanted, wanted[1:], strict=False):
        first = _height(layer, given.start)
        features = Rows(kept.start - first, kept.stop - first).of(layer(features))
    return features


def reach(*layers: nn.Module) -> int:
    """Rows above and below that the result of convolutions with stride 1, one after the other, depends on."""
    parts = (part for layer in layers for part in layer.modules() if isinstance(part, (nn.Conv2d, nn.Conv3d)))
    return sum(part.kernel_size[-2] // 2 for part in parts)


def together(parts: Sequence[Rows], band: Callable[[Rows], Tensor]) -> Tensor:
    """The bands one below the other, each from `band(rows)`, (B, C, rows, W)."""
    whole = None  # not a list: bands and their concatenation would be in memory twice
    for part in parts:
        rows = band(part)
        if whole is None:
            b, c, _, w = rows.shape
            shape = (b, c, parts[-1].stop, w)
            whole = torch.empty(shape, dtype=rows.dtype, device=rows.device, memory_format=torch.channels_last)
        part.of(whole).copy_(rows)
    return whole


def _height(layer: Layer, height: int) -> int:
    """Rows of a layer's output, for an input of this height."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            height = _height(part, height)
    elif isinstance(layer, nn.ConvTranspose2d):
        height *= layer.stride[0]
    elif isinstance(layer, nn.Conv2d):
        height = -(-height // layer.stride[0])
    return height


def _needed(layer: Layer, rows: Rows) -> Rows:
    """The input's rows that some rows of a layer's output depend on, perhaps beyond its ends; from a multiple of its
    stride on, so that the output begins with a whole row.
    """
    if isinstance(layer, nn.Sequential):
        for part in reversed(layer):
            rows = _needed(part, rows)
    elif isinstance(layer, nn.ConvTranspose2d):
        kernel, stride, padding = (of[0] for of in (layer.kernel_size, layer.stride, layer.padding))
        rows = Rows(-((kernel - 1 - padding - rows.start) // stride), (rows.stop - 1 + padding) // stride + 1)
    elif isinstance(layer, nn.Conv2d):
        kernel, stride, padding = (of[0] for of in (layer.kernel_size, layer.stride, layer.padding))
        first = rows.start - -(-padding // stride)
        rows = Rows(first * stride, (rows.stop - 1) * stride - padding + kernel)
    return rows

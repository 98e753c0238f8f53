"""The data set Mixed: random crops and colour changes of real pairs and of pairs of the generated street."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resized_crop, rgb_to_grayscale

from ndic_core.data.gpu_images import GpuImages
from ndic_core.data.pairs import Pairs

MIN_CROP = 0.78  # height of the smallest crop of a whole view over the image's height
STREET_SCALE = 2  # with windows, the street is rendered this much larger than `size`

Box = tuple[int, int, int, int]  # top, left, height, width


class MixedPairs:
    """Real pairs in both orders and pairs of the street; crops and colours change in every epoch.

    A *whole view* shows an image at the size that results are published for: a crop of nearly its full height,
    resized. A *window* shows a part of a native image at a scale between that of the whole view and the camera's own
    resolution (drawn log-uniformly), where disparities are larger. Both images of a pair are cropped at the same place,
    so that disparities stay horizontal. Then brightness, contrast and saturation change, by the same factors in both
    images, and brightness a little more in y alone, as two cameras differ.

    An epoch has every real pair once as a whole view, the native pairs in turn as windows, and the street's pairs in
    turn: `window_fraction` of both the real pairs and the street's pairs are windows.

    Args:
        real: for whole views, larger than `size`.
        street: of `size` or larger; windows of it need it larger.
        size: height and width of a batch.
        seed: with the epoch and the pair's number, the seed of all random draws.
        synthetic_fraction: the street's share of an epoch, from 0 to below 1.
        native: real pairs at the camera's resolution, for windows; needed where `window_fraction` is above 0.
        window_fraction: from 0 to below 1.

    Example:
        >>> images = np.zeros((2, 48, 160, 3), np.uint8)
        >>> real = Pairs(images, np.array([[0, 1], [1, 0]]), ["a", "b"])
        >>> street = Pairs(images[:, :32, :64], np.array([[0, 1]]), ["c"])
        >>> mixed = MixedPairs(real, street, (32, 64), seed=0)
        >>> len(mixed), mixed.in_epoch(3).batch([0, 2])[0].shape
        (3, torch.Size([2, 3, 32, 64]))
    """

    def __init__(
        self,
        real: Pairs,
        street: Pairs,
        size: tuple[int, int],
        seed: int,
        synthetic_fraction: float = 0.25,
        native: Pairs | None = None,
        window_fraction: float = 0.0,
    ):
        self.real, self.street, self.native, self.size, self.seed = real, street, native, size, seed
        self.synthetic_fraction, self.window_fraction = synthetic_fraction, window_fraction
        self.epoch = 0
        self.device = torch.device("cpu")
        self._preloaded: GpuImages | None = None
        windows = round(len(real) * window_fraction / (1 - window_fraction)) if native else 0
        self.first_street = len(real) + windows  # numbers: whole views, windows of native pairs, pairs of the street

    def __len__(self) -> int:
        """Pairs of an epoch."""
        return round(self.first_street / (1 - self.synthetic_fraction))

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Name and digest of every pair of the three sets."""
        return [content for pairs in self._sets() for content in pairs.contents]

    def in_epoch(self, epoch: int) -> "MixedPairs":
        """The pairs of `epoch`, counted from 0."""
        pairs = copy.copy(self)
        pairs.epoch = epoch
        return pairs

    def to(self, device: torch.device) -> "MixedPairs":
        """As `Pairs.to`; with all pixels on a GPU, the crops of a batch are computed in one pass."""
        self.device = device
        needed = sum(pairs.images.nbytes for pairs in self._sets())
        if device.type == "cuda" and needed < torch.cuda.mem_get_info(device)[0] / 4:
            self.preload(device)
        return self

    def preload(self, device: torch.device) -> None:
        """Copy the pixels of all pairs to a device."""
        sizes = [pairs.size for pairs in self._sets()]
        max_width = max(min(width, round(height * self.size[1] / self.size[0])) for height, width in sizes)
        max_crop = max(height for height, _ in sizes), max_width
        self.device, self._preloaded = device, GpuImages(self._sets(), device, max_crop)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x and y of some pairs as in this epoch, (B, 3, H, W) each in [0, 1], on the device of `to`."""
        generators = [self._generator(i) for i in indices]
        crops = [self._crop(i, rng) for i, rng in zip(indices, generators, strict=True)]
        changes = torch.tensor([[*rng.uniform(0.8, 1.2, 3), rng.uniform(0.95, 1.05)] for rng in generators])
        if self._preloaded is None:
            views = torch.stack([self._view(*crop) for crop in crops])
        else:
            sets = self._sets()
            table = [(*self._preloaded.offsets(sets.index(pairs), number), *box) for pairs, number, box in crops]
            table = torch.tensor(table).to(self.device, non_blocking=True)
            views = self._preloaded.crops(table[:, :3], table[:, 3:], self.size)
        views = views / 255
        brightness, contrast, saturation, brightness_y = changes.T.float().to(self.device, non_blocking=True)
        views = _blend(views, 0, brightness)
        # One pivot for both images: what has one colour in x and y keeps one colour.
        views = _blend(views, rgb_to_grayscale(views).mean((1, 2, 3, 4), keepdim=True), contrast)
        views = _blend(views, rgb_to_grayscale(views), saturation)
        return views[:, 0], _blend(views[:, 1:], 0, brightness_y)[:, 0]

    def camera(self, indices: Sequence[int]) -> list[str | None]:
        """The camera of x of some pairs, as `Pairs.camera`."""
        return [pairs.cameras[number] for pairs, number, _ in map(self._crop, indices)]

    def with_ground_truth(self, indices: Sequence[int]) -> list[int]:
        """The positions in `indices` of pairs with ground-truth disparity: the street's, if it was loaded with it."""
        return [k for k, i in enumerate(indices) if i >= self.first_street and self.street.with_ground_truth([0])]

    def ground_truth(self, indices: Sequence[int]) -> Tensor:
        """Disparities of the crops in `batch`, (B, H, W), for pairs that have them, as `Pairs.ground_truth`; NaN where
        y's crop does not contain the match. On the CPU."""
        crops = map(self._crop, indices)
        maps = [_disparity(pairs.ground_truth([number])[0], box, self.size) for pairs, number, box in crops]
        return torch.stack(maps)

    def _sets(self) -> list[Pairs]:
        return [pairs for pairs in (self.real, self.native, self.street) if pairs is not None]

    def _view(self, pairs: Pairs, number: int, box: Box) -> Tensor:
        """A crop of both images of a pair, (2, 3, H, W) of `size`, from 0 to 255."""
        images = pairs.pixels([number])[0].permute(0, 3, 1, 2).to(self.device)
        return resized_crop(images, *box, self.size, antialias=True).float()

    def _generator(self, i: int) -> np.random.Generator:
        """The random generator of number `i` of this epoch."""
        return np.random.default_rng([self.seed, self.epoch, i + 1])  # + 1: another seed than the batches' mirroring

    def _crop(self, i: int, rng: np.random.Generator | None = None) -> tuple[Pairs, int, Box]:
        """The pair that is number `i` of this epoch, and its crop; `rng` is that of `_generator`."""
        rng = rng or self._generator(i)
        if i < len(self.real):
            pairs, number = self.real, i
            height = round(pairs.size[0] * rng.uniform(MIN_CROP, 1))
        elif i < self.first_street:
            per_epoch = self.first_street - len(self.real)
            pairs, number = self.native, (self.epoch * per_epoch + i - len(self.real)) % len(self.native)
            height = _window_height(pairs, self.size, rng)
        else:
            per_epoch = len(self) - self.first_street
            pairs, number = self.street, (self.epoch * per_epoch + i - self.first_street) % len(self.street)
            if rng.uniform() >= self.window_fraction:
                return pairs, number, (0, 0, *pairs.size)
            height = _window_height(pairs, self.size, rng)
        return pairs, number, random_crop(pairs, height, self.size, rng)


def random_crop(pairs: Pairs, height: int, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A crop of `height` with the aspect of `size`, at a random place."""
    width = min(pairs.size[1], round(height * size[1] / size[0]))
    top, left = rng.integers(pairs.size[0] - height + 1), rng.integers(pairs.size[1] - width + 1)
    return int(top), int(left), height, width


def _window_height(pairs: Pairs, size: tuple[int, int], rng: np.random.Generator) -> int:
    """Log-uniform between the height of `size` (the camera's own resolution) and the whole height."""
    return round(size[0] * (pairs.size[0] / size[0]) ** rng.uniform())


def _disparity(disparity: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Disparity (H, W) of a crop that is resized to `size`, in its pixels; NaN where y's crop lacks the match."""
    top, left, height, width = box
    rows, columns = (((torch.arange(n) + 0.5) * side / n).long() for n, side in zip(size, (height, width), strict=True))
    disparity = disparity[top + rows][:, left + columns] * (size[1] / width)
    match = torch.arange(size[1]) - disparity
    return disparity.where((match >= 0) & (match <= size[1] - 1), torch.nan)


def _blend(views: Tensor, other: Tensor | float, share: Tensor) -> Tensor:
    """Colour change as in torchvision: `share` (B,) of `views` and the rest of `other`, per pair."""
    share = share[:, None, None, None, None]
    return (share * views + (1 - share) * other).clamp(0, 1)

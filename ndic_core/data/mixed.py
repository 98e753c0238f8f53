"""The data that shipped weights are trained on: real pairs and pairs of the generated street, cropped and coloured anew
in every epoch."""

import copy
import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resized_crop, rgb_to_grayscale

from ndic_core.data.folder import matched
from ndic_core.data.gpu_images import HeldPixels
from ndic_core.data.pairs import Pairs, image_size, load_pairs
from ndic_core.errors import NDICError

ROOM = (1.5, 3.3)  # a real image is kept at 1.5 times the height it is trained at, 3.3 times as wide as high: KITTI's
SMALLEST = 0.78  # the lowest crop of the whole view, relative to that height
VALIDATION = 30  # real pairs held out
STREET_SCALE = 2  # how much larger than `size` the street is rendered where windows of it are shown


class MixedPairs:
    """Real pairs in both orders among pairs of the street; every epoch shows other crops and colours of them.

    A *whole view* shows an image at the size that results are published for: a crop of nearly its full height,
    resized. A *window* shows a part of a native image at a scale between that of the whole view and the camera's own
    resolution (drawn log-uniformly), where disparities are larger. Both images of a pair are cropped at the same place,
    so that disparities stay horizontal. Then brightness, contrast and saturation change, alike in both images, and
    brightness a little more in y alone, as two cameras differ.

    An epoch has every real pair once as a whole view, the native pairs in turn as windows, and the street's pairs in
    turn: `window_fraction` of both the real pairs and the street's pairs are windows.

    Args:
        real: for whole views, larger than `size`.
        street: of `size` or larger; windows of it need it larger.
        size: height and width that batches have.
        seed: what is drawn follows from it, the epoch and the pair's number.
        synthetic_fraction: of an epoch, from 0 to below 1.
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
        self._held: HeldPixels | None = None
        windows = round(len(real) * window_fraction / (1 - window_fraction)) if native else 0
        self.first_street = len(real) + windows  # numbers: whole views, windows of native pairs, pairs of the street

    def __len__(self) -> int:
        """Pairs of an epoch."""
        return round(self.first_street / (1 - self.synthetic_fraction))

    def in_epoch(self, epoch: int) -> "MixedPairs":
        """The pairs of `epoch`, counted from 0."""
        pairs = copy.copy(self)
        pairs.epoch = epoch
        return pairs

    def to(self, device: torch.device) -> "MixedPairs":
        """As `Pairs.to`; held there, all images of a batch are cropped in one pass."""
        self.device = device
        if device.type == "cuda" and HeldPixels.bytes(self._sets()) < torch.cuda.mem_get_info(device)[0] / 4:
            self.hold(device)
        return self

    def hold(self, device: torch.device) -> None:
        """Hold the pixels of all pairs on a device."""
        largest = [_largest_crop(pairs, self.size) for pairs in self._sets()]
        self.device, self._held = device, HeldPixels(self._sets(), device, tuple(map(max, zip(*largest, strict=True))))

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x and y of some pairs as this epoch shows them, (B, 3, H, W) each in [0, 1], on the device of `to`."""
        draws = [self._draws(i) for i in indices]
        crops = [self._crop(i, rng) for i, rng in zip(indices, draws, strict=True)]
        changes = torch.tensor([[*rng.uniform(0.8, 1.2, 3), rng.uniform(0.95, 1.05)] for rng in draws])
        if self._held is None:
            views = torch.stack([self._view(*crop) for crop in crops])
        else:
            found = [(*self._held.places(self._sets().index(pairs), number), *box) for pairs, number, box in crops]
            found = torch.tensor(found).to(self.device, non_blocking=True)
            views = self._held.crops(found[:, :3], found[:, 3:], self.size)
        views = views / 255
        brightness, contrast, saturation, of_y = changes.T.float().to(self.device, non_blocking=True)
        views = _blend(views, 0, brightness)
        # One pivot for both images: what has one colour in x and y keeps one colour.
        views = _blend(views, rgb_to_grayscale(views).mean((1, 2, 3, 4), keepdim=True), contrast)
        views = _blend(views, rgb_to_grayscale(views), saturation)
        return views[:, 0], _blend(views[:, 1:], 0, of_y)[:, 0]

    def camera(self, indices: Sequence[int]) -> list[str | None]:
        """Which camera took x of some pairs, as in `Pairs.camera`."""
        shown = (self._crop(i, self._draws(i))[:2] for i in indices)
        return [pairs.cameras[number] for pairs, number in shown]

    def known(self, indices: Sequence[int]) -> list[int]:
        """Which of `indices`, by their places among them, know their disparity: the street's, where asked for."""
        return [place for place, i in enumerate(indices) if i >= self.first_street and self.street.known([0])]

    def truth(self, indices: Sequence[int]) -> Tensor:
        """Disparities of pairs that know them, (B, H, W), as in `Pairs.truth`, of what `batch` shows: NaN where y,
        cropped as it is, does not show it. On the CPU."""
        crops = [self._crop(i, self._draws(i)) for i in indices]
        return torch.stack([_disparity(pairs.truth([number])[0], box, self.size) for pairs, number, box in crops])

    def _sets(self) -> list[Pairs]:
        return [pairs for pairs in (self.real, self.native, self.street) if pairs is not None]

    def _draws(self, i: int) -> np.random.Generator:
        """All that is drawn for number `i` of this epoch."""
        return np.random.default_rng([self.seed, self.epoch, i + 1])  # + 1: not what mirrors pairs

    def _view(self, pairs: Pairs, number: int, box: tuple[int, int, int, int]) -> Tensor:
        """A crop of both images of a pair, (2, 3, H, W) of `size`, from 0 to 255."""
        images = pairs.pixels([number])[0].permute(0, 3, 1, 2).to(self.device)
        return resized_crop(images, *box, self.size, antialias=True).float()

    def _crop(self, i: int, rng: np.random.Generator) -> tuple[Pairs, int, tuple[int, int, int, int]]:
        """The pair that is number `i` of this epoch, and the crop of it: top, left, height, width."""
        if i < len(self.real):
            pairs, number = self.real, i
            height = round(pairs.size[0] * rng.uniform(SMALLEST, 1))
        elif i < self.first_street:
            per_epoch = self.first_street - len(self.real)
            pairs, number = self.native, (self.epoch * per_epoch + i - len(self.real)) % len(self.native)
            height = _window_height(pairs, self.size, rng)
        else:
            pairs, number = self.street, self._scene(i)
            if rng.uniform() >= self.window_fraction:
                return pairs, number, (0, 0, *pairs.size)
            height = _window_height(pairs, self.size, rng)
        return pairs, number, _place(pairs, height, self.size, rng)

    def _scene(self, i: int) -> int:
        """Which pair of the street is shown as number `i` of this epoch."""
        per_epoch = len(self) - self.first_street
        return (self.epoch * per_epoch + i - self.first_street) % len(self.street)


def _largest_crop(pairs: Pairs, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width that no crop of `pairs` exceeds."""
    height, width = pairs.size
    return height, min(width, round(height * size[1] / size[0]))


def _disparity(disparity: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """Disparity (H, W) of a crop made smaller, in pixels of it; NaN where y's crop does not show the match."""
    top, left, height, width = box
    rows, columns = (((torch.arange(n) + 0.5) * side / n).long() for n, side in zip(size, (height, width), strict=True))
    disparity = disparity[top + rows][:, left + columns] * (size[1] / width)
    match = torch.arange(size[1]) - disparity
    return disparity.where((match >= 0) & (match <= size[1] - 1), torch.nan)


def _window_height(pairs: Pairs, size: tuple[int, int], rng: np.random.Generator) -> int:
    """From `size`, at the camera's own resolution, to the whole height."""
    return round(size[0] * (pairs.size[0] / size[0]) ** rng.uniform())


def _place(pairs: Pairs, height: int, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A crop of the shape of `size`, anywhere: top, left, height, width."""
    width = min(pairs.size[1], round(height * size[1] / size[0]))
    top, left = rng.integers(pairs.size[0] - height + 1), rng.integers(pairs.size[1] - width + 1)
    return int(top), int(left), height, width


def _blend(views: Tensor, other: Tensor | float, share: Tensor) -> Tensor:
    """Torchvision's way to change colours, `share` (B,) of `views` and the rest of `other`, a share for each pair."""
    share = share[:, None, None, None, None]
    return (share * views + (1 - share) * other).clamp(0, 1)


def real_pairs(
    root: Path, split: str, size: tuple[int, int], exclude: Collection[str] = (), progress: bool = True
) -> Pairs:
    """The real pairs of a folder with `image_2/` and `image_3/`, in both orders, for whole views.

    Args:
        root: of the folder; images of the same name are partners.
        split: "val" for those held out, see `held_out`, at `size` from the largest centre; "train" for the others, with
            room for crops.
        size: height and width.
        exclude: names, without ending, of pairs not to train on: the same images are tested on, for example.
        progress: show a bar on stderr while images are prepared for the first time.

    Raises:
        NDICError: images are missing or odd (all are named), `exclude` names one that isn't there, or the split
            is "test": these are for training.
    """
    if split == "test":
        raise NDICError(
            "dataset_name: Mixed is to train on and has no pairs to test on; for another folder's left and right "
            "images set dataset_name: 'Folder' and dataset_path: [LEFT, RIGHT]"
        )
    if unknown := sorted(set(exclude) - {left.stem for left, _ in _matched(root)}):
        raise NDICError(f"exclude: {root} has no pairs {', '.join(unknown)}; name them without their ending")
    if split == "train":
        height = round(ROOM[0] * size[0])
        size = (height, round(ROOM[1] * height))
    chosen = _of_split(root, root, split, exclude)
    return load_pairs(chosen, size, scene_of=lambda path: path.stem, progress=progress)


def native_pairs(
    native: Path, root: Path, split: str, size: tuple[int, int], exclude: Collection[str] = (), progress: bool = True
) -> Pairs:
    """Pairs of `root` at the camera's own resolution, in both orders, for windows.

    All get the smallest height and width among them, from the centre, without resizing. For "val" each pair is one
    window at the camera's resolution, at a place that follows from its number.

    Args:
        native: folder with `image_2/` and `image_3/`; its pairs have the names that they have in `root`.
        root: the folder of `real_pairs`, which says what is held out.
        split, size, exclude, progress: as for `real_pairs`.

    Raises:
        NDICError: images are missing, odd or smaller than `size`, or pairs are not in `root` (all are named).
    """
    names = {left.stem for left, _ in _matched(root)}
    found = _matched(native)
    if unknown := [left.stem for left, _ in found if left.stem not in names]:
        raise NDICError(
            f"native_path: {root} has no pairs {', '.join(unknown)}; names must be the same in both folders"
        )
    chosen = _of_split(native, root, split, exclude)
    if not chosen:
        raise NDICError(
            f"native_path: {native} has none of the pairs that are {'trained' if split == 'train' else 'validated'} on"
        )
    sizes = [image_size(path) for pair in found for path in pair]  # of one that is damaged: None; `load_pairs` names it
    smallest = tuple(map(min, zip(*filter(None, sizes), strict=True))) or size
    if smallest[0] < size[0] or smallest[1] < size[1]:
        raise NDICError(
            f"native_path: {native} has images of {smallest[0]} × {smallest[1]}, smaller than resize: {list(size)}"
        )
    pairs = load_pairs(chosen, smallest, smallest, scene_of=lambda path: path.stem, progress=progress)
    if split == "train":
        return pairs
    places = [_place(pairs, size[0], size, np.random.default_rng([number])) for number in range(len(pairs))]
    windows = [
        image[top : top + height, left : left + width]
        for (top, left, height, width), images in zip(places, pairs.images[pairs.index], strict=True)
        for image in images
    ]
    index = np.arange(2 * len(pairs)).reshape(-1, 2)
    names = [f"window of {name}" for name in pairs.names]
    return Pairs(np.stack(windows), index, names, pairs.scenes, cameras=pairs.cameras)


def validation_pairs(whole: Pairs, windows: Pairs | None) -> Pairs:
    """Whole views, then windows, as one set whose parts are also measured apart."""
    if windows is None:
        return whole
    images = np.concatenate([whole.images, windows.images])
    index = np.concatenate([whole.index, windows.index + len(whole.images)])
    names, scenes = whole.names + windows.names, whole.scenes + windows.scenes
    pairs = Pairs(images, index, names, scenes, cameras=whole.cameras + windows.cameras)
    pairs.parts = {"whole": range(len(whole)), "window": range(len(whole), len(pairs))}
    return pairs


def _matched(root: Path) -> list[tuple[Path, Path]]:
    return matched(root / "image_2", root / "image_3")


def _of_split(folder: Path, root: Path, split: str, exclude: Collection[str]) -> list[tuple[Path, Path]]:
    """The pairs of `folder` that `root` gives to a split, in both orders."""
    out = held_out(root)
    chosen = [
        (left, right)
        for left, right in _matched(folder)
        if (left.stem in out if split == "val" else left.stem not in out and left.stem not in exclude)
    ]
    return [order for left, right in chosen for order in ((left, right), (right, left))]


def held_out(root: Path, count: int = VALIDATION) -> set[str]:
    """Names, without ending, of the pairs to validate on: the last `count` of them, never random ones (neighbours look
    alike); where `index.tsv` tells origins, the last that come from KITTI 2015, which are stored without loss.

    Raises:
        NDICError: pictures are missing, or none would be left to train on.
    """
    names = [left.stem for left, _ in matched(root / "image_2", root / "image_3")]
    index = root / "index.tsv"
    candidates = names
    if index.exists():
        with index.open(encoding="utf-8", newline="") as file:
            origin = {row.get("id"): row.get("set") or "" for row in csv.DictReader(file, delimiter="\t")}
        candidates = [name for name in names if origin.get(name, "").startswith("kitti2015")]
    if len(names) <= count or len(candidates) < count:
        origin = "" if candidates is names else f", {len(candidates)} of them from KITTI 2015 by index.tsv"
        raise NDICError(f"{root} has {len(names)} pairs{origin}; {count} are held out to validate on: more are needed")
    return set(candidates[-count:])

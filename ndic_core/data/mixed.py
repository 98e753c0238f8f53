"""What shipped weights are trained on: real pairs, cropped and coloured anew each time, among those of the street."""

import copy
import csv
import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from ndic_core.data.folder import matched
from ndic_core.data.pairs import Pairs, load_pairs
from ndic_core.errors import NDICError

ROOM = (1.5, 3.3)  # a real picture is kept at 1.5 times the height it is trained at, 3.3 times as wide as high: KITTI's
SMALLEST = 0.78  # the lowest crop, of that height: a little nearer than a test looks
VALIDATION = 30  # real pairs held out


class MixedPairs:
    """Real pairs in both orders among pairs of the street; every epoch shows other parts and colours of them.

    A pair is cropped at one place and to one scale in both its pictures, so that its disparities stay horizontal, and
    resized; then brightness, contrast and saturation change, alike in both, and brightness a little more in y alone, as
    two cameras differ. The street's pairs are whole; an epoch takes its share of them, the next epoch the next ones.

    Args:
        real: larger than `size`.
        street: of `size`.
        size: height and width that batches have.
        seed: what is drawn follows from it, the epoch and the pair's number.
        street_share: of an epoch, from 0 to below 1.

    Example:
        >>> images = np.zeros((2, 48, 160, 3), np.uint8)
        >>> real = Pairs(images, np.array([[0, 1], [1, 0]]), ["a", "b"])
        >>> street = Pairs(images[:, :32, :64], np.array([[0, 1]]), ["c"])
        >>> mixed = MixedPairs(real, street, (32, 64), seed=0)
        >>> len(mixed), mixed.in_epoch(3).batch([0, 2])[0].shape
        (3, torch.Size([2, 3, 32, 64]))
    """

    def __init__(self, real: Pairs, street: Pairs, size: tuple[int, int], seed: int, street_share: float = 0.25):
        self.real, self.street, self.size, self.seed = real, street, size, seed
        self.street_share = street_share
        self.epoch = 0
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        """Pairs of an epoch."""
        return round(len(self.real) / (1 - self.street_share))

    def in_epoch(self, epoch: int) -> "MixedPairs":
        """What `epoch`, counted from 0, sees."""
        pairs = copy.copy(self)
        pairs.epoch = epoch
        return pairs

    def to(self, device: torch.device) -> "MixedPairs":
        """As `Pairs.to`."""
        self.real.to(device)
        self.street.to(device)
        self.device = device  # one may find room there and the other not
        return self

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x and y of some pairs as this epoch shows them, (B, 3, H, W) each in [0, 1], on the device of `to`."""
        draws = [np.random.default_rng([self.seed, self.epoch, i + 1]) for i in indices]  # + 1: not what mirrors pairs
        real = [place for place, i in enumerate(indices) if i < len(self.real)]
        street = [place for place, i in enumerate(indices) if i >= len(self.real)]
        views = torch.empty(len(indices), 2, 3, *self.size, device=self.device)
        if real:
            chosen = self.real.batch([indices[place] for place in real])
            views[real] = self._cropped(chosen, [draws[place] for place in real])
        if street:
            scenes = [self._scene(indices[place]) for place in street]
            views[street] = torch.stack(self.street.batch(scenes), 1).to(self.device)
        changes = [[*rng.uniform(0.8, 1.2, 3), rng.uniform(0.95, 1.05)] for rng in draws]
        brightness, contrast, saturation, of_y = views.new_tensor(np.array(changes).T)
        views = _blend(views, 0, brightness)
        views = _blend(views, rgb_to_grayscale(views).mean((-3, -2, -1), keepdim=True), contrast)
        views = _blend(views, rgb_to_grayscale(views), saturation)
        return views[:, 0], _blend(views[:, 1:], 0, of_y)[:, 0]

    def known(self, indices: Sequence[int]) -> list[int]:
        """Which of `indices`, by their places among them, know their disparity: the street's, where asked for."""
        return [place for place, i in enumerate(indices) if i >= len(self.real) and self.street.known([0])]

    def truth(self, indices: Sequence[int]) -> Tensor:
        """Disparities of pairs that know them, (B, H, W), as in `Pairs.truth`."""
        return self.street.truth([self._scene(i) for i in indices])

    def _scene(self, i: int) -> int:
        """Which pair of the street is shown as number `i` of this epoch."""
        per_epoch = len(self) - len(self.real)
        return (self.epoch * per_epoch + i - len(self.real)) % len(self.street)

    def _cropped(self, sides: Sequence[Tensor], draws: Sequence[np.random.Generator]) -> Tensor:
        """(B, 2, 3, H, W) of `size`, cropped and resized, all pairs at once, though each has a crop of its own."""
        (height, width), (out_height, out_width) = self.real.size, self.size
        crops = []
        for rng in draws:
            h = round(height * rng.uniform(SMALLEST, 1))
            w = min(width, round(h * out_width / out_height))
            crops.append([rng.integers(height - h + 1), h, rng.integers(width - w + 1), w])
        top, h, left, w = torch.tensor(np.array(crops, np.float32).T, device=self.device)
        sides = [_resized(side.to(self.device), -1, out_width, left, w) for side in sides]
        return torch.stack([_resized(side, -2, out_height, top, h) for side in sides], 1)


def _resized(views: Tensor, dim: int, out: int, start: Tensor, length: Tensor) -> Tensor:
    """Resize `length` (B,) of the positions along a dimension, from `start` on, to `out` ones.

    Bilinear with antialiasing, as torchvision's `resized_crop`: each output is a mean of the few inputs that lie within
    a triangle as wide as itself, within the crop.
    """
    shape, result = [len(views), 1, 1, 1], list(views.shape)
    shape[dim] = result[dim] = out
    scale = (length / out)[:, None]
    radius = scale.clamp(min=1)
    centre = (torch.arange(out, device=views.device) + 0.5) * scale  # (B, out), from the crop's start
    first = (centre - radius + 0.5).floor()
    taps = math.ceil(2 * radius.max().item()) + 1
    total = weights = 0
    for tap in range(taps):
        place = first + tap
        weight = (1 - (place + 0.5 - centre).abs() / radius).clamp(min=0)
        weight = weight.where((place >= 0) & (place < length[:, None]), 0)
        index = (start[:, None] + place).clamp(0, views.shape[dim] - 1).long()
        total = total + weight.view(shape) * views.gather(dim, index.view(shape).expand(result))
        weights = weights + weight
    return total / weights.view(shape)


def _blend(views: Tensor, other: Tensor | float, share: Tensor) -> Tensor:
    """Torchvision's way to change colours, `share` (B,) of `views` and the rest of `other`, a share for each pair."""
    share = share[:, None, None, None, None]
    return (share * views + (1 - share) * other).clamp(0, 1)


def real_pairs(
    root: Path, split: str, size: tuple[int, int], leave_out: Collection[str] = (), progress: bool = True
) -> Pairs:
    """The real pairs of a folder with `image_2/` and `image_3/`, in both orders.

    Args:
        root: of the folder; pictures of the same name are partners.
        split: "val" for those held out, see `held_out`, at `size` from the largest centre; "train" for the others, with
            room for crops.
        size: height and width.
        leave_out: names, without ending, of pairs not to train on: the same pictures are tested on, for example.
        progress: show a bar on stderr while pictures are prepared for the first time.

    Raises:
        NDICError: pictures are missing or odd (all are named), `leave_out` names one that isn't there, or the split
            is "test": these are for training.
    """
    if split == "test":
        raise NDICError(
            "dataset_name: Mixed is to train on and has no pairs to test on; for another folder's left and right "
            "pictures set dataset_name: 'Folder' and dataset_path: [LEFT, RIGHT]"
        )
    out = held_out(root)
    found = {left.stem: (left, right) for left, right in matched(root / "image_2", root / "image_3")}
    if unknown := sorted(set(leave_out) - found.keys()):
        raise NDICError(f"leave_out: {root} has no pairs {', '.join(unknown)}; name them without their ending")
    train = found.keys() - out - set(leave_out)
    chosen = [pair for name, pair in found.items() if name in (out if split == "val" else train)]
    both = [order for left, right in chosen for order in ((left, right), (right, left))]
    if split == "train":
        height = round(ROOM[0] * size[0])
        size = (height, round(ROOM[1] * height))
    return load_pairs(both, size, scene_of=lambda path: path.stem, progress=progress)


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

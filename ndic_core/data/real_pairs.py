"""The real pairs of the data set Mixed: whole views, images at the camera's resolution, and the held-out pairs."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from io import StringIO
from pathlib import Path

import numpy as np

from ndic_core.data.folder import matched, name_of, refuse_copies
from ndic_core.data.mixed import random_crop
from ndic_core.data.pairs import Pairs, load_pairs, stored_size
from ndic_core.errors import NDICError, listing
from ndic_core.files import read_text

STORED_SCALE = 1.5  # a real image is stored at this multiple of the training height, with room for crops
STORED_ASPECT = 3.3  # its width over its height: KITTI's
NUM_HELD_OUT = 30  # real pairs to validate on


def real_pairs(
    root: Path, split: str, size: tuple[int, int], exclude: Collection[str] = (), progress: bool = True
) -> Pairs:
    """The real pairs of a folder with `image_2/` and `image_3/`, in both orders, for whole views.

    Args:
        root: the folder; images of the same name are partners.
        split: "val" for the pairs of `held_out`, at `size` from the largest centre; "train" for the others, larger
            than `size`.
        size: height and width.
        exclude: names, without extension, of pairs not to train on, for example those of the test set.
        progress: as for `load_pairs`.

    Raises:
        NDICError: images are missing or cannot be used (all are named), `exclude` has an unknown name, or the split
            is "test": these pairs are for training.
    """
    if split == "test":
        raise NDICError(
            "dataset_name: Mixed is to train on and has no pairs to test on; for another folder's left and right "
            "images set dataset_name: 'Folder' and dataset_path: [LEFT, RIGHT]"
        )
    if unknown := sorted(_composed(exclude) - _names(root)):
        raise NDICError(f"exclude: {root} has no pairs {listing(unknown)}; name them without file extension")
    if split == "train":
        height = round(STORED_SCALE * size[0])
        size = (height, round(STORED_ASPECT * height))
    pairs = load_pairs(_of_split(root, root, split, exclude), size, scene_of=name_of, progress=progress)
    refuse_copies(pairs)
    return pairs


def native_pairs(
    native: Path, root: Path, split: str, size: tuple[int, int], exclude: Collection[str] = (), progress: bool = True
) -> Pairs:
    """Pairs of `root` at the camera's own resolution, in both orders, for windows.

    All are cropped to the smallest height and width among them, at the centre, without resizing. For "val" each pair
    is one window at the camera's resolution, at a place that depends on its number only.

    Args:
        native: folder with `image_2/` and `image_3/`; its pairs have the names that they have in `root`.
        root: the folder of `real_pairs`, which determines the held-out pairs.
        split, size, exclude, progress: as for `real_pairs`.

    Raises:
        NDICError: images are missing, cannot be used or are smaller than `size`, or pairs are not in `root` (all are
            named).
    """
    found = _matched(native)
    if unknown := sorted(_names(native) - _names(root)):
        raise NDICError(f"native_path: {root} has no pairs {listing(unknown)}; names must be the same in both folders")
    chosen = _of_split(native, root, split, exclude)
    if not chosen:
        raise NDICError(
            f"native_path: {native} has none of the pairs to {'train' if split == 'train' else 'validate'} on"
        )
    sizes = []
    for path in (path for pair in found for path in pair):
        with suppress(NDICError):  # `load_pairs` names all such files
            sizes.append(stored_size(path))
    smallest = tuple(map(min, zip(*sizes, strict=True))) or size
    if smallest[0] < size[0] or smallest[1] < size[1]:
        raise NDICError(
            f"native_path: {native} has images of {smallest[0]} × {smallest[1]}, smaller than resize: {list(size)}"
        )
    pairs = load_pairs(chosen, smallest, smallest, scene_of=name_of, progress=progress)
    refuse_copies(pairs)
    if split == "train":
        return pairs
    boxes = [random_crop(pairs, size[0], size, np.random.default_rng([number])) for number in range(len(pairs))]
    windows = [
        image[top : top + height, left : left + width]
        for (top, left, height, width), images in zip(boxes, pairs.images[pairs.index], strict=True)
        for image in images
    ]
    index = np.arange(2 * len(pairs)).reshape(-1, 2)
    names = [f"window of {name}" for name in pairs.names]
    return Pairs(np.stack(windows), index, names, pairs.scenes, cameras=pairs.cameras, digests=pairs.digests)


def validation_pairs(whole: Pairs, windows: Pairs | None) -> Pairs:
    """Whole views, then windows, as one set whose two parts also have a validation loss of their own."""
    if windows is None:
        return whole
    images = np.concatenate([whole.images, windows.images])
    index = np.concatenate([whole.index, windows.index + len(whole.images)])
    names, scenes = whole.names + windows.names, whole.scenes + windows.scenes
    cameras, digests = whole.cameras + windows.cameras, whole.digests + windows.digests
    pairs = Pairs(images, index, names, scenes, cameras=cameras, digests=digests)
    pairs.parts = {"whole": range(len(whole)), "window": range(len(whole), len(pairs))}
    return pairs


def held_out(root: Path, count: int = NUM_HELD_OUT) -> set[str]:
    """Names, without extension, of the pairs to validate on: the last `count`, since neighbours look alike; where
    `index.tsv` states origins, the last ones of KITTI 2015, whose source is lossless.

    Raises:
        NDICError: images are missing, or none would remain to train on.
    """
    names = [name_of(left) for left, _ in _matched(root)]
    candidates = names
    if os.path.lexists(index := root / "index.tsv"):  # a broken link is an error, not the absence of an index
        origin = _origins(index)
        if not origin.keys() & set(names):
            ids, images = listing(origin, limit=3) or "none", listing(names, limit=3)
            raise NDICError(f"{index}: its ids ({ids}) must be the names of images without extension ({images})")
        if absent := [name for name in names if name not in origin]:
            raise NDICError(f"{index} has no line for the images {listing(absent)}: add them, or remove the file")
        candidates = [name for name in names if origin.get(name, "").startswith("kitti2015")]
    if len(names) <= count or len(candidates) < count:
        origin = "" if candidates is names else f", {len(candidates)} of them from KITTI 2015 by index.tsv"
        raise NDICError(f"{root} has {len(names)} pairs{origin}; {count} are held out to validate on: more are needed")
    return set(candidates[-count:])


def _origins(index: Path) -> dict[str, str]:
    """The columns id and set of an `index.tsv`."""
    try:
        table = csv.DictReader(StringIO(read_text(index), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"id", "set"} <= {*(table.fieldnames or ())}:
            raise NDICError(f"{index} lacks the columns id and set: its first line names them, separated by tabs")
        rows = [(unicodedata.normalize("NFC", row["id"] or "").strip(), row["set"] or "") for row in table]
    except csv.Error as error:
        raise NDICError(f"{index} cannot be read as a table separated by tabs: {error}") from error
    if twice := sorted(name for name, count in Counter(name for name, _ in rows).items() if count > 1):
        raise NDICError(f"{index} has several lines for {listing(twice)}: keep one of each")
    return dict(rows)


def _matched(root: Path) -> list[tuple[Path, Path]]:
    return matched(root / "image_2", root / "image_3")


def _names(root: Path) -> set[str]:
    return {name_of(left) for left, _ in _matched(root)}


def _of_split(folder: Path, root: Path, split: str, exclude: Collection[str]) -> list[tuple[Path, Path]]:
    """The pairs of `folder` that belong to a split of `root`, in both orders."""
    out = held_out(root)
    left_out = out | _composed(exclude)
    return [
        order
        for left, right in _matched(folder)
        if (name_of(left) in out if split == "val" else name_of(left) not in left_out)
        for order in ((left, right), (right, left))
    ]


def _composed(names: Collection[str]) -> set[str]:
    """Names as `name_of` returns them."""
    return {unicodedata.normalize("NFC", name) for name in names}

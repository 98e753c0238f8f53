"""Loading of a data set by its name in the configuration, and of any folder with pairs."""

from dataclasses import fields
from pathlib import Path

from ndic_core.config import Config
from ndic_core.data import cityscape, folder, kitti
from ndic_core.data.mixed import STREET_SCALE, MixedPairs
from ndic_core.data.pairs import Pairs, load_pairs
from ndic_core.data.real_pairs import native_pairs, real_pairs, validation_pairs
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import load_street
from ndic_core.errors import NDICError, whole_number
from ndic_core.files import expand_path


def load_split(config: Config, split: str, progress: bool = True) -> Pairs | MixedPairs:
    """The pairs that a configuration names, cropped and resized (or rendered) to `resize`, from the cache if possible.

    Args:
        config: of the experiment; `dataset_name`, `dataset_path`, `resize` and the street's keys are used. With
            `matching_loss_weight`, the street's training pairs have their disparity.
        split: "train", "val" or "test".
        progress: show a bar on stderr while images are decoded or rendered for the first time.

    Raises:
        NDICError: the data set is not found, or images are missing or cannot be used (all are named).

    Example:
        >>> from ndic_core.config import load_config
        >>> config = load_config("teaching", resize=[32, 64], street_pairs=[1, 1, 2])
        >>> len(load_split(config, "test", progress=False))
        2
    """
    folder.check_split(split)
    size = tuple(config.resize)
    name, path = config.dataset_name, config.dataset_path
    root = tuple(map(Path, path)) if isinstance(path, list) else Path(path)
    counts = dict(zip(("train", "val", "test"), config.street_pairs, strict=True))
    with_disparity = config.matching_loss_weight > 0 and split == "train"
    if name == "Street":
        return load_street(_street(size, config.street), split, counts[split], progress, with_disparity)
    if name == "Mixed":
        real, native = real_pairs(root, split, size, config.exclude, progress), None
        if config.window_fraction:
            native = native_pairs(Path(config.native_path), root, split, size, config.exclude, progress)
        if split == "val":
            return validation_pairs(real, native)
        larger = tuple(STREET_SCALE * side for side in size) if config.window_fraction else size
        street = load_street(_street(larger, config.street), split, counts[split], progress, with_disparity)
        shares = dict(synthetic_fraction=config.synthetic_fraction, window_fraction=config.window_fraction)
        return MixedPairs(real, street, size, config.seed, native=native, **shares)
    if name in ("KITTI_Stereo", "KITTI_General"):
        pairs_of = kitti.stereo_pairs if name == "KITTI_Stereo" else kitti.general_pairs
        pairs = load_pairs(pairs_of(root, split), size, kitti.CROP, kitti.scene_of, progress)
    elif name == "Cityscape":  # the whole image, as published: its aspect is 1:2
        pairs = load_pairs(cityscape.pairs(root, split), size, progress=progress)
    else:
        paths = folder.pairs(root, split)
        folder.refuse_shared_pairs(root, split, paths)
        pairs = load_pairs(paths, size, progress=progress)
        pairs.cameras = ["left"] * len(pairs)
    folder.refuse_copies(pairs)
    return pairs


def find_pairs(root: Path, size: tuple[int, int] = (128, 256), most: int = 8) -> Pairs:
    """Some pairs of the data set in a folder, recognised by its layout: the left view is x, the right one y.

    Of a KITTI or Cityscapes folder made by `data_prep` these are test pairs (of Cityscapes val, if there is no test
    folder), of own images all pairs (or those in `test/`); a folder with KITTI's `image_2/` and `image_3/` alone is
    accepted as well.

    Args:
        root: the folder.
        size: height and width to resize to.
        most: maximum number of pairs, evenly spread over all; 1 or more.

    Raises:
        NDICError: there is no data set, images are missing or cannot be used (all are named), or `size` or `most` is
            out of its range.
    """
    most = whole_number(most, "most")
    root = expand_path(root)
    if not root.is_dir():
        raise NDICError(f"there is no folder {root}: check its name")
    below = set(folder.subfolders(root))
    crop = None  # the largest centre
    if {"image_2", "image_3"} <= below:
        paths = folder.matched(root / "image_2", root / "image_3")
    elif below & set(kitti.SCENES):
        paths, crop = kitti.stereo_pairs(root, "test", lists=False)[::2], kitti.CROP  # not the swapped ones
    elif set(cityscape.SIDES) <= below:
        paths = cityscape.pairs(root, "test" if (root / cityscape.SIDES[0] / "test").is_dir() else "val")
    elif {"left", "right"} <= below:
        paths = folder.matched(root / "left", root / "right")
    elif "test" in below:
        paths = folder.pairs(root, "test")
    else:
        prepared = f"{' or '.join(kitti.SCENES)}, {' and '.join(cityscape.SIDES)}"
        raise NDICError(f"{root} holds no pairs: expected are image_2 and image_3, {prepared}, or left and right")
    paths = [paths[i * len(paths) // most] for i in range(most)] if len(paths) > most else paths
    pairs = load_pairs(paths, size, crop, progress=False)
    folder.refuse_copies(pairs)
    return pairs


def _street(size: tuple[int, int], parameters: dict) -> Street:
    known = [field.name for field in fields(Street) if field.name != "size"]
    if unknown := [name for name in parameters if name not in known]:
        raise NDICError(f"street: unknown parameter {unknown[0]!r}; choose from {', '.join(known)}")
    return Street(size=size, **parameters)

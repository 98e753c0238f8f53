"""From a configuration to the pairs of one split, whatever the data set."""

from dataclasses import fields
from pathlib import Path

from ndic_core.config import Config
from ndic_core.data import cityscape, folder, kitti
from ndic_core.data.mixed import MixedPairs, real_pairs
from ndic_core.data.pairs import Pairs, load_pairs
from ndic_core.data.street import Street
from ndic_core.data.street_pairs import load_street
from ndic_core.errors import NDICError


def load_split(config: Config, split: str, progress: bool = True) -> Pairs | MixedPairs:
    """The pairs that a configuration names, decoded, cropped and resized (or rendered), from the cache where possible.

    Args:
        config: of the experiment; `dataset_name`, `dataset_path`, `resize`, and the street's keys count. With
            `guidance`, the pairs to train on know their disparity.
        split: "train", "val" or "test".
        progress: show a bar on stderr while pictures are prepared for the first time.

    Returns:
        The pairs, images of `resize`.

    Raises:
        NDICError: the data set is not there, or pictures are missing or odd (all are named).

    Example:
        >>> from ndic_core.config import load_config
        >>> config = load_config("teaching", resize=[32, 64], street_pairs=[1, 1, 2])
        >>> len(load_split(config, "test", progress=False))
        2
    """
    folder.check_split(split)
    size = tuple(config.resize)
    name = config.dataset_name
    path = config.dataset_path
    root = tuple(map(Path, path)) if isinstance(path, list) else Path(path)
    if name in ("Street", "Mixed"):
        real = None if name == "Street" else real_pairs(root, split, size, config.leave_out, progress)
        if real is not None and split == "val":
            return real
        counts = dict(zip(("train", "val", "test"), config.street_pairs, strict=True))
        truth = config.guidance > 0 and split == "train"
        street = load_street(_street(size, config.street), split, counts[split], progress, truth)
        return street if real is None else MixedPairs(real, street, size, config.seed)
    if name == "KITTI_Stereo":
        return load_pairs(kitti.stereo_pairs(root, split), size, kitti.CROP, kitti.scene_of, progress)
    if name == "KITTI_General":
        return load_pairs(kitti.general_pairs(root, split), size, kitti.CROP, kitti.scene_of, progress)
    if name == "Cityscape":  # the whole picture, as published: 1:2 already
        return load_pairs(cityscape.pairs(root, split), size, progress=progress)
    return load_pairs(folder.pairs(root, split), size, progress=progress)


def _street(size: tuple[int, int], knobs: dict) -> Street:
    known = [field.name for field in fields(Street) if field.name != "size"]
    for knob in knobs:
        if knob not in known:
            raise NDICError(f"street: unknown knob {knob!r}; it has {', '.join(known)}")
    return Street(size=size, **knobs)

"""The data sets KITTI Stereo and KITTI General: pairs from the multi-view images of KITTI 2012 and 2015.

Images are `FOLDER/PART/CAMERA/NNNNNN_FF.png`: scene NNNNNN, frame FF. The KITTI benchmarks use frame 10.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ndic_core.data.folder import by_folder, check_split, for_each, refuse_one_file, visible_files
from ndic_core.errors import NDICError, listing
from ndic_core.files import read_text

CROP = (370, 740)  # height and width of the centre crop

# Scenes of the two collections, 2012 and 2015.
SCENES = {
    "data_stereo_flow_multiview": {"training": 194, "testing": 195},
    "data_scene_flow_multiview": {"training": 200, "testing": 200},
}
PARTS = ("training", "testing")
FRAMES = 21  # of a scene
CAMERAS = (("image_2", "image_3"), ("colored_0", "colored_1"))  # left and right, names of 2015 and of 2012

STEREO_FRAMES = {"train": ("training", (10, 11)), "val": ("testing", (11,)), "test": ("testing", (10,))}
STEREO_PAIRS = {"train": 1576, "val": 790, "test": 790}

STEPS = (1, 2, 3)  # frames between the two images of a KITTI General pair
GENERAL_PAIRS = {"train": 175_332, "val": 912, "test": 3_607}
# Testing scenes held out by the published lists of DSIN (Ayzik and Avidan, ECCV 2020), which NDIC uses too.
HELD_OUT = {
    "data_stereo_flow_multiview": (4, 33, 41, 44, 49, 52, 122, 158, 166, 167),
    "data_scene_flow_multiview": (29, 79, 85, 100, 105, 110, 129, 150, 158, 175),
}

Pair = tuple[Path, Path]

REMEDY = "run python -m data_prep.kitti in a clone of the repository"


class Scene(NamedTuple):
    """The images of one scene."""

    folder: str
    part: str
    number: int
    left: dict[int, Path]  # frame number to path
    right: dict[int, Path]


def stereo_pairs(root: Path, split: str, lists: bool = True, complete: bool = True) -> list[Pair]:
    """KITTI Stereo: both cameras at the same moment, every pair in both orders.

    Train is frames 10 and 11 of the training folders, val frame 11 and test frame 10 of the testing folders: val and
    test show the same scenes a tenth of a second apart, as published. A list file `KITTI_stereo_SPLIT.txt` in `root`
    or `root/data_paths` takes precedence (see `read_list`).

    Args:
        root: the folder with `data_stereo_flow_multiview/` (2012), `data_scene_flow_multiview/` (2015), or both.
        split: "train", "val" or "test".
        lists: False ignores list files.
        complete: False leaves out images without a partner instead of refusing them.

    Returns:
        Paths (x, y) by scene and frame; left first, then swapped. `STEREO_PAIRS` has the numbers of the full set.

    Raises:
        NDICError: there are no images, one has no partner, or a listed file is missing (all are named).
    """
    check_split(split)
    if lists and (file := list_file(root, f"KITTI_stereo_{split}.txt")):
        return read_list(file, root)
    part, frames = STEREO_FRAMES[split]
    pairs = []
    for scene in scenes(root, (part,), frames, complete):
        for left, right in zip(scene.left.values(), scene.right.values(), strict=True):
            pairs += [(left, right), (right, left)]
    return pairs


def general_pairs(root: Path, split: str, lists: bool = True, complete: bool = True) -> list[Pair]:
    """KITTI General: the two cameras of one scene 1 to 3 frames apart, so neither synchronised nor calibrated.

    A list file `KITTI_general_SPLIT.txt` takes precedence. Otherwise the pairs of the held-out scenes are assigned to
    val and test at random, reproducibly (by a hash of their names), and those of all other scenes, of training and
    testing folders, are train. Held out are the 20 published testing scenes; where some of these are missing, other
    scenes replace them so that 20 of 789 are held out, testing scenes first, at least one. A fifth of the held-out
    pairs is val, at least one and at most 912; the rest is test, at most 3,607. So val and test share scenes, as
    published, and train shares none with them.

    Arguments as for `stereo_pairs`.

    Returns:
        Paths (x, y) by scene and frame, x of either camera: 228 of a scene of 21 frames. `GENERAL_PAIRS` has the
            numbers of the full collections.

    Raises:
        NDICError: as `stereo_pairs`, or there are too few images.
    """
    check_split(split)
    if lists and (file := list_file(root, f"KITTI_general_{split}.txt")):
        return read_list(file, root)
    found = scenes(root, complete=complete)
    held_out = _held_out(found)
    if split == "train":
        pairs = [pair for scene in found if scene[:3] not in held_out for _, pair in _general_pairs(scene)]
    else:
        named = [named for scene in found if scene[:3] in held_out for named in _general_pairs(scene)]
        drawn = sorted(named, key=lambda item: _rank(item[0]))
        val = min(max(1, len(drawn) // 5), GENERAL_PAIRS["val"])
        test = min(len(drawn) - val, GENERAL_PAIRS["test"])
        chosen = {name for name, _ in (drawn[:val] if split == "val" else drawn[val : val + test])}
        pairs = [pair for name, pair in named if name in chosen]
    if not pairs:
        needed = "at least two scenes with several frames are needed"
        raise NDICError(f"{root} has too few images for KITTI General ({split}): {needed}; {REMEDY}")
    return pairs


def scenes(
    root: Path, parts: tuple[str, ...] = PARTS, frames: tuple[int, ...] = tuple(range(FRAMES)), complete: bool = True
) -> list[Scene]:
    """The scenes in the folders that have any of `frames`, sorted; frames in ascending order, the same of both cameras.

    `complete=False` leaves out images without a partner.

    Raises:
        NDICError: there are no such images, or one cannot be read or has no partner of the other camera (all are
            named).
    """
    found, unpaired = _scan(root, parts, frames)
    if unpaired and (complete or not found):
        raise NDICError(f"{root} lacks these partners of images: {by_folder(unpaired)}; {REMEDY}")
    if not found:
        raise NDICError(
            f"{root.absolute()} contains no KITTI images: expected are {' or '.join(SCENES)} with "
            f"{' and '.join(parts)}, in them image_2 and image_3 with 000000_{frames[0]:02d}.png and so on; {REMEDY}"
        )
    return found


def missing_partners(root: Path) -> list[Path]:
    """The images that one camera lacks, relative to `root`; a folder where it is missing as a whole."""
    return _scan(root, PARTS, tuple(range(FRAMES)))[1]


def _scan(root: Path, parts: tuple[str, ...], frames: tuple[int, ...]) -> tuple[list[Scene], list[Path]]:
    """The scenes with the frames that both cameras have, and the images that one of them lacks."""
    found, unpaired, bases = [], [], []
    for base in (root / folder / part for folder in SCENES for part in parts):
        cameras = next((names for names in CAMERAS if any((base / name).is_dir() for name in names)), ())
        if absent := [base / name for name in cameras if not (base / name).is_dir()]:
            unpaired += absent  # the folder once, not each of its images
        elif cameras:
            bases.append((base, cameras))
    folders = [base / name for base, cameras in bases for name in cameras]
    refuse_one_file(zip(folders[::2], folders[1::2], strict=True), "folder")
    images = for_each(lambda folder: _frames(folder, frames), folders)
    for (base, cameras), left, right in zip(bases, images[::2], images[1::2], strict=True):
        for number in sorted({*left, *right}):
            ours, theirs = left.get(number, {}), right.get(number, {})
            lacking = [(cameras[0], frame) for frame in theirs.keys() - ours.keys()]
            lacking += [(cameras[1], frame) for frame in ours.keys() - theirs.keys()]
            unpaired += [base / camera / f"{number:06d}_{frame:02d}.png" for camera, frame in lacking]
            both = sorted(ours.keys() & theirs.keys())
            if both:
                left_right = ({frame: of[frame] for frame in both} for of in (ours, theirs))
                found.append(Scene(base.parent.name, base.name, number, *left_right))
    return found, [path.relative_to(root) for path in unpaired]


def scene_of(image: Path) -> str:
    """The scene of an image: the folder of the cameras, and the number.

    Example:
        >>> scene_of(Path("data_scene_flow_multiview/testing/image_3/000004_11.png"))
        'data_scene_flow_multiview/testing/000004'
    """
    return (image.parent.parent / image.stem.split("_")[0]).as_posix()


def list_file(root: Path, name: str) -> Path | None:
    """A list file in `root` or else in `root/data_paths`, if it exists, be it a broken link."""
    return next((file for file in (root / name, root / "data_paths" / name) if os.path.lexists(file)), None)


def read_list(file: Path, root: Path) -> list[Pair]:
    """Pairs from a list file: two lines per pair, x first, paths relative to `root`.

    Backslashes are read as slashes; a leading slash and blank lines are ignored. Lists name `image_2` and `image_3`;
    where only `colored_0` and `colored_1` exist, these are used. Where `root` is itself the folder `data_paths`, paths
    are relative to its parent folder if the images are there.

    Raises:
        NDICError: the list is unreadable, empty, has an odd number of lines or several paths in a line, leaves `root`
            by `..` or a drive letter, has a pair of one file or of one camera, or names files that are missing.
    """
    lines = [line.strip().replace("\\", "/").lstrip("/") for line in read_text(file).splitlines() if line.strip()]
    if several := [line for line in lines if re.search(r"\.(png|jpe?g)['\"]?[\s,;:|]+\S", line, re.IGNORECASE)]:
        raise NDICError(f"{file} has several paths in one line ({several[0]}): write each on its own line, x then y")
    if not lines or len(lines) % 2:
        raise NDICError(f"{file} has {len(lines)} lines: a list has two per pair, x and then y")
    if outside := sorted({line for line in lines if ".." in line.split("/") or re.match("[A-Za-z]:", line)}):
        remedy = _remedy(outside) or "paths are relative to that folder"
        raise NDICError(f"{file} names paths outside {root}: {listing(outside)}; {remedy}")
    if root.resolve().name == "data_paths" and not (root / lines[0]).exists():
        root = root.resolve().parent
    paths = {line: _as_found(root / line) for line in set(lines)}
    folders = sorted(folder for folder in {path.parent for path in paths.values()} if folder.is_dir())
    present = dict(zip(folders, map(set, for_each(visible_files, folders)), strict=True))
    if missing := [line for line, path in paths.items() if path.name not in present.get(path.parent, ())]:
        absent = {path if path.parent in present else path.parent for path in (paths[line] for line in missing)}
        names = by_folder(path.relative_to(root) for path in absent)
        raise NDICError(f"{file} lists files that are not in {root}: {names}; {_remedy(missing) or REMEDY}")
    pairs = [(paths[x], paths[y]) for x, y in zip(lines[::2], lines[1::2], strict=True)]
    if same := [x for x, y in pairs if x == y]:
        raise NDICError(f"{file}: x and y are one file: {listing(same)}; y must be another view of the scene")
    if alike := [f"{x.name} and {y.name} of {x.parent.name}" for x, y in pairs if x.parent == y.parent]:
        raise NDICError(
            f"{file} has pairs from one camera: {listing(alike)}; its lines must be x, then y, of each pair"
        )
    return pairs


def _remedy(lines: list[str]) -> str | None:
    """What to remove from lines of a list that are absolute paths, or relative to another folder."""
    above = re.match(rf"(.+?/)(?:{'|'.join(SCENES)})/", lines[0])
    return f"paths are relative to that folder: remove {above[1]} from the lines of the list" if above else None


def _as_found(path: Path) -> Path:
    camera = dict(zip(*CAMERAS, strict=True)).get(path.parent.name)
    renamed = path.parent.with_name(camera) if camera else path.parent
    return renamed / path.name if renamed.is_dir() and not path.parent.is_dir() else path


def _frames(folder: Path, wanted: tuple[int, ...]) -> dict[int, dict[int, Path]]:
    """Images of one camera: scene number to frame number to path."""
    found: dict[int, dict[int, Path]] = {}
    for name in visible_files(folder):
        match = re.fullmatch(r"([0-9]{6})_([0-9]{2})\.png", name, re.IGNORECASE)
        if match and int(match[2]) in wanted:
            found.setdefault(int(match[1]), {})[int(match[2])] = folder / name
    return found


def _general_pairs(scene: Scene) -> Iterator[tuple[str, Pair]]:
    """The General pairs of a scene, each with a name that does not depend on the machine."""
    name = f"{scene.folder}/{scene.part}/{scene.number:06d}"
    for i, left in scene.left.items():
        for j in sorted(i + sign * step for step in STEPS for sign in (-1, 1)):
            if j in scene.right:
                yield f"{name} left {i:02d} right {j:02d}", (left, scene.right[j])
                yield f"{name} right {j:02d} left {i:02d}", (scene.right[j], left)


def _held_out(found: list[Scene]) -> set[tuple[str, str, int]]:
    """The scenes whose pairs are val and test."""
    published = {(folder, "testing", number) for folder, numbers in HELD_OUT.items() for number in numbers}
    total = sum(sum(parts.values()) for parts in SCENES.values())
    size = max(1, round(len(published) * len(found) / total))
    present = {scene[:3] for scene in found}
    chosen = present & published
    others = sorted(present - published, key=lambda scene: (scene[1] != "testing", _rank("/".join(map(str, scene)))))
    return chosen | set(others[: max(0, size - len(chosen))])


def _rank(name: str) -> bytes:
    """A fixed pseudo-random rank."""
    return hashlib.sha256(name.encode()).digest()

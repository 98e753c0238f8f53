"""The data set Folder: own images in a folder of left and one of right views, matched by name."""

import os
from collections.abc import Iterable
from pathlib import Path

from ndic_core.errors import NDICError

SPLITS = ("train", "val", "test")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def pairs(root: Path | tuple[Path, Path], split: str) -> list[tuple[Path, Path]]:
    """The pairs of one split of a user's own images.

    Where `root` has folders `train/`, `val/` or `test/` (each with `left/` and `right/`), these are the splits.
    Otherwise the pairs, sorted by name, are split into blocks: the first 80 % train, the next 10 % val, the last
    10 % test, at least one pair each. Blocks, because neighbouring images of a sequence look alike and would
    otherwise be in two splits.

    Args:
        root: a folder with `left/` and `right/`, or two folders (of x, of y) with files of the same names; extensions
            may differ.
        split: "train", "val" or "test".

    Returns:
        Paths (x, y), sorted by name; x is the left view, or of the first folder.

    Raises:
        NDICError: a folder is missing or empty, an image has no partner (all are named), or there are fewer than
            three pairs to split.
    """
    check_split(split)
    if isinstance(root, tuple):
        return _block(matched(*root), split, f"{root[0]} and {root[1]}")
    if not root.is_dir():
        raise NDICError(f"there is no folder {root}: check its name")
    splits = [name for name in SPLITS if (root / name).is_dir()]
    if not splits:
        return _block(matched(root / "left", root / "right"), split, str(root))
    if split not in splits:
        have = " and ".join(f"{name}/" for name in splits)
        raise NDICError(f"{root} has {have} but no {split}/: put pairs into {split}/left and {split}/right")
    return matched(root / split / "left", root / split / "right")


def matched(left: Path, right: Path) -> list[tuple[Path, Path]]:
    """Images of two folders with the same name (without extension), sorted; raises `NDICError` as `pairs` does."""
    if absent := [f"{folder.absolute()}/" for folder in (left, right) if not folder.is_dir()]:
        raise NDICError(
            f"{' and '.join(absent)} not found: put left views into {left.name}/ and right views into {right.name}/"
        )
    xs, ys = _by_stem(left), _by_stem(right)
    if not xs and not ys:
        raise NDICError(f"{left} and {right} contain no images ({', '.join(EXTENSIONS)})")
    both = ((xs, ys), (ys, xs))
    if unpaired := [paths[stem] for paths, others in both for stem in sorted(paths.keys() - others.keys())]:
        raise NDICError(f"images without a partner of the same name: {', '.join(map(str, unpaired))}")
    return [(xs[stem], ys[stem]) for stem in sorted(xs)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    twice = []
    for name in sorted(visible_files(folder)):
        path = folder / name
        if path.suffix.lower() in EXTENSIONS and found.setdefault(path.stem, path) != path:
            twice.append(f"{found[path.stem].name} and {name}")
    if twice:
        raise NDICError(f"{folder} contains several images of one name: {', '.join(twice)}; keep one of each")
    return found


def _block(found: list[tuple[Path, Path]], split: str, where: str) -> list[tuple[Path, Path]]:
    """The consecutive 80, 10 or 10 % of a split."""
    count = len(found)
    if count < 3:
        remedy = "for testing alone put them under test/left and test/right"
        noun = "pair" if count == 1 else "pairs"
        raise NDICError(f"{where}: {count} {noun} cannot be split into train, val and test; {remedy}")
    train = min(count * 8 // 10, count - 2)
    val = min(max(count * 9 // 10, train + 1), count - 1)
    return {"train": found[:train], "val": found[train:val], "test": found[val:]}[split]


def check_split(split: str) -> None:
    """Raise `NDICError` unless `split` is "train", "val" or "test"."""
    if split not in SPLITS:
        raise NDICError(f"there is no split {split!r}: choose train, val or test")


def visible_files(folder: Path) -> list[str]:
    """Names of the files in a folder without hidden ones, in one scan, unsorted; `NDICError` if it cannot be read."""
    return _scan(folder, os.DirEntry.is_file)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder without hidden ones, sorted; `NDICError` if it cannot be read."""
    return sorted(_scan(folder, os.DirEntry.is_dir))


def _scan(folder: Path, kind) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".") and kind(entry)]
    except OSError as error:
        raise NDICError(f"{folder} cannot be read: {error.strerror}") from error


def by_folder(paths: Iterable[Path]) -> str:
    """Paths grouped by folder, for messages that name all missing files: `a: 1.png, 2.png; b: 1.png`."""
    groups: dict[Path, list[str]] = {}
    for path in sorted(set(paths)):
        groups.setdefault(path.parent, []).append(path.name)
    return "; ".join(f"{folder.as_posix()}: {', '.join(names)}" for folder, names in groups.items())

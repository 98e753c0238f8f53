"""The data set Folder: own images in a folder of left and one of right views, matched by name."""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ndic_core.data.cache import content_digests
from ndic_core.errors import NDICError, listing
from ndic_core.files import is_utf8

if TYPE_CHECKING:
    from ndic_core.data.pairs import Pairs

SPLITS = ("train", "val", "test")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
# Images of these kinds are not read; they are refused by name so that none is left out silently.
OTHER_EXTENSIONS = (".avif", ".exr", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".pgm", ".pnm", ".tga")

Result = TypeVar("Result")


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
    """Images of two folders with the same name, sorted; raises `NDICError` as `pairs` does.

    The extension is no part of the name, nor is the side in names such as `left_001` and `right_001`. Letters with
    accents are equal however they are composed in Unicode.
    """
    if absent := [f"{folder.absolute()}/" for folder in (left, right) if not folder.is_dir()]:
        raise NDICError(
            f"{' and '.join(absent)} not found: put left views into {left.name}/ and right views into {right.name}/, "
            "both images of a pair under one name"
        )
    refuse_one_file([(left, right)], "folder")
    xs, ys = for_each(_by_name, (left, right))
    if not xs and not ys:
        raise NDICError(f"{left} and {right} contain no images ({', '.join(EXTENSIONS)}); subfolders are not read")
    sides = ("right", "left") if "right" in left.name.lower() else ("left", "right")
    xs, ys = (_without_side(found, others, side) for found, others, side in ((xs, ys, sides[0]), (ys, xs, sides[1])))
    both = ((xs, ys), (ys, xs))
    if unpaired := [paths[name] for paths, others in both for name in sorted(paths.keys() - others.keys())]:
        raise NDICError(
            f"images without a partner of the same name: {listing(unpaired)}; both images of a pair have one name, "
            f"such as {left.name}/001.png and {right.name}/001.png"
        )
    found = [(xs[name], ys[name]) for name in sorted(xs)]
    refuse_one_file(found, "file")
    return found


def name_of(path: Path) -> str:
    """The name by which an image is matched: without extension, composed letters."""
    return unicodedata.normalize("NFC", path.stem)


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    twice, others = [], []
    for name in sorted(visible_files(folder)):
        path = folder / name
        if path.suffix.lower() in OTHER_EXTENSIONS:
            others.append(name)
        elif path.suffix.lower() in EXTENSIONS and (first := found.setdefault(name_of(path), path)) != path:
            alike = first.stem != path.stem  # as printed, though not in bytes
            twice.append(f"{first.name!a} and {name!a}" if alike else f"{first.name} and {name}")
    if twice:
        raise NDICError(f"{folder} contains several images of one name: {listing(twice)}; keep one of each")
    if others:
        raise NDICError(f"{folder} contains images of a kind that is not read: {listing(others)}; convert them to PNG")
    return found


def _without_side(found: dict[str, Path], others: dict[str, Path], side: str) -> dict[str, Path]:
    """The images by name, those without partner by their name without the word `side`, unless this makes two equal."""
    word = re.compile(rf"(?<![^\W\d_]){side}(?![^\W\d_])", re.IGNORECASE)
    without = {name: re.sub(r"^[\W_]+|[\W_]+$", "", word.sub("", name)) for name in found if word.search(name)}
    renamed = {name: name if name in others else without.get(name, name) for name in found}
    unique = len(set(renamed.values())) == len(found)
    return {renamed[name]: path for name, path in found.items()} if unique else found


def refuse_one_file(pairs: Iterable[tuple[Path, Path]], kind: str) -> None:
    """Raise `NDICError` where x and y of a pair are one file or folder, also by a link or another spelling."""
    if same := [f"{x} and {y}" for x, y in pairs if x.samefile(y)]:
        remedy = "put x and y into two folders" if kind == "folder" else "y must be another view of the scene"
        raise NDICError(f"x and y are one {kind}: {listing(same)}; {remedy}")


def refuse_copies(pairs: "Pairs") -> None:
    """Raise `NDICError` where x and y of loaded pairs have the same pixels (all are named)."""
    images = np.asarray(pairs.images)
    rows = [row.tobytes() for row in images[:, 0]]  # differ nearly always: few images are read as a whole
    copies: dict[frozenset, str] = {}
    for (i, j), name in zip(pairs.index.tolist(), pairs.names, strict=True):
        if rows[i] == rows[j] and np.array_equal(images[i], images[j]):
            copies.setdefault(frozenset((i, j)), name)  # both orders once
    if copies:
        named = listing(copies.values())
        raise NDICError(f"x and y have the same pixels: {named}; y must be another view: replace or remove these pairs")


def refuse_shared_pairs(root: Path | tuple[Path, Path], split: str, found: Iterable[tuple[Path, Path]]) -> None:
    """Raise `NDICError` where pairs of a split are in another split too: a test would measure what was trained on.

    Files are compared by their bytes, and read only where both files of a pair have the sizes of another pair's.

    Args:
        root: as for `pairs`.
        split: of `found`.
        found: what `pairs` returns.
    """

    def sizes(pair: tuple[Path, Path]) -> tuple[int, ...]:
        return tuple(sorted(path.stat().st_size for path in pair))

    def contents(chosen: list[tuple[Path, Path]]) -> list[tuple[str, ...]]:
        digests = content_digests([path for pair in chosen for path in pair])
        return [tuple(sorted(both)) for both in zip(digests[::2], digests[1::2], strict=True)]

    here, there = [(sizes(pair), pair) for pair in found], []
    for other in SPLITS:
        with suppress(NDICError):  # a split that is missing or faulty is refused when it is loaded
            there += [(sizes(pair), pair, other) for pair in (pairs(root, other) if other != split else ())]
    alike = {size for size, _ in here} & {size for size, *_ in there}
    ours = [pair for size, pair in here if size in alike]
    theirs = [(pair, other) for size, pair, other in there if size in alike]
    known = dict(zip(contents(ours), ours, strict=True))
    others = zip(contents([pair for pair, _ in theirs]), theirs, strict=True)
    if same := [f"{known[c][0]} ({split}) and {x} ({other})" for c, ((x, _), other) in others if c in known]:
        raise NDICError(f"two splits have the same pair: {listing(same, '; ')}; keep each pair in one split")


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
    """Names of the files in a folder without hidden ones, in one scan, unsorted.

    Raises:
        NDICError: the folder cannot be read, or images in it are no readable files, such as broken links (all are
            named).
    """
    files, problems = [], []
    for entry in _scan(folder):
        reason = _objection(entry) if Path(entry.name).suffix.lower() in EXTENSIONS else None
        if reason:
            problems.append(f"{entry.name} ({reason})")
        elif not os.path.isdir(entry.path):  # `entry.is_dir` raises for a link to itself
            files.append(entry.name)
    if problems:
        raise NDICError(f"{folder} has images that cannot be read: {listing(sorted(problems))}; replace or remove them")
    return files


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder without hidden ones, sorted; `NDICError` if it cannot be read.

    Broken links are among them: they may have been links to folders.
    """
    return sorted(entry.name for entry in _scan(folder) if os.path.isdir(entry.path) or not os.path.exists(entry.path))


def _scan(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise NDICError(f"{folder} cannot be read: {error.strerror}") from error
    if names := sorted(ascii(entry.name) for entry in found if not is_utf8(entry.name)):
        raise NDICError(f"{folder} has names that are not UTF-8: {listing(names)}; rename these files")
    return found


def _objection(entry: os.DirEntry) -> str | None:
    """The reason why an entry of a folder is no readable file, or None."""
    try:
        if entry.is_file(follow_symlinks=False) or stat.S_ISREG(entry.stat().st_mode):
            return None if os.access(entry.path, os.R_OK) else "no permission to read it"
    except FileNotFoundError:
        return "a broken link"
    except OSError as error:  # such as a link to itself
        return error.strerror
    return "a folder" if os.path.isdir(entry.path) else "not a regular file"


def for_each(read: Callable[[Path], Result], folders: Iterable[Path]) -> list[Result]:
    """What a function returns for each folder; the errors of all folders in one `NDICError`."""
    results, problems = [], []
    for folder in folders:
        try:
            results.append(read(folder))
        except NDICError as error:
            problems.append(str(error))
    if problems:
        raise NDICError(listing(problems, "; ", 3))
    return results


def by_folder(paths: Iterable[Path]) -> str:
    """Paths grouped by folder, the first ten and the number of the others: `a: 1.png, 2.png; b: 1.png`."""
    ordered = sorted(set(paths))
    groups = groupby(ordered[:10], lambda path: path.parent)
    shown = [f"{folder.as_posix()}: {', '.join(path.name for path in group)}" for folder, group in groups]
    return listing([*shown, *ordered[10:]], "; ", len(shown))

"""The data set Cityscapes: left and right views in the official splits."""

from pathlib import Path

from ndic_core.data.folder import by_folder, check_split, for_each, refuse_one_file, subfolders, visible_files
from ndic_core.errors import NDICError, listing

SIDES = ("leftImg8bit", "rightImg8bit")
PAIRS = {"train": 2975, "val": 500, "test": 1525}
REMEDY = "run python -m data_prep.cityscape in a clone of the repository"


def pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The pairs of one split: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` with its `rightImg8bit`.

    Returns:
        Paths (x, y), x the left view, sorted; `PAIRS` has their number in the full data set.

    Raises:
        NDICError: a folder is missing or empty, or an image has no partner (all are named).
    """
    check_split(split)
    left, right = (root / side / split for side in SIDES)
    if absent := [f"{folder.relative_to(root).as_posix()}/" for folder in (left, right) if not folder.is_dir()]:
        raise NDICError(f"{root} has no {' and no '.join(absent)}; {REMEDY}")
    refuse_one_file([(left, right)], "folder")
    found, unpaired = [], []
    cities = sorted({*subfolders(left), *subfolders(right)})
    shots = for_each(_shots, (root / side / split / city for city in cities for side in SIDES))
    for city, xs, ys in zip(cities, shots[::2], shots[1::2], strict=True):
        x_and_y = {s: [root / side / split / city / f"{s}_{side}.png" for side in SIDES] for s in sorted(xs | ys)}
        found += [tuple(x_and_y[shot]) for shot in sorted(xs & ys)]
        unpaired += [x_and_y[shot][shot in xs] for shot in sorted(xs ^ ys)]
    if unpaired:
        missing = by_folder(path.relative_to(root) for path in unpaired)
        raise NDICError(f"{root} lacks these partners: {missing}; remove the other images of these pairs, or {REMEDY}")
    if not found:
        raise NDICError(f"{left} and {right} contain no images; {REMEDY}")
    return found


def _shots(folder: Path) -> set[str]:
    """The image names in a city's folder without the side."""
    if folder.is_symlink() and not folder.exists():
        raise NDICError(f"{folder} is a broken link: replace or remove it")
    if not folder.is_dir():
        return set()
    ending = f"_{folder.parents[1].name}.png"
    names = visible_files(folder)
    views = {name: f"{Path(name).stem}.png" for name in names}
    if others := sorted(name for name, png in views.items() if png.endswith(ending) and png != name):
        raise NDICError(f"{folder} has images whose names do not end in .png: {listing(others)}; {REMEDY}")
    return {name.removesuffix(ending) for name in names if name.endswith(ending)}

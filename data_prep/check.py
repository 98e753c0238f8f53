"""Completeness of the data sets in a folder: `python -m data_prep.check DIR`."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from data_prep.common import new_app, path, run, stoppable
from ndic_core.data import cityscape, folder, kitti
from ndic_core.errors import NDICError, listing

# The publication states "about 175 thousand" pairs of KITTI General: a scene may lack a frame.
GENERAL_TOLERANCE = 0.01

app = new_app()


@app.command(epilog="Example: python -m data_prep.check kitti")
@stoppable
def check(root: Annotated[Path, typer.Argument(help="A folder with one or several data sets.", **path("DIR"))]):
    """Report which data sets a folder contains and what is missing. Exit status 1 if something is missing."""
    if not root.is_dir():
        raise NDICError(f"there is no folder {root}: check its name")
    lists = [f"KITTI_{kind}_{split}.txt" for kind in ("stereo", "general") for split in folder.SPLITS]
    reports = []
    if any((root / name).is_dir() for name in kitti.SCENES) or any(kitti.list_file(root, name) for name in lists):
        reports.append((*kitti_report(root), kitti.REMEDY))
    if any((root / side).is_dir() for side in cityscape.SIDES):
        reports.append((*cityscape_report(root), cityscape.REMEDY))
    if any((root / name).is_dir() for name in ("left", "right", *folder.SPLITS)):
        reports.append((*folder_report(root), ""))
    if any((root / name).is_dir() for name in kitti.CAMERAS[0]):
        reports.append((*mixed_report(root), ""))
    if not reports:
        raise NDICError(
            f"{root} contains no data set: expected are {' or '.join(kitti.SCENES)} (KITTI), "
            f"{' and '.join(cityscape.SIDES)} (Cityscapes), image_2 and image_3 (Mixed), or left and right (own images)"
        )
    for found, missing, remedy in reports:
        print_report(found, missing)
        if missing and remedy:
            typer.echo(f"  to complete it, {remedy}")
    if any(missing for _, missing, _ in reports):
        raise typer.Exit(1)


def kitti_report(root: Path) -> tuple[list[str], list[str]]:
    """Lines on the content of KITTI Stereo and KITTI General, and lines on what is missing."""
    found, missing = [], []
    try:
        partners = kitti.missing_partners(root)
        scenes = kitti.scenes(root, complete=False)
    except NDICError as error:
        return [f"KITTI in {root}:"], [without_remedy(error)]
    if partners:
        missing.append(f"partners of images: {folder.by_folder(partners)}")
    for name, parts in kitti.SCENES.items():
        for part, expected in parts.items():
            here = [scene for scene in scenes if scene[:2] == (name, part)]
            frames = sum(len(scene.left) for scene in here)
            of_frames = f"{frames:,} of {expected * kitti.FRAMES:,} frames"
            found.append(f"{name}/{part}: {len(here)} of {expected} scenes, {of_frames}")
            whole = {scene.number for scene in here if {10, 11} <= scene.left.keys()}
            lacking = [number for number in range(expected) if number not in whole]
            if len(lacking) == expected:
                missing.append(f"{name}/{part}: all scenes")
            elif lacking:
                missing.append(f"{name}/{part}: frames 10 and 11 of {listing(f'{n:06d}' for n in lacking)}")
    of_stereo, of_general = (partial(pairs, complete=False) for pairs in (kitti.stereo_pairs, kitti.general_pairs))
    stereo, less = _count("KITTI Stereo", of_stereo, root, kitti.STEREO_PAIRS)
    general, least = _count("KITTI General", of_general, root, kitti.GENERAL_PAIRS, GENERAL_TOLERANCE)
    return [f"KITTI in {root}:", *found, *stereo, *general], missing + less + least


def cityscape_report(root: Path) -> tuple[list[str], list[str]]:
    """The same for Cityscapes."""
    found, missing = _count("Cityscape", cityscape.pairs, root, cityscape.PAIRS)
    return [f"Cityscapes in {root}:", *found], missing


def folder_report(root: Path) -> tuple[list[str], list[str]]:
    """The same for own images."""
    splits = [split for split in folder.SPLITS if (root / split).is_dir()] or folder.SPLITS
    found, missing = _count("own images", folder.pairs, root, dict.fromkeys(splits, 0))
    return [f"Own images in {root}:", *found], missing


def mixed_report(root: Path) -> tuple[list[str], list[str]]:
    """The same for `image_2` and `image_3`, the layout of the dataset Mixed."""
    left, right = (root / camera for camera in kitti.CAMERAS[0])
    found, missing = _count("image_2 and image_3", lambda *_: folder.matched(left, right), root, {"all": 0})
    return [f"Pairs for the dataset Mixed in {root}:", *found], missing


def without_remedy(error: NDICError) -> str:
    """A message without the advice to run a command of this package, for the output of these commands."""
    return re.sub(rf"(;|, or) ({kitti.REMEDY}|{cityscape.REMEDY})$", "", str(error))


def print_report(found: list[str], missing: list[str]) -> None:
    """Print the result of a report function."""
    title, *lines = found
    typer.echo("\n".join([title, *(f"  {line}" for line in lines), *(f"  missing: {line}" for line in missing)]))


def _count(
    name: str, pairs: Callable, root: Path, expected: dict[str, int], tolerance: float = 0
) -> tuple[list[str], list[str]]:
    """Pairs of each split compared with the full data set; 0 expects nothing."""
    found, missing = [], []
    for split, full in expected.items():
        try:
            files = pairs(root, split)
        except NDICError as error:
            missing.append(f"{name} {split}: {without_remedy(error)}")
            continue
        count = len(files)
        if empty := [
            file.relative_to(root) for file in {file for pair in files for file in pair} if not file.stat().st_size
        ]:
            missing.append(f"{name} {split}: the content of empty files, {folder.by_folder(empty)}")
        found.append(f"{name} {split}: {count:,} {f'of {full:,} ' if full else ''}{'pair' if count == 1 else 'pairs'}")
        if count < round(full * (1 - tolerance)):
            missing.append(f"{name} {split}: {full - count:,} pairs")
    return found, missing


if __name__ == "__main__":
    run(app, "check")

"""Training folders from the official KITTI archives: `python -m data_prep.corpus ARCHIVE... --out DIR --native DIR`.

The archives are KITTI 2015 stereo (`data_scene_flow.zip`) and raw drives (`2011_09_26_drive_0001_sync.zip`,
synchronised and rectified). `--out` receives every pair scaled to 192 rows, `--native` the KITTI 2015 pairs at their
original size, under the same ids. Both have the layout that `dataset_name: Mixed` reads:

    DIR/image_2/000.webp   left camera
    DIR/image_3/000.webp   right camera
    DIR/index.tsv          columns id, set, path: where each pair comes from; written last

Ids count the pairs in this order: KITTI 2015 by scene and frame, then raw drives by name and frame. All ids have the
same number of digits, three or more. Therefore the last KITTI 2015 pairs are those of
`ndic_core.data.real_pairs.held_out`.

Scenes on which results are reported are left out, and so are the raw drives that show them. The development kit of
KITTI 2015 maps its training scenes to raw drives (`mapping/train_mapping.txt`); scenes without an entry come from
drives that are not published. The drive of the test sequence is not known, so all drives of its day are left out.

The same command continues an interrupted run. Archives whose pairs come after those in the folder may be added
later: give them together with the earlier ones.
"""

import re
import shutil
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from PIL import Image
from tqdm import tqdm

from data_prep.archives import contents, extract
from data_prep.common import new_app, path, run, stoppable
from data_prep.kitti import which_year
from ndic_core.data.folder import visible_files
from ndic_core.errors import NDICError, listing
from ndic_core.files import make_folder, read_text, write_whole
from ndic_core.io import decode_image

HEIGHT = 192  # rows of the scaled images
QUALITY, NATIVE_QUALITY = 94, 93  # of WebP: scaled images, images at their original size
SIDES = ("image_2", "image_3")  # left, right

# Results are reported on frame 10 of these KITTI 2015 training scenes. Frame 11 shows the same scene 0.1 s later, so
# neither may be trained on.
TEST_SCENES = frozenset([*range(1, 7), *range(117, 133)])
# Scenes 112 to 116 were recorded on the drive of test scene 117, 2 to 21 s before it. The drives of scenes 0 and 1 are
# not published: they may be one drive, and scene 1 is a test scene.
BESIDE_TEST_SCENES = frozenset([0, *range(112, 117)])
# The drives of test scenes 2 and 3; 117; 118 to 127; 128 and 129; 130 to 132. The others are in no published drive.
TEST_DRIVES = frozenset(f"2011_09_26_drive_{number:04d}" for number in (5, 57, 59, 70, 84))
# Results are also reported on eight consecutive moments of one drive. Their images have 1241 × 376 pixels, which is the
# size of this day's images alone. KITTI 2015 scene 199, held out to validate on, was recorded on this day too.
TEST_DAY = "2011_10_03"

_SCENE = re.compile(r"(?:.*/)?(training/image_([23])/([0-9]{6})_(10|11)\.(?i:png))")
_RAW = re.compile(r"(?:.*/)?(([0-9_]{10})/(\2_drive_[0-9]{4})_sync/image_0([23])/data/([0-9]{10})\.(?i:png))")
_PLAN = ".index.tsv"  # the index of an unfinished folder
_EXTRACTED = ".extracted"  # the same at every attempt, so that at most one remains

app = new_app()


class View(NamedTuple):
    """One image: its archive, and its name in there."""

    archive: Path
    name: str


class Pair(NamedTuple):
    """Both images of one moment: the columns of `index.tsv`, left and right view."""

    set: str
    path: str
    left: View
    right: View


class Selection(NamedTuple):
    """The pairs in the order of their ids, and the names of the raw drives that are left out as test drives."""

    scenes: list[Pair]
    raw: list[Pair]
    left_out: list[str]


@app.command(
    epilog="Example: python -m data_prep.corpus data_scene_flow.zip 2011_09_26_drive_*_sync.zip "
    "--out data/kitti_train --native data/kitti_train_native"
)
@stoppable
def prepare(
    archives: Annotated[
        list[Path], typer.Argument(help="The archives of KITTI 2015 and of raw drives.", **path("ARCHIVES"))
    ],
    out: Annotated[Path, typer.Option(help="The folder of scaled images to create or to complete.", **path())],
    native: Annotated[
        Path | None, typer.Option(help="The folder of KITTI 2015 images at their original size.", **path())
    ] = None,
    drives: Annotated[
        str | None, typer.Option(help="Raw drives to use, separated by commas (2011_09_26_drive_0001); default: all.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame of a raw drive: neighbours look alike.")] = 10,
):
    """Make training folders for the dataset Mixed from KITTI 2015 and raw drives, without the scenes of the results."""
    if native and native.resolve() == out.resolve():
        raise typer.BadParameter("give another folder than --out", param_hint="--native")
    scenes, raw, left_out = select(archives, drives.split(",") if drives else None, every)
    if native and not scenes:
        raise NDICError("--native: no archive has KITTI 2015 images; add data_scene_flow.zip")
    typer.echo(f"{len(scenes):,} pairs of KITTI 2015, {len(raw):,} pairs of raw drives")
    if left_out:
        typer.echo(f"left out, because results are reported on them: {listing(left_out)}")
    pairs = numbered(scenes + raw)
    folders = {out: pairs}
    if native:
        folders[native] = dict(list(pairs.items())[: len(scenes)])
    lacking = {folder: _lacking(folder, wanted) for folder, wanted in folders.items()}
    todo = {name: pair for name, pair in pairs.items() if any(name in names for names in lacking.values())}
    new = [folder for folder in folders if not folder.exists()]
    extracted = out / _EXTRACTED
    try:
        _extract(todo, extracted)
        _check(todo, extracted)
        for folder in folders:
            for side in SIDES:
                make_folder(folder / side)
        for folder, wanted in folders.items():
            if lacking[folder]:
                write_whole(folder / _PLAN, _index(wanted))
        for name, pair in tqdm(todo.items(), unit="pair", desc="writing", disable=None):
            images = _read(name, pair, extracted)
            if name in lacking[out]:
                _write(out, name, [_scaled(image) for image in images], QUALITY)
            if native and name in lacking[native]:
                _write(native, name, images, NATIVE_QUALITY)
        for folder, wanted in folders.items():
            write_whole(folder / "index.tsv", _index(wanted))
            (folder / _PLAN).unlink(missing_ok=True)
    finally:
        shutil.rmtree(extracted, ignore_errors=True)
        for folder in (folder / side for folder in new for side in (*SIDES, "")):
            with suppress(OSError):  # has images, or was not created
                folder.rmdir()
    for folder, wanted in folders.items():
        written = len(lacking[folder])
        typer.echo(f"{written:,} pairs written to {folder}, {len(wanted) - written:,} existed already")


def select(archives: list[Path], drives: list[str] | None = None, every: int = 10) -> Selection:
    """Choose the pairs of KITTI 2015 and of raw drives in archives; nothing is extracted.

    Args:
        archives: of KITTI 2015 or raw drives.
        drives: names of the raw drives to use, with or without `_sync`; None uses all that are not test drives.
        every: a frame of a raw drive is used if its number is a multiple of this.

    Raises:
        NDICError: an archive is unsafe (see `data_prep.archives.contents`), or has no images of either kind; two have
            the same images; `drives` names a test drive or one that is not there; an image has no partner (all are
            named); or no pair remains.
    """
    wanted = {name.strip().removesuffix("_sync") for name in drives or ()}
    if refused := sorted(filter(is_test_drive, wanted)):
        raise NDICError(f"--drives: results are reported on {listing(refused)}; do not train on test drives")
    scenes: dict[tuple, dict[str, View]] = {}  # (set, frame) to camera to view
    raw: dict[tuple, dict[str, View]] = {}
    there = set()
    for archive in archives:
        names = contents(archive)
        of_scenes, of_raw = ([m for name in names if (m := kind.fullmatch(name))] for kind in (_SCENE, _RAW))
        if not of_scenes and not of_raw:
            raise NDICError(
                f"{archive} has neither KITTI 2015 training images (training/image_2/000000_10.png) nor a raw drive "
                "(2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png): "
                "download data_scene_flow.zip, or drives that are synced and rectified"
            )
        if of_scenes and which_year(archive, names) != "data_scene_flow_multiview":
            raise NDICError(f"{archive} is KITTI 2012: download data_scene_flow.zip, the archive of KITTI 2015")
        for match in of_scenes:
            if int(match[3]) not in TEST_SCENES | BESIDE_TEST_SCENES:
                _add(scenes, (f"kitti2015/{match[3]}", int(match[4])), match[2], View(archive, match[0]))
        for match in of_raw:
            there.add(match[3])
            if int(match[5]) % every == 0 and (match[3] in wanted if wanted else not is_test_drive(match[3])):
                _add(raw, (f"kitti_raw/{match[3]}", int(match[5])), match[4], View(archive, match[0]))
    if unknown := sorted(wanted - there):
        raise NDICError(f"--drives: no archive has {listing(unknown)}; check the names")
    if single := [view.name for sides in (scenes | raw).values() if len(sides) == 1 for view in sides.values()]:
        raise NDICError(f"images without a partner of the other camera: {listing(sorted(single))}; get both cameras")
    if not scenes and not raw:
        raise NDICError(f"{listing(archives)}: no pair is left to train on; add other scenes or drives")
    left_out = [] if wanted else sorted(filter(is_test_drive, there))
    return Selection(_in_order(scenes, _SCENE), _in_order(raw, _RAW), left_out)


def numbered(pairs: list[Pair]) -> dict[str, Pair]:
    """Ids and their pairs: numbers from 0 with at least three digits, all with the same number of digits."""
    digits = max(3, len(str(len(pairs) - 1)))
    return {f"{number:0{digits}d}": pair for number, pair in enumerate(pairs)}


def is_test_drive(name: str) -> bool:
    """Whether a raw drive may show scenes on which results are reported."""
    return name in TEST_DRIVES or name.startswith(TEST_DAY)


def _add(found: dict, moment: tuple, camera: str, view: View) -> None:
    other = found.setdefault(moment, {}).setdefault(camera, view)
    if other is not view:
        raise NDICError(f"{other.archive} and {view.archive} both have the image {view.name}: give each archive once")


def _in_order(found: dict[tuple, dict[str, View]], kind: re.Pattern) -> list[Pair]:
    """Pairs sorted by scene or drive, then by frame; their paths without folders that an archive puts above them."""
    views = [(origin, sides["2"], sides["3"]) for (origin, _), sides in sorted(found.items())]
    return [Pair(origin, kind.fullmatch(left.name)[1], left, right) for origin, left, right in views]


def _index(pairs: dict[str, Pair]) -> bytes:
    rows = [("id", "set", "path"), *((name, pair.set, pair.path) for name, pair in pairs.items())]
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def _lacking(folder: Path, pairs: dict[str, Pair]) -> set[str]:
    """Ids of the pairs that earlier runs did not write; raises for a folder with other pairs."""
    indices = [file for file in (folder / "index.tsv", folder / _PLAN) if file.exists()]
    there = [set(visible_files(folder / side)) if (folder / side).is_dir() else set() for side in SIDES]
    ours = all(_index(pairs).decode().startswith(read_text(file)) for file in indices)
    if not ours or (any(there) and not indices):
        raise NDICError(f"{folder} has images of another selection and is not changed: name another folder")
    return {name for name in pairs if any(f"{name}.webp" not in names for names in there)}


def _extract(pairs: dict[str, Pair], extracted: Path) -> None:
    jobs: dict[Path, dict[str, str]] = {}
    for name, pair in pairs.items():
        for side, view in zip(SIDES, (pair.left, pair.right), strict=True):
            jobs.setdefault(view.archive, {})[view.name] = f"{name}/{side}.png"
    extract(list(jobs.items()), extracted)


def _check(pairs: dict[str, Pair], extracted: Path) -> None:
    """Refuse images that cannot be decoded, and pairs whose images differ in size."""
    odd = []
    for name, pair in pairs.items():
        left, right = (image.size for image in _read(name, pair, extracted))
        if left != right:
            odd.append(f"{pair.left.name} ({left[0]} × {left[1]}) and {pair.right.name} ({right[0]} × {right[1]})")
    if odd:
        raise NDICError(f"images of one pair differ in size: {listing(odd)}; download the official archive")


def _read(name: str, pair: Pair, extracted: Path) -> list[Image.Image]:
    """The left and right image of a pair."""
    images, png = [], dict(read_header=partial(Image.open, formats=["PNG"]), kind="a PNG image")
    for side, view in zip(SIDES, (pair.left, pair.right), strict=True):
        images.append(decode_image(extracted / name / f"{side}.png", name=f"{view.name} in {view.archive}", **png))
    return images


def _scaled(image: Image.Image) -> Image.Image:
    """An image with `HEIGHT` rows and the same aspect ratio; Pillow's filters are antialiased."""
    width = max(1, round(HEIGHT * image.width / image.height))
    return image.resize((width, HEIGHT), Image.Resampling.LANCZOS)


def _write(folder: Path, name: str, images: list[Image.Image], quality: int) -> None:
    buffers = [BytesIO() for _ in images]
    for image, buffer in zip(images, buffers, strict=True):
        try:
            image.save(buffer, "WEBP", quality=quality)
        except (OSError, ValueError) as error:
            raise NDICError(f"{folder}: pair {name} ({image.width} × {image.height}) does not fit into WebP") from error
    for side, buffer in zip(SIDES, buffers, strict=True):
        write_whole(folder / side / f"{name}.webp", buffer.getvalue())


if __name__ == "__main__":
    run(app, "corpus")

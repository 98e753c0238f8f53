"""KITTI 2012 and 2015: `python -m data_prep.kitti ARCHIVE... --out DIR`.

The colour images of the multi-view archives go to `DIR/data_stereo_flow_multiview` (2012) and
`DIR/data_scene_flow_multiview` (2015), each with `{training,testing}/{image_2,image_3}`, whatever their names in the
archives; then list files are written. The same command continues an interrupted run.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from data_prep.archives import contents, extract
from data_prep.check import kitti_report, print_report, without_remedy
from data_prep.common import new_app, path, run, stoppable
from ndic_core.data import kitti
from ndic_core.errors import NDICError
from ndic_core.files import read_bytes, read_text, write_whole

URL = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
RECORD = ".lists.sha256"  # hashes of our own list files, so that a user's lists are never replaced
YEARS = {"data_stereo_flow_multiview": "KITTI 2012", "data_scene_flow_multiview": "KITTI 2015"}

_IMAGE = re.compile(r"(.*/)?(training|testing)/(image_[0-3]|colored_[01])/(([0-9]{6})_[0-9]{2}\.png)")
_CONVERTED = re.compile(r"\.(jpe?g|webp|bmp|tiff?)$")

app = new_app()


@app.command(epilog="Example: python -m data_prep.kitti data_s*_flow_multiview.zip --out kitti")
@stoppable
def prepare(
    out: Annotated[Path, typer.Option(help="The folder to create or to complete.", **path())],
    archives: Annotated[
        list[Path] | None, typer.Argument(help="The multi-view archives of 2012, 2015 or both.", **path("ARCHIVES"))
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Download what is not given (30 GB) to OUT.")] = False,
    base_url: Annotated[str, typer.Option(envvar="NDIC_KITTI_URL", help="Where to download the archives from.")] = URL,
):
    """Extract KITTI's colour images and write the list files of KITTI Stereo and KITTI General."""
    if not archives and not download:
        raise typer.BadParameter("give the archives, or --download", param_hint="ARCHIVES")
    jobs: dict[str, tuple[Path, dict[str, str]]] = {}
    for archive in archives or ():
        _add(jobs, archive)
    if download:
        from data_prep.download import fetch_zip

        for folder in kitti.SCENES:
            if folder not in jobs:
                archive = out / f"{folder}.zip"
                fetch_zip(f"{base_url.rstrip('/')}/{archive.name}", archive)
                _add(jobs, archive)
    for folder, (archive, wanted) in jobs.items():
        typer.echo(f"{archive} is {YEARS[folder]}: {len(wanted):,} colour images")
    written = extract(list(jobs.values()), out)
    there = sum(len(wanted) for _, wanted in jobs.values()) - written
    typer.echo(f"{written:,} images extracted to {out}, {there:,} existed already")
    for line in write_lists(out):
        typer.echo(line)
    print_report(*kitti_report(out))
    if kitti.missing_partners(out):
        typer.echo("Images without a partner are in no list. If their archive lacks the partners, download it again.")
    if download:
        typer.echo(f"The archives in {out} are no longer needed.")


def _add(jobs: dict[str, tuple[Path, dict[str, str]]], archive: Path) -> None:
    names = contents(archive)
    folder = which_year(archive, names)
    if folder in jobs:
        raise NDICError(f"{jobs[folder][0]} and {archive} are both {YEARS[folder]}: give one of each year")
    jobs[folder] = archive, _wanted(archive, names, folder)


def which_year(archive: Path, names: list[str]) -> str:
    """The folder that an archive's images belong to, by its content; by its file name only if that is ambiguous.

    Raises:
        NDICError: it contains no KITTI images, or may be of either year.
    """
    if converted := [name for name in names if _images([_CONVERTED.sub(".png", name.lower())]).keys() - {name.lower()}]:
        raise NDICError(f"{archive} contains converted images, KITTI's are PNG ({converted[0]}): download it again")
    found = _images(names).values()
    if not found:
        raise NDICError(
            f"{archive} contains no KITTI images (training/image_2/000000_10.png and so on): expected is "
            f"{' or '.join(f'{folder}.zip' for folder in kitti.SCENES)}"
        )
    stereo, scene = kitti.SCENES
    above = {match[1] for match in found}
    for folder, word in ((stereo, "stereo_flow"), (scene, "scene_flow")):
        if all(word in (parent or "") for parent in above):
            return folder
    if {match[3] for match in found} - {"image_2", "image_3"}:
        return stereo  # 2015 has no grey images
    if any(int(match[5]) >= kitti.SCENES[stereo][match[2]] for match in found):
        return scene  # 2012 has fewer scenes
    for folder, word in ((stereo, "stereo_flow"), (scene, "scene_flow")):
        if word in archive.name:
            return folder
    raise NDICError(f"{archive} may be KITTI 2012 or 2015: rename it to {stereo}.zip or {scene}.zip, whichever it is")


def _images(names: Iterable[str]) -> dict[str, re.Match]:
    """The images among the names in an archive: name to its parts, in lower case."""
    return {name: match for name in names if (match := _IMAGE.fullmatch(name.lower()))}


def _wanted(archive: Path, names: list[str], folder: str) -> dict[str, str]:
    """The colour images: name in the archive to path below the prepared folder."""
    found = _images(names)
    has = {match[3] for match in found.values()}
    cameras = next((cameras for cameras in kitti.CAMERAS if has.issuperset(cameras)), None)
    if cameras is None:
        pairs = " or ".join(" and ".join(cameras) for cameras in kitti.CAMERAS)
        raise NDICError(f"{archive} lacks colour images of two cameras ({pairs}): download the archive with both")
    renamed = dict(zip(cameras, kitti.CAMERAS[0], strict=True))
    wanted = {
        name: f"{folder}/{match[2]}/{renamed[match[3]]}/{match[4]}"
        for name, match in found.items()
        if match[3] in renamed
    }
    if len(set(wanted.values())) < len(wanted):
        raise NDICError(f"{archive} contains the same images in several folders: download the official archive")
    return wanted


def write_lists(out: Path) -> list[str]:
    """Write `KITTI_{stereo,general}_{train,val,test}.txt` from the images below `out`.

    Images without a partner are left out. Lists of other origin in `out` or `out/data_paths` are not changed. Returns
    a sentence for each list not written.

    Raises:
        NDICError: there are no pairs, images cannot be read, or a list cannot be written.
    """
    try:
        kitti.scenes(out, complete=False)  # too few images for a list are no error
    except NDICError as error:
        raise NDICError(f"no list is written: {without_remedy(error)}; download the official archives again") from error
    notes = []
    for kind, pairs_of in (("stereo", kitti.stereo_pairs), ("general", kitti.general_pairs)):
        for split in ("train", "val", "test"):
            name = f"KITTI_{kind}_{split}.txt"
            try:
                pairs = pairs_of(out, split, lists=False, complete=False)
            except NDICError as error:
                notes.append(f"{name} is not written: {without_remedy(error)}")
                continue
            relative = cache(lambda path: path.relative_to(out).as_posix())  # a file is in many pairs
            content = "".join(f"{relative(path)}\n" for pair in pairs for path in pair).encode()
            if not _write_list(out, name, content):
                notes.append(f"{name} was not made by this command and is not changed: delete it to have it made")
    return notes


def _write_list(out: Path, name: str, content: bytes) -> bool:
    """Write a list unless a user's own exists."""
    record = out / RECORD
    ours = read_text(record).splitlines() if record.exists() else []
    present = kitti.list_file(out, name)
    if present:
        there = read_bytes(present)
        if there == content:
            return True
        if _line(name, there) not in ours:
            return False
    # The record first: after an interruption between the two, our own list must not count as a user's.
    write_whole(record, "".join(f"{line}\n" for line in dict.fromkeys([*ours, _line(name, content)])).encode())
    write_whole(present or out / name, content)
    return True


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}"


if __name__ == "__main__":
    run(app, "kitti")

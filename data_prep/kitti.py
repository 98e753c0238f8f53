"""KITTI 2012 and 2015: `python -m data_prep.kitti ARCHIVE... --out DIR`.

The colour pictures of the multi-view archives go to `DIR/data_stereo_flow_multiview` (2012) and
`DIR/data_scene_flow_multiview` (2015), each with `{training,testing}/{image_2,image_3}`, whatever the archives call
them; then list files are written. An interrupted run is continued by running the same command again.
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated

import typer

from data_prep.archives import contents, extract
from data_prep.check import kitti_report, print_report
from data_prep.common import new_app, run, stoppable
from ndic_core.data import kitti
from ndic_core.errors import NDICError
from ndic_core.io import write_whole

URL = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
RECORD = ".lists.sha256"  # which list files are ours, so that a user's own are never replaced
YEARS = {"data_stereo_flow_multiview": "KITTI 2012", "data_scene_flow_multiview": "KITTI 2015"}

_PICTURE = re.compile(r"(.*/)?(training|testing)/(image_[0-3]|colored_[01])/(([0-9]{6})_[0-9]{2}\.png)")

app = new_app()


@app.command(epilog="Example: python -m data_prep.kitti data_s*_flow_multiview.zip --out kitti")
@stoppable
def prepare(
    out: Annotated[Path, typer.Option(help="The folder to make or to complete.")],
    archives: Annotated[
        list[Path] | None, typer.Argument(help="The multi-view archives of 2012, 2015 or both.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch what is not given (30 GB) to OUT first.")] = False,
    base_url: Annotated[str, typer.Option(envvar="NDIC_KITTI_URL", help="Where to fetch the archives from.")] = URL,
):
    """Extract KITTI's colour pictures and write the list files of KITTI Stereo and KITTI General."""
    if not archives and not download:
        raise typer.BadParameter("give the archives, or --download to fetch them", param_hint="ARCHIVES")
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
        typer.echo(f"{archive} is {YEARS[folder]}: {len(wanted):,} colour pictures")
    written = extract(list(jobs.values()), out)
    there = sum(len(wanted) for _, wanted in jobs.values()) - written
    typer.echo(f"{written:,} pictures extracted to {out}, {there:,} were there already")
    for line in write_lists(out):
        typer.echo(line)
    print_report(*kitti_report(out))
    if download:
        typer.echo(f"The archives in {out} are no longer needed.")


def _add(jobs: dict[str, tuple[Path, dict[str, str]]], archive: Path) -> None:
    names = contents(archive)
    folder = which_year(archive, names)
    if folder in jobs:
        raise NDICError(f"{jobs[folder][0]} and {archive} are both {YEARS[folder]}: give one of each year")
    jobs[folder] = archive, _wanted(archive, names, folder)


def which_year(archive: Path, names: list[str]) -> str:
    """The folder that an archive's pictures belong to: told from the content, from its file name only at last.

    Raises:
        NDICError: it holds no KITTI pictures, or cannot be told.

    Example:
        >>> which_year(Path("a.zip"), ["training/colored_0/000000_10.png"])
        'data_stereo_flow_multiview'
    """
    found = [match for name in names if (match := _PICTURE.fullmatch(name))]
    if not found:
        raise NDICError(
            f"{archive} holds no KITTI pictures (training/image_2/000000_10.png and so on): expected is "
            f"{' or '.join(f'{folder}.zip' for folder in kitti.SCENES)}"
        )
    stereo, scene = kitti.SCENES
    above = {match[1] for match in found}
    for folder, word in ((stereo, "stereo_flow"), (scene, "scene_flow")):
        if all(word in (parent or "") for parent in above):
            return folder
    if {match[3] for match in found} - {"image_2", "image_3"}:
        return stereo  # 2015 has no grey pictures
    if any(int(match[5]) >= kitti.SCENES[stereo][match[2]] for match in found):
        return scene  # 2012 has not so many scenes
    for folder, word in ((stereo, "stereo_flow"), (scene, "scene_flow")):
        if word in archive.name:
            return folder
    raise NDICError(f"{archive} may be KITTI 2012 or 2015: rename it to {stereo}.zip or {scene}.zip, whichever it is")


def _wanted(archive: Path, names: list[str], folder: str) -> dict[str, str]:
    """The colour pictures: name in the archive to path below the prepared folder."""
    found = [match for name in names if (match := _PICTURE.fullmatch(name))]
    has = {match[3] for match in found}
    cameras = next((cameras for cameras in kitti.CAMERAS if has.issuperset(cameras)), None)
    if cameras is None:
        pairs = " or ".join(" and ".join(cameras) for cameras in kitti.CAMERAS)
        raise NDICError(f"{archive} lacks colour pictures of two cameras ({pairs}): take the archive with both")
    renamed = dict(zip(cameras, kitti.CAMERAS[0], strict=True))
    wanted = {match[0]: f"{folder}/{match[2]}/{renamed[match[3]]}/{match[4]}" for match in found if match[3] in renamed}
    if len(set(wanted.values())) < len(wanted):
        raise NDICError(f"{archive} holds the same pictures in several folders: take the official archive")
    return wanted


def write_lists(out: Path) -> list[str]:
    """Write `KITTI_{stereo,general}_{train,val,test}.txt` from the pictures below `out`.

    Lists that somebody else put there stay as they are, in `out` or in `out/data_paths`.

    Returns:
        A sentence for each list that was not written.

    Raises:
        NDICError: the pictures are incomplete (all that lack are named), or a list cannot be written.
    """
    kitti.scenes(out)  # pictures without partners are an error, too few for one of the lists are not
    said = []
    for kind, pairs_of in (("stereo", kitti.stereo_pairs), ("general", kitti.general_pairs)):
        for split in ("train", "val", "test"):
            name = f"KITTI_{kind}_{split}.txt"
            try:
                pairs = pairs_of(out, split, lists=False)
            except NDICError as error:
                said.append(f"{name} is not written: {error}")
                continue
            short: dict[Path, str] = {}  # few files are in many pairs
            for path in (path for pair in pairs for path in pair):
                if path not in short:
                    short[path] = path.relative_to(out).as_posix()
            content = "".join(f"{short[path]}\n" for pair in pairs for path in pair).encode()
            if not _write_list(out, name, content):
                said.append(
                    f"{name} is another than this command makes and is left as it is: delete it to have it made"
                )
    return said


def _write_list(out: Path, name: str, content: bytes) -> bool:
    """Write a list unless a user's own is there."""
    record = out / RECORD
    ours = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    present = kitti.list_file(out, name)
    if present:
        there = present.read_bytes()
        if there == content:
            return True
        if _line(name, there) not in ours:
            return False
    # The record first: a run that ends between the two must not take our own list for a user's.
    write_whole(record, "".join(f"{line}\n" for line in dict.fromkeys([*ours, _line(name, content)])).encode())
    write_whole(present or out / name, content)
    return True


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}"


if __name__ == "__main__":
    run(app, "kitti")

"""Cityscapes: `python -m data_prep.cityscape leftImg8bit_trainvaltest.zip rightImg8bit_trainvaltest.zip --out DIR`.

The images go to `DIR/leftImg8bit` and `DIR/rightImg8bit`. The same command continues an interrupted run.
"""

import re
from pathlib import Path
from typing import Annotated

import typer

from data_prep.archives import contents, extract
from data_prep.check import cityscape_report, print_report
from data_prep.common import new_app, path, run, stoppable
from ndic_core.data import cityscape
from ndic_core.errors import NDICError

INSTRUCTIONS = """\
Cityscapes is free for research, but requires a login, so this command cannot download it.
1. Register at https://www.cityscapes-dataset.com/register/ (with an address of a university or institute).
2. Log in and download from https://www.cityscapes-dataset.com/downloads/
   leftImg8bit_trainvaltest.zip (11 GB) and rightImg8bit_trainvaltest.zip (11 GB).
3. python -m data_prep.cityscape leftImg8bit_trainvaltest.zip rightImg8bit_trainvaltest.zip --out cityscape_dataset"""

_SPLITS = "|".join(cityscape.PAIRS)
_SIDES = "|".join(cityscape.SIDES)
_IMAGE = re.compile(rf"(?:.*/)?({_SIDES})/({_SPLITS})/([\w-]+)/([\w-]+_\1)\.(?i:png)")

app = new_app()


@app.command(epilog="Without archives: instructions to download them.")
@stoppable
def prepare(
    archives: Annotated[
        list[Path] | None, typer.Argument(help="The archives of left and right images.", **path("ARCHIVES"))
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to create or to complete.", **path())] = None,
):
    """Extract Cityscapes' left and right images."""
    if not archives:
        typer.echo(INSTRUCTIONS)
        return
    if out is None:
        raise typer.BadParameter("give the folder to extract to", param_hint="--out")
    jobs = []
    for archive in archives:
        wanted = _wanted(archive, contents(archive))
        typer.echo(f"{archive}: {len(wanted):,} images")
        jobs.append((archive, wanted))
    targets = [target for _, wanted in jobs for target in wanted.values()]
    if len(set(targets)) < len(targets):
        raise NDICError(f"{' and '.join(map(str, archives))} contain the same images: give one archive of each side")
    written = extract(jobs, out)
    typer.echo(f"{written:,} images extracted to {out}, {len(targets) - written:,} existed already")
    print_report(*cityscape_report(out))


def _wanted(archive: Path, names: list[str]) -> dict[str, str]:
    """The images of train, val and test: name in the archive to path below the prepared folder."""
    found = [match for name in names if (match := _IMAGE.fullmatch(name))]
    if not found:
        raise NDICError(
            f"{archive} contains no images of Cityscapes' train, val and test (leftImg8bit/train/aachen/...): "
            f"expected is {' or '.join(f'{side}_trainvaltest.zip' for side in cityscape.SIDES)}"
        )
    return {match[0]: f"{match[1]}/{match[2]}/{match[3]}/{match[4]}.png" for match in found}


if __name__ == "__main__":
    run(app, "cityscape")

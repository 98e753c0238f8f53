"""Cityscapes: `python -m data_prep.cityscape leftImg8bit_trainvaltest.zip rightImg8bit_trainvaltest.zip --out DIR`.

The pictures go to `DIR/leftImg8bit` and `DIR/rightImg8bit`. An interrupted run is continued by the same command.
"""

import re
from pathlib import Path
from typing import Annotated

import typer

from data_prep.archives import contents, extract
from data_prep.check import cityscape_report, print_report
from data_prep.common import new_app, run, stoppable
from ndic_core.data import cityscape
from ndic_core.errors import NDICError

INSTRUCTIONS = """\
Cityscapes is free for research, but asks for a login, so that this command cannot download it.
1. Register at https://www.cityscapes-dataset.com/register/ (with an address of a university or institute).
2. Log in, and from https://www.cityscapes-dataset.com/downloads/ take
   leftImg8bit_trainvaltest.zip (11 GB) and rightImg8bit_trainvaltest.zip (11 GB).
3. python -m data_prep.cityscape leftImg8bit_trainvaltest.zip rightImg8bit_trainvaltest.zip --out cityscape_dataset"""

_SPLITS = "|".join(cityscape.PAIRS)
_SIDES = "|".join(cityscape.SIDES)
_PICTURE = re.compile(rf"(?:.*/)?({_SIDES})/({_SPLITS})/([\w-]+)/([\w-]+_\1\.png)")

app = new_app()


@app.command(epilog="Without archives: how to get them.")
@stoppable
def prepare(
    archives: Annotated[list[Path] | None, typer.Argument(help="The archives of left and right pictures.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to make or to complete.")] = None,
):
    """Extract Cityscapes' left and right pictures."""
    if not archives:
        typer.echo(INSTRUCTIONS)
        return
    if out is None:
        raise typer.BadParameter("say where to extract to", param_hint="--out")
    jobs = []
    for archive in archives:
        wanted = _wanted(archive, contents(archive))
        typer.echo(f"{archive}: {len(wanted):,} pictures")
        jobs.append((archive, wanted))
    targets = [target for _, wanted in jobs for target in wanted.values()]
    if len(set(targets)) < len(targets):
        raise NDICError(f"{' and '.join(map(str, archives))} hold the same pictures: give one archive of each side")
    written = extract(jobs, out)
    typer.echo(f"{written:,} pictures extracted to {out}, {len(targets) - written:,} were there already")
    print_report(*cityscape_report(out))


def _wanted(archive: Path, names: list[str]) -> dict[str, str]:
    """The pictures of train, val and test: name in the archive to path below the prepared folder."""
    found = [match for name in names if (match := _PICTURE.fullmatch(name))]
    if not found:
        raise NDICError(
            f"{archive} holds no pictures of Cityscapes' train, val and test (leftImg8bit/train/aachen/... and so on): "
            f"expected is {' or '.join(f'{side}_trainvaltest.zip' for side in cityscape.SIDES)}"
        )
    return {match[0]: f"{match[1]}/{match[2]}/{match[3]}/{match[4]}" for match in found}


if __name__ == "__main__":
    run(app, "cityscape")

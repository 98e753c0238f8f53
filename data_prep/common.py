"""Shared by the commands: paths, exit status and error messages, the check of free disk space."""

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import typer
from tqdm import tqdm

from ndic_core.errors import NDICError
from ndic_core.files import expand_path

RESERVE = 64 * 2**20  # bytes to leave free for list files and other programs


def new_app() -> typer.Typer:
    """A command line with one command and plain-text help."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def path(metavar: str = "PATH") -> dict:
    """Settings of an argument or option that is a path, with `~` and variables."""
    return {"parser": expand_path, "metavar": metavar}


def stoppable(command: Callable) -> Callable:
    """End a command with an error message when it is interrupted by Ctrl-C."""

    @functools.wraps(command)
    def stopped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise NDICError("interrupted; complete files are kept: run the same command again to continue") from None

    return stopped


def run(app: typer.Typer, name: str) -> None:
    """Run a command line: exit status 0 after success, 1 after an error, 2 after wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console without some character shows another
    try:
        app(prog_name=f"python -m data_prep.{name}")
    except (NDICError, OSError) as error:
        typer.echo(f"{name}: {error}", err=True)
        sys.exit(1)


def need_space(folder: Path, needed: int) -> None:
    """Raise `NDICError` if the disk of `folder`, which need not exist yet, has less than `needed` bytes free."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed and needed + RESERVE > free:
        required, available = (tqdm.format_sizeof(count, "B") for count in (needed + RESERVE, free))
        raise NDICError(f"{folder} needs {required} but its disk has {available} free: free some space first")

"""What the commands share: how they end, and the question whether the disk has room."""

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from ndic_core.errors import NDICError

RESERVE = 64 * 2**20  # bytes to leave free: list files, and what other programs write meanwhile


def new_app() -> typer.Typer:
    """A command line in plain text, of one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def stoppable(command: Callable) -> Callable:
    """End a command with a sentence where it is stopped by Ctrl-C."""

    @functools.wraps(command)
    def stopped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise NDICError("stopped; what is complete stays, run the same command again to go on") from None

    return stopped


def run(app: typer.Typer, name: str) -> None:
    """Run a command line: 0 if all went well, 1 after an error of the work, 2 after wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character shows another
    try:
        app(prog_name=f"python -m data_prep.{name}")
    except (NDICError, OSError) as error:
        typer.echo(f"{name}: {error}", err=True)
        sys.exit(1)


def need_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: where to write; it need not exist yet.
        needed: bytes.

    Raises:
        NDICError: fewer are free.
    """
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed and needed + RESERVE > free:
        raise NDICError(f"{folder} needs {size(needed + RESERVE)} but its disk has {size(free)} free: make room first")


def size(count: int) -> str:
    """Bytes for people.

    Example:
        >>> size(17_700_000_000), size(512)
        ('17.7 GB', '512 B')
    """
    number = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB", "EB"):
        if number < 1000 or unit == "EB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"

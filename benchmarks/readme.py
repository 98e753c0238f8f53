"""Tables that benchmarks write into the README, each between two marks of its own."""

import re
from pathlib import Path

from ndic_core.evaluation.tables import read_table
from ndic_core.io import write_whole


def known(table: Path) -> list[dict]:
    """Lines that were measured before."""
    return read_table(table) if table.exists() else []


def marked(readme: Path, begin: str, end: str) -> re.Pattern:
    """What finds the place; to be called before anything takes time.

    Raises:
        SystemExit: the file has no such marks, in a sentence.
    """
    marks = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not marks.search(readme.read_text(encoding="utf-8")):
        raise SystemExit(f"{readme} has no lines {begin} and {end} to write between")
    return marks


def write_between(readme: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between the marks."""
    page = marked(readme, begin, end).sub(lambda _: f"{begin}\n{text}\n{end}", readme.read_text(encoding="utf-8"))
    write_whole(readme, page.encode())

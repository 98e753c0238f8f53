"""Tables of results in Markdown, and writing them into documents between two marks."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from ndic_core.evaluation.tables import read_table
from ndic_core.files import write_whole


def known(table: Path) -> list[dict]:
    """The rows of a CSV; none where there is no file."""
    return read_table(table) if table.exists() else []


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def mean_cell(values: Sequence[float], form: str, unit: str) -> str:
    """The mean of some values and, of several, their standard deviation; "" of none.

    Example:
        >>> mean_cell([1.0, 3.0], "{:+.1f}", " %")
        '+2.0 ± 1.4 %'
    """
    if not values:
        return ""
    spread = f" ± {form.format(stdev(values)).lstrip('+')}" if len(values) > 1 else ""
    return f"{form.format(fmean(values))}{spread}{unit}"


def marked(readme: Path, begin: str, end: str) -> re.Pattern:
    """The pattern of a generated part with its marks; called before a measurement, so that it fails early.

    Raises:
        SystemExit: the file has no such marks, in a sentence.
    """
    marks = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not marks.search(readme.read_text(encoding="utf-8")):
        raise SystemExit(f"{readme} has no lines {begin} and {end} to write between")
    return marks


def write_between(readme: Path, begin: str, end: str, text: str) -> None:
    """Replace the text between the marks."""
    page = marked(readme, begin, end).sub(lambda _: f"{begin}\n{text}\n{end}", readme.read_text(encoding="utf-8"))
    write_whole(readme, page.encode())

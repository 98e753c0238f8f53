"""Tables of measurements: aligned text for the screen, CSV for files."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ndic_core.errors import NDICError, listing
from ndic_core.files import read_text, write_whole

# Heading and format of each known column; any other key is printed under its own name.
COLUMNS = {
    "side_info": ("decoded with", ""),
    "lmbda": ("lambda", ".2e"),
    "bytes": ("bytes", ".0f"),
    "bpp": ("bpp measured", ".4f"),
    "bpp_estimated": ("estimated", ".4f"),
    "psnr": ("PSNR dB", ".2f"),
    "ms_ssim": ("MS-SSIM", ".4f"),
    "ms_ssim_db": ("MS-SSIM dB", ".2f"),
    "encode_seconds": ("encode s", ".3f"),
    "decode_seconds": ("decode s", ".3f"),
    "num_filters": ("filters", ""),
    "images_per_second": ("images/s", ".1f"),
    "step_ms": ("ms per step", ".0f"),
    "state_mb": ("state MB", ".0f"),
    "activation_mb": ("activation MB", ".0f"),
    "peak_mb": ("peak MB", ".0f"),
}
MEASURED = ("bytes", "bpp", "bpp_estimated", "psnr", "ms_ssim", "ms_ssim_db", "encode_seconds", "decode_seconds")
PSNR_CAP = 100.0  # dB that an image counts for at most in a mean, which stays finite; as in libvpx and libaom
_DEFAULT = ("model", "weights", "side_info", "lmbda", "bytes", "bpp", "psnr", "ms_ssim", "ms_ssim_db")


def format_table(rows: Sequence[Mapping], columns: Iterable[str] = ()) -> str:
    """Rows as lines of text with aligned columns: text to the left, numbers to the right.

    Args:
        rows: mappings, such as those of `roundtrip` or `averages`. A missing value or None leaves an empty cell.
        columns: keys of the columns. By default model, side information, lambda, rate and quality: those of them that
            a row has.

    Raises:
        NDICError: there is no column.
    """
    keys = list(columns) or [key for key in _DEFAULT if any(row.get(key) is not None for row in rows)]
    if not keys:
        raise NDICError("a table needs a column: give rows of roundtrip or averages, or name columns")
    headings, formats = zip(*(COLUMNS.get(key, (key.replace("_", " "), "")) for key in keys), strict=True)
    values = [[row.get(key) for key in keys] for row in rows]
    columns = []
    for heading, how, *column in zip(headings, formats, *values, strict=True):
        cells = [heading, *("" if value is None else f"{value:{how}}" for value in column)]
        side = "<" if any(isinstance(value, str) for value in column) else ">"
        columns.append([f"{cell:{side}{max(map(len, cells))}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def results_table(points: Sequence[Mapping]) -> str:
    """The averages of a test over its images, with measured and estimated rate, quality and time.

    Below the table: the images whose PSNR was capped, see `evaluate.averages`.
    """
    first = ("model", "weights") if any(point.get("weights") for point in points) else ("model",)
    table = "means over the images\n" + format_table(points, (*first, "lmbda", "side_info", *MEASURED))
    return "\n".join([table, *capped_note(points)])


def capped_note(points: Iterable[Mapping]) -> list[str]:
    """A sentence that names the images whose PSNR was capped in the averages; nothing where there are none."""
    names = dict.fromkeys(name for point in points for name in (point.get("psnr_capped") or "").split("; ") if name)
    if not names:
        return []
    return [f"reproduced exactly or almost so, and counted with {PSNR_CAP:g} dB of PSNR: {listing(names)}"]


def write_table(rows: Sequence[Mapping], path: Path) -> None:
    """Write rows to a CSV file, whole or not at all: a column for every key, empty where a row lacks it or has None.

    Raises:
        NDICError: the file cannot be written.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, out.getvalue().encode())


def read_table(path: Path) -> list[dict]:
    """The rows of a CSV file from `write_table`: numbers and booleans as such, empty cells left out.

    Lines before the header that begin with # are comments.

    Raises:
        NDICError: the file cannot be read, or is no such table.
    """
    try:
        text = re.sub(r"\A(?:#.*\n)+", "", read_text(path))
        reader = csv.DictReader(io.StringIO(text, newline=""))
        header = reader.fieldnames or [""]
        if len(header) == 1 and (separator := re.search("[;\t]", header[0])):
            raise NDICError(f"{path} has columns separated by {separator[0]!r}: save it with commas")
        rows = list(reader)
    except csv.Error as error:
        raise NDICError(f"{path} is no CSV file in UTF-8 ({error}): give a table that write_table wrote") from error
    for number, row in enumerate(rows, 1):
        if None in row:
            raise NDICError(f"{path}: row {number} has more cells than the header: give a table that write_table wrote")
    return [{key: _value(cell) for key, cell in row.items() if cell} for row in rows]


def _value(cell: str) -> bool | float | int | str:
    if cell in ("True", "False"):
        return cell == "True"
    if "_" in cell:  # Python accepts underscores between digits; a name such as 1_000 stays a name
        return cell
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell

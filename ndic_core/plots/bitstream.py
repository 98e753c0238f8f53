"""A file's bytes, and what damage to them does: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import fields

_COLOURS = {  # Okabe–Ito, made pale enough to read black digits on
    "magic": "#BBBBBB",
    "version, flag, model": "#F3C677",
    "fingerprint": "#E3A9C8",
    "height": "#8FD0B6",
    "width": "#4FB892",
    "level": "#F0E442",
    "payload": "#E4F1FA",
    "checksum": "#EE9D6B",
}
_LINE = 0.19  # inches


def file_bytes(stream: bytes, columns: int = 32, lines: int = 18) -> Figure:
    """Every byte of a file in hexadecimal, coloured by its field, and below what each field says.

    Args:
        stream: a whole `.ndic` file.
        columns: bytes in a line, 1 or more.
        lines: of a file that has more, only the first and the last ones are shown, so many in all.

    Raises:
        NDICError: the bytes are no such file (see `bitstream.unpack`), or fewer than 3 lines or no column is asked for.

    Example:
        >>> from ndic_core.models.coding.container import Header, pack
        >>> figure = file_bytes(pack(Header("bls17", bytes(3), 128, 256), b"payload"))
        >>> [text.get_text() for text in figure.axes[0].texts][:3]
        ['4e', '44', '20']
    """
    if lines < 3:
        raise NDICError(f"a file is shown in 3 lines or more, not {lines}")
    if columns < 1:
        raise NDICError(f"a line shows 1 byte or more, not {columns}: ask for more columns")
    parts = fields(stream)
    payload = next(part for part in parts if part.name == "payload")
    colours = [_COLOURS[part.name] for part in parts for _ in part.content]
    rows = -(-len(stream) // columns)
    last = min(2, lines - 2)
    first = lines - 1 - last
    shown = list(range(rows)) if rows <= lines else [*range(first), None, *range(rows - last, rows)]
    height = _LINE * (len(shown) + len(parts) + 1.6)
    figure = Figure(figsize=(9.0, height), dpi=100, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-2.6, columns + 0.4), ylim=(len(shown) + len(parts) + 1.3, -0.3))
    axis.set_axis_off()
    look = dict(fontsize=7.5, va="center", family="monospace")
    for line, row in enumerate(shown):
        if row is None:
            start, end = columns * first, columns * (rows - last)
            whose = " of payload" if start >= payload.start and end <= payload.start + len(payload.content) else ""
            axis.text(columns / 2, line + 0.5, f"... {end - start} bytes{whose} ...", ha="center", **look)
            continue
        for column, byte in enumerate(stream[row * columns : (row + 1) * columns]):
            axis.add_patch(Rectangle((column, line), 1, 1, color=colours[row * columns + column], linewidth=0))
            axis.text(column + 0.5, line + 0.5, f"{byte:02x}", ha="center", **look)
        axis.text(-0.3, line + 0.5, f"{row * columns}", ha="right", color="#777777", **look)
    for line, part in enumerate(parts, len(shown) + 1):
        axis.add_patch(Rectangle((0, line + 0.1), 1, 0.8, color=_COLOURS[part.name], linewidth=0))
        count = len(part.content)
        axis.text(1.5, line + 0.5, part.name, fontsize=9, va="center")
        axis.text(11.2, line + 0.5, f"{count} byte{'s' * (count > 1)}", fontsize=9, va="center", ha="right")
        axis.text(12.2, line + 0.5, part.meaning, fontsize=9, va="center")
    return figure


def damage_by_place(rows: Sequence[Mapping], psnr: float) -> Figure:
    """What a flipped bit of the payload does, over where it lies.

    Args:
        rows: mappings with `byte` (of the payload, from 0), `wrong` (share of the latents that come out otherwise, in
            [0, 1]; None where the decoder refused) and `psnr` (dB of the decoded picture; None where it was refused or
            not decoded).
        psnr: of the picture from the whole file, in dB.

    Returns:
        A figure of two panels over the place. Refused files stand as crosses on the lower edge.

    Raises:
        NDICError: no row.

    Example:
        >>> figure = damage_by_place([dict(byte=0, wrong=0.9, psnr=10.0), dict(byte=400, wrong=None, psnr=None)], 23.0)
        >>> [axis.get_ylabel() for axis in figure.axes]
        ['latents that are wrong (%)', 'PSNR of the picture (dB)']
    """
    if not rows:
        raise NDICError("there is no damage to show")
    figure = Figure(figsize=(9.0, 3.2), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    read = [row for row in rows if row["wrong"] is not None]
    refused = [row["byte"] for row in rows if row["wrong"] is None]
    left.plot([r["byte"] for r in read], [100 * r["wrong"] for r in read], ".", color="#0072B2", markersize=4)
    left.set_ylabel("latents that are wrong (%)")
    seen = [row for row in read if row["psnr"] is not None]
    right.plot([r["byte"] for r in seen], [r["psnr"] for r in seen], "o", color="#D55E00", markersize=4)
    right.axhline(psnr, color="#555555", linestyle=":", linewidth=1.2)
    right.text(0, psnr, "the whole file", fontsize=8, va="bottom", color="#555555")
    right.set_ylabel("PSNR of the picture (dB)")
    for axis in (left, right):
        low, high = axis.get_ylim()
        axis.set_ylim(low if axis is right else min(low, 0), high + 0.06 * (high - low))
        level = [axis.get_ylim()[0]] * len(refused)
        axis.plot(refused, level, "x", color="black", markersize=5, clip_on=False, label="refused in a sentence")
        axis.set_xlabel("byte of the payload in which a bit is flipped")
    if refused:
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", fontsize=8, frameon=False)
    return figure

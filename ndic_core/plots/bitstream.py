"""Figures of files: the fields of an `.ndic` file, the path of an image through it, and images of any size."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from ndic_core.errors import some
from ndic_core.models.coding.container import Field, Header, fields, pack
from ndic_core.models.coding.tiling import Tiling
from ndic_core.plots import style

_FIELDS = {  # Okabe–Ito, pale enough for black digits
    "magic": "#BBBBBB",
    "version, flag, model": "#F3C677",
    "fingerprint": "#E3A9C8",
    "height": "#8FD0B6",
    "width": "#4FB892",
    "level": "#F0E442",
    "payload": "#D3E8F6",
    "checksum": "#EE9D6B",
}
_SHOWN = 6  # bytes of a longer field
_EXACT, _FLOAT = style.VERMILION, style.BLUE
_SENDER = (("analysis", "round"), ("symbols", "rANS writes"), ("container", "header, CRC-32"))
_RECEIVER = (("container", "checks"), ("symbols", "rANS reads"), ("synthesis", "with y"))


def file_fields(stream: bytes) -> Figure:
    """All fields of a file: their share of it, their first bytes in hexadecimal, and their meaning.

    Args:
        stream: a whole `.ndic` file.

    Raises:
        NDICError: the bytes are not an `.ndic` file (see `models.coding.container.unpack`).
    """
    parts = fields(stream)
    rows, line = len(parts), 0.31  # inches
    height = line * (rows + 2.5)
    figure = Figure(figsize=(8.6, height), dpi=100, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 8.6), ylim=(height / line, 0))
    axis.set_axis_off()
    axis.text(0.1, 0.45, f"the whole file, {len(stream):,} bytes, to scale", fontsize=10, va="center")
    axis.text(0.42, 1.95, "byte", fontsize=8, ha="right", va="center", color=style.DARK_GREY)
    axis.text(4.5, 1.95, "bytes", fontsize=8, ha="right", va="center", color=style.DARK_GREY)
    for part in parts:
        left, width = (8.4 * n / len(stream) for n in (part.start, len(part.content)))
        axis.add_patch(Rectangle((0.1 + left, 0.8), width, 0.75, color=_FIELDS[part.name], linewidth=0))
    for row, part in enumerate(parts):
        _field(axis, 2.25 + row, part)
    return figure


def _field(axis: Axes, top: float, part: Field) -> None:
    """One line: offset, bytes, name, number of bytes and meaning."""
    middle, count = top + 0.5, len(part.content)
    axis.text(0.42, middle, f"{part.start}", fontsize=9, ha="right", va="center", color=style.DARK_GREY)
    for column, byte in enumerate(part.content[:_SHOWN]):
        left = 0.55 + 0.3 * column
        axis.add_patch(Rectangle((left, top + 0.08), 0.28, 0.84, color=_FIELDS[part.name], linewidth=0))
        axis.text(left + 0.14, middle, f"{byte:02x}", fontsize=9.5, family="monospace", ha="center", va="center")
    if count > _SHOWN:
        axis.text(0.55 + 0.3 * _SHOWN + 0.02, middle, "…", fontsize=11, va="center")
    axis.text(2.58, middle, part.name, fontsize=9.5, va="center", weight="bold")
    axis.text(4.5, middle, f"{count:,}", fontsize=9.5, va="center", ha="right")
    axis.text(4.62, middle, part.meaning, fontsize=9.5, va="center")


def exact_parts() -> Figure:
    """The path from x to the reconstruction: which steps compute with integers, and which with floating point."""
    figure = Figure(figsize=(8.4, 2.95), dpi=100, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 8.4), ylim=(0, 2.95))
    axis.set_axis_off()
    for name, boxes, left, end, colours in (
        ("SENDER", _SENDER, 0.1, "x", (_FLOAT, _EXACT, _EXACT)),
        ("RECEIVER", _RECEIVER, 4.75, "x̂", (_EXACT, _EXACT, _FLOAT)),
    ):
        axis.add_patch(Rectangle((left, 0.75), 3.55, 1.47, facecolor="#F4F4F4", edgecolor=style.GREY, linewidth=0.8))
        where = dict(ha="left") if end == "x̂" else dict(ha="right")
        corner = left + (0.08 if end == "x̂" else 3.47)
        axis.text(corner, 2.05, name, fontsize=9, weight="bold", color=style.DARK_GREY, va="center", **where)
        for i, ((title, words), colour) in enumerate(zip(boxes, colours, strict=True)):
            _step(axis, left + 0.1 + 1.15 * i, 1.02, title, words, colour)
            if i:
                _arrow(axis, (left - 0.02 + 1.15 * i, 1.4), (left + 0.1 + 1.15 * i, 1.4))
        side = left + 0.62 if end == "x" else left + 2.93
        ends = ((side, 2.55), (side, 1.78)) if end == "x" else ((side, 1.78), (side, 2.55))
        _arrow(axis, *ends)
        axis.text(side, 2.6, end, fontsize=12, ha="center")
        table = left + 1.77
        axis.text(table, 2.62, "tables of 16-bit integers", fontsize=9, ha="center", color=_EXACT)
        _arrow(axis, (table, 2.55), (table, 1.78), _EXACT)
    _arrow(axis, (3.65, 1.4), (4.85, 1.4), style.BLACK, 2.4)
    axis.text(4.2, 1.55, "file", fontsize=11, weight="bold", ha="center")
    axis.text(7.68, 0.42, "y", fontsize=12, ha="center", va="center")
    _arrow(axis, (7.68, 0.55), (7.68, 1.02))
    for left, words, colour in (
        (0.42, "floating point: last digits may differ between machines", _FLOAT),
        (0.42, "integers: must be equal bit for bit on both machines", _EXACT),
    ):
        middle = 0.47 if colour == _FLOAT else 0.2
        axis.add_patch(Rectangle((left - 0.3, middle - 0.1), 0.22, 0.2, facecolor=colour + "26", edgecolor=colour))
        axis.text(left, middle, words, fontsize=9.5, va="center")
    return figure


def _step(axis: Axes, left: float, bottom: float, title: str, words: str, colour: str) -> None:
    look = dict(boxstyle="round,pad=0,rounding_size=0.07", facecolor=colour + "26", edgecolor=colour, linewidth=1.3)
    axis.add_patch(FancyBboxPatch((left, bottom), 1.03, 0.76, **look))
    axis.text(left + 0.515, bottom + 0.5, title, fontsize=10, weight="bold", ha="center", va="center")
    axis.text(left + 0.515, bottom + 0.24, words, fontsize=8.5, ha="center", va="center")


def _arrow(axis: Axes, start: tuple, end: tuple, colour: str = style.BLACK, width: float = 1.3) -> None:
    look = dict(arrowstyle="-|>", color=colour, lw=width, mutation_scale=11, shrinkA=0, shrinkB=0)
    axis.annotate("", end, start, arrowprops=look)


def size_layouts(cases: Sequence[tuple[str, Tiling, int]]) -> Figure:
    """How images of several sizes are padded or tiled, each to its own scale, with the size fields of the header.

    Args:
        cases: the model, the layout from `padded_layout`, and the bytes of memory that decoding takes.

    Raises:
        NDICError: there is no case.
    """
    cases = some(cases, "case")
    figure, axes = style.subplots((8.4, 2.55), 1, len(cases), dpi=100, squeeze=False)
    for axis, (model, tiling, memory) in zip(axes[0], cases, strict=True):
        padded = tiling.rows * tiling.tile[0], tiling.columns * tiling.tile[1]
        axis.add_patch(Rectangle((0, 0), padded[1], padded[0], facecolor="white", edgecolor=style.GREY, hatch="////"))
        axis.add_patch(Rectangle((0, 0), tiling.width, tiling.height, color="#BFDCEE", linewidth=0))
        for row in range(tiling.rows):
            for column in range(tiling.columns):
                place = (column * tiling.tile[1], row * tiling.tile[0])
                look = dict(fill=False, edgecolor=style.curve_style(model)["color"], linewidth=1.6)
                axis.add_patch(Rectangle(place, tiling.tile[1], tiling.tile[0], **look))
        axis.set(xlim=(-0.02 * padded[1], 1.02 * padded[1]), ylim=(1.02 * padded[0], -0.02 * padded[0]), aspect="equal")
        axis.set_anchor("N")
        axis.set_axis_off()
        style.label(axis, f"{model}\n{tiling.height} × {tiling.width} pixels")
        tiles = tiling.rows * tiling.columns
        share = padded[0] * padded[1] / (tiling.height * tiling.width)
        lines = [f"{tiles} tile{'s' * (tiles > 1)} of {tiling.tile[0]} × {tiling.tile[1]}"]
        lines += [f"{share:.2f} times the pixels", f"{memory / 1e6:,.0f} MB to decode"]
        size = fields(pack(Header(model, bytes(3), tiling.height, tiling.width), b""))[3:5]
        lines.append("header: " + " | ".join(part.content.hex(" ") for part in size))
        axis.text(0.5, -0.06, "\n".join(lines), transform=axis.transAxes, fontsize=9.5, ha="center", va="top")
    return figure

"""Bit maps of images, and the contents of a bitstream."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.errors import some, whole_number
from ndic_core.models.coding.container import fields
from ndic_core.plots import style

_FIELDS = {  # Okabe–Ito, made pale enough to read black digits on
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
_CODES = ("one code", "hyperprior")


def bit_savings(
    image: Tensor, before: Tensor, after: Tensor, titles: tuple[str, str] = _CODES, name: str = ""
) -> Figure:
    """Where two codes spend the bits of one image, and where the second one saves bits.

    Args:
        image: (3, H, W) in [0, 1].
        before, after: (H, W) in bits per pixel, from `evaluation.bit_maps.over_image`, with one colour scale.
        titles: of both; the map's sum in bits is added.
        name: title of the figure.

    Raises:
        NDICError: a map has another size than the image.
    """
    image = style.image(image)
    before, after = style.maps(image, before=before, after=after)
    tall = 8.0 * image.shape[-2] / image.shape[-1]
    figure, axes = style.subplots((8.0, tall + 0.9), 2, 2, dpi=100)
    figure.suptitle(name, fontsize=11)
    style.show_image(axes[0, 0], image, "x, the image", 11)
    _maps_and_savings([axes[0, 1], axes[1, 0], axes[1, 1]], image, before, after, titles)
    return figure


def bit_savings_by_rate(
    image: Tensor, rows: Sequence[tuple[str, Tensor, Tensor]], titles: tuple[str, str] = _CODES
) -> Figure:
    """`bit_savings` at several rates: a row for each, with colour scales of its own.

    Args:
        image: (3, H, W) in [0, 1].
        rows: name of the rate and both maps (H, W) in bits per pixel.
        titles: of the maps.

    Raises:
        NDICError: there is no row, or a map has another size than the image.
    """
    image, rows = style.image(image), some(rows)
    tall = len(rows) * (2.25 * image.shape[-2] / image.shape[-1] + 0.45)
    figure, axes = style.subplots((8.0, tall), len(rows), 3, dpi=100, squeeze=False)
    for line, (name, *maps) in zip(axes, rows, strict=True):
        _maps_and_savings(line, image, *style.maps(image, before=maps[0], after=maps[1]), titles, 10, adjacent=True)
        line[0].set_ylabel(name, fontsize=10)
    return figure


def _maps_and_savings(
    axes: Sequence[Axes],
    image: Tensor,
    before: Tensor,
    after: Tensor,
    titles: tuple[str, str],
    size: float = 11,
    adjacent: bool = False,
) -> None:
    """Two bit maps over a grey image, and their difference, with bars of the colours.

    The first two have one colour scale, hence one bar where they are adjacent.
    """
    top = max(before.max().item(), after.max().item(), 1e-9)
    saved = before - after
    widest = max(saved.abs().max().item(), 1e-9)
    total = f"{saved.sum().item():+,.0f}".replace("-", "−")
    panels = (
        (before, f"{titles[0]}: {before.sum().item():,.0f} bits", dict(cmap="inferno", vmin=0, vmax=top)),
        (after, f"{titles[1]}: {after.sum().item():,.0f} bits", dict(cmap="inferno", vmin=0, vmax=top)),
        (saved, f"saved: {total} bits", dict(cmap="RdBu", vmin=-widest, vmax=widest)),
    )
    grey = style.pixels(image).mean(-1)
    for axis, (values, title, look) in zip(axes, panels, strict=True):
        axis.imshow(grey, cmap="gray", vmin=-0.6, vmax=1, interpolation="none")  # pale, so that colours stay true
        # not opaque, so that the image below can be recognised
        shown = style.show_map(axis, values, title, size, frame=True, alpha=0.8, **look)
        axis.spines[:].set_visible(False)
        if adjacent and axis is axes[0]:
            continue
        beside = list(axes[:2]) if adjacent and axis is axes[1] else axis
        bar = axis.figure.colorbar(shown, ax=beside, fraction=0.05, aspect=12, pad=0.01)
        bar.ax.tick_params(labelsize=size - 1)


def file_bytes(stream: bytes, columns: int = 32, lines: int = 18) -> Figure:
    """Hexadecimal dump of a file, coloured by field, and the meaning of each field.

    Args:
        stream: a whole `.ndic` file.
        columns: bytes per line, 1 or more.
        lines: 3 or more; a longer file is shown by its first and last lines, so many in total.

    Raises:
        NDICError: the bytes are not an `.ndic` file (see `models.coding.container.unpack`), or columns or lines are out
            of range.
    """
    columns, lines = whole_number(columns, "columns"), whole_number(lines, "lines", 3)
    parts = fields(stream)
    payload = next(part for part in parts if part.name == "payload")
    colours = [_FIELDS[part.name] for part in parts for _ in part.content]
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
        axis.add_patch(Rectangle((0, line + 0.1), 1, 0.8, color=_FIELDS[part.name], linewidth=0))
        count = len(part.content)
        axis.text(1.5, line + 0.5, part.name, fontsize=9, va="center")
        axis.text(11.2, line + 0.5, f"{count} byte{'s' * (count > 1)}", fontsize=9, va="center", ha="right")
        axis.text(12.2, line + 0.5, part.meaning, fontsize=9, va="center")
    return figure


def damage_by_place(rows: Sequence[Mapping], psnr: float) -> Figure:
    """Effect of a flipped bit of the payload, over its position.

    Args:
        rows: mappings with `byte` (of the payload, from 0), `wrong` (share of wrong latents, in [0, 1]; None where the
            decoder raised an error) and `psnr` (dB of the decoded image; None where it was not decoded).
        psnr: of the image from the undamaged file, in dB.

    Returns:
        A figure of two panels over the position. Rejected files are crosses on the lower edge.
    """
    figure, (left, right) = style.subplots((9.0, 3.2), columns=2, dpi=90)
    wrong = [(row["byte"], 100 * row["wrong"]) for row in some(rows) if row["wrong"] is not None]
    quality = [(row["byte"], row["psnr"]) for row in rows if row["psnr"] is not None]
    rejected = [row["byte"] for row in rows if row["wrong"] is None]
    left.plot([byte for byte, _ in wrong], [share for _, share in wrong], ".", color=style.BLUE, markersize=4)
    left.set_ylabel("wrong latents (%)")
    right.plot([byte for byte, _ in quality], [db for _, db in quality], "o", color=style.VERMILION, markersize=4)
    right.axhline(psnr, color="#555555", linestyle=":", linewidth=1.2)
    right.text(0, psnr, "the whole file", fontsize=8, va="bottom", color="#555555")
    right.set_ylabel("PSNR of the image (dB)")
    for axis in (left, right):
        low, high = axis.get_ylim()
        axis.set_ylim(low if axis is right else min(low, 0), high + 0.06 * (high - low))
        edge = [axis.get_ylim()[0]] * len(rejected)
        axis.plot(rejected, edge, "x", color=style.BLACK, markersize=5, clip_on=False, label="rejected by the decoder")
        axis.set_xlabel("byte of the payload with a flipped bit")
    if rejected:
        figure.legend(*right.get_legend_handles_labels(), loc="outside upper center", fontsize=8, frameon=False)
    return figure

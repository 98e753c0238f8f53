"""Bit maps, hyperprior scales, and the contents of a bitstream."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.errors import NDICError, some, whole_number
from ndic_core.models.coding.container import fields
from ndic_core.plots import style

_FILE_PARTS = {  # from the bottom of a bar to its top
    "z": (style.VERMILION, "z, the scales (estimated)"),
    "x": (style.SKY, "the latent (estimated)"),
    "rest": (style.GREY, "header, checksum, coder state (measured − estimated)"),
}
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


def bits_over_image(image: Tensor, maps: Mapping[str, Tensor], largest: Mapping[str, float] | None = None) -> Figure:
    """Bit maps over a grey version of their image.

    Args:
        image: (3, H, W) in [0, 1]; it is shown first.
        maps: by their titles, (H, W) each in bits per pixel, from `evaluation.bit_maps.over_image`. The map's sum, in
            bits, is added to the title.
        largest: upper end of a map's colour scale in bits per pixel, by title; its maximum where none is given.

    Raises:
        NDICError: a map has another size than the image.
    """
    image, maps = style.image(image), {title: style.values(bits) for title, bits in maps.items()}
    height, width = image.shape[-2:]
    figure, axes = style.image_grid(1 + len(maps), 2, 7.5, 3.3 * height / width + 0.4)
    style.show_image(axes[0], image, "the image", fontsize=9)
    grey = style.pixels(image).mean(-1)
    for axis, (title, bits) in zip(axes[1:], maps.items(), strict=False):
        if bits.shape != (height, width):
            raise NDICError(f"the map {title!r} is {tuple(bits.shape)}, its image {height} × {width}: use over_image")
        axis.imshow(grey, cmap="gray", vmin=-0.6, vmax=1, interpolation="none")  # pale, so that colours stay true
        top = (largest or {}).get(title) or max(bits.max().item(), 1e-9)
        words = f"{title}: {bits.sum().item():,.0f} bits"
        # not opaque, so that the image below can be recognised
        shown = style.show_map(axis, bits, words, fontsize=9, cmap="inferno", vmin=0, vmax=top, alpha=0.72)
        bar = figure.colorbar(shown, ax=axis, fraction=0.05, aspect=12, pad=0.02)
        bar.set_label("bits per pixel, estimated", fontsize=7)
        bar.ax.tick_params(labelsize=8)
    return figure


def scales_beside_latent(latent: Tensor, sigma: Tensor, name: str = "") -> Figure:
    """Magnitudes of a latent channel, the scales decoded from z, and their ratio (Ballé et al. 2018, figure 2).

    Args:
        latent: (h, w), one channel.
        sigma: (h, w), above 0.
        name: of the channel, for the first title.
    """
    latent, sigma = map(style.values, (latent, sigma))
    figure, axes = style.subplots((9.0, 2.0), columns=3)
    top = max(latent.abs().max().item(), sigma.max().item())
    panels = (
        (latent.abs(), f"|latent|{name and ', '}{name}", "viridis", top),
        (sigma, "sigma, decoded from z", "viridis", top),
        ((latent / sigma).abs(), "|latent| / sigma", "cividis", 3.0),
    )
    for axis, (values, title, cmap, largest) in zip(axes, panels, strict=True):
        shown = style.show_map(axis, values, title, fontsize=9, frame=True, cmap=cmap, vmin=0, vmax=largest)
        figure.colorbar(shown, ax=axis, fraction=0.05, aspect=12, pad=0.02).ax.tick_params(labelsize=8)
    return figure


def neighbour_correlations(maps: Mapping[str, Tensor]) -> Figure:
    """Correlation of magnitudes at neighbouring positions.

    Args:
        maps: by their titles, (2r + 1, 2r + 1) each: correlation coefficients by offset; the centre is (0, 0).
    """
    count = len(some(maps, "map"))
    figure, axes = style.subplots((9.0, 9.0 / count + 0.3), columns=count, squeeze=False)
    for axis, (title, values) in zip(axes[0], maps.items(), strict=True):
        values = style.values(values)
        reach = values.shape[0] // 2
        box = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
        axis.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=0.5, extent=box, interpolation="none")
        for i, row in enumerate(values.tolist()):
            for j, value in enumerate(row):
                look = dict(ha="center", va="center", fontsize=8, color="white" if value > 0.3 else "black")
                axis.text(j - reach, i - reach, style.number(value, ".2f"), **look)
        ticks = range(-reach, reach + 1)
        axis.set(xticks=ticks, yticks=ticks)
        style.label(axis, title, "columns to the right", "rows below", fontsize=9)
        axis.tick_params(labelsize=8)
    return figure


def file_parts(rows: Sequence[Mapping]) -> Figure:
    """Parts of the files of a hyperprior model over lambda: stacked bars of bits, and of shares of the file.

    Args:
        rows: by rising lambda: mappings with `lmbda`, and `z`, `x` and `file`, in bits: the first two estimated, the
            last measured.
    """
    figure, (absolute, relative) = style.subplots((9.0, 3.4), columns=2)
    positions = range(len(some(rows)))
    scales = ((absolute, [1] * len(rows)), (relative, [100 / row["file"] for row in rows]))
    for axis, factors in scales:
        bottom = [0.0] * len(rows)
        for part, (colour, name) in _FILE_PARTS.items():
            bits = [row["file"] - row["z"] - row["x"] if part == "rest" else row[part] for row in rows]
            heights = [factor * value for factor, value in zip(factors, bits, strict=True)]
            axis.bar(positions, heights, bottom=bottom, color=colour, label=name)
            bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
        axis.set_xticks(positions, [f"{row['lmbda']:.1e}" for row in rows], rotation=45, fontsize=8)
        axis.set_xlabel("lambda")
    absolute.set_ylabel("bits of a file")
    relative.set_ylabel("share of the file (%)")
    figure.legend(*absolute.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


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

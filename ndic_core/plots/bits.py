"""Bits over the picture, scales beside latents, and what a file is made of: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError

_PARTS = {  # Okabe–Ito; what a file is made of, from the bottom up
    "z": ("#D55E00", "z, the scales (estimated)"),
    "x": ("#56B4E9", "the latent (estimated)"),
    "rest": ("#999999", "header, checksum, coder's state (measured less estimated)"),
}
_OPAQUE = 0.72  # of a bit map, so that the picture below can be recognised


def bits_over_picture(
    picture: Tensor, maps: Mapping[str, Tensor], columns: int = 2, largest: Mapping[str, float] | None = None
) -> Figure:
    """Bit maps laid over their picture: dark where nothing is spent, bright where most is.

    Args:
        picture: (3, H, W) in [0, 1]; it is shown first, and in grey below every map.
        maps: by their titles, (H, W) each in bits per pixel, from `evaluation.bit_maps.over_image`. The title is
            completed by the map's sum, in bits.
        columns: of the grid.
        largest: bits per pixel where a map's colours end, by title; its own maximum where none is given.

    Returns:
        A figure without interpolation; every map has a colour bar.

    Raises:
        NDICError: a map has another size than the picture.

    Example:
        >>> import torch
        >>> figure = bits_over_picture(torch.rand(3, 32, 64), {"latent": torch.full((32, 64), 0.25)})
        >>> figure.axes[1].get_title()
        'latent: 512 bits'
    """
    height, width = picture.shape[-2:]
    for title, bits in maps.items():
        if bits.shape != (height, width):
            raise NDICError(f"the map {title!r} is {tuple(bits.shape)}, its picture {height} × {width}: use over_image")
    rows = -(-(1 + len(maps)) // columns)
    cell = 7.5 / columns
    figure = Figure(figsize=(7.5, rows * (0.88 * cell * height / width + 0.4)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    colours = picture.permute(1, 2, 0).cpu().clamp(0, 1).numpy()
    axes[0].imshow(colours, interpolation="none")
    axes[0].set_title("the picture", fontsize=9)
    for axis, (title, bits) in zip(axes[1:], maps.items(), strict=False):
        axis.imshow(
            colours.mean(-1), cmap="gray", vmin=-0.6, vmax=1, interpolation="none"
        )  # pale, so that maps stay true
        top = (largest or {}).get(title) or max(bits.max().item(), 1e-9)
        shown = axis.imshow(bits.cpu().numpy(), cmap="inferno", vmin=0, vmax=top, alpha=_OPAQUE, interpolation="none")
        axis.set_title(f"{title}: {bits.sum().item():,.0f} bits", fontsize=9)
        bar = figure.colorbar(shown, ax=axis, fraction=0.05, aspect=12, pad=0.02)
        bar.set_label("bits per pixel, estimated", fontsize=7)
        bar.ax.tick_params(labelsize=8)
    return figure


def scales_beside_latent(latent: Tensor, sigma: Tensor, name: str = "") -> Figure:
    """A channel's magnitudes, the scales that z tells for it, and what is left when one is divided by the other.

    The three panels of Ballé et al. 2018, figure 2.

    Args:
        latent: (h, w), one channel.
        sigma: (h, w), above 0.
        name: of the channel, for the first title.

    Returns:
        A figure of three maps without interpolation. The first two share one scale of colours, the third ends at 3.
    """
    figure = Figure(figsize=(9.0, 2.0), layout="constrained")
    axes = figure.subplots(1, 3)
    magnitude, ratio = latent.detach().cpu().abs(), (latent / sigma).detach().cpu().abs()
    top = max(magnitude.max().item(), sigma.max().item())
    panels = [
        (magnitude, f"|latent|{name and ', '}{name}", "viridis", top),
        (sigma.detach().cpu(), "sigma, told by z", "viridis", top),
        (ratio, "|latent| / sigma", "cividis", 3.0),
    ]
    for axis, (values, title, colours, largest) in zip(axes, panels, strict=True):
        shown = axis.imshow(values.numpy(), cmap=colours, vmin=0, vmax=largest, interpolation="none")
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        bar = figure.colorbar(shown, ax=axis, fraction=0.05, aspect=12, pad=0.02)
        bar.ax.tick_params(labelsize=8)
    return figure


def neighbour_correlations(maps: Mapping[str, Tensor]) -> Figure:
    """How much alike magnitudes are at neighbouring places.

    Args:
        maps: by their titles, (2r + 1, 2r + 1) each: correlation coefficients over the offset, whose middle is (0, 0).

    Returns:
        A figure with a map each, its numbers written in.
    """
    figure = Figure(figsize=(9.0, 9.0 / len(maps) + 0.3), layout="constrained")
    for axis, (title, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        reach = values.shape[0] // 2
        edge = reach + 0.5
        axis.imshow(
            values.cpu().numpy(),
            cmap="Blues",
            vmin=0,
            vmax=0.5,
            extent=(-edge, edge, edge, -edge),
            interpolation="none",
        )
        for i, row in enumerate(values.tolist()):
            for j, value in enumerate(row):
                colour = "white" if value > 0.3 else "black"
                axis.text(j - reach, i - reach, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        ticks = range(-reach, reach + 1)
        axis.set_xticks(ticks)
        axis.set_yticks(ticks)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("columns to the right", fontsize=9)
        axis.set_ylabel("rows below", fontsize=9)
        axis.tick_params(labelsize=8)
    return figure


def file_parts(rows: Sequence[Mapping]) -> Figure:
    """What the files of a hyperprior model are made of, over lambda.

    Args:
        rows: by rising lambda: mappings with `lmbda`, and `z`, `x` and `file`, in bits: the first two estimated, the
            last measured.

    Returns:
        A figure: bits as stacked bars on the left, shares of the file on the right.

    Example:
        >>> figure = file_parts([dict(lmbda=1e-5, z=100, x=2700, file=3000), dict(lmbda=1e-4, z=99, x=7700, file=8000)])
        >>> [axis.get_ylabel() for axis in figure.axes]
        ['bits of a file', 'share of the file (%)']
    """
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    places = range(len(rows))
    for axis, label in zip(axes, ("bits of a file", "share of the file (%)"), strict=True):
        bottom = [0.0] * len(rows)
        for part, (colour, name) in _PARTS.items():
            bits = [row["file"] - row["z"] - row["x"] if part == "rest" else row[part] for row in rows]
            if "share" in label:
                bits = [100 * value / row["file"] for value, row in zip(bits, rows, strict=True)]
            axis.bar(places, bits, bottom=bottom, color=colour, label=name)
            bottom = [a + b for a, b in zip(bottom, bits, strict=True)]
        axis.set_xticks(places, [f"{row['lmbda']:.1e}" for row in rows], rotation=45, fontsize=8)
        axis.set_xlabel("lambda")
        axis.set_ylabel(label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure

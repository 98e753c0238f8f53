"""Bit maps of images."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import some
from ndic_core.plots import style

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

"""What quality metrics react to: the factors of SSIM in one window, and damaged images with the loss at each scale."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, some
from ndic_core.metrics import quality
from ndic_core.plots import style

_LARGEST_ERROR = 64  # upper end of the error's colour scale, in 8-bit steps
FACTORS = {"l": style.ORANGE, "c": style.BLUE, "s": style.GREEN}


def window_factors(patches: Mapping[str, Tensor], factors: Mapping[str, Sequence[float]], row: int) -> Figure:
    """The three factors of SSIM in one window: what each of them reacts to.

    Args:
        patches: by title, grey patches (H, W) in [0, 1], all of one size; the first is the original.
        factors: by the titles of the others: l, c and s.
        row: of the patch whose values are drawn below it.

    Raises:
        NDICError: there is no patch, or factors are missing.
    """
    (first, original), *others = some(patches.items(), "patch")
    if missing := [title for title, _ in others if title not in factors]:
        raise NDICError(f"give l, c and s of {missing[0]!r}")
    figure, axes = style.subplots((9.0, 4.6), 3, len(patches), dpi=100, sharey="row", height_ratios=(5, 4, 4))
    for column, (title, patch) in zip(axes.T, patches.items(), strict=True):
        style.show_map(column[0], patch, title, 12, cmap="gray", vmin=0, vmax=1)
        column[1].plot(style.values(original)[row], color=style.GREY, linewidth=1.4)
        if title != first:
            column[1].plot(style.values(patch)[row], color=style.VERMILION, linewidth=1.8)
        column[1].set(xticks=[], ylim=(0, 1), yticks=[0, 0.5, 1])
    for column, (title, _) in zip(axes.T[1:], others, strict=True):
        values = style.values(factors[title]).tolist()
        bars = column[2].bar(list(FACTORS), values, color=list(FACTORS.values()), width=0.6)
        column[2].bar_label(bars, [style.number(value, ".2f") for value in values], fontsize=11, padding=1)
    axes[2, 1].set(ylim=(0, 1.25), yticks=[0, 1])
    axes[2, 0].set_axis_off()
    axes[2, 0].text(0.5, 0.5, "factors of SSIM", transform=axes[2, 0].transAxes, ha="center", va="center", fontsize=12)
    axes[1, 0].set_ylabel("one row")
    axes[2, 1].tick_params(labelleft=True)
    return figure


def damages(
    x: Tensor,
    versions: Mapping[str, Tensor],
    losses: Mapping[str, Sequence[float]],
    width: float = 9.6,
    top: float | None = None,
) -> Figure:
    """An image and damaged versions of it: images, errors, and what each scale contributes to the loss of MS-SSIM.

    Args:
        x: (3, H, W) in [0, 1].
        versions: by title (see `quality_title`), images of the same size.
        losses: by the same titles, a number for each scale, from the finest.
        width: of the figure in inches.
        top: upper end of the losses' axis; the largest loss where None.

    Returns:
        A figure with a column for x and one for each version.

    Raises:
        NDICError: there is no version, or an image has another size.
    """
    some(versions, "version")
    x, *images = style.images(x=x, **versions)
    if missing := [name for name in versions if name not in losses]:
        raise NDICError(f"give the losses of {missing[0]!r}, one for each scale")
    heights = {name: style.values(losses[name]).tolist() for name in versions}
    columns = 1 + len(images)
    tall = (width - 0.9) / columns * x.shape[1] / x.shape[2]
    figure, axes = style.subplots((width, 2 * tall + 2.3), 3, columns, dpi=100, height_ratios=(tall, tall, 1.15))
    style.show_image(axes[0, 0], x, "x", 11)
    bar = None
    for column, (name, image) in zip(axes.T[1:], zip(versions, images, strict=True), strict=True):
        style.show_image(column[0], image, name, 11)
        bar = style.show_error(column[1], x, image, _LARGEST_ERROR)
        column[1].set_title("")
        _scales(column[2], heights[name], top or 1.05 * max(map(max, heights.values())))
    for axis in axes[1:, 0]:
        axis.set_axis_off()
    scale = axes[1, 0].inset_axes((0.08, 0.42, 0.84, 0.12))
    figure.colorbar(bar, cax=scale, orientation="horizontal", extend="max", ticks=[0, 32, 64])
    scale.set_title("error, 8-bit steps", fontsize=10)
    words = "loss of MS-SSIM\nby scale, 1 = finest"
    axes[2, 0].text(0.5, 0.5, words, transform=axes[2, 0].transAxes, ha="center", va="center", fontsize=10)
    return figure


def _scales(axis: Axes, heights: Sequence[float], top: float) -> None:
    axis.bar(range(1, len(heights) + 1), heights, color=style.BLUE, width=0.7)
    axis.set(xticks=range(1, len(heights) + 1), ylim=(0, top), yticks=[])
    axis.spines["left"].set_visible(False)
    axis.tick_params(labelsize=10, length=0)


def quality_title(name: str, x: Tensor, x_hat: Tensor) -> str:
    """A title of two or three lines: a name, PSNR and, where the image is large enough, MS-SSIM."""
    found = quality(x, x_hat)
    lines = [name, f"PSNR {found['psnr']:.1f} dB"]
    if found["ms_ssim_db"] is not None:
        lines.append(f"MS-SSIM {found['ms_ssim_db']:.1f} dB")
    return "\n".join(lines)

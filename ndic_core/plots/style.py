"""Colours, markers, line styles and drawing helpers that all figures share."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from ndic_core.catalogue import CATALOGUE
from ndic_core.errors import NDICError

# Okabe–Ito: distinguishable with all common kinds of colour blindness.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, YELLOW = "#E69F00", "#56B4E9", "#000000", "#F0E442"
GREY, DARK_GREY = "#999999", "#666666"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # without yellow, which is hard to see on white

MODEL_STYLE = {name: (info.colour, info.marker) for name, info in CATALOGUE.items()}
PUBLISHED_STYLE = MODEL_STYLE | {"DSIN": (BLUE, "X")}

# Classical codecs are the background: greys without markers, distinguished by their dashes (points on, points off).
CODEC_STYLE = {
    "JPEG": ("#8A8A8A", (1, 1)),
    "JPEG 2000": ("#707070", (3, 1)),
    "WebP": ("#565656", (5, 1, 1, 1)),
    "AVIF": ("#3C3C3C", (7, 2)),
    "HEVC": ("#202020", (9, 2, 2, 2)),
}

# What the decoder receives: line style and label.
SIDE_INFO = {"matching_y": ("-", "matching y"), "mismatched_y": ("--", "mismatched y"), "no_y": (":", "no y")}
QUALITY = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM, $-10\\,\\log_{10}(1-v)$ (dB)"}

RC_PARAMS = {  # of the notebooks
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 80,  # figures are committed inside the notebooks and must stay small
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.interpolation": "none",
    "lines.linewidth": 1.8,
}


def curve_style(name: str) -> dict:
    """Keyword arguments of `Axes.plot` for a model or a classical codec.

    Raises:
        NDICError: the name has no style.
    """
    if name in MODEL_STYLE:
        colour, marker = MODEL_STYLE[name]
        return dict(color=colour, marker=marker, markersize=6)
    if name in CODEC_STYLE:
        colour, dashes = CODEC_STYLE[name]
        return dict(color=colour, linestyle=(0, dashes))
    raise NDICError(f"{name!r} has no style: choose from {', '.join([*MODEL_STYLE, *CODEC_STYLE])}")


def number(value: float, spec: str) -> str:
    """Like `format`, without the sign of a value that is rounded to zero: "0.0" instead of "-0.0"."""
    words = format(float(value), spec)
    return words if any(digit in words for digit in "123456789") else format(0.0, spec)


def pixels(image: Tensor) -> np.ndarray:
    """An image (3, H, W), clipped to [0, 1], as matplotlib expects it: (H, W, 3), on the CPU."""
    return image.detach().cpu().float().clamp(0, 1).permute(1, 2, 0).numpy()


def subplots(size: tuple[float, float], rows: int = 1, columns: int = 1, dpi: float | None = None, **options):
    """Like `matplotlib.pyplot.subplots`, with a figure that belongs to no window; `size` in inches."""
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def image_grid(count: int, columns: int, width: float, cell_height: float) -> tuple[Figure, list[Axes]]:
    """A figure with room for `count` images, without axes; width and height of a cell in inches."""
    rows = -(-count // columns)
    figure, axes = subplots((width, rows * cell_height), rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, list(axes.flat)


def show_image(axis: Axes, image: Tensor, title: str = "", fontsize: float = 10, colour: str = "black") -> None:
    """Draw an image (3, H, W) in [0, 1] without axes and without interpolation; size and colour are the title's."""
    axis.imshow(pixels(image), interpolation="none")
    axis.set_title(title, fontsize=fontsize, color=colour)
    axis.set_axis_off()


def show_map(
    axis: Axes, values: Tensor, title: str = "", fontsize: float = 10, frame: bool = False, **options
) -> AxesImage:
    """Draw a map (H, W) without ticks and without interpolation; NaN is left white. Options are those of `imshow`."""
    axis.set_title(title, fontsize=fontsize)
    axis.set(xticks=[], yticks=[])
    if not frame:
        axis.set_axis_off()
    return axis.imshow(values.detach().cpu().numpy(), interpolation="none", **options)


def show_error(axis: Axes, x: Tensor, x_hat: Tensor, limit: float, title: str = "") -> AxesImage:
    """Draw |x − x̂|, averaged over the channels, in 8-bit steps up to `limit`."""
    title = title or "error |x − x̂|, mean of the channels"
    return show_map(axis, 255 * (x - x_hat).abs().mean(0), title, cmap="magma", vmin=0, vmax=limit)


def label(
    axis: Axes, title: str = "", x: str = "", y: str = "", fontsize: float | None = None, grid: bool = False
) -> None:
    """Set the title (10 points) and the labels of both axes, and optionally draw a faint grid."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x, fontsize=fontsize)
    axis.set_ylabel(y, fontsize=fontsize)
    if grid:
        axis.grid(alpha=0.25)


def plot_running_mean(axis: Axes, values: Sequence[float], window: int, **look) -> None:
    """Draw the mean of `window` successive values over the centre of the window."""
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    axis.plot(np.arange(len(mean)) + (window - 1) / 2, mean, **look)


def legend_beside(axis: Axes, handlelength: float | None = None) -> None:
    """Draw the legend to the right of the axes."""
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False, handlelength=handlelength)

"""Colours, markers, line styles and drawing helpers that all figures share."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from ndic_core.catalogue import CATALOGUE
from ndic_core.errors import NDICError, brief, choice, some, whole_number
from ndic_core.evaluation.tables import PSNR_CAP

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

_COMPLEX = "complex ones: give the real part or the magnitude"
_NO_NUMBERS = {"U": "text", "S": "text", "c": _COMPLEX}  # by NumPy's kind
_LARGEST = 10.0  # unclipped reconstructions stay below it: beyond are values up to 255

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


def values(given, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers as figures draw them, floats on the CPU.

    All functions of figures convert their tensors with it (images with `image`), so that they accept tensors of any
    type, device and history, arrays, and lists of numbers or of tensors with one number each.

    Raises:
        NDICError: these are no numbers, or complex ones.
    """
    message = "a figure draws numbers (a tensor, an array or a list), not "
    if not isinstance(given, Tensor):
        if isinstance(given, (list, tuple)):
            given = [item.detach().cpu().double().numpy() if isinstance(item, Tensor) else item for item in given]
        try:
            if words := _NO_NUMBERS.get(np.asarray(given).dtype.kind):  # NumPy would convert them
                raise NDICError(message + words)
            given = torch.from_numpy(np.array(given, dtype=np.float64))  # a copy: from_numpy takes no mirrored views
        except (TypeError, ValueError) as error:
            raise NDICError(message + type(given).__name__) from error
    if given.is_complex():
        raise NDICError(message + _COMPLEX)
    return given.detach().cpu().to(dtype)


def image(given, name: str = "") -> Tensor:
    """The image (3, H, W) that figures draw: float32 on the CPU, not clipped.

    Args:
        given: a tensor or an array of floats, about in [0, 1].
        name: of the argument, for error messages.

    Raises:
        NDICError: it has another shape, whole numbers, values far beyond 1, or NaN.
    """
    name, kind = f"{name}: " if name else "", str(getattr(given, "dtype", "")).removeprefix("torch.")
    shape = tuple(getattr(given, "shape", ()))
    if len(shape) != 3 or shape[0] != 3 or 0 in shape:
        remedy = ""
        if len(shape) == 4:
            remedy = ": give one image of the batch, such as batch[0]"
        elif len(shape) == 3 and shape[2] == 3:
            remedy = ": give image.permute(2, 0, 1), of an array image.transpose(2, 0, 1)"
        elif len(shape) == 2 or shape[:1] == (1,):
            remedy = ": repeat a grey image three times"
        found = shape if hasattr(given, "shape") else type(given).__name__
        raise NDICError(f"{name}an image has shape (3, H, W), not {found}{remedy}")
    if "int" in kind or "bool" in kind:
        raise NDICError(f"{name}an image has floats in [0, 1], not {kind}: divide 8-bit values by 255")
    found = values(given)
    if found.isnan().any():
        raise NDICError(f"{name}this image has NaN in {int(found.isnan().sum())} of {found.numel()} values")
    if found.abs().max() > _LARGEST:
        raise NDICError(
            f"{name}an image has values in [0, 1]; this one has {found.max():g}: divide 8-bit values by 255"
        )
    return found


def images(**given) -> list[Tensor | None]:
    """Several images of one size by the names of the arguments, see `image`; None stays None.

    Raises:
        NDICError: see `image`; or two have different sizes.
    """
    found = {name: None if one is None else image(one, name) for name, one in given.items()}
    sizes = {name: " × ".join(map(str, one.shape[1:])) for name, one in found.items() if one is not None}
    if len(set(sizes.values())) > 1:
        raise NDICError(
            f"images of one size are needed, not {', '.join(f'{n} of {size}' for n, size in sizes.items())}"
        )
    return list(found.values())


def maps(image: Tensor, **given) -> list[Tensor | None]:
    """Maps (H, W) over one image, by the names of the arguments, see `values`; None stays None.

    Raises:
        NDICError: a map has another size than the image (3, H, W).
    """
    found = {name: None if one is None else values(one) for name, one in given.items()}
    size = tuple(image.shape[1:])
    for name, one in found.items():
        if one is not None and one.shape != size:
            raise NDICError(f"{name} must have the size of its image, {size}, not {tuple(one.shape)}")
    return list(found.values())


def inside(size: Sequence[int], row: int, column: int) -> tuple[int, int]:
    """Row and column of a pixel of an image of this height and width; raises `NDICError` if there is no such pixel."""
    height, width = size
    row, column = whole_number(row, "row", None), whole_number(column, "column", None)
    if not (0 <= row < height and 0 <= column < width):
        raise NDICError(f"({row}, {column}) is outside an image of {height} rows and {width} columns")
    return row, column


def pixels(given) -> np.ndarray:
    """An image, see `image`, clipped to [0, 1], as matplotlib expects it: (H, W, 3)."""
    return image(given).clamp(0, 1).permute(1, 2, 0).numpy()


def one_number(given, name: str) -> float:
    """A number as `values` accepts it.

    Raises:
        NDICError: it is None, a text, NaN, or several numbers.
    """
    text = isinstance(given, str)
    found = values([] if given is None or text else given, torch.float64)
    if found.numel() != 1 or found.isnan():
        raise NDICError(f"{name} is {brief(given)}: give one number" + ", such as read_table returns it" * text)
    return found.item()


def number_of(row: Mapping, key: str) -> float:
    """One number of a point, such as its `bpp`, which is above 0.

    Raises:
        NDICError: the row has none.
    """
    name = f"a row of {row['model']}" if "model" in row else "a row"
    if row.get(key) is None:
        reason = "; MS-SSIM needs sides above 96 pixels: use psnr" if key == "ms_ssim_db" else ": measure it first"
        raise NDICError(f"{name} has no {key}{reason}")
    found = one_number(row[key], f"{key} of {name}")
    if key == "bpp" and not 0 < found < math.inf:
        raise NDICError(f"bpp of {name} is {found:g}: a rate is above 0 and finite")
    return found


def quality(row: Mapping, metric: str) -> float:
    """The quality of a point, "psnr" or "ms_ssim_db"; a PSNR is capped, so that it can be drawn.

    Raises:
        NDICError: it has none, such as MS-SSIM below 97 pixels, or there is no such metric.
    """
    found = number_of(row, choice(metric, "metric", QUALITY))
    return min(found, PSNR_CAP) if metric == "psnr" else found


def number(value: float, spec: str) -> str:
    """Like `format`, without the sign of a value that is rounded to zero: "0.0" instead of "-0.0"."""
    words = format(float(value), spec)
    return words if any(digit in words for digit in "123456789") else format(0.0, spec)


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
    axis: Axes, map_: Tensor, title: str = "", fontsize: float = 10, frame: bool = False, **options
) -> AxesImage:
    """Draw a map (H, W) without ticks and without interpolation; NaN is left white. Options are those of `imshow`."""
    shown = values(map_)
    if shown.ndim != 2:
        raise NDICError(f"a map has shape (H, W), not {tuple(shown.shape)}")
    axis.set_title(title, fontsize=fontsize)
    axis.set(xticks=[], yticks=[])
    if not frame:
        axis.set_axis_off()
    return axis.imshow(shown.numpy(), interpolation="none", **options)


def show_error(axis: Axes, x: Tensor, x_hat: Tensor, limit: float, title: str = "") -> AxesImage:
    """Draw `|x − x̂|`, averaged over the channels, in 8-bit steps up to `limit`."""
    x, x_hat = images(x=x, x_hat=x_hat)
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
    """Draw the mean of `window` successive values over the centre of the window.

    Raises:
        NDICError: there are fewer values, or none.
    """
    window = whole_number(window, "window", 1, len(some(values, "step")))
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    axis.plot(np.arange(len(mean)) + (window - 1) / 2, mean, **look)


def legend_beside(axis: Axes, handlelength: float | None = None) -> None:
    """Draw the legend to the right of the axes."""
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False, handlelength=handlelength)

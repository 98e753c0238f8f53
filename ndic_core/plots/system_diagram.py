"""Diagram of distributed image compression with the images and the bytes of a real run."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle
from torch import Tensor

from ndic_core.plots import style

_INK = "#222222"
_DPI = 120
_WIDE = 256 / _DPI  # width of an image in inches: one of 256 pixels is shown pixel for pixel


def two_cameras(x: Tensor, y: Tensor, x_hat: Tensor, stream: bytes) -> Figure:
    """The encoder compresses x into a file without y; the decoder reconstructs x from the file and y.

    Args:
        x, y: images of the left and the right camera, (3, H, W) in [0, 1].
        x_hat: the reconstruction, likewise; clipped to [0, 1] first.
        stream: the file.

    Returns:
        A figure of 9 inches. Images 256 pixels wide are shown pixel for pixel, wider ones are reduced.
    """
    x, y, x_hat = style.images(x=x, y=y, x_hat=x_hat)
    tall = _WIDE * x.shape[1] / x.shape[2]
    height = 2 * tall + 2.0
    figure = Figure(figsize=(9.0, height), dpi=_DPI, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, 9), ylim=(0, height))
    axis.set_axis_off()

    low, high = 0.5, 1.2 + tall  # bottom of the two rows of images
    middle = high + tall / 2
    _box(axis, "SENDER", 0.08, high - 0.4, 3.2, tall + 1.1, style.BLUE)
    _box(axis, "RECEIVER", 5.2, 0.05, 3.72, height - 0.15, style.GREEN)

    _image(axis, x, 0.2, high, "x, the left camera's image")
    _image(axis, x_hat, 6.68, high, "x̂, the reconstruction")
    _image(axis, y, 6.68, low, "y, the right camera's image")
    _camera(axis, 0.36, high + tall + 0.17)
    _camera(axis, 6.84, low + tall + 0.17)

    _funnel(axis, 2.48, middle, 0.62, 0.30, 0.7, "encoder", style.BLUE)
    _funnel(axis, 5.35, middle, 0.30, 0.62, 1.13, "decoder", style.GREEN)
    _arrow(axis, [(0.2 + _WIDE, middle), (2.48, middle)])
    _arrow(axis, [(6.48, middle), (6.68, middle)])

    axis.add_patch(Rectangle((3.18, middle - 0.03), 2.17, 0.06, color=_INK))  # the channel
    raw = x.numel()
    centre = dict(ha="center", color=_INK)
    axis.text(4.24, middle + 0.36, f"{len(stream):,} bytes", fontsize=15, weight="bold", **centre)
    axis.text(4.24, middle + 0.14, f"instead of {raw:,}", fontsize=10.5, **centre)
    axis.text(4.24, middle - 0.25, f"{raw / len(stream):.0f} times smaller", fontsize=10.5, **centre)

    beside = low + tall / 2
    _arrow(axis, [(6.68, beside), (5.915, beside), (5.915, middle - 0.46)], style.GREEN, 2.4)
    axis.text(5.84, beside + 0.12, "side info", fontsize=9.5, color=style.GREEN, ha="right")
    _arrow(axis, [(5.8, beside), (2.83, beside), (2.83, middle - 0.56)], style.VERMILION, 1.6, dashed=True)
    axis.plot(4.0, beside, "s", markersize=24, color="white", zorder=4)  # gap of the line
    axis.plot(4.0, beside, "x", markersize=14, markeredgewidth=3.5, color=style.VERMILION, zorder=5)
    axis.text(4.0, beside - 0.42, "the encoder never sees y", fontsize=11, color=style.VERMILION, ha="center")
    return figure


def _box(axis: Axes, name: str, left: float, bottom: float, width: float, height: float, colour: str) -> None:
    look = dict(boxstyle="round,pad=0,rounding_size=0.12", facecolor=colour + "14", edgecolor=colour + "66")
    axis.add_patch(FancyBboxPatch((left, bottom), width, height, **look))
    axis.text(left + 0.12, bottom + height - 0.2, name, fontsize=9.5, weight="bold", color=colour, va="center")


def _image(axis: Axes, image: Tensor, left: float, bottom: float, title: str) -> None:
    tall = _WIDE * image.shape[1] / image.shape[2]
    box = (left, left + _WIDE, bottom, bottom + tall)
    axis.imshow(style.pixels(image), extent=box, interpolation="antialiased", zorder=2)
    axis.add_patch(Rectangle((left, bottom), _WIDE, tall, fill=False, edgecolor=_INK, linewidth=0.8, zorder=3))
    axis.text(left, bottom - 0.07, title, fontsize=10.5, color=_INK, va="top")
    axis.set(xlim=(0, 9), ylim=(0, axis.figure.get_figheight()))  # imshow moves the limits


def _camera(axis: Axes, x: float, y: float) -> None:
    """A video camera from the side, looking right."""
    axis.add_patch(Rectangle((x - 0.15, y - 0.09), 0.26, 0.18, color=style.DARK_GREY))
    axis.add_patch(Polygon([(x + 0.11, y), (x + 0.24, y + 0.09), (x + 0.24, y - 0.09)], color=style.DARK_GREY))
    axis.add_patch(Circle((x - 0.02, y), 0.05, color="white"))


def _funnel(axis: Axes, x: float, y: float, left: float, right: float, width: float, name: str, colour: str) -> None:
    """A network: half its height is `left` at the input and `right` at the output."""
    corners = [(x, y - left), (x, y + left), (x + width, y + right), (x + width, y - right)]
    axis.add_patch(Polygon(corners, facecolor=colour, edgecolor="none", zorder=2))
    axis.text(x + width / 2, y, name, fontsize=10, color="white", ha="center", va="center", zorder=4)


def _arrow(axis: Axes, corners: list, colour: str = _INK, width: float = 1.6, dashed: bool = False) -> None:
    """Along the corners; the head is at the last of them."""
    *start, end = corners
    axis.plot(*zip(*start, end, strict=True), color=colour, lw=width, ls=(0, (4, 3)) if dashed else "-", zorder=3)
    look = dict(arrowstyle="-|>", color=colour, lw=width, mutation_scale=14, shrinkA=0, shrinkB=0)
    axis.annotate("", end, start[-1], arrowprops=look | (dict(ls=(0, (4, 3))) if dashed else {}), zorder=3)

"""One file decoded with several side images: the test of what side information is worth."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from ndic_core.errors import NDICError, some
from ndic_core.plots import style

_WIDE, _SMALL = 2.3, 1.36  # inches: x and the reconstructions; the side images
_GAP = 0.42  # between rows, for the titles
_ENCODER, _FILE, _BUS, _Y, _DECODER, _OUT = 2.4, 3.3, 4.16, 4.32, 5.82, 6.64  # left ends


def decodings(x: Tensor, ys: Mapping[str, Tensor | None], rows: Mapping[str, Mapping]) -> Figure:
    """The encoder makes one file of x; it is decoded with each side image.

    Args:
        x: the image sent, (3, H, W) in [0, 1].
        ys: the side images by title; None where there is none.
        rows: by the same titles, what `evaluation.roundtrip.roundtrips` returned for each; all of one file.

    Raises:
        NDICError: there is no side image, a row is missing, or the rows are of several files.
    """
    some(ys, "side image")
    if missing := [title for title in ys if title not in rows]:
        raise NDICError(f"there is no decoding with {missing[0]!r}: give a row for each side image")
    if len(sizes := {rows[title]["bytes"] for title in ys}) > 1:
        raise NDICError(f"these are {len(sizes)} files of different sizes: decode one file with each side image")
    x = style.image(x)
    shape = x.shape[1] / x.shape[2]
    tall, step = _WIDE * shape, _WIDE * shape + _GAP
    height = len(ys) * step + 0.3
    figure = Figure(figsize=(9.0, height), dpi=92, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    middle = height - _GAP - tall / 2 - (len(ys) - 1) / 2 * step  # of the rows

    _image(axis, x, 0.04, middle - tall / 2, _WIDE - 0.2, "x")
    _box(axis, _ENCODER, middle, 0.74, "encoder", style.BLUE)
    _arrow(axis, _WIDE - 0.16, _ENCODER, middle)
    axis.plot([_ENCODER + 0.74, _BUS], [middle, middle], color=style.BLACK, linewidth=1.6)
    text = dict(ha="center", fontsize=11.5)
    axis.text((_FILE + _BUS) / 2 - 0.1, middle + 0.1, "one file", **text)
    axis.text((_FILE + _BUS) / 2 - 0.1, middle - 0.26, f"{sizes.pop():,} bytes", weight="bold", **text)

    centres = [height - _GAP - tall / 2 - i * step for i in range(len(ys))]
    axis.plot([_BUS, _BUS], [centres[-1] + 0.36, centres[0] + 0.36], color=style.BLACK, linewidth=1.6)
    for (title, y), centre in zip(ys.items(), centres, strict=True):
        _arrow(axis, _BUS, _DECODER, centre + 0.36)
        bottom = centre - tall / 2
        if y is None:
            axis.add_patch(Rectangle((_Y, bottom), _SMALL, _SMALL * shape, fill=False, linestyle=":", linewidth=1.4))
            axis.text(_Y + _SMALL / 2, bottom + _SMALL * shape / 2, "nothing", fontsize=10.5, ha="center", va="center")
        else:
            _image(axis, style.image(y), _Y, bottom, _SMALL)
        axis.text(_Y + _SMALL / 2, bottom - 0.05, title, fontsize=10.5, ha="center", va="top")
        _arrow(axis, _Y + _SMALL, _DECODER, bottom + _SMALL * shape / 2)
        _box(axis, _DECODER, centre, 0.7, "decoder", style.GREEN, tall)
        _arrow(axis, _DECODER + 0.7, _OUT, centre)
        _image(axis, style.image(rows[title]["x_hat"]), _OUT, bottom, _WIDE, _numbers(rows[title]))
    axis.set(xlim=(0, 9), ylim=(0, height))  # imshow moves the limits
    return figure


def _numbers(row: Mapping) -> str:
    similarity = "" if row["ms_ssim_db"] is None else f", MS-SSIM {row['ms_ssim_db']:.1f}"
    return f"PSNR {row['psnr']:.1f}{similarity} dB"


def _image(axis: Axes, image: Tensor, left: float, bottom: float, wide: float, title: str = "") -> None:
    tall = wide * image.shape[1] / image.shape[2]
    axis.imshow(style.pixels(image), extent=(left, left + wide, bottom, bottom + tall), interpolation="antialiased")
    axis.text(left + wide / 2, bottom + tall + 0.06, title, fontsize=10.5, ha="center")


def _box(axis: Axes, left: float, middle: float, wide: float, name: str, colour: str, tall: float = 0.5) -> None:
    look = dict(boxstyle="round,pad=0,rounding_size=0.06", facecolor=colour, edgecolor="none")
    axis.add_patch(FancyBboxPatch((left, middle - tall / 2), wide, tall, **look))
    axis.text(left + wide / 2, middle, name, fontsize=10.5, color="white", ha="center", va="center")


def _arrow(axis: Axes, start: float, end: float, height: float) -> None:
    look = dict(arrowstyle="-|>", lw=1.6, mutation_scale=13, shrinkA=0, shrinkB=0)
    axis.annotate("", (end, height), (start, height), arrowprops=look)

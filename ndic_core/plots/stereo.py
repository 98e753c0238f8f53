"""Stereo pairs: matching points, disparity maps, y aligned with x by warping, and the effect of camera parameters."""

from collections.abc import Mapping, Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from torch import Tensor

from ndic_core.data.disparity import warp
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError, some
from ndic_core.metrics import psnr
from ndic_core.plots import style

_WIDTH = 7.6  # of the figures, inches
_STRIP_WIDTH = 10.0  # of a strip: the full width of the text
_STRIP_FONT = 13  # points: a strip is shown at a little more than half its size on a narrow page
_LARGEST_ERROR = 51  # ends of the colour scale of x − y, in 8-bit levels
_ERROR_COLOURS = matplotlib.colormaps["RdBu_r"].resampled(17)  # few colours: small files


def matching_points(
    x: Tensor, y: Tensor, disparity: Tensor, hidden: Tensor, points: Sequence[tuple[int, int]]
) -> Figure:
    """Points of x and their matches in y: the same row, `disparity` columns further left; and the disparity map.

    Args:
        x, y: the left and the right view, (3, H, W) in [0, 1].
        disparity: (H, W), pixels.
        hidden: (H, W) bool, left white in the map.
        points: row and column of one or more points of x. The brightness is drawn along the row of the first.

    Raises:
        NDICError: the images and maps have different sizes, there is no point, or a point is outside the image.
    """
    x, y = style.images(x=x, y=y)
    shown, hidden = style.maps(x, disparity=disparity, hidden=hidden)
    points = [style.inside(x.shape[1:], *point) for point in some(points, "point")]
    figure = Figure(figsize=(_WIDTH, 4.2), layout="constrained")
    axes = figure.subplot_mosaic([["x", "disparity"], ["y", "profile"]])
    style.show_image(axes["x"], x, "x, the left view")
    style.show_image(axes["y"], y, "y, the right view")
    row = points[0][0]
    halo = [withStroke(linewidth=3.5, foreground="black")]
    look = dict(color=style.YELLOW, path_effects=halo)
    for number, (at, column) in enumerate(points, 1):
        moved = column - shown[at, column].item()
        axes["x"].plot(column, at, "o", markersize=5, **look)
        axes["y"].plot([column, moved], [at, at], linewidth=1.8, **look)
        axes["y"].plot(moved, at, "o", markersize=5, **look)
        for name, place in (("x", column), ("y", moved)):
            axes[name].text(place - 4, at - 5, str(number), fontsize=11, weight="bold", ha="right", **look)
    for name in "xy":
        axes[name].axhline(row, color="white", linewidth=0.9, linestyle=(0, (4, 4)))
    _colour_bar(figure, axes["disparity"], _show_disparity(axes["disparity"], shown, hidden, "disparity of x"))
    for image, name, colour in ((x, "x", style.BLUE), (y, "y", style.VERMILION)):
        axes["profile"].plot(255 * image[:, row].mean(0), color=colour, linewidth=1.3, label=name)
    style.label(axes["profile"], "brightness along the broken line", "column", "level, 0 to 255", 9, grid=True)
    axes["profile"].set(xlim=(0, x.shape[2] - 1), ylim=(0, 255))
    axes["profile"].tick_params(labelsize=9)
    axes["profile"].legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=1.2)
    return figure


def warping(pair: StreetPair) -> Figure:
    """A pair of the street, its true disparity, and the error of y that is warped by it.

    The colour scale of the error is the same in every call, so that figures can be compared as a slider moves.
    """
    x, y = style.images(x=pair.x, y=pair.y)
    disparity, hidden = style.maps(x, disparity=pair.disparity, hidden=pair.occluded)
    figure = Figure(figsize=(_WIDTH, 4.0), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["disparity", "error"]])
    style.show_image(axes["x"], x, "x, the left view")
    style.show_image(axes["y"], y, "y, the right view")
    share = hidden.float().mean()
    shown = _show_disparity(axes["disparity"], disparity, hidden, f"disparity; white: {share:.0%} occluded")
    _colour_bar(figure, axes["disparity"], shown)
    _colour_bar(figure, axes["error"], _show_error(axes["error"], x, warp(y, disparity), "x − warped y"), "levels")
    return figure


def alignment(x: Tensor, y: Tensor, disparity: Tensor, hidden: Tensor) -> Figure:
    """What remains of x after prediction from y as it is; y warped by the disparity; what remains after that.

    Args:
        x, y: (3, H, W) in [0, 1].
        disparity: (H, W), pixels.
        hidden: (H, W) bool, positions of x that y does not show, outlined in the second error.

    Raises:
        NDICError: images and maps have different sizes.
    """
    x, y = style.images(x=x, y=y)
    disparity, hidden = style.maps(x, disparity=disparity, hidden=hidden)
    warped = warp(y, disparity)
    figure, axes = style.subplots((_WIDTH, 1.75), columns=3)
    _show_error(axes[0], x, y, "x − y")
    style.show_image(axes[1], warped, "warped y")
    error = _show_error(axes[2], x, warped, "x − warped y")
    if hidden.any():
        axes[2].contour(hidden, levels=[0.5], colors=style.BLACK, linewidths=0.6)
    _colour_bar(figure, list(axes), error, "levels")
    return figure


def settings_strip(
    pairs: Mapping[str, StreetPair],
    disparity: bool = True,
    words: Sequence[str] = (),
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Figure:
    """One scene at several settings of the cameras: y, the true disparity, and what remains of x after warping y.

    Args:
        pairs: by the name of the setting, its title; one or more.
        disparity: also show the disparity maps, on one colour scale.
        words: title of each column's error; its PSNR where empty.
        window: rows and columns to show and to measure; the whole image by default.

    Raises:
        NDICError: there is no pair, or `words` has another length than `pairs`.
    """
    if not pairs or len(words) not in (0, len(pairs)):
        raise NDICError(f"give one pair or more, and no words or one for each, not {len(pairs)} and {len(words)}")
    views = list(pairs.values())
    height, width = views[0].disparity[window].shape
    part = (slice(None), *window)
    rows = 2 + disparity
    lines = max((word.count("\n") + 1 for word in words), default=1)  # of the titles of the errors
    tall = rows * (0.9 * _STRIP_WIDTH / len(views) * height / width + 0.34) + 0.2 * (lines - 1) + 0.1
    size = (_STRIP_WIDTH, tall)
    figure, axes = style.subplots(size, rows, len(views), squeeze=False)
    largest = max(_largest(pair.disparity, pair.occluded) for pair in views)
    for i, (name, pair) in enumerate(pairs.items()):
        style.show_image(axes[0, i], pair.y[part], name)
        if disparity:
            title = f"{pair.occluded[window].float().mean():.0%} occluded"
            shown = _show_disparity(axes[1, i], pair.disparity[window], pair.occluded[window], title, largest)
        x, warped = pair.x[part], warp(pair.y, pair.disparity)[part]
        error = _show_error(axes[-1, i], x, warped, words[i] if words else "error", with_psnr=not words)
    for axis in axes.flat:
        axis.title.set_size(_STRIP_FONT)
    for axis, name in zip(axes[:, 0], ("y", *["disparity"] * disparity, "error"), strict=True):
        place = dict(transform=axis.transAxes, rotation=90 * (len(name) > 1), va="center", ha="right")
        axis.text(-0.03, 0.5, name, fontsize=_STRIP_FONT, **place)
    if disparity:
        _colour_bar(figure, list(axes[1]), shown, fontsize=_STRIP_FONT)
    _colour_bar(figure, list(axes[-1]), error, "levels", fontsize=_STRIP_FONT)
    return figure


def disparity_maps(maps: Mapping[str, Tensor], hidden: Tensor | None = None) -> Figure:
    """Disparity maps side by side on one colour scale, which has the range of the first map.

    Args:
        maps: by title, (H, W) each, pixels; NaN is left white.
        hidden: (H, W) bool, left white in all of them; nothing where None.

    Raises:
        NDICError: there is no map, or the maps have different sizes.
    """
    if not maps:
        raise NDICError("there is no disparity map to show: give one or more by their titles")
    drawn = {name: style.values(map_) for name, map_ in maps.items()}
    hidden = torch.zeros_like(next(iter(drawn.values()))) if hidden is None else style.values(hidden)
    if len({tuple(map_.shape) for map_ in (*drawn.values(), hidden)}) > 1:
        raise NDICError(f"maps of one size are needed, not {[tuple(map_.shape) for map_ in drawn.values()]}")
    largest = _largest(next(iter(drawn.values())), hidden)
    figure, axes = style.subplots((_WIDTH, 2.1), columns=len(drawn), squeeze=False)
    for axis, (name, map_) in zip(axes[0], drawn.items(), strict=True):
        shown = _show_disparity(axis, map_, hidden, name, largest)
    _colour_bar(figure, list(axes[0]), shown, extend="max")
    return figure


def _show_disparity(
    axis: Axes, disparity: Tensor, hidden: Tensor | None, title: str, largest: float | None = None
) -> AxesImage:
    """Draw a disparity map over the range of the map, or from 0 to `largest`; white where hidden."""
    shown = disparity if hidden is None else disparity.masked_fill(hidden.bool(), torch.nan)
    least = min(0.0, shown.nan_to_num().min().item())
    largest = _largest(shown) if largest is None else largest
    return style.show_map(axis, shown, title, frame=True, cmap="viridis", vmin=least, vmax=max(largest, least + 1))


def _largest(disparity: Tensor, hidden: Tensor | None = None) -> float:
    shown = disparity if hidden is None else disparity.masked_fill(hidden.bool(), torch.nan)
    return shown.nan_to_num().max().item()


def _show_error(axis: Axes, x: Tensor, image: Tensor, title: str, with_psnr: bool = True) -> AxesImage:
    """Draw x − image, averaged over the channels, in 8-bit levels, with the PSNR in the title."""
    title += f": {psnr(x[None], image[None]).item():.1f} dB" if with_psnr else ""
    look = dict(cmap=_ERROR_COLOURS, vmin=-_LARGEST_ERROR, vmax=_LARGEST_ERROR)
    return style.show_map(axis, 255 * (x - image).mean(0), title, frame=True, **look)


def _colour_bar(
    figure: Figure,
    axes: Axes | Sequence[Axes],
    shown: AxesImage,
    unit: str = "pixels",
    extend: str = "neither",
    fontsize: float = 9,
) -> None:
    bar = figure.colorbar(shown, ax=axes, shrink=0.9, extend="both" if unit == "levels" else extend)
    bar.set_label(unit, fontsize=fontsize)
    bar.ax.tick_params(labelsize=fontsize - 1)

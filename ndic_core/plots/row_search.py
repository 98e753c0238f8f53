"""Strips of the search along the row: patches of pixels, one position at three scales, and places without a match."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.catalogue import STRIDES
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError, listing, some
from ndic_core.plots import style
from ndic_core.plots.matching import frame

_BAND = 12  # rows of y above and below the position that a strip shows
_LEFT, _RIGHT = 104, 40  # columns of y to either side
_CROP, _AROUND = 20, 64  # rows and columns around the position in a crop; half as many columns to the right


class Case(NamedTuple):
    """What one position of x finds in one side image.

    Attributes:
        title: of the column.
        y: (3, H, W) in [0, 1].
        weights: one layer of `parallax_attention`'s `attention_maps`.
        place: row and column of a pixel of x.
        truth: column of its match in y, in pixels; None where there is none.
    """

    title: str
    y: Tensor
    weights: Tensor
    place: tuple[int, int]
    truth: float | None = None


def pixel_search(
    pair: StreetPair,
    places: Sequence[tuple[int, int]],
    anywhere: Sequence[tuple[int, int]],
    in_row: Sequence[tuple[int, int]],
    side: int = 9,
) -> Figure:
    """Patches of x, and where y has the most similar patch: in the whole image, and in the same row.

    Args:
        pair: the scene.
        places: row and column of the centre of each patch of x.
        anywhere, in_row: row and column of the most similar patch of y, for each of them.
        side: of a patch, in pixels.

    Raises:
        NDICError: there is no place, or one lacks a result.
    """
    x, y = style.images(x=pair.x, y=pair.y)
    disparity = style.values(pair.disparity)
    if not len(some(places, "place")) == len(anywhere) == len(in_row):
        raise NDICError(
            f"each place has two results: give as many, not {len(anywhere)} and {len(in_row)} for {len(places)}"
        )
    figure, (left, right) = style.subplots((9.0, 2.9), columns=2)
    style.show_image(left, x, "x: the patches to find")
    style.show_image(right, y, "y: the most similar patch")
    half = side / 2
    for number, (place, wide, narrow) in enumerate(zip(places, anywhere, in_row, strict=True), 1):
        row, column = style.inside(x.shape[1:], *place)
        right.axhline(row, color="white", linewidth=0.8, linestyle=":")
        frame(left, column - half, row - half, side, style.YELLOW, "-")
        left.text(column + half + 2, row, str(number), color=style.YELLOW, fontsize=11, va="center", weight="bold")
        match = column - disparity[row, column].item()
        right.plot([match], [row], "+", color="black", markersize=12, markeredgewidth=3.5)
        right.plot([match], [row], "+", color="white", markersize=11, markeredgewidth=1.5, label="true match")
        for (i, j), colour, words in ((wide, style.ORANGE, "in all of y"), (narrow, style.SKY, "in the row")):
            frame(right, j - half, i - half, side, colour, "-")
            right.plot([], [], "s", color=colour, fillstyle="none", markeredgewidth=2, label=words)
        if wide != narrow:
            look = dict(color=style.ORANGE, fontsize=11, va="center", weight="bold")
            right.text(wide[1] + half + 2, wide[0], str(number), **look)
    handles, labels = right.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    look = dict(ncols=3, fontsize=9, facecolor=style.GREY, edgecolor="none")
    figure.legend(unique.values(), unique.keys(), loc="outside lower right", **look)
    return figure


def row_scales(pair: StreetPair, maps: Sequence[Tensor], row: int, column: int) -> Figure:
    """The attention of one position at every scale, over y's columns, below the rows of y that it searches.

    A weight is drawn where the pixel would be located in y, if its whole position had that offset.

    Args:
        pair: the scene.
        maps: `attention_maps` of this pair by `parallax_attention`.
        row, column: of a pixel of x that is visible in y.

    Raises:
        NDICError: there is no such pixel, or y does not show it.
    """
    x, y = style.images(x=pair.x, y=pair.y)
    row, column = style.inside(x.shape[1:], row, column)
    if style.values(pair.occluded)[row, column]:
        raise NDICError(f"({row}, {column}) is hidden from y: choose a pixel with a true match")
    truth = column - style.values(pair.disparity)[row, column].item()
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    axes = figure.subplot_mosaic([["x"], ["y"], *[[str(stride)] for stride in STRIDES]], height_ratios=[1, 1, 1, 1, 1])
    left, right = max(0, column - _LEFT), min(x.shape[2], column + _RIGHT)
    for name, image, at, colour in (("x", x, column, style.BLACK), ("y", y, truth, style.BLUE)):
        axis = axes[name]
        axis.imshow(style.pixels(image), interpolation="none", aspect="auto")
        axis.set_ylim(row + _BAND, row - _BAND)
        axis.set_ylabel(name, rotation=0, labelpad=14)
        axis.plot([at, at], [row - 4, row + 4], color="white", linewidth=4.5)
        axis.plot([at, at], [row - 4, row + 4], color=colour, linewidth=2)
        axis.set_yticks([])
    for stride, weights in zip(STRIDES, maps, strict=True):
        axis = axes[str(stride)]
        offsets, window, no_match = row_weights(weights, stride, row, column)
        _bars(axis, column + offsets, window, 0.85 * stride)
        axis.axvline(truth, color=style.BLUE, linestyle="--", linewidth=1.4)
        axis.set_ylim(0, 1.05)
        axis.set_yticks([0, 1])
        axis.set_ylabel(f"1/{stride}", rotation=0, labelpad=14, va="center")
        words = f"{stride} pixels a position, no match: {style.number(no_match, '.2f')}"
        axis.text(left + 1, 0.95, words, va="top", fontsize=10)
    for name, axis in axes.items():
        axis.set_xlim(left - 0.5, right - 0.5)
        axis.tick_params(labelbottom=name == str(STRIDES[-1]))
    axis.set_xlabel("column, pixels")
    return figure


def match_cases(x: Tensor, cases: Sequence[Case], stride: int) -> Figure:
    """One position of x in several situations: crops of x and y, and the weights over offsets with the no-match token.

    Args:
        x: (3, H, W) in [0, 1].
        cases: one for each column.
        stride: of the layer that the weights are from.

    Raises:
        NDICError: there is no case, or a place is outside its image.
    """
    columns = len(some(cases, "case"))
    figure, axes = style.subplots((9.0, 4.4), 3, columns, squeeze=False, height_ratios=(1, 1, 1.5), sharex=True)
    for (top, middle, bottom), case in zip(axes.T, cases, strict=True):
        row, column = style.inside(x.shape[1:], *case.place)
        offsets, window, no_match = row_weights(case.weights, stride, row, column)
        corner = [place // stride * stride - 0.5 for place in (row, column)]
        shift = corner[1] + stride / 2  # the centre of the position has the offset 0
        best = offsets[window.argmax()].item()
        for axis, image in ((top, x), (middle, case.y)):
            height, width = image.shape[1:]
            extent = (-0.5 - shift, width - 0.5 - shift, height - 0.5, -0.5)
            axis.imshow(style.pixels(image), interpolation="none", aspect="auto", extent=extent)
            axis.set(ylim=(row + _CROP, row - _CROP), yticks=[])
        frame(top, -stride / 2, corner[0], stride, "white", "-")
        top.set_title(case.title, fontsize=10)
        middle.axhspan(corner[0], corner[0] + stride, fill=False, edgecolor="white", linestyle=":")
        if window.max() > no_match:
            frame(middle, best - stride / 2, corner[0], stride, style.VERMILION, "-")
        if case.truth is not None:
            frame(middle, case.truth - shift - stride / 2, corner[0], stride, style.BLUE, "--")
            bottom.axvline(case.truth - shift, color=style.BLUE, linestyle="--", linewidth=1.4)
        near = (offsets >= -_AROUND) & (offsets <= _AROUND // 2)
        _bars(bottom, offsets[near], window[near], 0.9 * stride)
        token = _AROUND // 2 + 12
        bottom.bar([token], [no_match], width=8, color=style.DARK_GREY)
        bottom.set(ylim=(0, 1), xlim=(-_AROUND, token + 6))
        bottom.set_xticks([-_AROUND, -_AROUND // 2, 0, _AROUND // 2, token])
        bottom.set_xticklabels([f"−{_AROUND}", f"−{_AROUND // 2}", "0", f"{_AROUND // 2}", "∅"])
        bottom.set_xlabel("offset in y, image pixels")
        bottom.tick_params(labelleft=False)
    for axis, words in zip(axes[:, 0], ("x", "y", "weight"), strict=True):
        axis.set_ylabel(words)
    axes[2, 0].tick_params(labelleft=True)
    return figure


def row_weights(weights: Tensor, stride: int, row: int, column: int) -> tuple[Tensor, Tensor, float]:
    """Offsets in image pixels, weights over them, and the no-match weight, of the position that contains a pixel.

    Args:
        weights: one layer of `attention_maps`, (1, heads, h, w, rows, columns).
        stride: of that layer.
        row, column: of the pixel.

    Raises:
        NDICError: the layer has no such position.

    Example:
        >>> weights = torch.tensor([0.1, 0.6, 0.2]).expand(1, 1, 4, 8, 1, 3)
        >>> row_weights(weights, 4, row=5, column=9)[0]
        tensor([-4,  0,  4])
    """
    weights = style.values(weights)
    i, j = row // stride, column // stride
    if weights.ndim != 6 or i >= weights.shape[2] or j >= weights.shape[3]:
        raise NDICError(
            f"there is no position for pixel ({row}, {column}) in weights of shape {listing(map(str, weights.shape))}: "
            f"give one layer of attention_maps and its stride"
        )
    window = weights[0, :, i, j].mean(0).sum(0)
    reach = window.shape[0] // 2
    return stride * torch.arange(-reach, reach + 1), window, 1 - window.sum().item()


def _bars(axis: Axes, centres: Tensor, heights: Tensor, width: float) -> None:
    axis.bar(centres.numpy(), heights.numpy(), width=width, color=style.VERMILION)

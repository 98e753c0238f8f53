"""Cross-attention between patches: soft lookups, weights beside true matches, search accuracy, models side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError, some
from ndic_core.evaluation.patch_matching import MatchingScore
from ndic_core.plots import style

_MIDDLE = dict(ha="center", va="center")


def soft_lookups(lookups: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Soft attention between two one-dimensional signals, in several settings.

    Args:
        lookups: by title: x, y and the answer, (n,) each (queries, values, and the weighted means of the values), and
            the weights, (n, n), a row for each query, over the positions of y.

    Returns:
        A figure, a column for each setting: the signals, and below them the weights on a colour scale of their own.
    """
    count = len(some(lookups, "lookup"))
    wide = min(9.0, 1.5 + 2.5 * count)
    figure, axes = style.subplots((wide, 4.6), 2, count, squeeze=False, height_ratios=[1, 1.25])
    for (title, lookup), signals, table in zip(lookups.items(), *axes, strict=True):
        x, y, answer, weights = map(style.values, lookup)
        signals.plot(y, color=style.GREEN, marker="s", markersize=3, linestyle=":", label="y, values")
        signals.plot(x, color=style.BLUE, marker="o", markersize=4, label="x, queries")
        signals.plot(answer, color=style.VERMILION, marker="x", markersize=5, linestyle="--", label="answer")
        style.label(signals, title, "position", fontsize=9)
        shown = table.imshow(weights.numpy(), cmap="viridis", interpolation="none", vmin=0)
        style.label(table, f"largest: {weights.max():.2f}", "position in y", "position in x", fontsize=9)
        figure.colorbar(shown, ax=table, shrink=0.8)
    axes[0, 0].set_ylabel("value", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=9, loc="outside upper center", ncols=3, frameon=False)
    return figure


@dataclass(frozen=True)
class PatchSearch:
    """Attention between patches, and what it should find.

    Attributes:
        y: the image that is searched, (3, H, W) in [0, 1].
        weights: (1, heads, P, P, P, P), of one pair; the mean over the heads is shown.
        disparity, occluded, drop: the true match, (H, W) each; see `patch_shares`.
    """

    y: Tensor
    weights: Tensor
    disparity: Tensor
    occluded: Tensor | None = None
    drop: Tensor | None = None


def patch_attention(
    x: Tensor, searches: Mapping[str, PatchSearch], place: tuple[int, int] = (0, 0), show_x: bool = True
) -> Figure:
    """Attention weights of one patch of x over the patches of y, beside its true match.

    Args:
        x: (3, H, W) in [0, 1].
        searches: by title.
        place: row and column of a pixel of x; the patch that contains it is the query.
        show_x: False beside a `ClickImage`, which shows x already.

    Returns:
        A figure: x with the query patch; and for each search y with the patch of the largest weight and the true match
        of the whole patch, moved by the median of its visible pixels, and the weights on a colour scale of their own.

    Raises:
        NDICError: images and maps have different sizes, or there is no such pixel.
    """
    some(searches, "search")
    numbers = range(len(searches))
    rows = [[str(i) for i in numbers], [f"weights {i}" for i in numbers]]
    if not show_x and len(searches) == 1:
        rows = [["0", "weights 0"]]
    rows = [["x"] * show_x + row for row in rows]
    figure = Figure(figsize=(9.0, 1.2 + 1.8 * len(rows)), layout="constrained")
    axes = figure.subplot_mosaic(rows)
    for i, (title, search) in enumerate(searches.items()):
        x, y = style.images(x=x, y=search.y)
        row, column = style.inside(x.shape[1:], *place)
        _search(axes[str(i)], axes[f"weights {i}"], x, y, search, (row, column))
        axes[str(i)].set_title(title, fontsize=10)
    grid = style.values(search.weights).shape[-1]
    if show_x:
        _image(axes["x"], x, grid, "x: the query patch")
        _frame(axes["x"], *_corner(x, grid, row, column), *_patch(x, grid), "white", "-")
        axes["x"].plot(column, row, "+", color="white", markersize=7)
    looks = {"patch of the largest weight": (style.VERMILION, "-"), "true match": (style.BLUE, "--")}
    lines = [Line2D([], [], color=colour, linestyle=line, linewidth=2.2) for colour, line in looks.values()]
    figure.legend(lines, looks, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def _search(of_y: Axes, table: Axes, x: Tensor, y: Tensor, search: PatchSearch, place: tuple[int, int]) -> None:
    """Draw one search: y with two frames, and the table of weights."""
    disparity, occluded, drop = style.maps(x, disparity=search.disparity, occluded=search.occluded, drop=search.drop)
    occluded = torch.zeros_like(disparity) if occluded is None else occluded
    weights = style.values(search.weights)[0].mean(0)
    grid = weights.shape[-1]
    tall, wide = _patch(x, grid)
    left, top = _corner(x, grid, *place)
    found = weights[top // tall, left // wide]
    _image(of_y, y, grid)
    best_row, best_column = divmod(found.argmax().item(), grid)
    _frame(of_y, best_column * wide, best_row * tall, tall, wide, style.VERMILION, "-")
    patch = slice(top, top + tall), slice(left, left + wide)
    visible = ~occluded[patch].bool()
    if visible.any():
        across = disparity[patch][visible].median().item()
        down = 0.0 if drop is None else drop[patch][visible].median().item()
        _frame(of_y, left - across, top + down, tall, wide, style.BLUE, "--")
    low, high = 100 * found.min().item(), 100 * found.max().item()
    table.imshow(100 * found.numpy(), cmap="viridis", aspect="auto", interpolation="none")
    for i, line in enumerate((100 * found).tolist()):
        for j, value in enumerate(line):
            colour = "black" if value > low + 0.6 * (high - low) else "white"
            table.text(j, i, f"{value:.2f}" if high < 10 else f"{value:.1f}", color=colour, fontsize=8, **_MIDDLE)
    table.set(xticks=range(grid), yticks=range(grid))
    style.label(table, f"weights, %: {low:.2f} to {high:.2f}", "patch column in y", "patch row in y", fontsize=9)


def same_place(pair: StreetPair, models: Mapping[str, Tensor], place: tuple[int, int], notes: Sequence[str]) -> Figure:
    """The weights of several models for one place of x, over y.

    Args:
        pair: the scene.
        models: by title: a layer of `attention_maps`, between patches or along the row.
        place: row and column of a pixel of x.
        notes: a second line of each title.

    Returns:
        A figure: x with the place; y with the true match; and y in grey, in orange where a model has weights, each
        relative to the model's largest weight.

    Raises:
        NDICError: there is no model, not a note for each, or no such pixel.
    """
    if len(notes) != len(some(models, "model")):
        raise NDICError(f"each model has a note: give {len(models)}, not {len(notes)}")
    x, y = style.images(x=pair.x, y=pair.y)
    disparity, occluded = style.maps(x, disparity=pair.disparity, occluded=pair.occluded)
    row, column = style.inside(x.shape[1:], *place)
    figure, axes = style.subplots((9.0, 4.0), 2, 1 + (len(models) + 1) // 2, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    style.show_image(axes[0, 0], x, f"x: the place ({row}, {column})", 9)
    axes[0, 0].plot(column, row, "+", color="white", markersize=11, markeredgewidth=2)
    style.show_image(axes[1, 0], y, "y: hidden from it" if occluded[row, column] else "y: the true match", 9)
    grey = 0.75 * y.mean(0, keepdim=True)
    orange = torch.tensor([0.9, 0.4, 0.0])[:, None, None]
    shown = zip(axes[:, 1:].flat, models.items(), notes, strict=False)
    for axis, (title, weights), note in shown:
        over = _over_y(style.values(weights)[0].mean(0), (row, column), x.shape[1:])
        share = 0.7 * over / over.max()
        style.show_image(axis, (1 - share) * grey + share * orange, f"{title}\n{note}", 9)
    if not occluded[row, column]:
        match = column - disparity[row, column].item()
        for axis in (axes[1, 0], *axes[:, 1:].flat[: len(models)]):
            axis.plot(match, row, "o", fillstyle="none", color=style.SKY, markersize=11, markeredgewidth=2)
    return figure


def _over_y(weights: Tensor, place: tuple[int, int], size: Sequence[int]) -> Tensor:
    """The weights (h, w, rows, columns) of one pixel of x as a map over y, (H, W)."""
    i, j = (at * count // side for at, count, side in zip(place, weights.shape[:2], size, strict=True))
    found = weights[i, j]
    if weights.shape[:2] != weights.shape[2:]:  # a window of offsets
        height, width = weights.shape[:2]
        above, reach = (side // 2 for side in found.shape)
        over = torch.zeros(height + 2 * above, width + 2 * reach)
        over[i : i + 2 * above + 1, j : j + 2 * reach + 1] = found
        found = over[above : above + height, reach : reach + width]
    scale = [side // count for side, count in zip(size, found.shape, strict=True)]
    return found.repeat_interleave(scale[0], 0).repeat_interleave(scale[1], 1)


def search_curves(results: Mapping[int, MatchingScore], patch: int, usual: tuple[float, float]) -> Figure:
    """Accuracy of a module in finding horizontally shifted patches, and the error of the aligned features.

    Args:
        results: `patch_matching_score` by shift in image pixels.
        patch: width of a patch, image pixels.
        usual: lowest and highest expected disparity, image pixels; shaded.
    """
    shifts = list(some(results, "shift"))
    figure, (accuracy, errors) = style.subplots((9.0, 3.2), columns=2)
    look = dict(color=style.BLUE, marker="o", markersize=4)
    accuracy.plot(shifts, [100 * one.accuracy for one in results.values()], label="patches found", **look)
    errors.plot(shifts, [one.error for one in results.values()], label="matching u", **look)
    other = [one.error_other for one in results.values()]
    errors.plot(shifts, other, linestyle="--", markerfacecolor="none", label="mismatched u", **look)
    accuracy.axhline(100 / 16, color=style.BLACK, linestyle="--", linewidth=1.2, label="chance, 1 of 16")
    for axis in (accuracy, errors):
        axis.axvspan(*usual, color=style.GREY, alpha=0.2, label="98 % of the street's disparities")
        axis.set_xticks(range(0, max(shifts) + 1, patch // 4))
        axis.legend(fontsize=9)
    x = f"shift to the right, image pixels (a patch is {patch})"
    style.label(accuracy, "largest weight at the patch with most of the match", x, "patches found, %")
    style.label(errors, "aligned features compared with t", x, "mean squared error / variance")
    accuracy.set_ylim(0, 105)
    errors.set_ylim(bottom=0)
    return figure


def _image(axis: Axes, image: Tensor, grid: int, title: str = "") -> None:
    """An image with lines between its patches."""
    style.show_image(axis, image, title)
    height, width = image.shape[1:]
    axis.set_axis_on()
    axis.set_xticks([k * width / grid - 0.5 for k in range(1, grid)], [])
    axis.set_yticks([k * height / grid - 0.5 for k in range(1, grid)], [])
    axis.grid(linewidth=0.7, color="white", alpha=0.35)
    axis.tick_params(length=0)


def _patch(x: Tensor, grid: int) -> tuple[int, int]:
    """Height and width of a patch, pixels."""
    return x.shape[1] // grid, x.shape[2] // grid


def _corner(x: Tensor, grid: int, row: int, column: int) -> tuple[int, int]:
    """Left and top border of the patch that contains a pixel."""
    tall, wide = _patch(x, grid)
    return column // wide * wide, row // tall * tall


def _frame(axis: Axes, left: float, top: float, tall: float, wide: float, colour: str, line: str) -> None:
    """A rectangle just inside these borders, so that it is complete at the edge of the image.

    White below for contrast, and dashes on top: two frames at the same position are both visible.
    """
    position, size = (left + 0.5, top + 0.5), (wide - 2, tall - 2)
    if colour != "white":
        axis.add_patch(Rectangle(position, *size, fill=False, edgecolor="white", linewidth=4.0, zorder=2))
    look = dict(edgecolor=colour, linestyle=line, linewidth=2.2, zorder=4 if line == "--" else 3)
    axis.add_patch(Rectangle(position, *size, fill=False, **look))

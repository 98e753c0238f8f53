"""Cross-attention between patches: weights, true matches, search accuracy, aligned features."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data.disparity import patch_shares
from ndic_core.errors import some, whole_number
from ndic_core.evaluation.patch_matching import MatchingScore
from ndic_core.plots import style


def soft_lookup(x: Tensor, y: Tensor, weights: Tensor, answer: Tensor) -> Figure:
    """Soft attention between two one-dimensional signals.

    Args:
        x, y, answer: (n,) each: queries, values, and the weighted means of the values.
        weights: (n, n), a row for each query, over the positions of y.
    """
    x, y, weights, answer = map(style.values, (x, y, weights, answer))
    figure, (signals, table) = style.subplots((9.0, 3.6), columns=2, width_ratios=[1.5, 1])
    signals.plot(y, color=style.GREEN, marker="s", markersize=4, linestyle=":", label="y, values")
    signals.plot(x, color=style.BLUE, marker="o", markersize=5, label="x, queries")
    signals.plot(answer, color=style.VERMILION, marker="x", linestyle="--", label="weighted means")
    values = torch.cat([x, y])
    low, span = values.min().item(), (values.max() - values.min()).item()
    signals.set(xlabel="position", ylabel="value", ylim=(low - 0.1 * span, low + 1.35 * span))  # room for the legend
    signals.legend(fontsize=9, loc="upper left", ncols=3, handlelength=1.6, columnspacing=1.0)
    shown = table.imshow(weights.numpy(), vmin=0, vmax=1, cmap="viridis", interpolation="none")
    style.label(table, f"weights; the largest {weights.max():.2f}", "position in y", "position in x")
    figure.colorbar(shown, ax=table, shrink=0.85)
    return figure


def patch_attention(
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    disparity: Tensor,
    occluded: Tensor | None = None,
    place: tuple[int, int] = (0, 0),
    head: int | None = None,
    drop: Tensor | None = None,
    show_x: bool = True,
) -> Figure:
    """Attention weights of one patch of x over the patches of y, beside its true match.

    Args:
        x, y: the images, (3, H, W) in [0, 1].
        weights: of attention between patches, for one pair: (1, heads, P, P, P, P).
        disparity, occluded, drop: the true match, (H, W) each; see `patch_shares`.
        place: row and column of a pixel of x; the patch that contains it is the query.
        head: from 0; the mean of all heads where None.
        show_x: False beside a `ClickImage`, which shows x already.

    Returns:
        A figure: x with the query patch; y with the patch of the largest weight, and the true match of the whole patch,
        moved by the median of its visible pixels; the weights and the true shares over y's patches.

    Raises:
        NDICError: images and maps have different sizes, or there is no such pixel or head.
    """
    x, y = style.images(x=x, y=y)
    weights = style.values(weights)
    disparity, occluded, drop = style.maps(x, disparity=disparity, occluded=occluded, drop=drop)
    occluded = None if occluded is None else occluded.bool()
    height, width = x.shape[-2:]
    row, column = style.inside(x.shape[1:], *place)
    head = None if head is None else whole_number(head, "head", 0, weights.shape[1] - 1)
    grid = weights.shape[-1]
    tall, wide = height // grid, width // grid
    i, j = row // tall, column // wide
    heads = weights[0].mean(0) if head is None else weights[0, head]
    found, truth = heads[i, j], patch_shares(disparity, occluded, grid, drop)[i, j]

    figure = Figure(figsize=(9.0, 4.7 if show_x else 3.9), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["found", "truth"]] if show_x else [["y", "found"], ["y", "truth"]])
    for name, image in {"x": x, "y": y}.items():
        if name in axes:
            style.show_image(axes[name], image)
            _patch_grid(axes[name], grid, (height, width), color="white", alpha=0.35)
    if show_x:
        _frame(axes["x"], j * wide, i * tall, wide, tall, "white", "-")
        axes["x"].plot(column, row, "+", color="white", markersize=7)
        axes["x"].set_title(f"x: query patch, of pixel ({row}, {column})", fontsize=10)
    best_row, best_column = divmod(found.argmax().item(), grid)
    _frame(axes["y"], best_column * wide, best_row * tall, wide, tall, style.VERMILION, "-")
    words = "not visible in y"
    if truth.isfinite().all():
        patch = slice(i * tall, (i + 1) * tall), slice(j * wide, (j + 1) * wide)
        visible = slice(None) if occluded is None else ~occluded[patch]
        across = disparity[patch][visible].median().item()
        down = 0.0 if drop is None else drop[patch][visible].median().item()
        _frame(axes["y"], j * wide - across, i * tall + down, wide, tall, style.BLUE, "--")
        words = "true match (blue, dashed)"
    axes["y"].set_title(f"y: largest weight (vermilion), {words}", fontsize=10)
    name = "mean of the heads" if head is None else f"head {head}"
    shown = _percent(axes["found"], found, f"attention weight, %, {name}")
    _percent(axes["truth"], truth.nan_to_num(0), "true position, % of the patch's visible pixels")
    figure.colorbar(shown, ax=[axes["found"], axes["truth"]], label="%", shrink=0.9)
    return figure


def search_curves(results: Mapping[str, Mapping[int, MatchingScore]], patch: int, usual: tuple[float, float]) -> Figure:
    """Accuracy of attention modules in finding horizontally shifted patches, and the error of the aligned features.

    Args:
        results: `patch_matching_score` by name and by shift in image pixels.
        patch: width of a patch, image pixels.
        usual: lowest and highest expected disparity, image pixels; shaded.
    """
    figure, (accuracy, errors) = style.subplots((9.0, 3.7), columns=2)
    for (name, found), (colour, marker) in zip(
        some(results.items(), "module"),
        cycle(((style.BLUE, "o"), (style.VERMILION, "s"), (style.GREEN, "^"))),
        strict=False,
    ):
        shifts, look = list(found), dict(color=colour, marker=marker, markersize=4)
        accuracy.plot(shifts, [100 * one.accuracy for one in found.values()], label=name, **look)
        errors.plot(shifts, [one.error for one in found.values()], label=f"{name}, matching u", **look)
        other = [one.error_other for one in found.values()]
        errors.plot(shifts, other, linestyle=":", markerfacecolor="none", label=f"{name}, mismatched u", **look)
    accuracy.axhline(100 / 16, color=style.BLACK, linestyle="--", linewidth=1.2, label="chance, 1 of 16")
    for axis in (accuracy, errors):
        axis.axvspan(*usual, color=style.GREY, alpha=0.2, label="98 % of the street's disparities")
        axis.set_xticks(range(0, max(shifts) + 1, patch // 4))
    x = f"shift to the right, image pixels (a patch is {patch})"
    style.label(accuracy, "largest weight at the patch with most of the match", x, "patches found, %")
    style.label(errors, "aligned features compared with t", x, "mean squared error / variance")
    accuracy.set(ylim=(0, 160), yticks=range(0, 101, 20))  # room for the legend
    errors.set(ylim=(0, 1.5), yticks=[0, 0.25, 0.5, 0.75, 1])
    accuracy.legend(fontsize=8, loc="upper left")
    errors.legend(*(part[:-1] for part in errors.get_legend_handles_labels()), fontsize=8, loc="upper left", ncols=2)
    return figure


def aligned_features(t: Tensor, u: Tensor, aligned: Tensor, channels: Sequence[int]) -> Figure:
    """Channels of the features of x, of y, and of y aligned with x.

    Args:
        t, u, aligned: (N, h, w) each.
        channels: to be shown, one per row.

    Returns:
        A figure, a row for each channel, with the borders of 4 × 4 patches. Each map has its own grey scale, from its
        2nd to its 98th percentile.

    Raises:
        NDICError: there is no such channel.
    """
    channels = [whole_number(channel, "channel", 0, len(t) - 1) for channel in some(channels, "channel")]
    figure, axes = style.subplots((9.0, 1.55 * len(channels) + 0.4), len(channels), 3, squeeze=False)
    for row, channel in zip(axes, channels, strict=True):
        for axis, features in zip(row, (t, u, aligned), strict=True):
            values = style.values(features[channel])
            low, high = values.quantile(torch.tensor([0.02, 0.98])).tolist()
            style.show_map(axis, values, frame=True, cmap="gray", vmin=low, vmax=high)
            _patch_grid(axis, 4, values.shape, color=style.VERMILION, alpha=0.5)
        row[0].set_ylabel(f"channel {channel}", fontsize=10)
    titles = ("t, of x's decoder", "u, of y's decoder", "aligned, for x's decoder")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def _patch_grid(axis: Axes, grid: int, size: Sequence[int], **look) -> None:
    """Lines between the patches of an image of this height and width."""
    axis.set_axis_on()
    axis.set_xticks([k * size[1] / grid - 0.5 for k in range(1, grid)], [])
    axis.set_yticks([k * size[0] / grid - 0.5 for k in range(1, grid)], [])
    axis.grid(linewidth=0.7, **look)
    axis.tick_params(length=0)


def _frame(axis: Axes, left: float, top: float, wide: float, tall: float, colour: str, line: str) -> None:
    """A rectangle just inside these borders, so that it is complete at the edge of the image.

    White below for contrast, and dashes on top: two frames at the same position are both visible.
    """
    position, size = (left + 0.5, top + 0.5), (wide - 2, tall - 2)
    if colour != "white":
        axis.add_patch(Rectangle(position, *size, fill=False, edgecolor="white", linewidth=4.0, zorder=2))
    look = dict(edgecolor=colour, linestyle=line, linewidth=2.2, zorder=4 if line == "--" else 3)
    axis.add_patch(Rectangle(position, *size, fill=False, **look))


def _percent(axis: Axes, values: Tensor, title: str) -> AxesImage:
    """A table of shares as an image from 0 to 100 %, with numbers."""
    shown = axis.imshow(100 * values.numpy(), vmin=0, vmax=100, cmap="viridis", aspect="auto", interpolation="none")
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            colour = "black" if value > 0.6 else "white"
            axis.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=colour, fontsize=9)
    axis.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]))
    style.label(axis, title, "patch column in y", "patch row in y", fontsize=9)
    return shown

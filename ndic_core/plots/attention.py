"""Attention between patches, drawn: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data.ground_truth import patch_shares
from ndic_core.errors import NDICError
from ndic_core.evaluation.patch_matching import MatchingScore
from ndic_core.plots.panels import pixels

_TRUTH, _FOUND, _OTHER = "#0072B2", "#D55E00", "#009E73"  # Okabe–Ito blue, vermilion, green


def soft_lookup(x: Tensor, y: Tensor, weights: Tensor, answer: Tensor) -> Figure:
    """A signal that asks, one that answers, and which of its places each answer is taken from.

    Args:
        x, y, answer: (n,) each; what is asked for, what there is, what comes back.
        weights: (n, n), a row for each place of x, over the places of y.

    Returns:
        A figure of two panels: the three signals, and the weights as an image.

    Example:
        >>> x, y = torch.rand(2, 8)
        >>> weights = (-9 * (x[:, None] - y).square()).softmax(1)
        >>> [len(axis.lines) for axis in soft_lookup(x, y, weights, weights @ y).axes[:2]]
        [3, 0]
    """
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    signals, table = figure.subplots(1, 2, width_ratios=[1.5, 1])
    places = range(len(x))
    signals.plot(places, y.numpy(), color=_OTHER, marker="s", markersize=4, linestyle=":", label="y, what there is")
    signals.plot(places, x.numpy(), color=_TRUTH, marker="o", markersize=5, label="x, what is asked for")
    signals.plot(places, answer.numpy(), color=_FOUND, marker="x", linestyle="--", label="what comes back")
    signals.set_xlabel("place")
    signals.set_ylabel("value")
    signals.set_ylim(*_roomy(x, y))
    signals.legend(fontsize=9, loc="upper left", ncols=3, handlelength=1.6, columnspacing=1.0)
    shown = table.imshow(weights.numpy(), vmin=0, vmax=1, cmap="viridis", interpolation="none")
    table.set_xlabel("place in y that answers")
    table.set_ylabel("place in x that asks")
    table.set_title(f"weights; the largest {weights.max():.2f}", fontsize=10)
    figure.colorbar(shown, ax=table, stride=0.85)
    return figure


def look_at_patches(
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    disparity: Tensor,
    occluded: Tensor | None = None,
    place: tuple[int, int] = (0, 0),
    head: int | None = None,
    drop: Tensor | None = None,
) -> Figure:
    """Where one patch of x looks in y, beside where it truly lies.

    Args:
        x, y: the pictures, (3, H, W) in [0, 1].
        weights: of attention between patches, one pair's: (1, heads, P, P, P, P).
        disparity, occluded, drop: the truth, (H, W) each; see `patch_shares`.
        place: row and column of a pixel of x; the patch that covers it asks.
        head: from 0; the mean of all where None.

    Returns:
        A figure: x with the patch that asks and a cross at the place; y with the patch that has the largest weight, and
        the true match of the whole patch, moved by the median of its visible pixels; below the weights over y's
        patches, in percent, and how many percent of the patch's visible pixels truly lie in each.

    Raises:
        NDICError: weights of another kind, a place outside the picture, or a head that isn't there.
    """
    height, width = x.shape[-2:]
    row, column = place
    if weights.ndim != 6 or weights.shape[2:4] != weights.shape[4:]:
        raise NDICError(f"weights between patches have shape (1, heads, P, P, P, P), not {tuple(weights.shape)}")
    if not (0 <= row < height and 0 <= column < width):
        raise NDICError(f"({row}, {column}) lies outside a picture of {height} × {width}")
    if head is not None and not 0 <= head < weights.shape[1]:
        raise NDICError(f"there is no head {head}: they are numbered from 0 to {weights.shape[1] - 1}")
    grid = weights.shape[-1]
    tall, wide = height // grid, width // grid
    i, j = row // tall, column // wide
    heads = weights[0].mean(0) if head is None else weights[0, head]
    found, truth = heads[i, j].cpu(), patch_shares(disparity, occluded, grid, drop)[i, j]

    figure = Figure(figsize=(9.0, 4.7), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["found", "truth"]])
    for name, image in (("x", x), ("y", y)):
        axes[name].imshow(pixels(image), interpolation="none")
        axes[name].set_xticks([k * wide - 0.5 for k in range(1, grid)], [])
        axes[name].set_yticks([k * tall - 0.5 for k in range(1, grid)], [])
        axes[name].grid(color="white", alpha=0.35, linewidth=0.7)
        axes[name].tick_params(length=0)
    _frame(axes["x"], j * wide, i * tall, wide, tall, "white", "-")
    axes["x"].plot(column, row, "+", color="white", markersize=7)
    axes["x"].set_title(f"x: the patch that asks, of pixel ({row}, {column})", fontsize=10)
    best_row, best_column = divmod(found.argmax().item(), grid)
    _frame(axes["y"], best_column * wide, best_row * tall, wide, tall, _FOUND, "-")
    seen = truth.isfinite().all()
    if seen:
        left, top = _true_place(i * tall, j * wide, tall, wide, disparity, occluded, drop)
        _frame(axes["y"], left, top, wide, tall, _TRUTH, "--")
    where = "true match (blue, dashed)" if seen else "y doesn't show this patch"
    axes["y"].set_title(f"y: largest weight (vermilion), {where}", fontsize=10)
    name = "mean of the heads" if head is None else f"head {head}"
    shown = _percent(axes["found"], found, f"attention weight, %, {name}")
    _percent(axes["truth"], truth.nan_to_num(0), "where the patch truly lies, % of its visible pixels")
    figure.colorbar(shown, ax=[axes["found"], axes["truth"]], label="%", stride=0.9)
    return figure


def search_curves(results: Mapping[str, Mapping[int, MatchingScore]], patch: int, usual: tuple[float, float]) -> Figure:
    """How well modules find patches that have moved sideways, and what they give back.

    Args:
        results: `patch_matching_score` by name and by shift in image pixels.
        patch: width of a patch, image pixels.
        usual: lowest and highest disparity to be expected, image pixels; shaded.

    Returns:
        A figure of two panels over the shift: hits, with chance among 16 patches; and the error of what comes back,
        with the right u and with another texture's.

    Raises:
        NDICError: there is no result, or there are more than three.
    """
    looks = ((_TRUTH, "o"), (_FOUND, "s"), (_OTHER, "^"))
    if not results:
        raise NDICError("there is no result to draw: give those of patch_matching_score, by name and shift")
    if len(results) > len(looks):
        raise NDICError(f"{len(results)} results cannot be told apart in one figure: give {len(looks)} at most")
    figure = Figure(figsize=(9.0, 3.7), layout="constrained")
    hits, errors = figure.subplots(1, 2)
    for (name, found), (colour, marker) in zip(results.items(), looks, strict=False):
        shifts, look = list(found), dict(color=colour, marker=marker, markersize=4)
        hits.plot(shifts, [100 * one.accuracy for one in found.values()], label=name, **look)
        errors.plot(shifts, [one.error for one in found.values()], label=f"{name}, right u", **look)
        other = [one.error_other for one in found.values()]
        errors.plot(shifts, other, linestyle=":", markerfacecolor="none", label=f"{name}, another u", **look)
    hits.axhline(100 / 16, color="black", linestyle="--", linewidth=1.2, label="chance, 1 of 16")
    for axis in (hits, errors):
        axis.axvspan(*usual, color="#999999", alpha=0.2, label="98 % of the street's disparities")
        axis.set_xticks(range(0, max(shifts) + 1, patch // 4))
        axis.set_xlabel(f"shift to the right, image pixels (a patch is {patch})")
    hits.set_ylim(0, 160)  # room for the legend
    hits.set_yticks(range(0, 101, 20))
    errors.set_ylim(0, 1.5)
    errors.set_yticks([0, 0.25, 0.5, 0.75, 1])
    hits.set_ylabel("patches found, %")
    errors.set_ylabel("mean squared error / variance")
    hits.legend(fontsize=8, loc="upper left")
    errors.legend(*(part[:-1] for part in errors.get_legend_handles_labels()), fontsize=8, loc="upper left", ncols=2)
    hits.set_title("largest weight at the patch that holds most", fontsize=10)
    errors.set_title("what comes back, against t", fontsize=10)
    return figure


def features_met(t: Tensor, u: Tensor, aligned: Tensor, channels: Sequence[int], patch_grid: int | None = 4) -> Figure:
    """Some channels of x's features, y's, and y's aligned with x's.

    Args:
        t, u, aligned: (N, h, w) each.
        channels: to be shown, one a row.
        patch_grid: patches per side, whose borders are drawn; none where None.

    Returns:
        A figure, a row for each channel. Each picture has a grey scale of its own, from its 2nd to its 98th percentile.

    Raises:
        NDICError: no channel, or one that isn't there.
    """
    if not channels or not all(0 <= channel < len(t) for channel in channels):
        raise NDICError(f"choose channels from 0 to {len(t) - 1}, not {list(channels)}")
    figure = Figure(figsize=(9.0, 1.55 * len(channels) + 0.4), layout="constrained")
    axes = figure.subplots(len(channels), 3, squeeze=False)
    for row, channel in zip(axes, channels, strict=True):
        for axis, features in zip(row, (t, u, aligned), strict=True):
            image = features[channel].detach().cpu().float()
            low, high = image.quantile(torch.tensor([0.02, 0.98])).tolist()
            axis.imshow(image.numpy(), cmap="gray", vmin=low, vmax=high, interpolation="none")
            height, width = image.shape
            borders = range(1, patch_grid or 1)
            axis.set_xticks([k * width / patch_grid - 0.5 for k in borders], [])
            axis.set_yticks([k * height / patch_grid - 0.5 for k in borders], [])
            axis.grid(color=_FOUND, alpha=0.5, linewidth=0.7)
            axis.tick_params(length=0)
        row[0].set_ylabel(f"channel {channel}", fontsize=10)
    titles = ("t, of x's decoder", "u, of y's decoder", "aligned, for x's decoder")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def _true_place(
    top: int, left: int, tall: int, wide: int, disparity: Tensor, occluded: Tensor | None, drop: Tensor | None
) -> tuple[float, float]:
    """Left and top of where a patch lies in y, by the median of its visible pixels."""
    patch = slice(top, top + tall), slice(left, left + wide)
    seen = slice(None) if occluded is None else ~occluded[patch]
    across = disparity[patch][seen].median().item()
    down = 0.0 if drop is None else drop[patch][seen].median().item()
    return left - across, top + down


def _frame(axis, left: float, top: float, wide: float, tall: float, colour: str, line: str) -> None:
    """A rectangle just inside these borders, so that it is whole where the picture ends.

    White below for contrast, and dashes on top of all: of two frames at one place both can be seen.
    """
    place, size = (left + 0.5, top + 0.5), (wide - 2, tall - 2)
    if colour != "white":
        axis.add_patch(Rectangle(place, *size, fill=False, edgecolor="white", linewidth=4.0, zorder=2))
    look = dict(edgecolor=colour, linestyle=line, linewidth=2.2, zorder=4 if line == "--" else 3)
    axis.add_patch(Rectangle(place, *size, fill=False, **look))


def _percent(axis, values: Tensor, title: str):
    """A table of shares as an image from 0 to 100 %, with numbers."""
    shown = axis.imshow(100 * values.numpy(), vmin=0, vmax=100, cmap="viridis", aspect="auto", interpolation="none")
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            colour = "black" if value > 0.6 else "white"
            axis.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(values.shape[1]))
    axis.set_yticks(range(values.shape[0]))
    axis.set_xlabel("patch column in y", fontsize=9)
    axis.set_ylabel("patch row in y", fontsize=9)
    axis.set_title(title, fontsize=10)
    return shown


def _roomy(*signals: Tensor) -> tuple[float, float]:
    """Limits of an axis that leave room for a legend above."""
    low, high = (getattr(torch.cat(signals), end)().item() for end in ("min", "max"))
    return low - 0.1 * (high - low), high + 0.35 * (high - low)

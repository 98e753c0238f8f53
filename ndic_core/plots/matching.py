"""Parallax attention: weights along the row, estimated disparity, matching accuracy."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.catalogue import STRIDES
from ndic_core.data.disparity import true_offsets
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError, some
from ndic_core.evaluation.matching_accuracy import Alignment, best_match
from ndic_core.plots import style


def row_attention(pair: StreetPair, weights: Tensor, stride: int, row: int, column: int, show_x: bool = True) -> Figure:
    """Attention weights of one position of x over the row of y, beside its true match.

    Args:
        pair: the scene.
        weights: one layer of a `parallax_attention`'s `attention_maps` of this pair.
        stride: of that layer: 8, 4 or 2.
        row, column: of a pixel of x; the feature position that contains it is shown.
        show_x: False beside a `ClickImage`, which shows x already.

    Returns:
        A figure; the weight is summed over the map's rows.

    Raises:
        NDICError: there is no such pixel, or the weights have another stride.
    """
    x, y = style.images(x=pair.x, y=pair.y)
    row, column = style.inside(x.shape[1:], row, column)
    disparity, occluded = map(style.values, (pair.disparity, pair.occluded))
    weights = style.values(weights)
    features = tuple(weights.shape[2:4])
    if not all(0 <= stride * side - full < 16 for side, full in zip(features, x.shape[1:], strict=True)):  # padded
        raise NDICError(
            f"stride={stride}: features of {features} are not those of this image; give their layer's stride"
        )
    i, j = row // stride, column // stride
    window = weights[0, :, i, j].mean(0)
    (above, best_row), (reach, best) = (
        (side // 2, stride * (place.item() - side // 2))
        for side, place in zip(window.shape, torch.unravel_index(window.argmax(), window.shape), strict=True)
    )
    window = window.sum(0)
    offset = stride * torch.arange(-reach, reach + 1)
    no_match = 1 - window.sum().item()
    block = slice(i * stride, (i + 1) * stride), slice(j * stride, (j + 1) * stride)
    hidden = occluded[block].mean().item()
    truth = -disparity[block].mean().item()

    figure = Figure(figsize=(9.0, 5.2 if show_x else 3.2), layout="constrained")
    places = dict(height_ratios=[1, 1.1]) if show_x else dict(width_ratios=[1, 1.2])
    axes = figure.subplot_mosaic([["x", "y"], ["weight", "weight"]] if show_x else [["y", "weight"]], **places)
    top, left = i * stride - 0.5, j * stride - 0.5
    if show_x:
        style.show_image(axes["x"], x, "x: the query position")
        frame(axes["x"], left, top, stride, "white", "-")
    style.show_image(axes["y"], y, "y: its row, largest weight, true match")
    first, last = max(0, left - reach * stride), min(x.shape[-1], left + (reach + 1) * stride)
    rows = (2 * above + 1) * stride
    axes["y"].add_patch(_rectangle(first, top - above * stride, last - first, rows, "white", ":"))
    frame(axes["y"], left + best, top + best_row, stride, style.VERMILION, "-")
    if not hidden:
        frame(axes["y"], left + truth, top, stride, style.BLUE, "--")

    axis = axes["weight"]
    axis.bar(offset.numpy(), window.numpy(), width=0.8 * stride, color=style.VERMILION, label="weight in y")
    apart = offset[-1].item() + 12
    axis.bar([apart], [no_match], width=0.8 * stride, color=style.DARK_GREY, label="no match")
    if not hidden:
        axis.axvline(truth, color=style.BLUE, linestyle="--", label=f"true match, {style.number(truth, '.1f')} px")
    axis.set_ylim(0, 1)
    ticks = [tick for tick in range(-1600, 1601, 16 * max(1, round(offset[-1].item() / 80))) if abs(tick) <= offset[-1]]
    axis.set_xticks([*ticks, apart], [*map(str, ticks), "∅"])
    visible = "visible in y" if not hidden else "hidden from y" if hidden == 1 else "partly hidden from y"
    title = f"1/{stride}, pixel ({row}, {column}), {visible}; no match: {style.number(no_match, '.2f')}"
    style.label(axis, title, "offset from the position in x to that in y, image pixels", "attention weight")
    axis.legend(fontsize=9, loc="upper left")
    return figure


def attention_disparity(pair: StreetPair, maps: Sequence[Tensor]) -> Figure:
    """Disparity and occlusion estimated by attention at every scale, beside the ground truth.

    Args:
        pair: the scene.
        maps: `attention_maps` of this pair, of either kind of attention.

    Returns:
        A figure, a row for each layer, in pixels of its features; the true disparity is white where hidden from y.
    """
    disparity, hidden = style.values(pair.disparity), style.values(pair.occluded).bool()
    layers = len(some(maps, "attention map"))
    figure, axes = style.subplots((9.0, 1.3 * layers + 1.0), layers, 4, squeeze=False)
    titles = ("disparity by attention", "true disparity", "no-match weight", "hidden from y")
    for row, weights, stride in zip(axes, maps, STRIDES, strict=True):
        truth, occluded = true_offsets(disparity, hidden, stride)
        offset, no_match = best_match(style.values(weights), tuple(truth.shape))
        for axis, values in zip(row[:2], (offset[1], truth), strict=True):
            shown = style.show_map(axis, -stride * values, frame=True, vmin=0, vmax=40, cmap="viridis")
        for axis, values in zip(row[2:], (no_match, occluded.float()), strict=True):
            share = style.show_map(axis, values, frame=True, vmin=0, vmax=1, cmap="gray")
        row[0].set_ylabel(f"1/{stride}")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    look = dict(location="bottom", shrink=0.7, aspect=35)
    figure.colorbar(shown, ax=axes[:, :2], label="disparity, image pixels", extend="both", **look)
    figure.colorbar(share, ax=axes[:, 2:], label="weight, or share that is hidden", **look)
    return figure


def alignment_scores(results: Mapping[str, Sequence[Alignment]]) -> Figure:
    """Matching accuracy of each model's attention, by scale.

    Args:
        results: from `measure_alignment`, by the model's name; for several trainings of one model, by its name, a comma
            and a description; they are distinguished by hatching.

    Returns:
        A figure of two panels: accuracy, with lines for `accuracy_upper_bound` and the constant-shift baseline; and the
        area under the ROC curve of the no-match token.
    """
    figure, (hits, occlusion) = style.subplots((9.0, 3.4), columns=2)
    bar = 0.8 / len(some(results, "model"))
    for n, (name, layers) in enumerate(results.items()):
        centres = [i + (n - (len(results) - 1) / 2) * bar for i in range(len(layers))]
        model, _, further = name.partition(",")
        look = dict(color=style.MODEL_STYLE[model][0], label=name, hatch="//" * bool(further), edgecolor="white")
        hits.bar(centres, [100 * layer.accuracy_1px for layer in layers], bar, **look)
        occlusion.bar(centres, [layer.occlusion_auc for layer in layers], bar, **look)
        for i, (centre, layer) in enumerate(zip(centres, layers, strict=True)):
            words = "upper bound" if n == i == 0 else None
            ends = (centre - bar / 2, centre + bar / 2)
            hits.hlines(100 * layer.accuracy_upper_bound, *ends, color=style.BLACK, linewidth=2.5, label=words)
    for i, layer in enumerate(layers):
        look = dict(color=style.BLACK, linestyle="--", label="constant shift" if i == 0 else None)
        hits.hlines(100 * layer.accuracy_constant_shift, i - 0.45, i + 0.45, **look)
    occlusion.axhline(0.5, color=style.BLACK, linestyle="--", label="chance")
    for axis in (hits, occlusion):
        axis.set_xticks(range(len(layers)), [f"1/{layer.stride}" for layer in layers])
        axis.legend(fontsize=9, loc="upper left", ncols=2)
    hits.set(ylim=(0, 145), yticks=range(0, 101, 20))  # room for the legends
    occlusion.set(ylim=(0, 1.45), yticks=[0, 0.25, 0.5, 0.75, 1])
    x = "scale of the features"
    style.label(hits, "largest weight within one position of the true match", x, "visible positions, %")
    style.label(occlusion, "no-match token: hidden or visible?", x, "area under the ROC curve")
    return figure


def frame(axis: Axes, left: float, top: float, side: float, colour: str, line: str) -> None:
    """Draw a square of at least 8 pixels around a feature position, so that small ones are visible."""
    margin = max(0, 8 - side) / 2
    axis.add_patch(_rectangle(left - margin, top - margin, side + 2 * margin, side + 2 * margin, colour, line))


def _rectangle(left: float, top: float, width: float, height: float, colour: str, line: str) -> Rectangle:
    return Rectangle((left, top), width, height, fill=False, edgecolor=colour, linestyle=line, linewidth=1.5)

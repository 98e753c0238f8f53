"""Attention beside the truth: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data.ground_truth import true_match
from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError
from ndic_core.evaluation.matching_accuracy import Alignment, best_match
from ndic_core.plots.panels import MODEL_STYLE

_TRUTH, _FOUND = "#0072B2", "#D55E00"  # Okabe–Ito blue and vermilion
_FURTHEST = 40.0  # pixels of disparity where the colours end


def look_along_row(pair: StreetPair, weights: Tensor, stride: int, row: int, column: int) -> Figure:
    """Where one position of x looks in y, beside where it should.

    Args:
        pair: the scene.
        weights: one layer of a `parallax_attention`'s `attention_maps` of this pair.
        shrink: of that layer: 8, 4 or 2.
        row, column: of a pixel of x; the position of the features that covers it is shown.

    Returns:
        A figure: x with the position, y with the row that the map covers, its true match and the place of the largest
        weight, and below the weight (summed over the map's rows) over the offset in image
        pixels, with the weight of "nothing matches".

    Raises:
        NDICError: the place lies outside the picture.
    """
    height, width = pair.x.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise NDICError(f"({row}, {column}) lies outside a picture of {height} × {width}")
    i, j = row // stride, column // stride
    window = weights[0, :, i, j].mean(0).cpu()
    (above, best_row), (reach, best) = (
        (side // 2, stride * (place.item() - side // 2))
        for side, place in zip(window.shape, torch.unravel_index(window.argmax(), window.shape), strict=True)
    )
    window = window.sum(0)
    offset = stride * torch.arange(-reach, reach + 1)
    nothing = 1 - window.sum().item()
    block = slice(i * stride, (i + 1) * stride), slice(j * stride, (j + 1) * stride)
    hidden = pair.occluded[block].float().mean().item()
    truth = -pair.disparity[block].mean().item()

    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["weight", "weight"]], height_ratios=[1, 1.1])
    top, left = i * stride - 0.5, j * stride - 0.5
    for name, image in (("x", pair.x), ("y", pair.y)):
        axes[name].imshow(image.permute(1, 2, 0).numpy(), interpolation="none")
        axes[name].set_axis_off()
    _frame(axes["x"], left, top, stride, "white", "-")
    axes["x"].set_title("x: the position that asks", fontsize=10)
    first, last = max(0, left - reach * stride), min(width, left + (reach + 1) * stride)
    rows = (2 * above + 1) * stride
    axes["y"].add_patch(_rectangle(first, top - above * stride, last - first, rows, "white", ":"))
    _frame(axes["y"], left + best, top + best_row, stride, _FOUND, "-")
    if not hidden:
        _frame(axes["y"], left + truth, top, stride, _TRUTH, "--")
    axes["y"].set_title("y: its row, largest weight, true match", fontsize=10)

    axis = axes["weight"]
    axis.bar(offset.numpy(), window.numpy(), width=0.8 * stride, color=_FOUND, label="weight in y")
    apart = offset[-1].item() + 12
    axis.bar([apart], [nothing], width=0.8 * stride, color="#666666", label="nothing matches")
    if not hidden:
        axis.axvline(truth, color=_TRUTH, linestyle="--", label=f"true match, {truth:.1f} px")
    axis.set_ylim(0, 1)
    ticks = [tick for tick in range(-1600, 1601, 16 * max(1, round(offset[-1].item() / 80))) if abs(tick) <= offset[-1]]
    axis.set_xticks([*ticks, apart], [*map(str, ticks), "∅"])
    axis.set_xlabel("offset from x's position to y's, image pixels")
    axis.set_ylabel("attention weight")
    seen = "visible in y" if not hidden else "hidden from y" if hidden == 1 else "partly hidden from y"
    axis.set_title(f"1/{stride}, pixel ({row}, {column}), {seen}; nothing matches: {nothing:.2f}", fontsize=10)
    axis.legend(fontsize=9, loc="upper left")
    return figure


def disparity_found(pair: StreetPair, maps: Sequence[Tensor], shrinks: Sequence[int] = (8, 4, 2)) -> Figure:
    """The disparity that attention finds at every scale, and what it holds for hidden, beside the truth.

    Args:
        pair: the scene.
        maps: `attention_maps` of this pair, of either kind of attention.
        shrinks: of the layers.

    Returns:
        A figure, a row for each layer: disparity at the largest weight, the true one (white where y doesn't show the
        position), and the weight of "nothing matches" with the true occlusions beside it. Pixels are the features'.
    """
    figure = Figure(figsize=(10.0, 1.35 * len(maps) + 0.6), layout="constrained")
    axes = figure.subplots(len(maps), 4, squeeze=False)
    titles = ("disparity, by attention", "true disparity", '"nothing matches", weight', "truly hidden from y")
    for row, weights, stride in zip(axes, maps, shrinks, strict=True):
        truth, occluded = true_match(pair.disparity, pair.occluded, stride)
        offset, nothing = best_match(weights, tuple(truth.shape))
        colours = dict(vmin=0, vmax=_FURTHEST, cmap="viridis", interpolation="none")
        shown = row[0].imshow((-stride * offset[1]).numpy(), **colours)
        row[1].imshow((-stride * truth).numpy(), **colours)
        share = row[2].imshow(nothing.numpy(), vmin=0, vmax=1, cmap="gray", interpolation="none")
        row[3].imshow(occluded.float().numpy(), vmin=0, vmax=1, cmap="gray", interpolation="none")
        row[0].set_ylabel(f"1/{stride}")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=axes[:, :2], label="image pixels", stride=0.8)
    figure.colorbar(share, ax=axes[:, 2:], label="weight, share", stride=0.8)
    return figure


def alignment_scores(results: Mapping[str, Sequence[Alignment]]) -> Figure:
    """How often each model's attention points at the true match, scale by scale.

    Args:
        results: from `measure_alignment`, by the model's name; for several trainings of one model by its name, a comma
            and some words, told apart by hatching.

    Returns:
        A figure of two panels: hits, with a short line for what is reachable by whole patches or within the window, and
        a dashed one for the best single shift; and how well the weight of "nothing matches" tells hidden positions from
        visible ones.

    Raises:
        NDICError: there is no result.
    """
    if not results:
        raise NDICError("there is no result to draw: give those of measure_alignment, by name")
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    hits, slots = figure.subplots(1, 2)
    bar = 0.8 / len(results)
    for n, (name, layers) in enumerate(results.items()):
        place = [i + (n - (len(results) - 1) / 2) * bar for i in range(len(layers))]
        model, _, further = name.partition(",")
        look = dict(color=MODEL_STYLE[model][0], label=name, hatch="//" * bool(further), edgecolor="white")
        hits.bar(place, [100 * layer.accuracy_1px for layer in layers], bar, **look)
        slots.bar(place, [layer.occlusion_auc for layer in layers], bar, **look)
        bounds = [100 * layer.accuracy_upper_bound for layer in layers]
        ends = [(p - bar / 2, p + bar / 2, bound) for p, bound in zip(place, bounds, strict=True)]
        for start, end, most in ends:
            label = "reachable" if n == 0 and start == ends[0][0] else None
            hits.hlines(most, start, end, color="black", linewidth=2.5, label=label)
    for i, layer in enumerate(layers):
        label = "best single shift" if i == 0 else None
        hits.hlines(100 * layer.accuracy_constant_shift, i - 0.45, i + 0.45, color="black", linestyle="--", label=label)
    slots.axhline(0.5, color="black", linestyle="--", label="chance")
    for axis in (hits, slots):
        axis.set_xticks(range(len(layers)), [f"1/{layer.stride}" for layer in layers])
        axis.set_xlabel("size of the features, of the image's")
        axis.legend(fontsize=9, loc="upper left", ncols=2)
    hits.set_ylim(0, 145)  # room for the legends
    hits.set_yticks(range(0, 101, 20))
    slots.set_ylim(0, 1.45)
    slots.set_yticks([0, 0.25, 0.5, 0.75, 1])
    hits.set_ylabel("visible positions, %")
    slots.set_ylabel("area under the ROC curve")
    hits.set_title("largest weight within one feature pixel of the true match", fontsize=10)
    slots.set_title('"nothing matches" tells hidden from visible', fontsize=10)
    return figure


def _frame(axis, left: float, top: float, side: float, colour: str, line: str) -> None:
    """A square, and a larger one around it in case it is too small to be seen."""
    margin = max(0, 8 - side) / 2
    axis.add_patch(_rectangle(left - margin, top - margin, side + 2 * margin, side + 2 * margin, colour, line))


def _rectangle(left: float, top: float, width: float, height: float, colour: str, line: str) -> Rectangle:
    return Rectangle((left, top), width, height, fill=False, edgecolor=colour, linestyle=line, linewidth=1.5)

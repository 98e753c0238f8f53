"""How images become training data: crop, resize, batches, and the splits of a data set."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ndic_core.data import kitti
from ndic_core.errors import NDICError, choice, some
from ndic_core.plots import style

_COLOURS = {"train": style.BLUE, "val": style.ORANGE, "test": style.VERMILION}


def crop_and_resize(stored: Tensor, crop: tuple[int, int], resized: Tensor) -> Figure:
    """An image as stored with its centre crop outlined, the crop, and the crop resized; all at one scale.

    Args:
        stored: (3, H, W) in [0, 1].
        crop: height and width of the centre crop.
        resized: (3, h, w) in [0, 1].

    Raises:
        NDICError: the crop is larger than the image.
    """
    stored, resized = style.image(stored, "stored"), style.image(resized, "resized")
    height, width = stored.shape[1:]
    if crop[0] > height or crop[1] > width:
        raise NDICError(f"a crop of {crop[0]} × {crop[1]} does not fit an image of {height} × {width}: make it smaller")
    top, left = round((height - crop[0]) / 2), round((width - crop[1]) / 2)
    views = {
        f"stored:\n{height} × {width}": stored,
        f"cropped:\n{crop[0]} × {crop[1]}": stored[:, top : top + crop[0], left : left + crop[1]],
        "resized:\n{} × {}".format(*resized.shape[1:]): resized,
    }
    widths = [view.shape[2] for view in views.values()]
    inches = 5.0 / sum(widths)
    figure = Figure(figsize=(5.4, inches * height + 0.6), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=widths)
    for axis, (title, view) in zip(axes, views.items(), strict=True):
        style.show_image(axis, view, title)
        axis.set_anchor("N")
    box = Rectangle((left - 0.5, top - 0.5), crop[1], crop[0], fill=False, edgecolor=style.YELLOW, linewidth=2)
    axes[0].add_patch(box)
    return figure


def training_batch(x: Tensor, y: Tensor, titles: Sequence[str]) -> Figure:
    """The pairs of a batch, one column for each: x above y.

    Args:
        x, y: (B, 3, H, W) in [0, 1].
        titles: of the pairs, B.

    Raises:
        NDICError: there is no pair, or x, y and the titles have different lengths.
    """
    if not len(x) == len(y) == len(titles) > 0:
        raise NDICError(f"a batch has one x, y and title for each pair, not {len(x)}, {len(y)} and {len(titles)}")
    tall = 6.4 / len(titles) * x.shape[-2] / x.shape[-1]
    figure, axes = style.subplots((6.8, 2 * tall + 0.55), 2, len(titles), squeeze=False)
    for row, (name, images) in enumerate((("x", x), ("y", y))):
        for column, image in enumerate(images):
            style.show_image(axes[row, column], image, "" if row else titles[column])
        place = dict(transform=axes[row, 0].transAxes, fontsize=11, va="center", ha="right")
        axes[row, 0].text(-0.03, 0.5, name, **place)
    return figure


def frames_of_splits(lists: Mapping[str, Sequence[tuple[Path, Path]]]) -> Figure:
    """Which frames of KITTI's training and testing scenes belong to train, val and test.

    Args:
        lists: for each of "train", "val" and "test": the pairs of KITTI Stereo, from `data.kitti.stereo_pairs`.

    Raises:
        NDICError: a split has another name or no pair.
    """
    figure, axis = style.subplots((7.6, 0.55 * len(kitti.PARTS) + 1.25))
    for row, frame in product(range(len(kitti.PARTS)), range(kitti.FRAMES)):
        axis.add_patch(Rectangle((frame + 0.05, row + 0.1), 0.9, 0.8, facecolor="#E8E8E8", edgecolor="none"))
    for split, pairs in lists.items():
        choice(split, "split", _COLOURS)
        images = [x for x, _ in some(pairs, f"pair of {split}")]
        scenes = len({kitti.scene_of(image) for image in images})
        places = {(image.parent.parent.name, int(image.stem[-2:])) for image in images}
        for number, (part, frame) in enumerate(sorted(places)):
            look = dict(facecolor=_COLOURS[split], label=f"{split}: {scenes} scenes" if number == 0 else None)
            axis.add_patch(Rectangle((frame + 0.05, kitti.PARTS.index(part) + 0.1), 0.9, 0.8, **look))
    axis.legend(ncols=3, fontsize=9, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    axis.set(xlim=(0, kitti.FRAMES), ylim=(len(kitti.PARTS), 0), xlabel="frame of a scene, one every 0.1 s")
    axis.set_xticks([frame + 0.5 for frame in range(0, kitti.FRAMES, 5)], range(0, kitti.FRAMES, 5))
    axis.set_yticks([row + 0.5 for row in range(len(kitti.PARTS))], [f"{part} scenes" for part in kitti.PARTS])
    axis.tick_params(length=0, labelsize=9)
    for side in axis.spines.values():
        side.set_visible(False)
    return figure

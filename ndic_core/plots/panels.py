"""Rate–distortion curves and image panels."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.catalogue import CATALOGUE
from ndic_core.errors import NDICError, choice, whole_number
from ndic_core.evaluation.published_points import POINTS
from ndic_core.metrics import quality
from ndic_core.plots import style

_DPI = 120  # of figures with small type
_LARGEST_ERROR = 64  # upper end of the error's colour scale, in 8-bit steps
_FILLS = ("full", "none", "left", "top", "right", "bottom")  # of markers, for the curves of one model
_RATE_TICKS = [digit * 10.0**power for power in range(-9, 6) for digit in (1, 2, 5)]


def contact_sheet(
    images: Sequence[Tensor],
    titles: Sequence[str],
    columns: int = 2,
    width: float = 9.0,
    colours: Sequence[str] | None = None,
) -> Figure:
    """Images in a grid, each below its title, without interpolation.

    Args:
        images: (3, H, W) in [0, 1] each, all of one size.
        titles, colours: of each image, and of its title.
        columns: of the grid.
        width: of the figure, in inches.

    Raises:
        NDICError: there is no image, an argument is none (see `style.image`), or a title or a colour is missing.
    """
    columns = whole_number(columns, "columns")
    images = [style.image(image, f"image {i}") for i, image in enumerate(images)]
    if not images or len(titles) != len(images):
        raise NDICError(
            f"a contact sheet has a title for each image: give as many, not {len(titles)} for {len(images)}"
        )
    if colours is not None and len(colours) != len(images):
        raise NDICError(f"each title has a colour: give as many, not {len(colours)} for {len(images)}")
    height, image_width = images[0].shape[-2:]
    lines = max(title.count("\n") for title in titles) + 1
    cell_height = width / columns * height / image_width + 0.12 + 0.17 * lines
    figure, axes = style.image_grid(len(images), columns, width, cell_height)
    for axis, image, title, colour in zip(axes, images, titles, colours or ["black"] * len(images), strict=False):
        style.show_image(axis, image, title, 9, colour)
    return figure


def side_by_side(x: Tensor, y: Tensor | None, x_hat: Tensor, bpp: float) -> Figure:
    """The image sent, the side information, the reconstruction, and its error.

    Args:
        x: (3, H, W) in [0, 1].
        y: likewise; None leaves it out.
        x_hat: the reconstruction, likewise; clipped to [0, 1] first.
        bpp: measured rate, from the bytes of the whole file.

    Returns:
        A figure of four (or three) images; the error `|x − x̂|` is averaged over the channels, times 4. Titles contain
        the measured rate, PSNR in dB and, where the image is large enough, MS-SSIM.

    Raises:
        NDICError: an argument is no image, see `style.image`, they have different sizes, or `bpp` is no number.
    """
    bpp = style.one_number(bpp, "bpp")
    x, y, x_hat = style.images(x=x, y=y, x_hat=x_hat)
    x, x_hat = x.clamp(0, 1), x_hat.clamp(0, 1)
    found = quality(x, x_hat)
    words = f"{found['psnr']:.2f} dB PSNR{_similarity(found)}"
    images = {
        "x, the image sent": x,
        "y, side information at the decoder": y,
        f"x̂: {bpp:.4f} bpp measured\n{words}": x_hat,
        "error |x − x̂|, mean of the channels, 4 times": 4 * (x - x_hat).abs().mean(0).expand(3, -1, -1),
    }
    images = {title: image for title, image in images.items() if image is not None}
    return contact_sheet(list(images.values()), list(images))


def inspection(x: Tensor, sent: Mapping, bits: Tensor) -> Figure:
    """The image sent, its reconstruction, the error, and the bit map.

    The colour scales of error and bits are the same in every call, so that figures can be compared as a slider moves.

    Args:
        x: (3, H, W) in [0, 1].
        sent: the result of `evaluation.roundtrip.roundtrip`.
        bits: (H, W), estimated bits per pixel, from `evaluation.bit_maps.over_image`.

    Raises:
        NDICError: images and bit map have different sizes, or `sent` has no image.
    """
    x, x_hat = style.images(x=x, x_hat=_decoded(sent))
    (bits,) = style.maps(x, bits=bits)
    figure, axes = style.subplots((7.6, 7.6 * x.shape[-2] / x.shape[-1] + 1.6), 2, 2)
    rate = f"{sent['bytes']} bytes, {sent['bpp']:.3f} bpp (measured)"
    numbers = f"{rate}, PSNR {sent['psnr']:.2f} dB{_similarity(sent)}"
    figure.suptitle(f"{sent['model']} at λ = {sent['lmbda']:.2e}\n{numbers}", fontsize=10)
    style.show_image(axes[0, 0], x, "x, the image sent")
    style.show_image(axes[0, 1], x_hat, "x̂, the reconstruction")
    error = style.show_error(axes[1, 0], x, x_hat, _LARGEST_ERROR)
    title = f"{bits.sum().item():,.0f} bits in total (estimated)"
    spent = style.show_map(axes[1, 1], bits, title, cmap="inferno", vmin=0, vmax=0.8)
    for axis, shown, unit in zip(axes[1], (error, spent), ("8-bit steps", "bits per pixel, estimated"), strict=True):
        bar = figure.colorbar(shown, ax=axis, orientation="horizontal", extend="max", fraction=0.07, pad=0.03)
        bar.set_label(unit, fontsize=9)
        bar.ax.tick_params(labelsize=8)
    return figure


def swipe(first: Mapping, second: Mapping, edge: float = 0.5) -> Figure:
    """Two reconstructions of one image in one frame: the first left of an edge, the second right of it.

    Args:
        first, second: results of `evaluation.roundtrip.roundtrip` of one image.
        edge: position of the edge, from 0 (only the second) to 1 (only the first).

    Raises:
        NDICError: the images have different sizes, a model has no style, or the edge is elsewhere.
    """
    edge = style.one_number(edge, "edge")
    if not 0 <= edge <= 1:
        raise NDICError(f"edge is {edge:g}: give a position from 0 to 1")
    left, right = style.images(first=_decoded(first), second=_decoded(second))
    height, width = left.shape[-2:]
    column = round(edge * width)
    mixed = torch.cat([left[..., :column], right[..., column:]], -1)
    figure, axis = style.subplots((8.0, 8.0 * height / width + 0.75))
    style.show_image(axis, mixed)
    axis.axvline(column - 0.5, color="white", linewidth=2.4)
    axis.axvline(column - 0.5, color="black", linewidth=0.9)
    axis.set_xlim(-0.5, width - 0.5)
    for sent, side, arrow in ((first, "left", "◀ {}"), (second, "right", "{} ▶")):
        colour = style.curve_style(sent["model"])["color"]
        similarity = "" if sent["ms_ssim_db"] is None else f", MS-SSIM {sent['ms_ssim_db']:.2f} dB"
        numbers = f"{sent['bytes']} bytes, PSNR {sent['psnr']:.2f} dB{similarity}"
        words = f"{arrow.format(sent['model'])}\n{numbers}"
        axis.set_title(words, loc=side, fontsize=9.5, color=colour, weight="bold")
    return figure


def rate_distortion(
    rows: Iterable[Mapping],
    metric: Literal["psnr", "ms_ssim_db"] = "psnr",
    rate: Literal["measured", "estimated"] = "measured",
    published: bool = False,
    title: str = "",
) -> Figure:
    """Rate–distortion curves of models and classical codecs.

    The rate axis is logarithmic: equal horizontal distances are equal savings in percent, which is what a Bjøntegaard
    difference averages. Curves of mismatched y and of no y have the model's colour and marker and a broken line.
    Published points are hollow and not connected. An infinite PSNR is drawn at
    `evaluation.tables.PSNR_CAP`.

    Args:
        rows: points in any order: mappings with `model` (a model, or a classical codec), `bpp` and the metric;
            `side_info` ("matching_y", "mismatched_y" or "no_y") where a model uses y, "matching_y" if left out;
            `weights`, any text, where there are several curves of one model: their markers are filled differently.
        rate: whether `bpp` in the rows is measured (bytes of files) or estimated (likelihoods).
        published: also draw the published points on KITTI Stereo, whose rates are estimated.
        title: what was measured, such as the data set.

    Raises:
        NDICError: there is no row, a model has no style, a row has no rate above 0 or no value of the metric (MS-SSIM
            below 97 pixels), or an argument is another word.
    """
    choice(metric, "metric", style.QUALITY)
    choice(rate, "rate", ("measured", "estimated"))
    figure, axis = style.subplots((9.0, 4.8))
    _draw_curves(axis, rows, metric, rate)
    for name, (colour, marker) in style.PUBLISHED_STYLE.items() if published else ():
        if points := POINTS[metric].get(name):
            look = dict(color=colour, marker=marker, markersize=8, markerfacecolor="none", markeredgewidth=1.3)
            words = f"{name}, published (estimated)"
            axis.plot(*zip(*points, strict=True), linestyle="none", zorder=4, label=words, **look)
    _rate_axis(axis)
    source = "bytes of whole files" if rate == "measured" else "by likelihoods"
    x = f"rate of x, {rate} ({source}), in bits per pixel, logarithmic"
    style.label(axis, title, x, style.QUALITY[metric], grid=True)
    style.legend_beside(axis, handlelength=3.2)
    return figure


def tradeoff(x: Tensor, sent: Mapping, curves: Iterable[Mapping]) -> Figure:
    """One image at one rate: the reconstruction, its error, and its point among the models' rate–distortion curves.

    The error's colour scale is the same in every call, so that figures can be compared as a slider moves.

    Args:
        x: (3, H, W) in [0, 1]; below 97 pixels the curves are of PSNR, else of MS-SSIM.
        sent: the result of `evaluation.roundtrip.roundtrip`.
        curves: rows as in `rate_distortion`: the same image at several rates, by this model and others.

    Returns:
        A figure with a ring at this point. An image 256 pixels wide is shown with 2 × 2 dots for each pixel.

    Raises:
        NDICError: see `rate_distortion`; or the images have different sizes.
    """
    x, x_hat = style.images(x=x, x_hat=_decoded(sent))
    metric, words = ("psnr", "PSNR") if sent["ms_ssim_db"] is None else ("ms_ssim_db", "MS-SSIM")
    wide = 512 / _DPI  # inches
    tall = wide * x.shape[-2] / x.shape[-1]
    height = 2 * tall + 1.12
    figure = Figure(figsize=(9.0, height), dpi=_DPI, layout="none")
    places = {
        "x": (0.12, tall + 0.63, wide, tall),
        "x_hat": (4.62, tall + 0.63, wide, tall),
        "error": (0.12, 0.36, wide, tall),
        "scale": (0.12, 0.24, wide, 0.09),
        "curves": (5.25, 0.46, 3.64, tall - 0.1),
    }
    axes = {name: figure.add_axes((p[0] / 9, p[1] / height, p[2] / 9, p[3] / height)) for name, p in places.items()}
    rate = f"{sent['bytes']} bytes, {sent['bpp']:.3f} bits per pixel (measured)"
    title = f"{sent['model']} at λ = {sent['lmbda']:.2e}: {rate}"
    figure.text(0.5, 1 - 0.05 / height, title, fontsize=11, weight="bold", ha="center", va="top")
    style.show_image(axes["x"], x, "x, the image sent")
    similarity = "" if sent["ms_ssim"] is None else f", MS-SSIM {sent['ms_ssim']:.4f}"
    style.show_image(axes["x_hat"], x_hat, f"x̂: PSNR {sent['psnr']:.2f} dB{similarity}")
    title = "error |x − x̂|, mean of the channels, 8-bit steps"
    error = style.show_error(axes["error"], x, x_hat, _LARGEST_ERROR, title)
    bar = figure.colorbar(error, cax=axes["scale"], orientation="horizontal", extend="max")
    bar.ax.tick_params(labelsize=9)

    axis = axes["curves"]
    _draw_curves(axis, curves, metric, "measured")
    look = dict(markersize=14, markerfacecolor="none", markeredgewidth=2.2, zorder=5)
    look["color"] = style.curve_style(sent["model"])["color"]
    axis.plot(style.number_of(sent, "bpp"), style.quality(sent, metric), "o", label="_here", **look)
    _rate_axis(axis)
    title = f"ring: {words} {sent[metric]:.2f} dB at {sent['bpp']:.3f} bits per pixel"
    style.label(axis, title, "measured rate of this image (bits per pixel)", f"{words} (dB)", fontsize=9, grid=True)
    axis.tick_params(labelsize=9)
    axis.legend(fontsize=8, handlelength=2.4)
    return figure


def _decoded(sent: Mapping) -> Tensor:
    """The reconstruction of a round trip."""
    if "x_hat" not in sent:
        raise NDICError("there is no x_hat, the decoded image: give the result of roundtrip, not a row of evaluate")
    return sent["x_hat"]


def _similarity(row: Mapping) -> str:
    return "" if row["ms_ssim"] is None else f", MS-SSIM {row['ms_ssim']:.4f} ({row['ms_ssim_db']:.2f} dB)"


def _draw_curves(axis: Axes, rows: Iterable[Mapping], metric: str, rate: str) -> None:
    """A curve, by rising rate, for each codec, its weights and side information, in the order of the styles."""
    points, kinds = defaultdict(list), defaultdict(list)
    for row in rows:
        name = row.get("model")
        uses_y = name in CATALOGUE and CATALOGUE[name].side_info
        side_info, weights = (uses_y and row.get("side_info")) or "matching_y", row.get("weights") or ""
        choice(side_info, "side_info", style.SIDE_INFO)
        points[name, weights, side_info].append((style.number_of(row, "bpp"), style.quality(row, metric)))
        if weights not in kinds[name]:
            kinds[name].append(weights)
    if not points:
        raise NDICError("there is no point to draw: give rows with model, bpp and the metric")
    styles = {name: style.curve_style(name) for name in kinds}
    names = [name for name in style.MODEL_STYLE | style.CODEC_STYLE if name in kinds]
    order = [(name, weights, side) for name in names for weights in kinds[name] for side in style.SIDE_INFO]
    for name, weights, side_info in sorted(points, key=order.index):
        look = dict(linewidth=1.6) | styles[name]
        words = ", ".join(filter(None, (name, weights)))
        if name in style.MODEL_STYLE:
            line, condition = style.SIDE_INFO[side_info]
            look |= dict(linestyle=line, markersize=6 if side_info == "matching_y" else 4, zorder=3)
            look |= dict(fillstyle=_FILLS[kinds[name].index(weights) % len(_FILLS)])
            words += "" if side_info == "matching_y" else f", {condition}"
        elif rate == "estimated":
            words += ", measured"  # a classical file has no other rate
        axis.plot(*zip(*sorted(points[name, weights, side_info]), strict=True), label=words, **look)


def _rate_axis(axis: Axes) -> None:
    """A logarithmic axis that extends to the next tick on both sides, so that it has at least two."""
    low, high = axis.dataLim.intervalx
    low = max(tick for tick in _RATE_TICKS if tick <= low)
    high = min(tick for tick in _RATE_TICKS if tick >= high)
    axis.set_xscale("log")
    axis.set_xticks([tick for tick in _RATE_TICKS if low <= tick <= high])
    axis.set_xlim(0.93 * low, high / 0.93)
    axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter("{x:g}")

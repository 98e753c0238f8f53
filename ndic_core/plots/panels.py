"""Data in, matplotlib Figure out; no widget and no file."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndic_core.catalogue import CATALOGUE
from ndic_core.errors import NDICError
from ndic_core.evaluation.published_points import published_rows

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# Okabe–Ito: one colour and one marker per model, everywhere.
MODEL_STYLE = {
    "bls17": ("#999999", "o"),
    "bmshj18_factorized": ("#000000", "s"),
    "bmshj18": ("#56B4E9", "D"),
    "ndic_bls17": ("#E69F00", "^"),
    "ndic_bmshj18": ("#009E73", "v"),
    "cross_attention": ("#D55E00", "P"),
    "parallax_attention": ("#CC79A7", "*"),
}

# Classical codecs are the background: greys without markers, told apart by their dashes (points on, points off).
CODEC_STYLE = {
    "JPEG": ("#8A8A8A", (1, 1)),
    "JPEG 2000": ("#707070", (3, 1)),
    "WebP": ("#565656", (5, 1, 1, 1)),
    "AVIF": ("#3C3C3C", (7, 2)),
    "HEVC": ("#202020", (9, 2, 2, 2)),
}
_PUBLISHED_STYLE = MODEL_STYLE | {"DSIN": ("#0072B2", "X")}  # what has only been published
_SIDE_INFO = {"matching_y": ("-", ""), "mismatched_y": ("--", ", another scene's y"), "no_y": (":", ", no y")}
_QUALITY = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM, $-10\\,\\log_{10}(1-v)$ (dB)"}
_FINE = 120  # dots per inch of figures with small type
_RATES = [digit * 10.0**power for power in range(-5, 3) for digit in (1, 2, 5)]  # what is written at the axis


def model_style(name: str) -> tuple[str, str]:
    """A model's colour and marker.

    Raises:
        NDICError: there is no such model.

    Example:
        >>> model_style("bls17")
        ('#999999', 'o')
    """
    if name not in MODEL_STYLE:
        raise NDICError(f"{name!r} has no style: choose from {', '.join(MODEL_STYLE)}")
    return MODEL_STYLE[name]


def pixels(picture: "Tensor") -> "np.ndarray":
    """A picture (3, H, W), values clipped to [0, 1], as matplotlib shows it: (H, W, 3), on the CPU.

    Example:
        >>> import torch
        >>> pixels(torch.full((3, 16, 32), 1.5)).shape
        (16, 32, 3)
    """
    return picture.detach().cpu().float().clamp(0, 1).permute(1, 2, 0).numpy()


def contact_sheet(images, titles, columns: int = 2, width: float = 9.0, colours=None) -> Figure:
    """Pictures in a grid, each under its title, shown pixel for pixel without interpolation.

    Args:
        images: tensors (3, H, W) in [0, 1], all of one size.
        titles: as many strings.
        columns: of the grid.
        width: of the figure, in inches.
        colours: of the titles; black where None.

    Returns:
        A figure that belongs to no window; save or show it.
    """
    rows = -(-len(images) // columns)
    height, image_width = images[0].shape[-2:]
    cell = width / columns
    figure = Figure(figsize=(width, rows * (cell * height / image_width + 0.45)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, title, colour in zip(axes, images, titles, colours or ["black"] * len(images), strict=False):
        axis.imshow(image.permute(1, 2, 0).cpu().numpy(), interpolation="none")
        axis.set_title(title, fontsize=9, color=colour)
    return figure


def side_by_side(x: "Tensor", y: "Tensor | None", x_hat: "Tensor", bpp: float, gain: float = 4.0) -> Figure:
    """What was sent, what the receiver had, what it made of it, and where that is wrong.

    Args:
        x: (3, H, W) in [0, 1].
        y: the side image, likewise; None leaves its place to the error.
        x_hat: the reconstruction, likewise; clipped to [0, 1] first.
        bpp: measured rate, from the bytes of the whole file.
        gain: the error |x − x̂|, averaged over channels, is multiplied by this, then clipped to 1.

    Returns:
        A figure of four (or three) pictures without interpolation. Titles give the measured rate, PSNR in dB and,
        where both sides are above 96 pixels, MS-SSIM.

    Raises:
        NDICError: x and x_hat have different shapes.
    """
    from ndic_core.metrics import MS_SSIM_SMALLEST, ms_ssim, ms_ssim_db, psnr

    x, x_hat = x.detach().cpu().clamp(0, 1), x_hat.detach().cpu().clamp(0, 1)
    quality = f"{psnr(x[None], x_hat[None]).item():.2f} dB PSNR"
    if min(x.shape[-2:]) >= MS_SSIM_SMALLEST:
        similarity = ms_ssim(x[None], x_hat[None])
        quality += f", MS-SSIM {similarity.item():.4f} ({ms_ssim_db(similarity).item():.2f} dB)"
    error = gain * (x - x_hat).abs().mean(0, keepdim=True).expand(3, -1, -1)
    pictures = {
        "x, the picture sent": x,
        "y, the side image at the receiver": None if y is None else y.detach().cpu().clamp(0, 1),
        f"x̂: {bpp:.4f} bpp measured\n{quality}": x_hat,
        f"error |x − x̂|, mean of the channels, {gain:g} times": error.clamp(0, 1),
    }
    pictures = {title: picture for title, picture in pictures.items() if picture is not None}
    return contact_sheet(list(pictures.values()), list(pictures))


def rate_distortion(
    rows: Iterable[Mapping], metric: str = "psnr", rate: str = "measured", published: bool = False, title: str = ""
) -> Figure:
    """Quality over rate, a curve for each model and codec.

    The rate's axis is logarithmic, so that a horizontal gap of one length is one saving in percent wherever it is
    seen, which is what a Bjøntegaard difference averages. A model's decodings with another scene's y or with none have
    its colour and marker with a broken line. Published points are hollow, without a line to lean on.

    Args:
        rows: points in any order: mappings with `model` (one of the models with a style here, or a classical codec),
            `bpp` and the metric; `side_info` ("matching_y", "mismatched_y" or "no_y") where a model uses y,
            "matching_y" if left out.
        metric: "psnr" or "ms_ssim_db".
        rate: what `bpp` in the rows is, "measured" (bytes of files) or "estimated" (likelihoods); said at the axis.
        published: also the published points, whose rates are estimated, on KITTI Stereo.
        title: what was measured, such as the data set.

    Returns:
        A figure that belongs to no window; save or show it.

    Raises:
        NDICError: a metric, rate, model or kind of side information that is not among those above, or no row.

    Example:
        >>> rows = [dict(model="bls17", bpp=0.1, psnr=24.0), dict(model="bls17", bpp=0.2, psnr=26.0)]
        >>> [text.get_text() for text in rate_distortion(rows).axes[0].get_legend().get_texts()]
        ['bls17']
    """
    if metric not in _QUALITY:
        raise NDICError(f"the quality axis is {' or '.join(_QUALITY)}, not {metric!r}")
    if rate not in ("measured", "estimated"):
        raise NDICError(f"a rate is measured or estimated, not {rate!r}")
    figure = Figure(figsize=(9.0, 4.8), layout="constrained")
    axis = figure.subplots()
    _draw_curves(axis, rows, metric, rate)
    shown = _curves(published_rows(metric), metric, _PUBLISHED_STYLE) if published else {}
    for (name, _), points in shown.items():
        colour, marker = _PUBLISHED_STYLE[name]
        look = dict(marker=marker, markersize=8, markerfacecolor="none", markeredgewidth=1.3)
        axis.plot(*points, linestyle="none", color=colour, zorder=4, label=f"{name}, published (estimated)", **look)
    _label_axes(axis, metric, rate)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False, handlelength=3.2)
    axis.set_title(title, fontsize=10)
    return figure


def tradeoff(x: "Tensor", sent: Mapping, curves: Iterable[Mapping], limit: float = 64.0) -> Figure:
    """One picture at one rate: what arrives, where it is wrong, and where this lies on the models' curves.

    The error's colours are the same for every call, so that figures can be compared as a slider moves.

    Args:
        x: (3, H, W) in [0, 1], the picture sent; sides above 96 pixels.
        sent: what came of it, from `sending.roundtrip`.
        curves: rows of the same picture sent at several rates, by this model and others.
        limit: error, in steps of 8-bit pictures, where the colours end.

    Returns:
        A figure of x, x̂, |x − x̂| (mean of the channels) with its scale, and MS-SSIM in dB over the measured rate with
        a ring at this point. Pictures are not interpolated.

    Raises:
        NDICError: x and x_hat are no pictures of one shape, MS-SSIM was not measured, or a row cannot be drawn (see
            `rate_distortion`).
    """
    x, x_hat = x.detach().cpu(), sent["x_hat"]
    if x.shape != x_hat.shape:
        raise NDICError(f"x and x_hat must have one shape; x is {tuple(x.shape)}, x_hat is {tuple(x_hat.shape)}")
    if x.ndim != 3 or sent["ms_ssim"] is None:
        raise NDICError(f"the figure shows MS-SSIM: x must be (3, H, W) with sides above 96, not {tuple(x.shape)}")
    if sent["model"] not in MODEL_STYLE:
        raise NDICError(f"no model {sent['model']!r}: choose from {', '.join(MODEL_STYLE)}")
    wide = 512 / _FINE  # inches, so that each pixel of a picture 256 pixels wide becomes 2 × 2
    tall = wide * x.shape[-2] / x.shape[-1]
    height = 2 * tall + 1.6
    figure = Figure(figsize=(9.0, height), dpi=_FINE, layout="none")
    places = {
        "x": (0.12, tall + 1.0, wide, tall),
        "x_hat": (4.62, tall + 1.0, wide, tall),
        "error": (0.12, 0.65, wide, tall),
        "scale": (0.12, 0.48, wide, 0.1),
        "curves": (5.25, 0.55, 3.64, tall + 0.1),
    }
    axes = {name: figure.add_axes((p[0] / 9, p[1] / height, p[2] / 9, p[3] / height)) for name, p in places.items()}
    colour, _ = MODEL_STYLE[sent["model"]]
    rate = f"{sent['bytes']} bytes, {sent['bpp']:.3f} bits per pixel (measured)"
    title = f"{sent['model']} at λ = {sent['lmbda']:.2e}: {rate}"
    figure.text(0.5, 1 - 0.05 / height, title, fontsize=11, weight="bold", ha="center", va="top")
    for name, picture in (("x", x), ("x_hat", x_hat)):
        axes[name].imshow(picture.permute(1, 2, 0).numpy(), interpolation="none")
    error = 255 * (x - x_hat).abs().mean(0)
    shown = axes["error"].imshow(error.numpy(), cmap="magma", vmin=0, vmax=limit, interpolation="none")
    bar = figure.colorbar(shown, cax=axes["scale"], orientation="horizontal", extend="max")
    bar.set_label("in steps of a picture of 8 bits, on one scale for all rates", fontsize=9)
    bar.ax.tick_params(labelsize=9)
    titles = {
        "x": "x, the picture sent",
        "x_hat": f"x̂: PSNR {sent['psnr']:.2f} dB, MS-SSIM {sent['ms_ssim']:.4f}",
        "error": "error |x − x̂|, mean of the channels",
        "curves": f"ring: MS-SSIM {sent['ms_ssim_db']:.2f} dB at {sent['bpp']:.3f} bits per pixel",
    }
    for name, words in titles.items():
        axes[name].set_title(words, fontsize=10)
        if name != "curves":
            axes[name].set_axis_off()

    axis = axes["curves"]
    _draw_curves(axis, curves, "ms_ssim_db", "measured")
    look = dict(markersize=14, markerfacecolor="none", markeredgewidth=2.2, color=colour, zorder=5)
    axis.plot(sent["bpp"], sent["ms_ssim_db"], "o", label="_here", **look)
    _label_axes(axis, "ms_ssim_db", "measured")
    axis.set_xlabel("measured rate of this picture (bits per pixel)", fontsize=9)
    axis.set_ylabel("MS-SSIM (dB)", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.legend(fontsize=8, handlelength=2.4)
    return figure


def _draw_curves(axis: Axes, rows: Iterable[Mapping], metric: str, rate: str) -> None:
    for (name, side_info), points in _curves(rows, metric, MODEL_STYLE | CODEC_STYLE).items():
        if name in CODEC_STYLE:
            colour, dashes = CODEC_STYLE[name]
            look = dict(color=colour, linestyle=(0, dashes), linewidth=1.6)
            label = name if rate == "measured" else f"{name}, measured"  # there is no other rate of a file
        else:
            colour, marker = MODEL_STYLE[name]
            line, condition = _SIDE_INFO[side_info]
            size = 6 if side_info == "matching_y" else 4
            look = dict(color=colour, linestyle=line, marker=marker, markersize=size, linewidth=1.6, zorder=3)
            label = name + condition
        axis.plot(*points, label=label, **look)


def _curves(rows: Iterable[Mapping], metric: str, styles: Iterable[str]) -> dict[tuple[str, str], tuple]:
    """Rates and qualities by name and side information, in the order of `styles`; each curve by rising rate."""
    order = [(name, kind) for name in styles for kind in _SIDE_INFO]
    points = {}
    for row in rows:
        if not {"model", "bpp", metric} <= row.keys():
            raise NDICError(f"every row needs model, bpp and {metric}; one has {', '.join(row)}")
        name, side_info = row["model"], row.get("side_info") or "matching_y"
        if name not in CATALOGUE or not CATALOGUE[name].side_info:
            side_info = "matching_y"  # nothing is missing where y is never used
        if (name, side_info) not in order:
            raise NDICError(f"a curve of {name!r} with side information {side_info!r} has no style to be drawn in")
        if not (_RATES[0] <= row["bpp"] <= _RATES[-1] and math.isfinite(row[metric])):
            raise NDICError(f"{name} has a point that cannot be drawn: {row['bpp']} bpp, {metric} {row[metric]}")
        points.setdefault((name, side_info), []).append((row["bpp"], row[metric]))
    if not points:
        raise NDICError("there is no point to draw: give rows with model, bpp and the metric")
    return {key: tuple(zip(*sorted(points[key]), strict=True)) for key in order if key in points}


def _label_axes(axis, metric: str, rate: str) -> None:
    axis.set_xscale("log")
    low, high = axis.dataLim.intervalx  # the axis reaches to the next written rates, so that there are two at least
    low = max(tick for tick in _RATES if tick <= low)
    high = min(tick for tick in _RATES if tick >= high)
    axis.set_xticks([tick for tick in _RATES if low <= tick <= high])
    axis.set_xlim(0.93 * low, high / 0.93)
    axis.set_xticks([], minor=True)
    axis.xaxis.set_major_formatter("{x:g}")
    how = "bytes of whole files" if rate == "measured" else "by likelihoods"
    axis.set_xlabel(f"rate of x, {rate} ({how}), in bits per pixel, logarithmic")
    axis.set_ylabel(_QUALITY[metric])
    axis.grid(alpha=0.25)

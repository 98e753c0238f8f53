"""Training: learning curves, loss terms, throughput, memory and cost."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from ndic_core.errors import NDICError, some
from ndic_core.plots import style

_PRECISIONS = {"float32": (style.VERMILION, "s"), "bf16": (style.BLUE, "o")}
# Published peaks of dense matrix products in bf16, 10¹² operations per second, from NVIDIA's data sheets: H100 SXM,
# A100, L4 (its sheet's 242 are with sparsity). A T4 has no bf16, so a ratio to it would compare different work.
PEAK_TFLOPS = {"H100": 989, "A100": 312, "L4": 121}


def learning_curves(
    history: Sequence[Mapping], images: Mapping[str, Tensor] | None = None, epoch: int | None = None
) -> Figure:
    """Loss, rate and quality over the epochs, optionally with images of one of them.

    Args:
        history: a dict per validation, as in `Trained.history`: epoch, loss, val_loss, bpp (estimated), psnr.
        images: shown below the curves: by their titles, (3, H, W) in [0, 1].
        epoch: marked by a dashed line in every curve.

    Raises:
        NDICError: the history is empty.
    """
    if not history:
        raise NDICError("the history is empty: train for validation_period epochs at least")
    figure = Figure(figsize=(9.0, 4.9 if images else 2.9), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(2.9, 2.0)) if images else (figure, None)
    losses, rates, qualities = upper.subplots(1, 3)
    keys = ("epoch", "loss", "val_loss", "bpp", "psnr")
    epochs, *values = (style.values([row[key] for row in history], torch.float64) for key in keys)
    losses.plot(epochs, values[0], ":", color=style.VERMILION, label="training (noise)")
    losses.plot(epochs, values[1], color=style.BLUE, label="validation (rounded)")
    _log_y_axis(losses)
    losses.legend(fontsize=8, frameon=False)
    rates.plot(epochs, values[2], color=style.BLUE)
    rates.set_ylim(bottom=0)
    qualities.plot(epochs, values[3], color=style.BLUE)
    titles = ("loss, logarithmic", "rate, estimated (bits per pixel)", "PSNR (dB)")
    for axis, title in zip((losses, rates, qualities), titles, strict=True):
        style.label(axis, title, "epoch", fontsize=9, grid=True)
        axis.tick_params(labelsize=9)
        if epoch is not None:
            axis.axvline(epoch, color=style.BLACK, linestyle="--", linewidth=1)
    if images:
        for axis, (title, image) in zip(lower.subplots(1, len(images), squeeze=False)[0], images.items(), strict=True):
            style.show_image(axis, image, title, fontsize=9)
    return figure


def loss_terms(rates: Sequence[float], distortions: Sequence[float], lmbda: float, window: int = 25) -> Figure:
    """Both terms of the loss over the steps of a training.

    Args:
        rates: bits per pixel of each step's batch, with noise.
        distortions: D of each step, in the units of the loss.
        lmbda: weight of the distortion.
        window: steps of the running mean, from 1 to the number of steps.

    Raises:
        NDICError: there is no step, the lists have different lengths, or the window is out of range.
    """
    if len(rates) != len(distortions):
        raise NDICError(f"a step has a rate and a distortion: give as many, not {len(rates)} and {len(distortions)}")
    figure, axes = style.subplots((9.5, 3.2), columns=2)
    terms = (
        ("R: bits per pixel, estimated", style.BLUE, style.values(rates, torch.float64).numpy()),
        ("255² λ D, logarithmic", style.VERMILION, 255**2 * lmbda * style.values(distortions, torch.float64).numpy()),
    )
    for axis, (words, colour, values) in zip(axes, terms, strict=True):
        axis.plot(values, color=colour, alpha=0.3, linewidth=0.8, label="batch of one step")
        style.plot_running_mean(axis, values, window, color=colour, linewidth=2, label=f"mean of {window} steps")
        axis.set(xlabel="step", ylabel=words)
        axis.legend(fontsize=9, frameon=False, loc="upper right")
    axes[0].set_ylim(bottom=0)
    _log_y_axis(axes[1])
    axes[1].minorticks_off()
    return figure


def throughput_curves(rows: Sequence[Mapping]) -> Figure:
    """Images per second, time of a step and memory over the batch size, the latter two on logarithmic axes.

    Args:
        rows: from `training.throughput.throughput`, of one model, or read back with `evaluation.read_table`. Each
            precision has a colour; more filters are dashed and dotted, compiled steps have hollow markers.

    Returns:
        A figure of three panels. The memory is the peak where it was measured, otherwise the counted state (weights,
        gradients, Adam's moments) and activations. That is about what a training needs: gradients are allocated while
        activations are freed, and the libraries' workspace is not counted.

    Raises:
        NDICError: the rows are of several models.
    """
    _check_one_model(rows)
    figure, axes = style.subplots((9.0, 3.2), columns=3)
    widths = sorted({row["num_filters"] for row in rows})
    series: dict[tuple, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: row["batch"]):
        series.setdefault((row["num_filters"], row["precision"], row["compile"]), []).append(row)
    for (width, precision, compiled), points in series.items():
        colour, marker = _PRECISIONS[precision]
        line = ("-", "--", ":")[min(widths.index(width), 2)]
        look = dict(color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.6)
        if compiled:
            look["markerfacecolor"] = "none"
        words = f"{width} filters, {precision}{', compiled' * compiled}"
        for axis, value in zip(axes, (itemgetter("images_per_second"), itemgetter("step_ms"), _megabytes), strict=True):
            known = [(row["batch"], value(row)) for row in points if value(row) is not None]
            if known:
                axis.plot(*zip(*known, strict=True), **look, label=words)
    measured = all(row.get("peak_mb") for row in rows)
    memory = "memory, peak (MB)" if measured else "memory, state and activations (MB)"
    for axis, title in zip(axes, ("images per second", "one step (ms)", memory), strict=True):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted({row["batch"] for row in rows}))
        axis.xaxis.set_major_formatter("{x:g}")
        if axis is axes[0]:
            axis.set_ylim(bottom=0)
        else:
            _log_y_axis(axis)
        style.label(axis, title, "images per batch", fontsize=9)
        axis.tick_params(labelsize=9)
        axis.grid(alpha=0.25, which="both")
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def memory_needed(rows: Sequence[Mapping], gigabytes: float) -> Figure:
    """Memory of a training over the batch size, and an estimate of the largest batch that fits.

    A straight line through the counted values: the state does not depend on the batch, and every image adds the same
    activations. The libraries' workspace, which was not counted, comes on top; gradients are allocated only while
    activations are freed, so not everything that was counted exists at the same time.

    Args:
        rows: from `training.throughput.throughput`, of one model, with `activation_mb`, which grows with the batch.
        gigabytes: of memory, in 10⁹ bytes.

    Raises:
        NDICError: no row has `activation_mb`, or the rows are of several models.
    """
    rows = [row for row in rows if row.get("activation_mb")]
    if not rows:
        raise NDICError("no row has activation_mb: measure without compile")
    _check_one_model(rows)
    figure, axis = style.subplots((7.0, 3.3))
    batches = np.array([2**i for i in range(13)])
    for width, precision in dict.fromkeys((row["num_filters"], row["precision"]) for row in rows):
        points = [row for row in rows if (row["num_filters"], row["precision"]) == (width, precision)]
        first, last = (end(points, key=lambda row: row["batch"]) for end in (min, max))
        added, images = last["activation_mb"], last["batch"]
        if first["batch"] < last["batch"]:
            added, images = added - first["activation_mb"], images - first["batch"]
        each = added / images
        fixed = last["state_mb"] + last["activation_mb"] - last["batch"] * each
        most = max(0, int((1000 * gigabytes - fixed) / each))
        words = f"{width} filters, {precision}: {each:.1f} MB per image, about {most:,} fit"
        line = "-" if width == min(row["num_filters"] for row in rows) else "--"
        look = dict(color=_PRECISIONS[precision][0], linestyle=line)
        axis.plot(batches, (fixed + batches * each) / 1000, label=words, **look)
    axis.axhline(gigabytes, color=style.BLACK, linestyle=":", label=f"{gigabytes:g} GB")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(batches[::2])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter("{x:g}")
    title = f"memory of a training, and {gigabytes:g} GB"
    style.label(axis, title, "images per batch", "GB, state and activations", grid=True)
    axis.legend(fontsize=9, frameon=False)
    return figure


def training_cost(rows: Sequence[Mapping], model: str, images: float, price: float) -> Figure:
    """Hours and cost of a training with a number of images at measured rates, with estimated ranges for other GPUs.

    The range starts at the first measured H100's hours (if the CPU that feeds the GPU is the bottleneck, and is equally
    fast) and ends at those hours times the ratio of the two GPUs' published peaks, `PEAK_TFLOPS`. The latter assumes
    that the H100 was fully used; it waited most of the time, so the upper end is pessimistic.

    Args:
        rows: measured: model, num_filters, batch, device, images_per_second.
        model: whose rows to show.
        images: processed in the training, above 0.
        price: of an hour on a GPU, in any currency.

    Raises:
        NDICError: there is no row of that model.
    """
    rows = [row for row in rows if row["model"] == model]
    if not rows:
        raise NDICError(f"no rate of {model!r} was measured: choose another model, or measure it with throughput()")
    bars, known = [], None
    for row in rows:
        hours = images / row["images_per_second"] / 3600
        bars.append((f"{row['device']}, batch {row['batch']}, {row['num_filters']} filters", hours, hours))
        known = hours if known is None and "H100" in row["device"] else known
    for name in ("A100", "L4") if known else ():
        slower = PEAK_TFLOPS["H100"] / PEAK_TFLOPS[name]
        bars.append((f"{name}, not measured: an estimate", known, known * slower))
    figure, axis = style.subplots((9.0, 1.1 + 0.42 * len(bars)))
    colour, _ = style.MODEL_STYLE[model]
    for i, (name, low, high) in enumerate(bars):
        ends = sorted({low, high})
        if low == high:
            axis.plot(low, i, "o", color=colour, markersize=9)
        else:
            axis.barh(i, high - low, left=low, height=0.5, color="white", edgecolor=colour, hatch="////")
        words = " to ".join(f"{hours:.2g}" for hours in ends) + " h"
        if "CPU" not in name:
            words += ", for " + " to ".join(f"{hours * price:.2g}" for hours in ends)
        axis.text(high * 1.15, i, words, va="center", fontsize=9)
    axis.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=9)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xscale("log")
    axis.set_xlim(min(low for _, low, _ in bars) / 2, 8 * max(high for _, _, high in bars))
    axis.grid(alpha=0.25, axis="x")
    axis.xaxis.set_major_formatter("{x:g}")
    note = "\nhatched: from the H100's hours to those of a fully used H100, scaled by the peaks" if known else ""
    title = f"{model}: {images:,.0f} images; {price:g} per hour on a GPU"
    style.label(axis, title, f"hours, logarithmic{note}", fontsize=9)
    axis.tick_params(labelsize=9)
    return figure


def _log_y_axis(axis: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times each power of ten."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _megabytes(row: Mapping) -> float | None:
    peak, kept = row.get("peak_mb"), row.get("activation_mb")  # None, or absent from a table that was read back
    return peak if peak is not None or kept is None else row["state_mb"] + kept


def _check_one_model(rows: Sequence[Mapping]) -> None:
    models = list(dict.fromkeys(row["model"] for row in some(rows)))
    if len(models) > 1:
        raise NDICError(f"these are rows of {', '.join(models)}: draw one model at a time")

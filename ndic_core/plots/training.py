"""A training to look at: how it learns, what it takes, what it costs. Data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plots.panels import model_style, pixels

_BLUE, _VERMILION = "#0072B2", "#D55E00"  # Okabe–Ito
_LOOKS = {"float32": (_VERMILION, "s"), "bf16": (_BLUE, "o")}
# Published peaks of dense matrix products in bf16, 10¹² operations a second, by NVIDIA's data sheets: H100 SXM, A100,
# L4 (its sheet's 242 are with sparsity). A T4 has no bf16, so that a ratio to it would compare different work.
PEAK_TFLOPS = {"H100": 989, "A100": 312, "L4": 121}


def learning_curves(
    history: Sequence[Mapping], pictures: Mapping[str, Tensor] | None = None, epoch: int | None = None
) -> Figure:
    """Loss, rate and quality over the epochs, and maybe pictures of one of them.

    Args:
        history: a dict per validation, as `Trained.history` has them: epoch, loss, val_loss, bpp (estimated), psnr.
        pictures: shown below the curves, pixel for pixel: by their titles, (3, H, W) in [0, 1].
        epoch: marked by a dashed line in every curve.

    Raises:
        NDICError: there is no validation in the history.

    Example:
        >>> rows = [dict(epoch=i, loss=3 / i, val_loss=4 / i, bpp=0.2, psnr=18 + i) for i in (1, 2, 3)]
        >>> [axis.get_title() for axis in learning_curves(rows).axes]
        ['loss, logarithmic', 'rate, estimated (bits per pixel)', 'PSNR (dB)']
    """
    if not history:
        raise NDICError("the history is empty: train for validation_period epochs at least")
    figure = Figure(figsize=(9.0, 4.9 if pictures else 2.9), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(2.9, 2.0)) if pictures else (figure, None)
    losses, rates, qualities = upper.subplots(1, 3)
    epochs = [row["epoch"] for row in history]
    losses.plot(epochs, [row["loss"] for row in history], ":", color=_VERMILION, label="training (noise)")
    losses.plot(epochs, [row["val_loss"] for row in history], color=_BLUE, label="validation (rounded)")
    _logarithmic(losses)
    losses.legend(fontsize=8, frameon=False)
    rates.plot(epochs, [row["bpp"] for row in history], color=_BLUE)
    rates.set_ylim(bottom=0)
    qualities.plot(epochs, [row["psnr"] for row in history], color=_BLUE)
    titles = ("loss, logarithmic", "rate, estimated (bits per pixel)", "PSNR (dB)")
    for axis, title in zip((losses, rates, qualities), titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch", fontsize=9)
        axis.tick_params(labelsize=9)
        axis.grid(alpha=0.25)
        if epoch is not None:
            axis.axvline(epoch, color="black", linestyle="--", linewidth=1)
    if pictures:
        for axis, title in zip(lower.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True):
            axis.imshow(pixels(pictures[title]), interpolation="none")
            axis.set_title(title, fontsize=9)
            axis.set_axis_off()
    return figure


def throughput_curves(rows: Sequence[Mapping]) -> Figure:
    """Images a second, time of a step and memory over the size of the batch, the latter two on logarithmic axes.

    Args:
        rows: from `training.throughput.throughput`, of one model, or read back with `evaluation.read_table`. Each
            precision has a colour; more filters are drawn dashed and dotted, compiled steps hollow.

    Returns:
        A figure of three panels. The memory is the peak where it was measured, else what was counted: the state
        (weights, gradients, Adam's numbers) and what is kept for the backward pass. That is about what a training
        takes: gradients come while what is kept goes, and the libraries' workspace is not counted.

    Raises:
        NDICError: there is no row, or there are several models.
    """
    if not rows:
        raise NDICError("there is nothing to draw: measure with throughput() first")
    _one_model(rows)
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    widths = sorted({row["num_filters"] for row in rows})
    measured = all(row.get("peak_mb") for row in rows)
    series: dict[tuple, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: row["batch"]):
        series.setdefault((row["num_filters"], row["precision"], row["compile"]), []).append(row)
    for (width, precision, compiled), points in series.items():
        colour, marker = _LOOKS[precision]
        line = ("-", "--", ":")[min(widths.index(width), 2)]
        look = dict(color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.6)
        label = f"{width} filters, {precision}{', compiled' * compiled}"
        if compiled:
            look["markerfacecolor"] = "none"
        for axis, value in zip(axes, (_rate, _step, _megabytes), strict=True):
            known = [(row["batch"], value(row)) for row in points if value(row) is not None]
            if known:
                axis.plot(*zip(*known, strict=True), **look, label=label)
    memory = "memory, peak (MB)" if measured else "memory, state and kept (MB)"
    for axis, title in zip(axes, ("images a second", "one step (ms)", memory), strict=True):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted({row["batch"] for row in rows}))
        axis.xaxis.set_major_formatter("{x:g}")
        if axis is axes[0]:
            axis.set_ylim(bottom=0)
        else:
            _logarithmic(axis)
        axis.set_xlabel("images in a batch", fontsize=9)
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=9)
        axis.grid(alpha=0.25, which="both")
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def _logarithmic(axis: Axes) -> None:
    """Upwards, with plain numbers at the axis."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _rate(row: Mapping) -> float:
    return row["images_per_second"]


def _step(row: Mapping) -> float:
    return row["step_ms"]


def _megabytes(row: Mapping) -> float | None:
    peak, kept = row.get("peak_mb"), row.get("activation_mb")  # what is None, a table read back lacks
    return peak if peak is not None or kept is None else row["state_mb"] + kept


def _one_model(rows: Sequence[Mapping]) -> None:
    models = list(dict.fromkeys(row["model"] for row in rows))
    if len(models) > 1:
        raise NDICError(f"these are rows of {', '.join(models)}: draw one model at a time")


def memory_needed(rows: Sequence[Mapping], gigabytes: float) -> Figure:
    """What a training keeps in memory over the size of its batch, and about the largest batch that a memory could hold.

    A straight line through what was counted: the state does not depend on the batch, and each image keeps as much as
    any other. An estimate: the libraries' workspace, which was not counted, comes on top; gradients come only while
    what is kept goes, so that not all that was counted is there at once.

    Args:
        rows: from `training.throughput.throughput`, of one model, with `activation_mb`, which grows with
            the batch.
        gigabytes: of memory, in 10⁹ bytes.

    Raises:
        NDICError: no row tells `activation_mb`, it does not grow, or there are several models.
    """
    rows = [row for row in rows if row.get("activation_mb")]
    if not rows:
        raise NDICError("no row tells activation_mb: measure without compile")
    _one_model(rows)
    figure = Figure(figsize=(7.0, 3.3), layout="constrained")
    axis = figure.subplots()
    batches = [2**i for i in range(13)]
    for width, precision in dict.fromkeys((row["num_filters"], row["precision"]) for row in rows):
        points = [row for row in rows if (row["num_filters"], row["precision"]) == (width, precision)]
        first, last = (end(points, key=lambda row: row["batch"]) for end in (min, max))
        further = last["batch"] - first["batch"]
        each = (
            (last["activation_mb"] - first["activation_mb"]) / further
            if further
            else last["activation_mb"] / last["batch"]
        )
        if each <= 0:
            raise NDICError(
                f"activation_mb of {width} filters in {precision} does not grow with the batch: measure it again"
            )
        fixed = last["state_mb"] + last["activation_mb"] - last["batch"] * each
        colour, _ = _LOOKS[precision]
        most = max(0, int((1000 * gigabytes - fixed) / each))
        label = f"{width} filters, {precision}: {each:.1f} MB an image, about {most:,} fit"
        line = "-" if width == min(r["num_filters"] for r in rows) else "--"
        needed = [(fixed + batch * each) / 1000 for batch in batches]
        axis.plot(batches, needed, color=colour, linestyle=line, label=label)
    axis.axhline(gigabytes, color="black", linestyle=":", label=f"{gigabytes:g} GB")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(batches[::2])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("images in a batch")
    axis.set_ylabel("GB, state and kept")
    axis.set_title(f"memory that a training needs, and {gigabytes:g} GB", fontsize=10)
    axis.legend(fontsize=9, frameon=False)
    axis.grid(alpha=0.25)
    return figure


def training_cost(rows: Sequence[Mapping], model: str, images: float, price: float) -> Figure:
    """Hours, and what they cost, for so many images at measured rates; for other GPUs a range that is a guess.

    The guess lies between the first measured H100's hours (where the CPU that feeds the GPU is the limit, and is as
    fast) and those hours times the ratio of the two GPUs' published peaks, `PEAK_TFLOPS`. The latter is as if the H100
    had been busy all the time: it waited for most of it, so the far end is a pessimist's.

    Args:
        rows: measured: model, num_filters, batch, device, images_per_second.
        model: whose rows to show.
        images: to be seen in training, above 0.
        price: of an hour on a GPU, in any currency, 0 or more.

    Raises:
        NDICError: no row of that model, it has no style, or images and price are out of their ranges.
    """
    rows = [row for row in rows if row["model"] == model]
    if not rows or images <= 0 or price < 0:
        raise NDICError(f"a cost needs measured rates of {model!r}, images above 0 and a price of at least 0")
    bars = []
    for row in rows:
        what = f"{row['device']}, batch {row['batch']}, {row['num_filters']} filters"
        hours = images / row["images_per_second"] / 3600
        bars.append((what, hours, hours))
    known = next((row for row in rows if "H100" in row["device"]), None)
    for name, peak in PEAK_TFLOPS.items() if known else ():
        if name != "H100":
            hours = images / known["images_per_second"] / 3600
            bars.append((f"{name}, not measured: a guess", hours, hours * PEAK_TFLOPS["H100"] / peak))
    figure = Figure(figsize=(9.0, 1.1 + 0.42 * len(bars)), layout="constrained")
    axis = figure.subplots()
    colour, _ = model_style(model)
    for i, (what, low, high) in enumerate(bars):
        _mark(axis, i, low, high, price if "CPU" not in what else None, colour)
    axis.set_yticks(range(len(bars)), [what for what, _, _ in bars], fontsize=9)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xscale("log")
    axis.set_xlim(min(low for _, low, _ in bars) / 2, 8 * max(high for _, _, high in bars))
    axis.grid(alpha=0.25, axis="x")
    axis.xaxis.set_major_formatter("{x:g}")
    guesses = "\nhatched: from the H100's hours to those as if the H100 had been busy all the time" if known else ""
    axis.set_xlabel(f"hours, logarithmic{guesses}", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.set_title(f"{model}: {images:,.0f} images; {price:g} for an hour on a GPU", fontsize=10)
    return figure


def _mark(axis: Axes, place: int, low: float, high: float, price: float | None, colour: str) -> None:
    """A dot for what was measured, a hatched range for a guess."""
    guess = low != high
    if guess:
        axis.barh(place, high - low, left=low, height=0.5, color="white", edgecolor=colour, hatch="////")
    else:
        axis.plot(low, place, "o", color=colour, markersize=9)
    ends = (low, high) if guess else (low,)
    words = " to ".join(f"{hours:.2g}" for hours in ends) + " h"
    if price is not None:
        words += ", for " + " to ".join(f"{hours * price:.2g}" for hours in ends)
    axis.text(high * 1.15, place, words, va="center", fontsize=9)

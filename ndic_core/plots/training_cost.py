"""Training: images per second and memory over the batch size, and hours of a full training."""

from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndic_core.errors import NDICError, some
from ndic_core.plots import style

_DASHES = ("-", "--", ":")
_PRECISIONS = {"float32": (style.VERMILION, "s"), "bf16": (style.BLUE, "o")}


def speed_and_memory(rows: Sequence[Mapping], stored: Sequence[Mapping] = ()) -> Figure:
    """Images per second and memory over the batch size, on this device, and images per second on another one.

    Only measured points are drawn, and lines between them.

    Args:
        rows: from `training.throughput.throughput`, of one model. Each precision has a colour; more filters have
            other dashes; compiled steps have hollow markers.
        stored: from `training.throughput.stored_rates`, drawn in a third panel: those in bf16 of the device with the
            most measurements. Markers of trainings beside others are hollow.

    Returns:
        A figure. The memory is the peak where it was measured, otherwise the counted state (weights, gradients,
        optimizer) and activations. That is about what a training needs: gradients are allocated while activations are
        freed, and the libraries' workspace is not counted.

    Raises:
        NDICError: the rows are of several models.
    """
    models = list(dict.fromkeys(row["model"] for row in some(rows, "row")))
    if len(models) > 1:
        raise NDICError(f"these are rows of {', '.join(models)}: draw one model at a time")
    figure, axes = style.subplots((9.0, 3.7), columns=3 if stored else 2)
    widths = sorted({row["num_filters"] for row in rows})
    series: dict[tuple, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: row["batch"]):
        series.setdefault((row["num_filters"], row["precision"], row["compile"]), []).append(row)
    for (width, precision, compiled), points in series.items():
        colour, marker = _PRECISIONS[precision]
        look = dict(color=colour, marker=marker, linestyle=_DASHES[min(widths.index(width), 2)], markersize=5)
        if compiled:
            look["markerfacecolor"] = "none"
        words = f"{width} filters, {precision}{', compiled' * bool(compiled)}"
        batches = [row["batch"] for row in points]
        axes[0].plot(batches, [row["images_per_second"] for row in points], **look, label=words)
        known = [(row["batch"], memory_mb(row)) for row in points if memory_mb(row) is not None]
        if known:
            axes[1].plot(*zip(*known, strict=True), **look, label=words)
    measured = all(row.get("peak_mb") for row in rows)
    _finish(axes[0], f"{models[0]}: images per second\n{rows[0]['device']}")
    _finish(axes[1], f"memory, {'peak' if measured else 'state and activations'} (MB)\n{rows[0]['device']}")
    axes[1].set_xlim(left=0)
    look = dict(frameon=False, fontsize=9, handlelength=2.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", **look)
    if stored:
        _stored(axes[2], stored)
        figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower right", **look)
    return figure


def training_hours(estimates: Sequence[Mapping], images: float, price: float, currency: str, date: str) -> Figure:
    """Hours and cost of a training: dots where the rate was measured, bars where it is an estimate between two rates.

    Args:
        estimates: by row: label; low and high, images per second (equal where measured); gpu, whether hours cost the
            price.
        images: processed in the training, above 0.
        price: of an hour on a GPU.
        currency, date: of the price.

    Raises:
        NDICError: there is no estimate, or a rate is not above 0.
    """
    some(estimates, "estimate")
    if min(row["low"] for row in estimates) <= 0:
        raise NDICError("a rate is above 0: give images per second")
    figure, axis = style.subplots((9.0, 1.25 + 0.42 * len(estimates)))
    longest = 0.0
    for i, row in enumerate(estimates):
        hours = [images / row[end] / 3600 for end in ("high", "low")]
        longest = max(longest, hours[1])
        colour = style.BLUE if row["gpu"] else style.DARK_GREY
        if row["low"] == row["high"]:
            axis.plot(hours[0], i, "o", color=colour, markersize=9)
            hours = hours[:1]
        else:
            axis.barh(i, hours[1] - hours[0], left=hours[0], height=0.5, color="white", edgecolor=colour, hatch="////")
        words = _span(hours) + " h"
        if row["gpu"]:
            words += f", {_span([price * one for one in hours])} {currency}"
        axis.text(hours[-1] * 1.15, i, words, va="center", fontsize=9)
    axis.set_yticks(range(len(estimates)), [row["label"] for row in estimates], fontsize=9)
    axis.set_ylim(len(estimates) - 0.4, -0.6)
    axis.set_xscale("log")
    axis.set_xlim(images / max(row["high"] for row in estimates) / 3600 / 2, 12 * longest)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(alpha=0.25, axis="x")
    axis.tick_params(labelsize=9)
    note = f"{images:,.0f} images; {price:g} {currency} for an hour on a GPU ({date})"
    style.label(axis, note, "hours, logarithmic; dots: measured, hatched: estimated", fontsize=9)
    return figure


def memory_mb(row: Mapping) -> float | None:
    """Peak memory of a measurement, otherwise its counted state and activations, in MB."""
    peak, kept = row.get("peak_mb"), row.get("activation_mb")  # None, or absent from a table that was read back
    return peak if peak is not None or kept is None else row["state_mb"] + kept


def _stored(axis: Axes, rows: Sequence[Mapping]) -> None:
    """Images per second in bf16 on the device with the most measurements: a colour per model, dashes per width."""
    (device, _), *_ = Counter(row["device"] for row in rows).most_common()
    series: dict[tuple, list[Mapping]] = {}
    for row in sorted(rows, key=lambda row: (row["num_filters"], row["batch"])):
        if (row["device"], row.get("precision")) == (device, "bf16") and not row.get("compile"):
            series.setdefault((row["model"], row["num_filters"]), []).append(row)
    widths = sorted({width for _, width in series})
    for (model, width), points in series.items():
        colour, marker = style.MODEL_STYLE[model]
        line = widths.index(width)
        for alone, look in ((True, {}), (False, dict(markerfacecolor="white", linestyle="none"))):
            known = [(row["batch"], row["images_per_second"]) for row in points if (row.get("at_once") == 1) == alone]
            if known:
                look = dict(color=colour, marker=marker, linestyle=_DASHES[min(line, 2)]) | look
                axis.plot(*zip(*known, strict=True), **look, label=model if alone and not line else None)
    _finish(axis, f"images per second\n{device}")
    axis.set_xlabel(f"images per batch; {', dashed '.join(map(str, widths))} filters", fontsize=9)


def _finish(axis: Axes, title: str) -> None:
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    style.label(axis, title, "images per batch", fontsize=9, grid=True)
    axis.set_title(title, fontsize=9.5)
    axis.tick_params(labelsize=9)


def _span(values: Sequence[float]) -> str:
    return " to ".join(f"{value:,.0f}" if value >= 100 else f"{value:.2g}" for value in values)

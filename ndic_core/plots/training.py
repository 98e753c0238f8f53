"""Training: curves of runs over steps and epochs, paths of optimizers, and the stored comparison of optimizers."""

import re
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from ndic_core.errors import NDICError, some
from ndic_core.plots import style

RUNS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE)  # colours of runs in one figure
_CURVES = {  # by the key of a validation: title, whether the axis is logarithmic
    "val_loss": ("validation loss", True),
    "bpp": ("rate, estimated (bits per pixel)", False),
    "psnr": ("PSNR (dB)", False),
    "lr": ("learning rate", False),
}
_LARGEST_LOSS = 1e12  # of a run that diverges: what is beyond would hide everything below


def learning_curves(runs: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Validation loss, rate, quality and learning rate of several runs over their epochs, a panel for each.

    Args:
        runs: by name, at most four: a dict per validation, as in `Trained.history` or read from event files: epoch, lr,
            val_loss, bpp (estimated), psnr.

    Raises:
        NDICError: there is no run, there are too many, or one has no validation.
    """
    if not runs or len(runs) > len(RUNS):
        raise NDICError(f"learning curves are of one to {len(RUNS)} runs, not {len(runs)}: leave some out")
    figure, axes = style.subplots((9.0, 5.2), 2, 2, sharex=True)
    for axis, (key, (title, logarithmic)) in zip(axes.flat, _CURVES.items(), strict=True):
        for colour, (name, history) in zip(RUNS, runs.items(), strict=False):
            some(history, f"validation in the run {name}")
            epochs, values = (style.values([row[k] for row in history], torch.float64) for k in ("epoch", key))
            axis.plot(epochs, values, color=colour, marker="o", markersize=3, label=name)
        if logarithmic:
            _log_y_axis(axis, few=True)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        style.label(axis, title, grid=True)
    for axis in axes[1]:
        axis.set_xlabel("epoch")
    axes[0, 0].legend(frameon=False)
    return figure


def short_runs(
    runs: Mapping[str, Sequence[Mapping]], reference: Sequence[Mapping] = (), columns: int = 2, limit: float = 0
) -> Figure:
    """Loss of short runs over the steps, a panel for each: training in blue, validation in vermilion.

    A run that ends because its loss is no longer finite is marked by a cross at its last step.

    Args:
        runs: by title: a dict per step with `loss`, and `val_loss` where the step was followed by a validation.
        reference: another run, whose validation is drawn in grey in every panel.
        columns: of the grid.
        limit: steps on the axis, where runs have ended earlier; 0 for those of the longest run.

    Raises:
        NDICError: there is no run, or one has no step.
    """
    some(runs, "run")
    rows = -(-len(runs) // columns)
    figure, axes = style.subplots((max(7.0, 4.5 * columns), 2.5 * rows + 0.3), rows, columns, squeeze=False)
    end = max([limit, len(reference), *(len(some(rows, f"step in the run {name}")) for name, rows in runs.items())])
    for axis in axes.flat[len(runs) :]:
        axis.set_axis_off()
    for axis, (name, steps) in zip(axes.flat, runs.items(), strict=False):
        losses = style.values([row["loss"] for row in steps], torch.float64)
        shown = losses.nan_to_num(_LARGEST_LOSS).clamp(max=_LARGEST_LOSS)
        if len(reference):
            axis.plot(*_validations(reference), color=style.GREY, linewidth=4, alpha=0.5, label="healthy, validation")
        axis.plot(range(1, len(shown) + 1), shown, color=style.BLUE, linewidth=1, label="training")
        axis.plot(*_validations(steps), color=style.VERMILION, marker="o", markersize=4, label="validation")
        if not losses.isfinite().all():
            axis.plot(
                len(shown), shown[-1], "x", color=style.BLACK, markersize=9, markeredgewidth=2, label="not finite"
            )
        _log_y_axis(axis, few=True)
        axis.set_xlim(0, end + 1)
        style.label(axis, name, "step", "loss, logarithmic", fontsize=9, grid=True)
        axis.tick_params(labelsize=9)
    handles = {
        text: handle for axis in axes.flat for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def valley_paths(valley: Mapping[str, Tensor], paths: Mapping[str, Tensor]) -> Figure:
    """Paths of an optimizer in narrow valleys of a loss, from the dot to the minimum in the centre.

    Args:
        valley: the matrix H (2, 2) of the loss ½ w H wᵀ, by title.
        paths: the weights (steps, 2) or (steps, 1, 2), by the same titles.

    Raises:
        NDICError: there is no path, or the titles differ.
    """
    if not paths or set(paths) != set(valley):
        raise NDICError("every path needs its valley: give both under the same titles")
    figure, axes = style.subplots((3.0 * len(paths), 3.3), columns=len(paths), squeeze=False)
    paths = {name: style.values(path).reshape(-1, 2) for name, path in paths.items()}
    low = min(0.0, *(path.min().item() for path in paths.values()))
    high = max(0.0, *(path.max().item() for path in paths.values()))
    margin = 0.15 * (high - low)
    grid = torch.linspace(low - margin, high + margin, 121)
    first, second = torch.meshgrid(grid, grid, indexing="xy")
    places = torch.stack([first, second], -1)
    for axis, (name, path) in zip(axes[0], paths.items(), strict=True):
        loss = ((places @ style.values(valley[name])) * places).sum(-1) / 2
        levels = loss.max().item() * 10 ** torch.linspace(-3.2, -0.2, 7).numpy()
        axis.contour(grid, grid, loss, levels, colors=style.GREY, linewidths=0.8)
        axis.plot(path[:, 0], path[:, 1], color=style.BLUE, marker=".", markersize=4, linewidth=1)
        axis.plot(*path[0], "o", color=style.BLUE, markersize=8)
        axis.plot(0, 0, "+", color=style.VERMILION, markersize=13, markeredgewidth=2.5)
        axis.set_aspect("equal")
        style.label(axis, name, "first weight", "second weight" * (axis is axes[0, 0]), fontsize=9)
        axis.tick_params(labelsize=8)
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


def optimizer_costs(rows: Sequence[Mapping], model: str) -> Figure:
    """Cost of stored trainings that compare optimizers: whole recipes over their steps, and learning rates.

    Args:
        rows: of `benchmarks/results/optimizers.csv`; the groups "recipe" and "optimizer" are drawn.
        model: whose rows to draw.

    Raises:
        NDICError: there is no row of a recipe of this model.
    """
    of_model = [row for row in rows if row["model"] == model]
    groups = {group: [row for row in of_model if row["group"] == group] for group in ("recipe", "optimizer")}
    if not groups["recipe"]:
        raise NDICError(f"no recipe of {model!r} was compared: choose another model, or run benchmarks/optimizers.py")
    groups = {group: found for group, found in groups.items() if found}
    figure, axes = style.subplots((9.0, 3.5), columns=len(groups), squeeze=False)
    for axis, (group, found) in zip(axes[0], groups.items(), strict=True):
        value = (lambda row: row["steps"]) if group == "recipe" else learning_rate
        for name, colour, marker in (("soap", style.BLUE, "o"), ("adam", style.VERMILION, "s")):
            points = sorted((value(row), row["val_loss"]) for row in found if f"optimizer {name}," in row["settings"])
            if points:
                line = "none" if group == "recipe" else "-"
                look = dict(color=colour, marker=marker, linestyle=line)
                axis.plot(*zip(*points, strict=True), **look, label={"soap": "SOAP", "adam": "Adam"}[name])
        if group == "recipe":
            axis.set_xlim(0, 1.1 * max(map(value, found)))
            style.label(axis, "two recipes, a point per seed", "steps", "cost after training", grid=True)
        else:
            axis.set_xscale("log")
            axis.set_xticks(sorted(set(map(value, found))))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
            title = f"{found[0]['steps']} steps, other learning rates"
            style.label(axis, title, "learning rate, logarithmic", "cost after training", grid=True)
        axis.set_ylim(0, 1.1 * max(row["val_loss"] for row in found))
        axis.legend(frameon=False, loc="lower right" if group == "recipe" else "upper right")
    return figure


def learning_rate(row: Mapping) -> float:
    """The learning rate in the `settings` of a stored training.

    Example:
        >>> learning_rate({"settings": "optimizer soap, lr 0.01, epochs 2"})
        0.01
    """
    return float(re.search(r"\blr ([\d.e-]+)", row["settings"])[1])


def _validations(steps: Sequence[Mapping]) -> tuple[list[int], list[float]]:
    """Steps that were followed by a validation, and its loss, cut at the largest loss that is drawn."""
    known = [(i, row["val_loss"]) for i, row in enumerate(steps, 1) if row.get("val_loss") is not None]
    losses = style.values([loss for _, loss in known], torch.float64).nan_to_num(_LARGEST_LOSS)
    return [i for i, _ in known], losses.clamp(max=_LARGEST_LOSS).tolist()


def _log_y_axis(axis: Axes, few: bool = False) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times each power of ten; `few`: fewer over a wide range."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    wide = few and high > 1e3 * low
    axis.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=7 if wide else "auto"))
    if not wide:
        axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())

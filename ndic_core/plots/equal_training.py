"""Variants of one model after equal training: the difference in bits of each seed."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ndic_core.errors import NDICError, some
from ndic_core.plots import style


def seed_differences(panels: Mapping[str, Mapping[str, Sequence[float]]], base: str) -> Figure:
    """BD-rates of variants against one model: a dot for each seed, a bar to their mean.

    Args:
        panels: by title: the BD-rates in percent by variant, a number for each seed. A variant that is a model has the
            model's colour.
        base: name of the model that they are compared with.

    Raises:
        NDICError: there is no panel or no variant, or the panels have different variants.
    """
    names = list(some(next(iter(some(panels.values(), "panel"))), "variant"))
    if any(list(rates) != names for rates in panels.values()):
        raise NDICError("the panels have different variants: give the same ones, in the same order")
    figure, axes = style.subplots((9.0, 1.1 + 0.34 * len(names)), columns=len(panels), sharey=True, squeeze=False)
    for axis, (title, rates) in zip(axes[0], panels.items(), strict=True):
        for i, name in enumerate(names):
            values = [style.one_number(value, name) for value in some(rates[name], f"seed of {name}")]
            colour = style.MODEL_STYLE[name][0] if name in style.MODEL_STYLE else style.GREY
            mean = sum(values) / len(values)
            axis.barh(i, mean, 0.62, color=colour, alpha=0.55, linewidth=0)
            axis.plot(values, [i] * len(values), "o", color=style.BLACK, markersize=4.5)
        axis.axvline(0, color=style.BLACK, linewidth=0.8)
        axis.grid(axis="x", alpha=0.25)
        axis.set_axisbelow(True)
        style.label(axis, title, f"BD-rate against {base}, %", fontsize=10)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    return figure

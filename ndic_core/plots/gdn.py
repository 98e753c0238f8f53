"""What divisive normalisation does to two channels: data in, matplotlib Figure out."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError

_BEFORE, _AFTER = "#D55E00", "#0072B2"  # Okabe–Ito vermilion and blue
_REACH = 4.0  # standard deviations shown to either side
_COLUMNS = 33
_FEWEST = 30  # responses in a column, below which its spread says little


def bow_ties(before: Tensor, after: Tensor) -> Figure:
    """How the spread of one channel depends on another, before and after normalisation, and how heavy its tails are.

    Conditional histograms as in Schwartz & Simoncelli 2001, "Natural signal statistics and sensory gain control",
    Nature Neuroscience 4(8), figure 2: each column is scaled to its own largest count. All responses are shown in
    units of their channel's standard deviation, around its mean.

    Args:
        before: responses of two channels at the same places, (2, n).
        after: what normalisation made of them, likewise.

    Returns:
        A figure of three panels: the second channel's histogram for every response of the first, before and after,
        with its standard deviation column by column, and in the title how many times as large that is where the first
        is beyond 1.5 as within 0.5; and the distributions of the second channel beside a Gaussian.

    Raises:
        NDICError: not two channels, or a channel that is constant.
    """
    figure = Figure(figsize=(10.0, 3.5), layout="constrained")
    axes = figure.subplots(1, 3)
    stages = (("before GDN", before, _BEFORE), ("after GDN", after, _AFTER))
    for axis, (title, pair, colour) in zip(axes, stages, strict=False):
        first, second = _standardised(pair)
        spread = _conditional_histogram(axis, first, second)
        axis.set_title(f"{title}: spread ×{spread:.1f}", fontsize=10)
        axis.set_xlabel("one channel, in standard deviations", fontsize=10)
        axes[2].stairs(*_density(second), color=colour, label=title, linewidth=1.6)
    axes[0].set_ylabel("the other, likewise", fontsize=10)
    grid = np.linspace(-6, 6, 241)
    gaussian = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    axes[2].plot(grid, gaussian, color="black", linestyle=":", label="Gaussian")
    axes[2].set_yscale("log")
    axes[2].set_ylim(1e-4, 4)
    axes[2].set_xlabel("the other, in standard deviations", fontsize=10)
    axes[2].set_ylabel("density, logarithmic", fontsize=10)
    axes[2].set_title("the other's tails", fontsize=10)
    axes[2].legend(fontsize=9, frameon=False, loc="upper right")
    return figure


def _standardised(pair: Tensor) -> Tensor:
    if pair.ndim != 2 or len(pair) != 2:
        raise NDICError(f"responses of two channels have shape (2, n), not {tuple(pair.shape)}")
    pair = pair.detach().cpu().double()
    deviation = pair.std(1, keepdim=True)
    if not bool((deviation > 0).all()):
        raise NDICError("a channel that always responds alike has no spread to show: choose another")
    return (pair - pair.mean(1, keepdim=True)) / deviation


def _conditional_histogram(axis, first: Tensor, second: Tensor) -> float:
    """Draw it; return how many times as large the spread is at the sides as in the middle."""
    edges = torch.linspace(-_REACH, _REACH, _COLUMNS + 1, dtype=torch.float64)
    counts, _ = torch.histogramdd(torch.stack([second, first], 1), [edges, edges])
    shown = counts / counts.amax(0, keepdim=True).clamp(min=1)
    box = (-_REACH, _REACH, -_REACH, _REACH)
    axis.imshow(shown.numpy(), origin="lower", extent=box, cmap="gray", interpolation="none", aspect="equal")
    middles, column = (edges[1:] + edges[:-1]) / 2, torch.bucketize(first, edges[1:-1])
    deviations = torch.full((_COLUMNS,), torch.nan, dtype=torch.float64)
    for i in range(_COLUMNS):
        if len(inside := second[column == i]) >= _FEWEST:
            deviations[i] = inside.std()
    for sign in (1, -1):
        axis.plot(middles.numpy(), sign * deviations.numpy(), color="#E69F00", linewidth=2)
    return _spread(first, second)


def _spread(first: Tensor, second: Tensor) -> float:
    """The second's standard deviation where the first is large (beyond 1.5), over that where it is small (within 0.5).

    NaN where there are too few of either.
    """
    sides, middle = second[first.abs() > 1.5], second[first.abs() < 0.5]
    return (sides.std() / middle.std()).item() if min(len(sides), len(middle)) >= _FEWEST else float("nan")


def _density(responses: Tensor) -> tuple[np.ndarray, np.ndarray]:
    counts, edges = np.histogram(responses.numpy(), np.linspace(-6, 6, 61))
    return counts / len(responses) / (edges[1] - edges[0]), edges

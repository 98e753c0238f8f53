"""GDN and the factorised entropy model: joint histograms, learned densities, quantisation."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, whole_number
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.plots import style

_REACH = 4.0  # standard deviations shown on either side
_COLUMNS = 33
_FEWEST = 30  # responses in a column, below which its standard deviation is not drawn


def bow_ties(before: Tensor, after: Tensor) -> Figure:
    """Conditional histograms of two channels before and after GDN, and the marginal distributions.

    As in Schwartz & Simoncelli 2001, "Natural signal statistics and sensory gain control", Nature Neuroscience 4(8),
    figure 2: each column is scaled to its own largest count; responses are in standard deviations from the mean.

    Args:
        before: responses of two channels at the same positions, (2, n).
        after: the same after normalisation.

    Returns:
        A figure of three panels: the second channel's histogram for every response of the first, before and after,
        with its standard deviation column by column; the title has the ratio of the standard deviation where the first
        is beyond 1.5 to that where it is within 0.5. Then the distributions of the second channel beside a Gaussian.

    Raises:
        NDICError: a channel is constant.
    """
    figure, axes = style.subplots((10.0, 3.5), columns=3)
    stages = (("before GDN", before, style.VERMILION), ("after GDN", after, style.BLUE))
    for axis, (title, pair, colour) in zip(axes, stages, strict=False):
        first, second = _standardised(pair)
        _conditional_histogram(axis, first, second)
        words = f"{title}: spread ×{_spread(first, second):.1f}"
        style.label(axis, words, "one channel, in standard deviations", fontsize=10)
        density, edges = np.histogram(second.numpy(), np.linspace(-6, 6, 61))
        axes[2].stairs(density / len(second) / np.diff(edges), edges, color=colour, label=title, linewidth=1.6)
    axes[0].set_ylabel("the other, likewise", fontsize=10)
    grid = np.linspace(-6, 6, 241)
    axes[2].plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=style.BLACK, linestyle=":", label="Gaussian")
    axes[2].set(yscale="log", ylim=(1e-4, 4))
    style.label(axes[2], "tails of the other", "the other, in standard deviations", "density, logarithmic", fontsize=10)
    axes[2].legend(fontsize=9, frameon=False, loc="upper right")
    return figure


def _standardised(pair: Tensor) -> Tensor:
    pair = style.values(pair, torch.float64)
    deviation = pair.std(1, keepdim=True)
    if not (deviation > 0).all():
        raise NDICError("a channel with constant responses has no spread: choose another channel")
    return (pair - pair.mean(1, keepdim=True)) / deviation


def _conditional_histogram(axis: Axes, first: Tensor, second: Tensor) -> None:
    edges = torch.linspace(-_REACH, _REACH, _COLUMNS + 1, dtype=torch.float64)
    counts, _ = torch.histogramdd(torch.stack([second, first], 1), [edges, edges])
    shown = counts / counts.amax(0, keepdim=True).clamp(min=1)
    box = (-_REACH, _REACH, -_REACH, _REACH)
    axis.imshow(shown.numpy(), origin="lower", extent=box, cmap="gray", interpolation="none", aspect="equal")
    middles, column = (edges[1:] + edges[:-1]) / 2, torch.bucketize(first, edges[1:-1])
    columns = [second[column == i] for i in range(_COLUMNS)]
    deviations = np.array([inside.std().item() if len(inside) >= _FEWEST else np.nan for inside in columns])
    for sign in (1, -1):
        axis.plot(middles.numpy(), sign * deviations, color=style.ORANGE, linewidth=2)


def _spread(first: Tensor, second: Tensor) -> float:
    """Ratio of the second's standard deviations where the first is beyond 1.5 and within 0.5; NaN if too few."""
    sides, middle = second[first.abs() > 1.5], second[first.abs() < 0.5]
    return (sides.std() / middle.std()).item() if min(len(sides), len(middle)) >= _FEWEST else float("nan")


def bits_per_channel(bits: Tensor) -> Figure:
    """Bits of each latent channel in descending order, and their cumulative share.

    Args:
        bits: (C,), estimated bits of an image in each channel.
    """
    ordered = style.values(bits).sort(descending=True).values.numpy()
    rank = np.arange(1, len(ordered) + 1)
    figure, (bars, shares) = style.subplots((9.0, 3.0), columns=2)
    bars.bar(rank, ordered, color=style.BLUE, width=0.8)
    shares.plot(rank, 100 * ordered.cumsum() / ordered.sum(), color=style.BLUE, marker=".")
    for share in (50, 90):
        shares.axhline(share, color=style.BLACK, linestyle=":", linewidth=1)
    shares.set_ylim(0, 103)
    bars.set(xlabel="channel, by rank", ylabel="bits of an image, estimated", xlim=(0, len(rank) + 1))
    shares.set(xlabel="number of channels, most expensive first", ylabel="% of all bits", xlim=(0, len(rank) + 1))
    return figure


def latent_density(prior: FactorizedPrior, h_hat: Tensor, channel: int, gain: Tensor | None = None) -> Figure:
    """Learned density of one channel over the histogram of its rounded latents.

    Args:
        prior: of C channels.
        h_hat: rounded latents of one rate, (B, C, h, w).
        channel: 0 to C − 1.
        gain: (C,), of that rate.

    Returns:
        A figure of two panels, the same on a linear and a logarithmic axis. The title has the bits per image
        (estimated) and the entropy of the histogram.

    Raises:
        NDICError: there is no such channel.
    """
    h_hat = style.values(h_hat)
    latents = h_hat[:, whole_number(channel, "channel", 0, h_hat.shape[1] - 1)].flatten()
    gain = None if gain is None else style.values(gain)
    low, high = (int(end) for end in (latents.min() - 2, latents.max() + 2))
    integers = torch.arange(low, high + 1)
    share = torch.stack([(latents == k).float().mean() for k in integers])
    grid = torch.linspace(low - 0.5, high + 0.5, 40 * len(integers) + 1)
    curve, dots = (style.values(prior.probabilities(values, gain))[channel] for values in (grid, integers))
    per_symbol = -(share * dots.log2()).sum()
    entropy = -torch.special.xlogy(share, share).sum() / np.log(2)
    symbols = latents.numel() / len(h_hat)

    figure, axes = style.subplots((9.5, 3.3), columns=2)
    for axis, scale in zip(axes, ("linear", "log"), strict=True):
        axis.bar(integers.numpy(), share.numpy(), width=0.85, color=style.GREY, label="rounded latents, share")
        axis.plot(grid, curve, color=style.VERMILION, label="learned density, with noise")
        axis.plot(integers, dots, "o", color=style.VERMILION, markersize=4.5, label="probability of the integer")
        axis.set(xlim=(low - 0.5, high + 0.5), xlabel="value", yscale=scale)
    top = 1.45 * max(share.max(), curve.max()).item()  # room for the legend
    axes[0].set(ylabel="share, probability", ylim=(0, top))
    axes[0].legend(fontsize=8, frameon=False, loc="upper right")
    axes[1].set(ylabel="the same, logarithmic", ylim=(1e-5, None))
    bits = f"{symbols * per_symbol:.0f} bits per image (estimated), {symbols * entropy:.0f} by the histogram's entropy"
    figure.suptitle(f"channel {channel}: {bits}", fontsize=10)
    return figure


def rounding_and_noise(prior: FactorizedPrior, channel: int, gain: Tensor | None = None) -> Figure:
    """Bits and squared error of a latent over its value: rounded, with a sample of uniform noise, and their mean.

    Arguments as in `latent_density`.
    """
    gain = None if gain is None else style.values(gain)
    h = torch.linspace(-4, 4, 801)
    noise = torch.linspace(-0.5, 0.5, 102)[:-1] + 0.5 / 101  # midpoints
    sample = torch.rand(len(h), generator=torch.Generator().manual_seed(0)) - 0.5

    def bits(values: Tensor) -> Tensor:
        found = style.values(prior.probabilities(values.flatten(), gain))
        return -found[whole_number(channel, "channel", 0, len(found) - 1)].log2().reshape(values.shape)

    panels = {
        "bits, $-\\log_2 p$": (bits(h.round()), bits(h + sample), bits(h[:, None] + noise).mean(1)),
        "squared error, $(\\hat h - h)^2$": ((h.round() - h) ** 2, sample**2, (noise**2).mean().expand(len(h))),
    }
    figure, axes = style.subplots((9.5, 3.3), columns=2)
    for axis, (words, (rounded, noisy, mean)) in zip(axes, panels.items(), strict=True):
        axis.plot(h, noisy, ".", color=style.SKY, markersize=2.5, label="with one sample of noise")
        axis.plot(h, rounded, color=style.VERMILION, label="rounded")
        axis.plot(h, mean, color=style.BLUE, label="mean over the noise")
        top = 1.35 * max(rounded.max(), noisy.max()).item()
        axis.set(xlabel="latent h, before quantisation", ylabel=words, ylim=(0, top))
    axes[0].legend(fontsize=9, frameon=False, loc="upper center", ncols=3, markerscale=3, columnspacing=0.8)
    return figure

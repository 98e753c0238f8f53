"""GDN and the factorised entropy model: joint histograms, learned densities, quantisation."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, whole_number
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.plots import style

_REACH = 3.0  # standard deviations shown on either side
_COLUMNS = 25
_FEWEST = 60  # responses in a column, below which it is left grey


def bow_ties(before: Tensor, after: Tensor) -> Figure:
    """Conditional histograms of two channels before and after GDN.

    As in Schwartz & Simoncelli 2001, "Natural signal statistics and sensory gain control", Nature Neuroscience 4(8),
    figure 2: each column is scaled to its own largest count; responses are in standard deviations from the mean.

    Args:
        before: responses of two channels at the same positions, (2, n).
        after: the same after normalisation.

    Returns:
        A figure of two panels: the second channel's histogram for every response of the first, before and after, with
        its standard deviation column by column; columns with few responses are left grey. The title has the ratio of
        the standard deviation where the first is beyond 1.5 to that where it is within 0.5.

    Raises:
        NDICError: a channel is constant.
    """
    figure, axes = style.subplots((9.0, 4.3), columns=2, sharey=True)
    for axis, (title, pair) in zip(axes, {"before GDN": before, "after GDN": after}.items(), strict=True):
        first, second = _standardised(pair)
        _conditional_histogram(axis, first, second)
        words = f"{title}: spread ×{_spread(first, second):.1f} at the sides"
        style.label(axis, words, "first channel, in standard deviations")
    axes[0].set_ylabel("second channel, in standard deviations")
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
    middles, column = (edges[1:] + edges[:-1]) / 2, torch.bucketize(first, edges[1:-1])
    columns = [second[(column == i) & (first.abs() <= _REACH)] for i in range(_COLUMNS)]
    full = torch.tensor([len(inside) >= _FEWEST for inside in columns])
    shown = torch.where(full, counts / counts.amax(0, keepdim=True).clamp(min=1), torch.nan)
    box = (-_REACH, _REACH, -_REACH, _REACH)
    axis.imshow(shown.numpy(), origin="lower", extent=box, cmap="gray", interpolation="none", aspect="equal")
    axis.set_facecolor("#DDDDDD")
    deviations = np.array(
        [inside.std().item() if enough else np.nan for inside, enough in zip(columns, full, strict=True)]
    )
    for sign in (1, -1):
        axis.plot(middles.numpy(), sign * deviations, color=style.ORANGE, linewidth=2.5)


def _spread(first: Tensor, second: Tensor) -> float:
    """Ratio of the second's standard deviations where the first is beyond 1.5 and within 0.5; NaN if too few."""
    sides, middle = second[first.abs() > 1.5], second[first.abs() < 0.5]
    return (sides.std() / middle.std()).item() if min(len(sides), len(middle)) >= _FEWEST else float("nan")


def channels_by_rank(
    prior: FactorizedPrior, h_hat: Tensor, bits: Tensor, ranks: Sequence[int], gain: Tensor | None = None
) -> Figure:
    """Bits of all channels in descending order, and the densities of some of them.

    Args:
        prior: of C channels.
        h_hat: rounded latents of one rate, (B, C, h, w).
        bits: (C,), estimated bits of an image in each channel.
        ranks: three of them, 1 for the most expensive channel to C.
        gain: (C,), of that rate.

    Returns:
        A figure of four panels: the bars, those of the chosen ranks in colour, and for each chosen rank the histogram
        of its rounded latents with the learned probabilities, see `latent_density`.

    Raises:
        NDICError: there are not three ranks, or there is no such rank.
    """
    bits = style.values(bits)
    if len(ranks) != 3:
        raise NDICError(f"this figure shows three ranks, not {len(ranks)}: give three of 1 to {len(bits)}")
    ranks = [whole_number(rank, "rank", 1, len(bits)) for rank in ranks]
    order = bits.argsort(descending=True)
    figure, axes = style.subplots((9.0, 5.2), 2, 2)
    bars, *panels = axes.flat
    colours = (style.BLUE, style.GREEN, style.BLACK)
    by_rank = dict(zip(ranks, colours, strict=True))
    look = [by_rank.get(rank, "#BBBBBB") for rank in range(1, len(bits) + 1)]
    bars.bar(range(1, len(bits) + 1), bits[order].numpy(), color=look, width=0.85)
    style.label(bars, "bits of an image, estimated", "channel, by rank in bits")
    bars.set_xlim(0, len(bits) + 1)
    for rank, colour, axis in zip(ranks, colours, panels, strict=True):
        channel = order[rank - 1].item()
        found = _Density(prior, h_hat, channel, gain)
        found.draw(axis, dots=False)
        axis.set_title(f"rank {rank}: {style.number(found.bits, '.0f')} bits", fontsize=10, color=colour)
        axis.set(xlabel="value", ylabel="share", ylim=(0, 1.1 * found.top))
    panels[0].set_ylim(0, 1.45 * panels[0].get_ylim()[1])  # room for the legend
    panels[0].legend(fontsize=9, frameon=False, loc="upper right")
    return figure


class _Density:
    """One channel's histogram and its learned density, of rounded latents (B, C, h, w)."""

    def __init__(self, prior: FactorizedPrior, h_hat: Tensor, channel: int, gain: Tensor | None):
        h_hat = style.values(h_hat)
        latents = h_hat[:, whole_number(channel, "channel", 0, h_hat.shape[1] - 1)].flatten()
        gain = None if gain is None else style.values(gain)
        self.ends = tuple(int(end) for end in (latents.min() - 2, latents.max() + 2))
        self.integers = torch.arange(self.ends[0], self.ends[1] + 1)
        self.share = torch.stack([(latents == k).float().mean() for k in self.integers])
        self.grid = torch.linspace(self.ends[0] - 0.5, self.ends[1] + 0.5, 40 * len(self.integers) + 1)
        self.curve, self.dots = (
            style.values(prior.probabilities(values, gain))[channel] for values in (self.grid, self.integers)
        )
        symbols = latents.numel() / len(h_hat)
        self.bits = symbols * -(self.share * self.dots.log2()).sum().item()  # per image
        self.entropy = symbols * -torch.special.xlogy(self.share, self.share).sum().item() / np.log(2)
        self.top = max(self.share.max(), self.curve.max()).item()

    def draw(self, axis: Axes, dots: bool = True) -> None:
        axis.bar(
            self.integers.numpy(), self.share.numpy(), width=0.85, color=style.GREY, label="rounded latents, share"
        )
        axis.plot(self.grid, self.curve, color=style.VERMILION, label="learned density")
        if dots:
            words = "probability of the integer"
            axis.plot(self.integers, self.dots, "o", color=style.VERMILION, markersize=4.5, label=words)
        axis.set_xlim(self.ends[0] - 0.5, self.ends[1] + 0.5)


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
    found = _Density(prior, h_hat, channel, gain)
    figure, axes = style.subplots((9.0, 3.4), columns=2)
    for axis, scale in zip(axes, ("linear", "log"), strict=True):
        found.draw(axis)
        axis.set(xlabel="value", yscale=scale)
    axes[0].set(ylabel="share, probability", ylim=(0, 1.45 * found.top))  # room for the legend
    axes[0].legend(fontsize=9, frameon=False, loc="upper right")
    axes[1].set(ylabel="the same, logarithmic", ylim=(1e-5, None))
    bits, entropy = (style.number(value, ".0f") for value in (found.bits, found.entropy))
    words = f"channel {channel}: {bits} bits per image (estimated), {entropy} by the histogram's entropy"
    figure.suptitle(words, fontsize=10)
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
    figure, axes = style.subplots((9.0, 3.7), columns=2)
    for axis, (words, (rounded, noisy, mean)) in zip(axes, panels.items(), strict=True):
        axis.plot(h, noisy, ".", color=style.SKY, markersize=2.5, label="with one sample of noise")
        axis.plot(h, rounded, color=style.VERMILION, label="rounded")
        axis.plot(h, mean, color=style.BLUE, label="mean over the noise")
        axis.set(xlabel="latent h, before quantisation", ylabel=words, ylim=(0, None))
    look = dict(loc="outside upper center", ncols=3, fontsize=10, frameon=False, markerscale=3)
    figure.legend(*axes[0].get_legend_handles_labels(), **look)
    return figure

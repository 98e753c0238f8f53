"""A factorised prior beside the latents it is for: data in, matplotlib Figure out."""

import copy

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.entropy_models import FactorizedPrior

_LEARNED, _SEEN, _NOISE = "#D55E00", "#999999", "#0072B2"  # Okabe–Ito vermilion and blue; grey
_MARGIN = 2  # integers shown beyond the outermost latent


@torch.no_grad()
def probabilities(prior: FactorizedPrior, values: Tensor, gain: Tensor | None = None) -> Tensor:
    """What every channel's learned density gives the interval of length 1 around each value.

    At an integer this is the probability of that rounded latent; read as a function of all real values it is the
    density of the latent with uniform noise added (Ballé et al. 2017, arXiv 1611.01704, section 3): one
    function serves both.

    Args:
        prior: of C channels.
        values: (n,).
        gain: (C,), of one rate of variable-rate weights.

    Returns:
        (C, n), at least 1e-9.

    Example:
        >>> p = probabilities(FactorizedPrior(2), torch.arange(-200, 201))
        >>> p.shape, [round(total, 3) for total in p.sum(1).tolist()]
        (torch.Size([2, 401]), [1.0, 1.0])
    """
    as_they_stand = copy.deepcopy(prior)
    as_they_stand.transmitted = False  # nothing is rounded
    device = next(prior.parameters()).device
    h = values.to(device, torch.float32).expand(1, prior.channels, 1, -1)
    _, (p,) = as_they_stand(h, None if gain is None else gain.reshape(1, -1))
    return p[0, :, 0].cpu()


def bits_per_channel(bits: Tensor) -> Figure:
    """Which channels carry the bits, from the dearest to those that are silent.

    Args:
        bits: (C,), what each channel takes of a picture, estimated.

    Returns:
        A figure: bars in falling order, and the share of all bits that so many channels carry.

    Raises:
        NDICError: no channel, or no bits at all.
    """
    if bits.ndim != 1 or not bool(bits.sum() > 0):
        raise NDICError("give the bits of each channel, (C,), not all of them 0")
    ordered = bits.detach().cpu().sort(descending=True).values
    rank = torch.arange(1, len(ordered) + 1)
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    bars, shares = figure.subplots(1, 2)
    bars.bar(rank.numpy(), ordered.numpy(), color=_NOISE, width=0.8)
    bars.set_ylabel("bits of a picture, estimated")
    shares.plot(rank.numpy(), (100 * ordered.cumsum(0) / ordered.sum()).numpy(), color=_NOISE, marker=".")
    for share in (50, 90):
        shares.axhline(share, color="black", linestyle=":", linewidth=1)
    shares.set_ylim(0, 103)
    shares.set_ylabel("% of all bits")
    for axis, label in ((bars, "channel, by rank"), (shares, "so many channels, the dearest first")):
        axis.set_xlim(0, len(ordered) + 1)
        axis.set_xlabel(label)
    return figure


def latent_density(prior: FactorizedPrior, h_hat: Tensor, channel: int, gain: Tensor | None = None) -> Figure:
    """One channel's learned density over the histogram of latents that were really rounded.

    Args:
        prior: of C channels.
        h_hat: rounded latents of one rate, (B, C, h, w).
        channel: 0 to C − 1.
        gain: (C,), of that rate.

    Returns:
        A figure of two panels, the same on a linear and a logarithmic axis: bars, the share of each integer among the
        latents; a curve, the density of the latent with noise; dots, the probability that the coder gives each integer.
        The title tells the bits per picture (estimated) and what the histogram itself would need.

    Raises:
        NDICError: there is no such channel.
    """
    if not 0 <= channel < h_hat.shape[1]:
        raise NDICError(f"these latents have channels 0 to {h_hat.shape[1] - 1}, none is {channel}")
    latents = h_hat[:, channel].detach().cpu().flatten()
    low, high = (int(end) for end in (latents.min() - _MARGIN, latents.max() + _MARGIN))
    integers = torch.arange(low, high + 1)
    share = torch.stack([(latents == k).float().mean() for k in integers])
    grid = torch.linspace(low - 0.5, high + 0.5, 40 * len(integers) + 1)
    curve, dots = (probabilities(prior, values, gain)[channel] for values in (grid, integers))
    per_symbol = -(share * dots.log2()).sum()
    entropy = -torch.special.xlogy(share, share).sum() / torch.log(torch.tensor(2.0))
    symbols = latents.numel() / len(h_hat)

    top = max(share.max(), curve.max()).item()
    integers, grid, share, curve, dots = (values.numpy() for values in (integers, grid, share, curve, dots))
    figure = Figure(figsize=(9.5, 3.3), layout="constrained")
    for axis, scale in zip(figure.subplots(1, 2), ("linear", "log"), strict=True):
        axis.bar(integers, share, width=0.85, color=_SEEN, label="rounded latents, share")
        axis.plot(grid, curve, color=_LEARNED, label="learned density, with noise")
        axis.plot(integers, dots, "o", color=_LEARNED, markersize=4.5, label="probability of the integer")
        axis.set_xlim(low - 0.5, high + 0.5)
        axis.set_xlabel("value")
        axis.set_yscale(scale)
    figure.axes[0].set_ylabel("share, probability")
    figure.axes[0].legend(fontsize=8, frameon=False, loc="upper right")
    figure.axes[0].set_ylim(0, 1.45 * top)  # room for the legend
    figure.axes[1].set_ylim(bottom=1e-5)
    figure.axes[1].set_ylabel("the same, logarithmic")
    bits = f"{symbols * per_symbol:.0f} bits a picture (estimated), {symbols * entropy:.0f} by the histogram itself"
    figure.suptitle(f"channel {channel}: {bits}", fontsize=10)
    return figure


def rounding_and_noise(prior: FactorizedPrior, channel: int, gain: Tensor | None = None, reach: float = 4.0) -> Figure:
    """What a latent of one channel costs and loses, as a function of its value: rounded, and with uniform noise.

    Args:
        prior: of C channels.
        channel: 0 to C − 1.
        gain: (C,), of the rate.
        reach: values from −reach to reach.

    Returns:
        A figure of two panels, bits and squared error: rounded, with a draw of noise at each value (dots), and the mean
        over all noise.
    """
    h = torch.linspace(-reach, reach, 801)
    noise = torch.linspace(-0.5, 0.5, 102)[:-1] + 0.5 / 101  # midpoints
    drawn = torch.rand(len(h), generator=torch.Generator().manual_seed(0)) - 0.5

    def bits(values: Tensor) -> Tensor:
        return -probabilities(prior, values.flatten(), gain)[channel].log2().reshape(values.shape)

    panels = {
        "bits, $-\\log_2 p$": (bits(h.round()), bits(h + drawn), bits(h[:, None] + noise).mean(1)),
        "squared error, $(\\hat h - h)^2$": ((h.round() - h) ** 2, drawn**2, (noise**2).mean().expand(len(h))),
    }
    figure = Figure(figsize=(9.5, 3.3), layout="constrained")
    for axis, (label, (rounded, noisy, mean)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        top = max(rounded.max(), noisy.max()).item()
        axis.plot(h.numpy(), noisy.numpy(), ".", color="#56B4E9", markersize=2.5, label="with one draw of noise")
        axis.plot(h.numpy(), rounded.numpy(), color=_LEARNED, label="rounded")
        axis.plot(h.numpy(), mean.numpy(), color=_NOISE, label="mean over the noise")
        axis.set_xlabel("latent h, before quantisation")
        axis.set_ylabel(label)
        axis.set_ylim(0, 1.35 * top)
    figure.axes[0].legend(fontsize=9, frameon=False, loc="upper center", ncols=3, markerscale=3, columnspacing=0.8)
    return figure

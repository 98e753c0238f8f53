"""Figures of a scale hyperprior: the Gaussian's area, scales beside latents, and what z costs and saves."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, some, whole_number
from ndic_core.plots import style

_SIZE, _DPI = 8.0, 100  # width in inches: letters of 10 points stay readable in a narrow column
_RATIO = 3.0  # upper end of the colours of |h| / sigma: a Gaussian is hardly ever beyond three standard deviations
_COSTS = {  # bars of `price_of_scales`
    "shape": (style.GREY, "shape: a Gaussian instead of the best code"),
    "position": (style.SKY, "position: σ of each position instead of one"),
    "z": (style.VERMILION, "z itself"),
}


def gaussian_areas(n: int, sigmas: Sequence[float]) -> Figure:
    """The probability of the integer n under Gaussians: their area between n − ½ and n + ½.

    All panels have the same axes, so that the areas can be compared.

    Args:
        n: the integer.
        sigmas: scales above 0, one for each panel.

    Raises:
        NDICError: there is no scale, one is not above 0, or n is not whole.
    """
    n, sigmas = whole_number(n, "n", None), [style.one_number(sigma, "sigma") for sigma in some(sigmas, "scale")]
    if min(sigmas) <= 0:
        raise NDICError(f"a scale is {min(sigmas):g}: give scales above 0")
    figure, axes = style.subplots((_SIZE, 3.0), columns=len(sigmas), dpi=_DPI, squeeze=False, sharex=True, sharey=True)
    reach = max(abs(n) + 2.0, 2.5 * min(max(sigmas), 4.0))
    points, highest = torch.linspace(-reach, reach, 801, dtype=torch.float64), 0.0
    for axis, sigma in zip(axes[0], sigmas, strict=True):
        normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), sigma)
        density = normal.log_prob(points).exp()
        area = (normal.cdf(torch.tensor(n + 0.5)) - normal.cdf(torch.tensor(n - 0.5))).clamp(min=1e-300)
        inside = (points >= n - 0.5) & (points <= n + 0.5)
        axis.plot(points, density, color=style.BLUE)
        axis.fill_between(points[inside], density[inside], color=style.VERMILION, linewidth=0)
        highest = max(highest, density.max().item())
        axis.set_xlim(-reach, reach)
        axis.set_xticks([-n, 0, n] if n else [0])
        axis.set_yticks([])
        axis.set_title(f"σ = {sigma:g}\np({n}) = {area:.3g}, {style.number(-area.log2(), '.2f')} bits", fontsize=11)
        axis.set_xlabel("latent")
    axes[0, 0].set_ylabel("density")
    axes[0, 0].set_ylim(0, 1.08 * highest)
    return figure


def channel_scales(columns: Sequence[tuple[str, Tensor, Tensor, Tensor]]) -> Figure:
    """Channels side by side: the content that each responds to, its magnitudes, their scales, and the ratio.

    Args:
        columns: title, content (H, W) at the image's resolution, latent (h, w), and its scales (h, w) above 0.

    Returns:
        A figure of four rows. Each map of magnitudes and of scales has a colour scale of its own.
    """
    columns = [(title, *map(style.values, maps)) for title, *maps in some(columns, "channel")]
    height, width = columns[0][1].shape
    tall = 4 * (_SIZE / len(columns)) * height / width
    figure, axes = style.subplots((_SIZE, tall + 1.3), 4, len(columns), dpi=_DPI, squeeze=False)
    for i, (title, content, latent, sigma) in enumerate(columns):
        top = torch.quantile(content, 0.99).item()
        style.show_map(axes[0, i], content, title, 11, cmap="gray", vmin=0, vmax=top or 1)
        _latent_and_scales(axes[1:, i], latent, sigma, size=10)
    figure.get_layout_engine().set(hspace=0.04, wspace=0.03)
    return figure


def scales_beside_latent(image: Tensor, latent: Tensor, sigma: Tensor, title: str = "") -> Figure:
    """One latent channel beside its image: magnitudes, the scales decoded from z, and their ratio.

    The maps of Ballé et al. 2018, figure 2.

    Args:
        image: (3, H, W) in [0, 1].
        latent: (h, w), one channel.
        sigma: (h, w), above 0.
        title: of the figure.
    """
    image, latent, sigma = style.image(image), style.values(latent), style.values(sigma)
    tall = _SIZE * image.shape[-2] / image.shape[-1]
    figure, axes = style.subplots((_SIZE, tall + 1.1), 2, 2, dpi=_DPI)
    figure.suptitle(title, fontsize=11)
    style.show_image(axes[0, 0], image, "x, the image", 11)
    _latent_and_scales([axes[0, 1], axes[1, 0], axes[1, 1]], latent, sigma, size=11, scales=True)
    return figure


def _latent_and_scales(axes: Sequence[Axes], latent: Tensor, sigma: Tensor, size: float, scales: bool = False) -> None:
    """|h|, sigma and their ratio; the colours of the first two end at their largest value."""
    latent = latent.abs()
    panels = (
        (latent, f"|h|: {latent.min():.1f} to {latent.max():.1f}", "viridis", latent.max().item()),
        (sigma, f"σ, from z: {sigma.min():.2f} to {sigma.max():.2f}", "viridis", sigma.max().item()),
        (latent / sigma, f"|h| / σ, colours from 0 to {_RATIO:g}", "cividis", _RATIO),
    )
    for axis, (values, title, cmap, largest) in zip(axes, panels, strict=True):
        shown = style.show_map(axis, values, title, size, frame=True, cmap=cmap, vmin=0, vmax=largest or 1)
        axis.spines[:].set_visible(False)
        if scales:
            bar = axis.figure.colorbar(shown, ax=axis, fraction=0.05, aspect=12, pad=0.02)
            bar.ax.tick_params(labelsize=10)


def saving_over_rate(rates: Tensor, savings: Tensor, price: float) -> Figure:
    """Bits that known scales save, over the rate, and the price of telling them.

    Args:
        rates: bits per latent without the scales, rising, (n,).
        savings: bits that the scales save, (n,), in the unit of `price`.
        price: bits that the scales cost.
    """
    rates, savings = style.values(rates), style.values(savings)
    figure, axis = style.subplots((_SIZE, 3.0), dpi=_DPI)
    pays = savings >= price
    axis.fill_between(rates, savings, price, where=pays, color=style.SKY, alpha=0.35, linewidth=0, interpolate=True)
    axis.fill_between(
        rates, savings, price, where=~pays, color=style.VERMILION, alpha=0.35, linewidth=0, interpolate=True
    )
    axis.plot(rates, savings, color=style.BLUE)
    axis.axhline(price, color=style.VERMILION)
    right, middle = rates[-1].item(), (savings[-1].item() + price) / 2
    axis.text(0.99 * right, price, "price of z", color=style.VERMILION, ha="right", va="bottom", fontsize=11)
    axis.text(0.99 * right, middle, "saved in h", color=style.BLUE, ha="right", va="center", fontsize=11)
    axis.set_xlim(0, rates[-1].item())
    axis.set_ylim(0, 1.12 * max(savings.max().item(), price))
    style.label(axis, "", "rate of h without z, bits per latent", "bits per element of z", fontsize=11, grid=True)
    return figure


def price_of_scales(rows: Sequence[Mapping]) -> Figure:
    """The share of z in a file, and what a hyperprior costs and saves on one latent, at several rates.

    Args:
        rows: by rising lambda: mappings with `lmbda`, `file` (measured bits of the whole file), and the estimated bits
            `entropy`, `one_scale`, `h` and `z` of `evaluation.hyperprior.hyperprior_bits`.

    Returns:
        A figure of two panels. Left, bars of the bits of z and of the file's other overhead, labelled with their share
        of the file. Right, bars of the costs (up) and savings (down) relative to the best code without positions, and
        their sum.
    """
    rows = some(rows)
    figure, (parts, costs) = style.subplots((_SIZE, 4.1), columns=2, dpi=_DPI, width_ratios=(3, 4))
    names, places = [f"{row['lmbda']:.1e}".replace("e-0", "e−") for row in rows], range(len(rows))
    for offset, (label, colour) in zip((-0.2, 0.2), (("z", style.VERMILION), ("header", style.GREY)), strict=True):
        bits = [row["z"] if label == "z" else row["file"] - row["h"] - row["z"] for row in rows]
        words = "z (estimated)" if label == "z" else "header, checksum, coder"
        parts.bar([place + offset for place in places], bits, 0.38, color=colour, label=words)
        for place, value, row in zip(places, bits, rows, strict=True):
            share = f"{100 * value / row['file']:.1f}"
            parts.text(place + offset, value, share, ha="center", va="bottom", fontsize=9)
    parts.set_ylim(0, 1.1 * parts.get_ylim()[1])
    style.label(parts, "parts of a file; labels: % of the file", "lambda", "bits", fontsize=11)

    for offset, (part, (colour, words)) in zip((-0.26, 0.0, 0.26), _COSTS.items(), strict=True):
        bits = [cost[part] for cost in map(_costs, rows)]
        costs.bar([place + offset for place in places], bits, 0.25, color=colour, label=words)
    net = [sum(_costs(row).values()) for row in rows]
    costs.plot(places, net, "D", color=style.BLACK, markersize=6, label="sum: below 0, the hyperprior pays")
    costs.axhline(0, color=style.BLACK, linewidth=0.8)
    style.label(costs, "bits of an image, against the best code without z", "lambda", "bits", fontsize=11)
    for axis in (parts, costs):
        axis.set_xticks(places, names, fontsize=10, rotation=30)
    for axis, anchor in ((parts, "outside upper left"), (costs, "outside upper right")):
        figure.legend(*axis.get_legend_handles_labels(), loc=anchor, fontsize=10, frameon=False)
    return figure


def _costs(row: Mapping) -> dict[str, float]:
    """Bits that a hyperprior adds to the best code without positions; they sum to h + z − entropy."""
    return {
        "shape": row["one_scale"] - row["entropy"],
        "position": row["h"] - row["one_scale"],
        "z": row["z"],
    }

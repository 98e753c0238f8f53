"""Common information to look at: its channels, what they draw, what alpha and beta do: data in, Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plots.panels import MODEL_STYLE, pixels

_BLUE, _VERMILION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # Okabe–Ito
_CONDITIONS = {
    "psnr_matching_y": ("right y", _BLUE, "o"),
    "psnr_mismatched_y": ("another scene's y", _VERMILION, "s"),
    "psnr_no_y": ("no y (grey)", "#666666", "^"),
}


def w_channels(y: Tensor, w: Tensor, titles: Mapping[int, str], columns: int = 4) -> Figure:
    """A contact sheet: y first, then channels of its w.

    Args:
        y: (3, H, W) in [0, 1].
        w: (N, h, w).
        titles: what is written above each channel, by its number, in the order to show.
        columns: of the grid.

    Returns:
        A figure; a square of a map stands for 16 × 16 pixels. Colours are centred on a channel's own mean: red above,
        blue below, white at the mean.

    Raises:
        NDICError: a channel that isn't there, or no column.

    Example:
        >>> import torch
        >>> figure = w_channels(torch.rand(3, 32, 48), torch.rand(4, 2, 3), {2: "the third", 0: "the first"})
        >>> [axis.get_title() for axis in figure.axes]
        ['y', 'the third', 'the first', '']
    """
    if columns < 1 or not all(0 <= channel < len(w) for channel in titles):
        wrong = f"{list(titles)} in {columns} columns"
        raise NDICError(f"choose channels from 0 to {len(w) - 1}, and 1 column or more, not {wrong}")
    rows = -(-(len(titles) + 1) // columns)
    height, width = y.shape[-2:]
    figure = Figure(figsize=(9.0, rows * (9.0 / columns * height / width + 0.35)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    axes[0].imshow(pixels(y), interpolation="none")
    axes[0].set_title("y", fontsize=9)
    for axis, (channel, title) in zip(axes[1:], titles.items(), strict=False):
        _centred(axis, w[channel])
        axis.set_title(title, fontsize=9)
    return figure


def channel_in_picture(
    y: Tensor, channel: Tensor, drawn: Tensor, without: Tensor, title: str, limit: float = 24.0
) -> Figure:
    """One channel of w, the picture drawn with it, and without what it tells of places.

    Args:
        y: (3, H, W) in [0, 1], the side image that w was drawn from.
        channel: (h, w), of w.
        drawn: (3, H, W) in [0, 1], x̂.
        without: likewise, drawn with the channel's mean in its place.
        title: of the figure.
        limit: change of a colour, in steps of a picture of 8 bits, that is shown at full strength.

    Returns:
        A figure of four pictures: y, the channel (colours as in `w_channels`), x̂, and what the channel adds: grey where
        it changes nothing, else grey plus the change, stretched.
    """
    figure = Figure(figsize=(8.0, 4.9), layout="constrained")
    axes = figure.subplots(2, 2)
    change = 0.5 + 0.5 * 255 / limit * (drawn - without)
    pictures = ((0, "y, the side image", y), (2, "x̂, drawn with all of w", drawn))
    pictures += ((3, f"what the channel adds to x̂; full strength: {limit:g} of 255", change),)
    for axis in axes.ravel():
        axis.set_axis_off()
    for place, words, picture in pictures:
        axes.ravel()[place].imshow(pixels(picture), interpolation="none")
        axes.ravel()[place].set_title(words, fontsize=10)
    _centred(axes[0, 1], channel)
    axes[0, 1].set_title(f"the channel: mean {channel.mean():.2f}, deviation {channel.std():.2f}", fontsize=10)
    figure.suptitle(title, fontsize=11)
    return figure


def training_terms(histories: Mapping[str, Sequence[Mapping[str, float]]], window: int = 15) -> Figure:
    """How the terms of the loss move in several short trainings.

    Args:
        histories: of one to four trainings by name, a row per step: `bpp_x`, `bpp_w`, `bpp_y` (estimated, bits per
            pixel), `mse_x`, `mse_y`.
        window: steps of the running mean that is drawn, 1 or more.

    Returns:
        A figure of three panels: the rate of x, the rates of w (solid) and of y (dashed), and both errors (x solid,
        y dashed) on a logarithmic axis.

    Raises:
        NDICError: no training or more than four, or one has fewer steps than the window.
    """
    colours = (_BLUE, _VERMILION, _GREEN, _PURPLE)
    if not 1 <= len(histories) <= len(colours):
        raise NDICError(f"there is room for 1 to {len(colours)} trainings in a figure, not for {len(histories)}")
    if window < 1:
        raise NDICError(f"a running mean takes 1 step or more, not {window}")
    if any(len(rows) < window for rows in histories.values()):
        raise NDICError(f"a running mean over {window} steps needs as many")
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    panels = (("bpp_x",), ("bpp_w", "bpp_y"), ("mse_x", "mse_y"))
    for (name, rows), colour in zip(histories.items(), colours, strict=False):
        for axis, keys in zip(axes, panels, strict=True):
            for key, line in zip(keys, ("-", "--"), strict=False):
                mean = np.convolve([row[key] for row in rows], np.full(window, 1 / window), "valid")
                what = name if len(keys) == 1 else f"{key[-1]}, {name}"
                axis.plot(np.arange(len(mean)) + window / 2, mean, line, color=colour, label=what)
    titles = ("rate of x, all that is sent", "rates of w and y, never sent", "mean squared errors of x̂ and ŷ")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.legend(fontsize=8)
    for axis in axes[:2]:
        axis.set_ylabel("bits per pixel, estimated", fontsize=9)
        axis.set_ylim(bottom=0)
    axes[2].set_yscale("log")
    return figure


def handles(rows: Sequence[Mapping], anchor: float | None = None) -> Figure:
    """What was measured of models trained with several weights alpha and beta.

    Args:
        rows: those of `ndic_bls17` in `benchmarks/results/common_information.csv`, numbers as numbers; one mark for
            each, so that several seeds stand above each other.
        anchor: the cost of the same model without side information, a dashed line.

    Returns:
        A figure of four panels over the pairs (alpha, beta): the cost bpp + 255² λ MSE; PSNR of x̂ with the right,
        another scene's and no y; the estimated rate of w beside what fits through it; PSNR of ŷ. The rate of w stands
        where beta is above 0 only: elsewhere nothing trains the prior that tells it.

    Raises:
        NDICError: there is no row, or one of another model.
    """
    if not rows:
        raise NDICError("there is no row to draw")
    if others := {row.get("model", "ndic_bls17") for row in rows} - {"ndic_bls17"}:
        raise NDICError(f"leave out the rows of {', '.join(sorted(others))}: alpha and beta are those of ndic_bls17")
    pairs = sorted({(row["alpha"], row["beta"]) for row in rows})
    place = [pairs.index((row["alpha"], row["beta"])) for row in rows]
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    cost, psnr, rate, y_hat = figure.subplots(2, 2).ravel()

    def marks(axis, key, label, colour, marker, shift=0.0, only=lambda row: True):
        points = [(p + shift, row[key]) for p, row in zip(place, rows, strict=True) if only(row)]
        look = dict(color=colour, marker=marker, markersize=7, alpha=0.75, linestyle="none")
        if points:
            axis.plot(*zip(*points, strict=True), label=label, **look)

    marks(cost, "cost", "ndic_bls17", MODEL_STYLE["ndic_bls17"][0], MODEL_STYLE["ndic_bls17"][1])
    if anchor is not None:
        cost.axhline(anchor, color="black", linestyle="--", linewidth=1.2, label="no y: bmshj18_factorized")
    for shift, (key, (label, colour, marker)) in zip((-0.12, 0.0, 0.12), _CONDITIONS.items(), strict=True):
        marks(psnr, key, label, colour, marker, shift)
    marks(rate, "bpp_w", "its rate in the loss, estimated (where β > 0)", _GREEN, "o", -0.08, lambda r: r["beta"] > 0)
    marks(rate, "w_capacity", "what fits through the noise, at most", _PURPLE, "D", 0.08)
    marks(y_hat, "psnr_y", "ŷ", _BLUE, "o")
    rate.set_ylim(0, 1.4 * rate.dataLim.y1)  # room for the legend
    titles = {
        cost: ("cost with the right y (lower is better)", "bpp + 255² λ MSE"),
        psnr: ("x̂, decoded with three kinds of y", "PSNR (dB)"),
        rate: ("w", "bits per pixel of the picture"),
        y_hat: ("ŷ, y rebuilt from itself", "PSNR (dB)"),
    }
    for axis, (title, label) in titles.items():
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(label, fontsize=9)
        axis.set_xticks(range(len(pairs)), [f"α = {alpha:g}\nβ = {beta:g}" for alpha, beta in pairs], fontsize=9)
        axis.set_xlim(-0.5, len(pairs) - 0.5)
        axis.grid(axis="y", alpha=0.25)
        if axis is not y_hat:
            axis.legend(fontsize=8, loc="upper right" if axis is rate else "best")
    return figure


def _centred(axis, channel: Tensor) -> None:
    mean = channel.mean()
    reach = max((channel - mean).abs().max().item(), 1e-6)
    values = (channel - mean).cpu().numpy()
    axis.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="none")

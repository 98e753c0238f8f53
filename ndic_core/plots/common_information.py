"""Common information w: its channels, their effect on x̂, and the loss weights alpha and beta."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, some, whole_number
from ndic_core.plots import style

_CONDITIONS = {
    "psnr_matching_y": ("matching y", style.BLUE, "o"),
    "psnr_mismatched_y": ("mismatched y", style.VERMILION, "s"),
    "psnr_no_y": ("no y (grey)", style.DARK_GREY, "^"),
}


def w_channels(y: Tensor, w: Tensor, titles: Mapping[int, str]) -> Figure:
    """A contact sheet of y and channels of its w.

    Args:
        y: (3, H, W) in [0, 1].
        w: (N, h, w).
        titles: of each channel, by its number, in the order to show.

    Returns:
        A figure; a square of a map corresponds to 16 × 16 pixels. Colours are centred on the channel's mean: red above,
        blue below, white at the mean.
    """
    y, w = style.image(y, "y"), style.values(w)
    height, width = y.shape[-2:]
    figure, axes = style.image_grid(len(titles) + 1, 4, 9.0, 2.25 * height / width + 0.35)
    style.show_image(axes[0], y, "y", fontsize=9)
    for axis, (channel, title) in zip(axes[1:], titles.items(), strict=False):
        _show_centred(axis, w[whole_number(channel, "channel", 0, len(w) - 1)], title, fontsize=9)
    return figure


def channel_effect(y: Tensor, channel: Tensor, x_hat: Tensor, without: Tensor, title: str) -> Figure:
    """One channel of w, the reconstruction with it, and the change that its spatial detail makes.

    Args:
        y: (3, H, W) in [0, 1], the side information that w was computed from.
        channel: (h, w), of w.
        x_hat, without: (3, H, W) in [0, 1], the reconstruction, and that with the channel replaced by its mean.

    Returns:
        A figure of four images: y, the channel (colours as in `w_channels`), x̂, and the change of x̂ around grey,
        amplified so that 24 of 255 are shown at full strength.
    """
    y, x_hat, without = style.images(y=y, x_hat=x_hat, without=without)
    channel = style.values(channel)
    figure, axes = style.subplots((8.0, 4.9), 2, 2)
    style.show_image(axes[0, 0], y, "y, the side information")
    mean = style.number(channel.mean(), ".2f")
    _show_centred(axes[0, 1], channel, f"the channel: mean {mean}, deviation {channel.std():.2f}")
    style.show_image(axes[1, 0], x_hat, "x̂, decoded with all of w")
    change = (0.5 + 0.5 * 255 / 24 * (x_hat - without)).clamp(0, 1)
    style.show_image(axes[1, 1], change, "effect of the channel on x̂; full strength: 24 of 255")
    figure.suptitle(title, fontsize=11)
    return figure


def training_terms(histories: Mapping[str, Sequence[Mapping[str, float]]], window: int = 15) -> Figure:
    """Terms of the loss over the steps of several short trainings.

    Args:
        histories: trainings by name, a row per step: `bpp_x`, `bpp_w`, `bpp_y` (estimated, bits per pixel), `mse_x`,
            `mse_y`.
        window: steps of the running mean, from 1 to the number of steps.
    """
    figure, axes = style.subplots((10.0, 3.4), columns=3)
    panels = {
        "rate of x, transmitted": ("bpp_x",),
        "rates of w and y, not transmitted": ("bpp_w", "bpp_y"),
        "mean squared errors of x̂ and ŷ": ("mse_x", "mse_y"),
    }
    for axis, (title, keys) in zip(axes, panels.items(), strict=True):
        for (name, rows), colour in zip(histories.items(), cycle(style.PALETTE), strict=False):
            for key, line in zip(keys, ("-", "--"), strict=False):
                words = name if len(keys) == 1 else f"{key[-1]}, {name}"
                values = [row[key] for row in rows]
                style.plot_running_mean(axis, values, window, linestyle=line, color=colour, label=words)
        style.label(axis, title, "step", "" if axis is axes[2] else "bits per pixel, estimated")
        axis.legend(fontsize=8)
    for axis in axes[:2]:
        axis.set_ylim(bottom=0)
    axes[2].set_yscale("log")
    return figure


def loss_weights(rows: Sequence[Mapping], anchor: float | None = None) -> Figure:
    """Results of models trained with several loss weights alpha and beta.

    Args:
        rows: those of `ndic_bls17` in `benchmarks/results/common_information.csv`, numbers as numbers; one marker for
            each, so that several seeds are above each other.
        anchor: the cost of the same model without side information, a dashed line.

    Returns:
        A figure of four panels over the pairs (alpha, beta). The estimated rate of w is shown only where beta is above
        0: elsewhere its prior is not trained.

    Raises:
        NDICError: there is no row, or there are rows of another model.
    """
    rows = some(rows)
    if any(row.get("model", "ndic_bls17") != "ndic_bls17" for row in rows):
        raise NDICError("alpha and beta are loss weights of ndic_bls17: leave out the rows of other models")
    pairs = sorted({(row["alpha"], row["beta"]) for row in rows})
    figure, ((cost, psnr), (rate, y_hat)) = style.subplots((10.0, 5.6), 2, 2)

    def marks(axis: Axes, key: str, words: str, colour: str, marker: str, shift: float = 0.0, chosen=rows) -> None:
        points = [(pairs.index((row["alpha"], row["beta"])) + shift, row[key]) for row in chosen]
        look = dict(color=colour, marker=marker, markersize=7, alpha=0.75, linestyle="none")
        if points:
            axis.plot(*zip(*points, strict=True), label=words, **look)

    marks(cost, "cost", "ndic_bls17", *style.MODEL_STYLE["ndic_bls17"])
    if anchor is not None:
        cost.axhline(anchor, color=style.BLACK, linestyle="--", linewidth=1.2, label="no y: bmshj18_factorized")
    for shift, (key, look) in zip((-0.12, 0.0, 0.12), _CONDITIONS.items(), strict=True):
        marks(psnr, key, *look, shift)
    trained = [row for row in rows if row["beta"] > 0]
    marks(rate, "bpp_w", "its rate in the loss, estimated (where β > 0)", style.GREEN, "o", -0.08, trained)
    marks(rate, "w_capacity", "capacity of its noisy channel", style.PURPLE, "D", 0.08)
    marks(y_hat, "psnr_y", "ŷ", style.BLUE, "o")
    rate.set_ylim(0, 1.4 * rate.dataLim.y1)  # room for the legend
    titles = {
        cost: ("cost with matching y (lower is better)", "bpp + 255² λ MSE"),
        psnr: ("x̂, decoded with three kinds of y", "PSNR (dB)"),
        rate: ("w", "bits per pixel of the image"),
        y_hat: ("ŷ, y reconstructed from itself", "PSNR (dB)"),
    }
    for axis, (title, unit) in titles.items():
        style.label(axis, title, y=unit, fontsize=9)
        axis.set_xticks(range(len(pairs)), [f"α = {alpha:g}\nβ = {beta:g}" for alpha, beta in pairs], fontsize=9)
        axis.set_xlim(-0.5, len(pairs) - 0.5)
        axis.grid(axis="y", alpha=0.25)
        if axis is not y_hat:
            axis.legend(fontsize=8, loc="upper right" if axis is rate else "best")
    return figure


def _show_centred(axis: Axes, channel: Tensor, title: str, fontsize: float = 10) -> None:
    values = channel - channel.mean()
    reach = max(values.abs().max().item(), 1e-6)
    style.show_map(axis, values, title, fontsize, cmap="RdBu_r", vmin=-reach, vmax=reach)

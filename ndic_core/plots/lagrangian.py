"""Rate against distortion, and the sum that training minimises: data in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError

_RATE, _DISTORTION, _BEST = "#0072B2", "#D55E00", "#009E73"  # Okabe–Ito blue, vermilion, green


def lagrangian(
    points: Sequence[Mapping], lmbda: float, picture: Tensor | None = None, title: str = "", metric: str = "MS-SSIM"
) -> Figure:
    """What a lambda asks for: among all that a codec can do, the point where R + λ · 255² · D is smallest.

    Args:
        points: what the codec can do: mappings with `bpp` (estimated) and `distortion`, as `rate_distortion_loss`
            gives them.
        lmbda: the price of distortion.
        picture: (3, H, W) in [0, 1], shown beside it, under `title`.
        title: of the picture.
        metric: of the distortion: "MS-SSIM", for 1 − MS-SSIM, or "MSE".

    Returns:
        A figure: the points in the plane of rate and distortion, lines of equal sum, and the point that the lowest line
        with a point on it touches.

    Raises:
        NDICError: there is no point, or lambda is not above 0.
    """
    if not points or not lmbda > 0:
        raise NDICError("give at least one point with bpp and distortion, and a lambda above 0")
    rate, distortion = torch.tensor([[point["bpp"], point["distortion"]] for point in points]).T
    price = 255**2 * lmbda
    total = rate + price * distortion
    best = total.argmin()

    figure = Figure(figsize=(9.5 if picture is not None else 5.5, 3.4), layout="constrained")
    columns = 1 if picture is None else 2
    axes = figure.subplots(1, columns, squeeze=False, width_ratios=[1, 1.25][:columns])[0]
    axis = axes[0]
    right, top = 1.08 * rate.max().item(), 1.15 * distortion.max().item()
    across, lowest = np.array([0, right]), total[best].item()
    for step in (0.6, 1.0, 1.6, 2.4):
        look = dict(color=_BEST, linewidth=2) if step == 1.0 else dict(color="#BBBBBB", linewidth=1)
        label = f"R + {price:.3g} D = {lowest:.3g}" if step == 1.0 else None
        axis.plot(across, (step * lowest - across) / price, label=label, zorder=1, **look)
    axis.plot(
        rate.numpy(), distortion.numpy(), "o-", color="black", markersize=4, linewidth=1, label="the codec at its rates"
    )
    axis.plot(
        rate[best].item(), distortion[best].item(), "o", color=_BEST, markersize=10, zorder=3, label="smallest sum"
    )
    axis.set_xlim(0, right)
    axis.set_ylim(0, top)
    axis.set_xlabel("R: bits per pixel, estimated")
    axis.set_ylabel("D: 1 − MS-SSIM" if metric == "MS-SSIM" else "D: mean squared error")
    axis.set_title(f"λ = {lmbda:.2g}", fontsize=10)
    axis.legend(fontsize=8, loc="upper right")
    if picture is not None:
        axes[1].imshow(picture.detach().cpu().clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="none")
        axes[1].set_axis_off()
        axes[1].set_title(title, fontsize=10)
    return figure


def loss_terms(rates: Sequence[float], distortions: Sequence[float], lmbda: float, window: int = 25) -> Figure:
    """Both terms of the loss over the steps of a training.

    Args:
        rates: bits per pixel of each step's batch, with noise.
        distortions: D of each step, in the units of the loss.
        lmbda: the price of distortion.
        window: steps of the running mean.

    Returns:
        A figure of two panels: the rate, and 255² λ D on a logarithmic axis; each step faint, running means bold.

    Raises:
        NDICError: there are fewer steps than the window, or not as many rates as distortions.
    """
    if not 1 <= window <= len(rates) or len(rates) != len(distortions):
        raise NDICError(f"give rates and distortions of as many steps, {window} or more")
    figure = Figure(figsize=(9.5, 3.2), layout="constrained")
    terms = (("R: bits per pixel, estimated", rates, _RATE, 1.0),)
    terms += (("255² λ D, logarithmic", distortions, _DISTORTION, 255**2 * lmbda),)
    for axis, (label, values, colour, price) in zip(figure.subplots(1, 2), terms, strict=True):
        values = price * np.asarray(values, dtype=np.float64)
        mean = np.convolve(values, np.full(window, 1 / window), "valid")
        axis.plot(values, color=colour, alpha=0.3, linewidth=0.8, label="a step's batch")
        middle = np.arange(len(mean)) + (window - 1) / 2
        axis.plot(middle, mean, color=colour, linewidth=2, label=f"mean of {window} steps")
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.legend(fontsize=9, frameon=False, loc="upper right")
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[1].set_yscale("log")
    low, high = figure.axes[1].get_ylim()
    written = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    figure.axes[1].set_yticks([value for value in written if low <= value <= high])
    figure.axes[1].set_yticks([], minor=True)
    figure.axes[1].yaxis.set_major_formatter("{x:g}")
    return figure

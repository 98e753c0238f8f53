"""One picture sent, looked at closely; and two of them, one beside the other: data in, matplotlib Figure out."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.plots.panels import model_style, pixels


def inspection(x: Tensor, sent: Mapping, bits: Tensor, limit: float = 64.0, most: float = 0.8) -> Figure:
    """What was sent, what arrived, where it is wrong, and where the bits went.

    The colours of error and bits are the same for every call, so that figures can be compared as a slider moves.

    Args:
        x: (3, H, W) in [0, 1], the picture sent.
        sent: what came of it, from `ndic_core.evaluation.roundtrip.roundtrip`.
        bits: (H, W), estimated bits per pixel, from `ndic_core.evaluation.bit_maps.over_image`.
        limit: error, in steps of 8-bit pictures, where its colours end.
        most: bits per pixel where their colours end.

    Returns:
        A figure of four pictures without interpolation, two with their scales; its title tells the numbers.

    Raises:
        NDICError: the picture, its reconstruction and the map differ in size.
    """
    x, x_hat, bits = x.detach().cpu(), sent["x_hat"], bits.detach().cpu()
    if x.shape != x_hat.shape or bits.shape != x.shape[1:]:
        shapes = f"x {tuple(x.shape)}, x_hat {tuple(x_hat.shape)}, bits {tuple(bits.shape)}"
        raise NDICError(f"x and x_hat must have one shape, and the map of bits their height and width: {shapes}")
    figure = Figure(figsize=(7.6, 7.6 * x.shape[-2] / x.shape[-1] + 1.6), layout="constrained")
    axes = figure.subplots(2, 2)
    similar = "" if sent["ms_ssim"] is None else f", MS-SSIM {sent['ms_ssim']:.4f} ({sent['ms_ssim_db']:.2f} dB)"
    numbers = f"{sent['bytes']} bytes, {sent['bpp']:.3f} bpp (measured), PSNR {sent['psnr']:.2f} dB{similar}"
    figure.suptitle(f"{sent['model']} at λ = {sent['lmbda']:.2e}\n{numbers}", fontsize=10)
    error = (255 * (x - x_hat).abs().mean(0)).numpy()
    panels = {
        "x, the picture sent": (pixels(x), {}, ""),
        "x̂, the picture received": (pixels(x_hat), {}, ""),
        "error |x − x̂|, mean of the channels": (error, dict(cmap="magma", vmin=0, vmax=limit), "steps of 8 bits"),
        f"{bits.sum().item():,.0f} bits in all (estimated)": (
            bits.numpy(),
            dict(cmap="inferno", vmin=0, vmax=most),
            "bits per pixel, estimated",
        ),
    }
    for axis, (title, (values, colours, label)) in zip(axes.ravel(), panels.items(), strict=True):
        shown = axis.imshow(values, interpolation="none", **colours)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
        if colours:
            bar = figure.colorbar(shown, ax=axis, orientation="horizontal", extend="max", fraction=0.07, pad=0.03)
            bar.set_label(label, fontsize=9)
            bar.ax.tick_params(labelsize=8)
    return figure


def swipe(first: Mapping, second: Mapping, edge: float = 0.5) -> Figure:
    """Two reconstructions of one picture in one frame: the first left of an edge, the second right of it.

    Args:
        first: from `ndic_core.evaluation.roundtrip.roundtrip`.
        second: likewise, of the same picture.
        edge: where the one ends and the other begins, from 0 (all second) to 1 (all first).

    Returns:
        A figure without interpolation, with a thin line at the edge, and above it the models' names and numbers in
        their colours.

    Raises:
        NDICError: the pictures differ in size, the edge lies outside them, or a model has no style.

    Example:
        >>> import torch
        >>> sent = dict(model="bls17", bytes=812, psnr=24.5, ms_ssim_db=None, x_hat=torch.zeros(3, 32, 64))
        >>> other = dict(sent, model="ndic_bls17", x_hat=torch.ones(3, 32, 64))
        >>> swipe(sent, other, edge=0.25).axes[0].images[0].get_array()[0, 15:17, 0].tolist()
        [0.0, 1.0]
    """
    left, right = first["x_hat"], second["x_hat"]
    if left.shape != right.shape:
        raise NDICError(f"two pictures to swipe must have one size, not {tuple(left.shape)} and {tuple(right.shape)}")
    if not 0 <= edge <= 1:
        raise NDICError(f"the edge lies from 0 to 1, not at {edge:g}")
    column = round(edge * left.shape[-1])
    mixed = right.clone()
    mixed[..., :column] = left[..., :column]
    figure = Figure(figsize=(8.0, 8.0 * left.shape[-2] / left.shape[-1] + 0.75), layout="constrained")
    axis = figure.subplots()
    axis.imshow(pixels(mixed), interpolation="none")
    axis.axvline(column - 0.5, color="white", linewidth=2.4)
    axis.axvline(column - 0.5, color="black", linewidth=0.9)
    axis.set_xlim(-0.5, left.shape[-1] - 0.5)
    axis.set_axis_off()
    for sent, side, arrow in ((first, "left", "◀ {}"), (second, "right", "{} ▶")):
        colour, _ = model_style(sent["model"])
        similar = "" if sent["ms_ssim_db"] is None else f", MS-SSIM {sent['ms_ssim_db']:.2f} dB"
        numbers = f"{sent['bytes']} bytes, PSNR {sent['psnr']:.2f} dB{similar}"
        words = f"{arrow.format(sent['model'])}\n{numbers}"
        axis.set_title(words, loc=side, fontsize=9.5, color=colour, weight="bold")
    return figure

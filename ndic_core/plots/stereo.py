"""Two views and what lies between them: data in, matplotlib Figure out."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.metrics import psnr


def anaglyph(x: Tensor, y: Tensor) -> Tensor:
    """Both views in one picture: the left one's red, the right one's green and blue, for red–cyan glasses.

    Args:
        x: the left view, (3, H, W) in [0, 1].
        y: the right view, likewise.

    Returns:
        (3, H, W) in [0, 1]. Without glasses, coloured fringes are as wide as the disparity.

    Raises:
        NDICError: the views are not (3, H, W) of one size.

    Example:
        >>> anaglyph(torch.ones(3, 8, 8), torch.zeros(3, 8, 8))[:, 0, 0]
        tensor([1., 0., 0.])
    """
    if x.shape != y.shape or x.ndim != 3 or len(x) != 3:
        raise NDICError(f"an anaglyph needs two views (3, H, W) of one size, not {tuple(x.shape)} and {tuple(y.shape)}")
    return torch.cat([x[:1], y[1:]])


def stereo_pair(
    x: Tensor, y: Tensor, disparity: Tensor, hidden: Tensor | None = None, how: str = "true", furthest: float = 40.0
) -> Figure:
    """Two views, their anaglyph, and the disparity with its scale.

    Args:
        x: (3, H, W) in [0, 1], the left view.
        y: likewise, the right view.
        disparity: (H, W), pixels.
        hidden: (H, W) bool, left white in the disparity; nothing where None.
        how: the disparity is "true", or "matched", or whatever its title should say.
        furthest: pixels where the colours end.

    Returns:
        A figure of four panels, pictures without interpolation.

    Raises:
        NDICError: the disparity, or what is hidden, has another size than the views.
    """
    for name, values in (("disparity", disparity), ("hidden", hidden)):
        if values is not None and values.shape != x.shape[1:]:
            raise NDICError(f"{name} must have the views' size {tuple(x.shape[1:])}, not {tuple(values.shape)}")
    figure = Figure(figsize=(7.6, 4.1), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["both", "disparity"]])
    _picture(axes["x"], x, "x, the left view")
    _picture(axes["y"], y, "y, the right view")
    _picture(axes["both"], anaglyph(x.cpu(), y.cpu()), "anaglyph: red of x, green and blue of y")
    shown = disparity.cpu().float()
    shown = shown if hidden is None else shown.masked_fill(hidden.cpu(), torch.nan)
    title = f"disparity, {how}" + ("" if hidden is None else "; white: hidden from y")
    image = _map(
        axes["disparity"], shown, title, cmap="viridis", vmin=min(0.0, shown.nan_to_num().min()), vmax=furthest
    )
    figure.colorbar(image, ax=axes["disparity"], label="pixels", extend="max", shrink=0.9)
    return figure


def prediction(x: Tensor, y: Tensor, predicted: Tensor, hidden: Tensor | None = None, limit: float = 0.2) -> Figure:
    """What y tells of x: y as it is, y moved to where x has the same, and what is wrong in either.

    Args:
        x: (3, H, W) in [0, 1].
        y: likewise.
        predicted: x as predicted from y, likewise.
        hidden: (H, W) bool, what y cannot show, outlined in the last error; nothing where None.
        limit: the error, mean of the channels, at which its colours end.

    Returns:
        A figure of four panels: y and the prediction above, x less either of them below.
    """
    figure = Figure(figsize=(7.6, 4.1), layout="constrained")
    axes = figure.subplot_mosaic([["y", "predicted"], ["apart", "left"]])
    _picture(axes["y"], y, "y")
    _picture(axes["predicted"], predicted, "y, moved by the disparity")
    look = dict(cmap="RdBu_r", vmin=-limit, vmax=limit)
    _map(axes["apart"], (x - y).mean(0), f"x − y: {psnr(x[None], y[None]).item():.1f} dB", **look)
    image = _map(
        axes["left"], (x - predicted).mean(0), f"x − y moved: {psnr(x[None], predicted[None]).item():.1f} dB", **look
    )
    if hidden is not None and hidden.any():
        axes["left"].contour(hidden.cpu().float(), levels=[0.5], colors="black", linewidths=0.6)
    figure.colorbar(image, ax=[axes["apart"], axes["left"]], label="error", extend="both", shrink=0.8)
    return figure


def _picture(axis: Axes, image: Tensor, title: str) -> None:
    axis.imshow(image.permute(1, 2, 0).cpu().clamp(0, 1).numpy(), interpolation="none")
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()


def _map(axis: Axes, values: Tensor, title: str, **look):
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(values.cpu().numpy(), interpolation="none", **look)

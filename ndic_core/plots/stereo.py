"""Stereo pairs: anaglyph, disparity map, and prediction of x from y."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.metrics import psnr
from ndic_core.plots import style


def anaglyph(x: Tensor, y: Tensor) -> Tensor:
    """Both views in one image for red–cyan glasses: red of the left view, green and blue of the right view.

    Args:
        x, y: the left and the right view, (3, H, W) in [0, 1].

    Returns:
        (3, H, W) in [0, 1]. Without glasses, the width of the coloured fringes is the disparity.
    """
    x, y = style.images(x=x, y=y)
    return torch.cat([x[:1], y[1:]])


def stereo_pair(x: Tensor, y: Tensor, disparity: Tensor, hidden: Tensor | None = None, how: str = "true") -> Figure:
    """Two views, their anaglyph, and the disparity map.

    Args:
        x, y: the left and the right view, (3, H, W) in [0, 1].
        disparity: (H, W), pixels.
        hidden: (H, W) bool, left white in the disparity; nothing where None.
        how: kind of disparity, for the title: "true", "matched", ...

    Raises:
        NDICError: images and maps have different sizes.
    """
    x, y = style.images(x=x, y=y)
    shown, hidden = style.maps(x, disparity=disparity, hidden=hidden)
    figure = Figure(figsize=(7.6, 4.1), layout="constrained")
    axes = figure.subplot_mosaic([["x", "y"], ["both", "disparity"]])
    style.show_image(axes["x"], x, "x, the left view")
    style.show_image(axes["y"], y, "y, the right view")
    style.show_image(axes["both"], anaglyph(x, y), "anaglyph: red of x, green and blue of y")
    title = f"disparity, {how}"
    if hidden is not None:
        shown, title = shown.masked_fill(hidden.bool(), torch.nan), f"{title}; white: hidden from y"
    colours = dict(cmap="viridis", vmin=min(0.0, shown.nan_to_num().min()), vmax=40)
    image = style.show_map(axes["disparity"], shown, title, frame=True, **colours)
    figure.colorbar(image, ax=axes["disparity"], label="pixels", extend="max", shrink=0.9)
    return figure


def prediction(x: Tensor, y: Tensor, predicted: Tensor, hidden: Tensor | None = None) -> Figure:
    """Prediction of x from y, without alignment and warped by the disparity, and the error of both.

    Args:
        x, y, predicted: (3, H, W) in [0, 1]; the last is x as predicted from y.
        hidden: (H, W) bool, positions that are not visible in y, outlined in the last error; nothing where None.

    Raises:
        NDICError: images and mask have different sizes.
    """
    x, y, predicted = style.images(x=x, y=y, predicted=predicted)
    (hidden,) = style.maps(x, hidden=hidden)
    figure = Figure(figsize=(7.6, 4.1), layout="constrained")
    axes = figure.subplot_mosaic([["y", "predicted"], ["apart", "left"]])
    style.show_image(axes["y"], y, "y")
    style.show_image(axes["predicted"], predicted, "y, warped by the disparity")
    for name, image, words in (("apart", y, "x − y"), ("left", predicted, "x − warped y")):
        title = f"{words}: {psnr(x[None], image[None]).item():.1f} dB"
        colours = dict(cmap="RdBu_r", vmin=-0.2, vmax=0.2)
        shown = style.show_map(axes[name], (x - image).mean(0), title, frame=True, **colours)
    if hidden is not None and hidden.any():
        axes["left"].contour(hidden, levels=[0.5], colors=style.BLACK, linewidths=0.6)
    figure.colorbar(shown, ax=[axes["apart"], axes["left"]], label="error", extend="both", shrink=0.8)
    return figure

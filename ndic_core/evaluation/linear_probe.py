"""Linear probe of aligned features: how well a linear map predicts one set of features from another (R²)."""

import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.aligned import AlignedNDIC
from ndic_core.models.codec import evaluating
from ndic_core.models.parallax_attention import ParallaxAttention


@torch.no_grad()
def features_at_alignment(
    model: AlignedNDIC | ParallaxAttention, x: Tensor, y: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The inputs and the output of each of the three alignment modules, at the middle rate of variable-rate weights.

    Args:
        model: `cross_attention` or `parallax_attention`.
        x, y: images, (B, 3, H, W) in [0, 1].

    Returns:
        At 1/8, 1/4 and 1/2 of the image size: t of x's decoder, u of y's decoder (in `parallax_attention` of y's
        analysis), (B, N, h, w) each, and y's features aligned with x's, (B, M, h, w).

    Raises:
        NDICError: the model has no alignment, or does not accept such images.
    """
    if not hasattr(model, "cams"):
        raise NDICError(f"{model.name} aligns no features: use cross_attention or parallax_attention")
    if isinstance(model, ParallaxAttention):
        with evaluating(model), model.watched() as met:
            model(x, y)
        return [(one.t, one.u, one.aligned) for one in met]
    met: list[tuple[Tensor, Tensor, Tensor]] = []
    hooks = [cam.register_forward_hook(lambda _, given, aligned: met.append((*given, aligned))) for cam in model.cams]
    try:
        with evaluating(model):
            model(x, y, side=False)
    finally:
        for hook in hooks:
            hook.remove()
    return met


def linear_probe_r2(target: Tensor, source: Tensor) -> float:
    """Share of the target's variance that a linear map of the source explains, position by position (R²).

    The map, a matrix and a constant, is fitted by ridge regression (penalty 0.001, the source's channels scaled to
    standard deviation 1) on the first half of the images and evaluated on the second half; an independent source has
    about 0 (or less).

    Args:
        target, source: features of the same images and positions, (B, N, h, w) and (B, M, h, w).

    Raises:
        NDICError: fewer than two images, or features of different positions.
    """
    if len(target) < 2 or target.shape[0] != source.shape[0] or target.shape[2:] != source.shape[2:]:
        raise NDICError(
            f"target and source must be features of the same two images or more, at the same positions; "
            f"they are {tuple(target.shape)} and {tuple(source.shape)}"
        )
    half = len(target) // 2

    def rows(features: Tensor) -> Tensor:
        return features.double().movedim(1, -1).flatten(0, -2)

    a, b = rows(source[:half]), rows(source[half:])
    mean, deviation = a.mean(0), a.std(0).clamp(min=1e-12)
    a, b = (a - mean) / deviation, (b - mean) / deviation
    fitted, expected = rows(target[:half]), rows(target[half:])
    constant = fitted.mean(0)
    penalty = 1e-3 * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    matrix = torch.linalg.solve(a.T @ a / len(a) + penalty, a.T @ (fitted - constant) / len(a))
    residual = (expected - constant - b @ matrix).square().sum()
    return 1 - (residual / (expected - expected.mean(0)).square().sum()).item()

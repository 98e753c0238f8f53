"""The decoders' features where they are aligned, and how much one tells of another."""

import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.models.aligned import AlignedNDIC
from ndic_core.models.codec import evaluating
from ndic_core.models.parallax_attention import ParallaxAttention


@torch.no_grad()
def features_at_alignment(
    model: AlignedNDIC | ParallaxAttention, x: Tensor, y: Tensor, lmbda: float | None = None
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What goes into each of the three alignment modules, and what comes out.

    Args:
        model: `cross_attention` or `parallax_attention`.
        x, y: images, (B, 3, H, W) in [0, 1].
        lmbda: the rate, of variable-rate weights.

    Returns:
        For 1/8, 1/4 and 1/2 of the image size: t of x's decoder, u of y's decoder (of `parallax_attention`: of y's
        analysis), (B, N, h, w) each, and y's features as aligned with x's, (B, M, h, w).

    Raises:
        NDICError: the model aligns nothing, or takes no such images.
    """
    if not hasattr(model, "cams"):
        raise NDICError(f"{model.name} aligns no features: take cross_attention or parallax_attention")
    if isinstance(model, ParallaxAttention):
        with evaluating(model), model.watched() as met:
            model(x, y, lmbda=lmbda)
        return [(one.t, one.u, one.aligned) for one in met]
    met: list[tuple[Tensor, Tensor, Tensor]] = []
    hooks = [cam.register_forward_hook(lambda _, given, aligned: met.append((*given, aligned))) for cam in model.cams]
    try:
        with evaluating(model):
            model(x, y, lmbda=lmbda, side=False)
    finally:
        for hook in hooks:
            hook.remove()
    return met


def linear_probe_r2(target: Tensor, source: Tensor, ridge: float = 1e-3) -> float:
    """Share of the target's variance that a linear map of the source explains, place by place (R²).

    The map, a matrix and a constant, is fitted by ridge regression on the first half of the images and judged on the
    second, where a source that tells nothing has about 0 (or less).

    Args:
        target, source: features of the same images and places, (B, N, h, w) and (B, M, h, w).
        ridge: penalty on the map, with the source's channels scaled to standard deviation 1.

    Raises:
        NDICError: fewer than two images, or features of different places.

    Example:
        >>> t = torch.randn(2, 3, 8, 8)
        >>> round(explained(t, 5 - 2 * t), 3), explained(t, torch.randn(2, 3, 8, 8)) < 0.2
        (1.0, True)
    """
    if len(target) < 2 or target.shape[0] != source.shape[0] or target.shape[2:] != source.shape[2:]:
        raise NDICError(
            f"target and source must be features of the same two images or more, at the same places; "
            f"they are {tuple(target.shape)} and {tuple(source.shape)}"
        )
    half = len(target) // 2
    fit, judge = slice(None, half), slice(half, None)

    def places(features: Tensor, images: slice) -> Tensor:
        return features[images].double().movedim(1, -1).flatten(0, -2)

    a, b = places(source, fit), places(source, judge)
    mean, spread = a.mean(0), a.std(0).clamp(min=1e-12)
    a, b = (a - mean) / spread, (b - mean) / spread
    middle = places(target, fit).mean(0)
    penalty = ridge * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    matrix = torch.linalg.solve(a.T @ a / len(a) + penalty, a.T @ (places(target, fit) - middle) / len(a))
    wanted = places(target, judge)
    left = (wanted - middle - b @ matrix).square().sum()
    return 1 - (left / (wanted - wanted.mean(0)).square().sum()).item()

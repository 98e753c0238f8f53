"""Training loss: rate plus lambda times distortion, of x and, weighted, of the side information."""

from collections.abc import Mapping

from torch import Tensor

from ndic_core.metrics import estimated_bpp, ms_ssim


def rate_distortion_loss(
    out: Mapping,
    x: Tensor,
    y: Tensor,
    lmbda: float | Tensor,
    alpha: float = 0.0,
    beta: float = 0.0,
    metric: str = "MS-SSIM",
) -> dict[str, Tensor]:
    """The published loss (Mital et al. 2022, arXiv 2207.08489, section 3).

        loss = λ · 255² · (D(x, x̂) + α · D(y, ŷ)) + bpp(x) + α · bpp(y) + β · bpp(w)

    Each bpp is estimated from likelihoods and includes the hyper-latents of its part. Models without side information
    have the terms of x only.

    Args:
        out: output of a model.
        x, y: the images, (B, 3, H, W) in [0, 1].
        lmbda: one value, or (B,).
        alpha: weight of the side information's own rate and distortion, 0 or more.
        beta: weight of the common information's rate, 0 or more.
        metric: the distortion D: "MSE" on [0, 1] images, or "MS-SSIM", for 1 − MS-SSIM.

    Returns:
        Means over the batch: `loss`; `bpp` of x, all that is transmitted; `distortion` of x. Of each image, (B,):
        `losses`, `costs` (the loss without the terms of y and w) and `bpps`.

    Raises:
        NDICError: the images are too small for MS-SSIM.

    Example:
        >>> import torch
        >>> x = torch.full((2, 3, 32, 32), 0.5)
        >>> out = {"x_hat": x + 0.1, "likelihoods": {"x": torch.full((2, 4, 2, 2), 0.5)}}
        >>> terms = rate_distortion_loss(out, x, x, lmbda=0.01, metric="MSE")
        >>> {name: round(terms[name].item(), 4) for name in ("loss", "bpp", "distortion")}
        {'loss': 6.5181, 'bpp': 0.0156, 'distortion': 0.01}
    """
    likelihoods = out["likelihoods"]
    pixels = x.shape[-2] * x.shape[-1]

    def rate(*parts: str) -> Tensor:
        return estimated_bpp(likelihoods, [part for part in parts if part in likelihoods], pixels)

    bpp = rate("x", "z")
    distortion = _distortion(x, out["x_hat"], metric)
    rates, distortions = bpp, distortion
    if alpha and "y_hat" in out:
        rates = rates + alpha * rate("y", "z_y")
        distortions = distortions + alpha * _distortion(y, out["y_hat"], metric)
    if beta and "w" in likelihoods:
        rates = rates + beta * rate("w")
    losses = 255**2 * lmbda * distortions + rates
    return {
        "loss": losses.mean(),
        "losses": losses,
        "costs": (255**2 * lmbda * distortion + bpp).detach(),
        "bpp": bpp.mean().detach(),
        "bpps": bpp.detach(),
        "distortion": distortion.mean().detach(),
    }


def rate_weights(lmbda: Tensor, lambdas: tuple[float, float], balance: float) -> Tensor:
    """Weights per image that balance the rates of a variable-rate model.

    The loss of an image grows about as lambda^0.6, so high rates dominate an unweighted mean.

        weight = (λ / √(λ_low · λ_high)) ^ −balance

    Args:
        lmbda: (B,), one per image.
        lambdas: the lowest and the highest of the model.
        balance: 0 for equal weights; with 0.6 all rates contribute about equally to the loss.

    Returns:
        (B,), 1 at the geometric mean of the range.

    Example:
        >>> import torch
        >>> rate_weights(torch.tensor([0.001, 0.01, 0.1]), (0.001, 0.1), 0.5)
        tensor([3.1623, 1.0000, 0.3162])
    """
    return (lmbda / (lambdas[0] * lambdas[1]) ** 0.5) ** -balance


def _distortion(image: Tensor, image_hat: Tensor, metric: str) -> Tensor:
    """(B,), 0 where both are equal."""
    if metric == "MSE":
        return (image - image_hat.float()).square().flatten(1).mean(1)
    return 1 - ms_ssim(image, image_hat)

"""Analysis of the common information w of NDIC: loss terms, capacity, reconstructions from parts.

x ── latent ──┐
              ├── from_parts ── x̂       either part may be left out, or be of another image
y ── w ───────┘
"""

import torch
from torch import Tensor

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.errors import NDICError
from ndic_core.metrics import estimated_bpp, psnr
from ndic_core.models.codec import Codec, evaluating, unwrap
from ndic_core.models.gain import scaled
from ndic_core.models.ndic import NDIC, W_NOISE, join


@torch.no_grad()
def loss_terms(model: NDIC, x: Tensor, y: Tensor, lmbda: float | None = None) -> dict[str, Tensor]:
    """The terms of the loss of Mital et al. 2022 (arXiv 2207.08489, section 3), with rounded latents.

    Args:
        model: with common information.
        x, y: (B, 3, H, W) in [0, 1], of a size that the model accepts.
        lmbda: the rate of variable-rate weights; see `encode`.

    Returns:
        (B,) each: `bpp_x`, the transmitted rate; `bpp_y` and `bpp_w`, which are not transmitted; `psnr_x`, `psnr_y`
        (dB) of both reconstructions. All rates are estimated.

    Raises:
        NDICError: the model has no common information, the images don't fit, or `lmbda` is not offered.

    Example:
        >>> import ndic_core as ndic
        >>> terms = loss_terms(ndic.build_model("ndic_bls17", num_filters=4), *torch.rand(2, 2, 3, 32, 48))
        >>> sorted(terms), terms["bpp_w"].shape
        (['bpp_w', 'bpp_x', 'bpp_y', 'psnr_x', 'psnr_y'], torch.Size([2]))
    """
    check_model(model)
    with evaluating(model):
        out = model(x, y, lmbda=lmbda)
    likelihoods, terms = out["likelihoods"], {}
    for name, parts in {"bpp_x": {"x", "z"}, "bpp_y": {"y", "z_y"}, "bpp_w": {"w"}}.items():
        terms[name] = estimated_bpp(likelihoods, parts & likelihoods.keys(), x.shape[-2] * x.shape[-1])
    images = {"psnr_x": (x, out["x_hat"]), "psnr_y": (y, out["y_hat"])}
    return terms | {name: psnr(image, hat.clamp(0, 1)) for name, (image, hat) in images.items()}


@torch.no_grad()
def sent_latent(model: Codec, x: Tensor, lmbda: float | None = None) -> Tensor:
    """The latent that a file of x transmits: rounded, as the input of the receiver's synthesis.

    Args:
        model: with trained weights.
        x: (B, 3, H, W) in [0, 1], of a size that the model accepts.
        lmbda: the rate of variable-rate weights, rounded to a rate level of the file format.

    Returns:
        (B, N, H/16, W/16).

    Raises:
        NDICError: `lmbda` is not offered, or `x` is not a batch of images of such a size.
    """
    model = unwrap(model)
    model.check(x, x)  # x in place of y, which is not needed
    model.gains(lmbda, 1)  # refuses a lambda that is not offered, as `encode` does
    gain, inverse = model.gains(model.lmbda_at(model.level(lmbda)), len(x))
    with evaluating(model):
        return scaled(model.analyse(model.to_model(x), gain).round(), inverse)


@torch.no_grad()
def from_parts(model: NDIC, latent: Tensor | None, w: Tensor | None) -> Tensor:
    """The reconstruction of x from a latent and common information; None means zeros.

    Args:
        model: `ndic_bls17` or `ndic_bmshj18`, whose synthesis has no other input.
        latent: see `sent_latent`.
        w: see `NDIC.common_information`, of the same shape: (B, N, H/16, W/16).

    Returns:
        (B, 3, H, W), clipped to [0, 1].

    Raises:
        NDICError: another model, both parts are None, or their shapes differ from the above.
    """
    check_model(model)
    if latent is None and w is None:
        raise NDICError("there is nothing to reconstruct from: give the latent, or w, or both")
    shapes = {tuple(part.shape) for part in (latent, w) if part is not None}
    if any(len(shape) != 4 or shape[1] != model.config["num_filters"] for shape in shapes) or len(shapes) > 1:
        wanted = f"(B, {model.config['num_filters']}, H/16, W/16)"
        raise NDICError(f"latent and w must have one shape, {wanted}, not {' and '.join(map(str, sorted(shapes)))}")
    latent = torch.zeros_like(w) if latent is None else latent
    w = torch.zeros_like(latent) if w is None else w
    with evaluating(model):
        return model.synthesis_x(join(model.to_model(latent), model.to_model(w))).clamp(0, 1)


@torch.no_grad()
def channel_effects(model: NDIC, latent: Tensor, w: Tensor) -> Tensor:
    """The effect of each channel of w on x̂: the change when it is replaced by its mean over the image.

    Args:
        model, latent, w: see `from_parts`; of one image.

    Returns:
        (N,), root mean squared change of x̂, in 8-bit levels.

    Raises:
        NDICError: w is of several images; see also `from_parts`.
    """
    if len(w) != 1:
        raise NDICError(f"channel_effects requires one image, not {len(w)}: call it for each image")
    x_hat = from_parts(model, latent, w)
    changed = (from_parts(model, latent, levelled(w, channel)) for channel in range(w.shape[1]))
    return torch.stack([255 * (other - x_hat).square().mean().sqrt() for other in changed])


def levelled(w: Tensor, channel: int) -> Tensor:
    """A copy of w with one channel replaced by its mean over each image.

    Args:
        w: (B, N, h, w).
        channel: 0 to N − 1.

    Raises:
        NDICError: another channel.

    Example:
        >>> levelled(torch.tensor([[[[1.0, 3.0]], [[5.0, 9.0]]]]), 0).tolist()
        [[[[2.0, 2.0]], [[5.0, 9.0]]]]
    """
    if not 0 <= channel < w.shape[1]:
        raise NDICError(f"the channels of w are 0 to {w.shape[1] - 1}, not {channel}")
    changed = w.clone()
    changed[:, channel] = w[:, channel].mean((-1, -2), keepdim=True)
    return changed


def noise_capacity(w: Tensor, noise: float = W_NOISE) -> Tensor:
    """Upper bound of the rate of w in training: the capacity of Gaussian channels of its variances.

    In training noise is added to w. A channel of signal variance S and noise variance N has a capacity of
    ½ log2(1 + S/N) bits per use (Shannon 1948; Cover and Thomas 2006, section 9.1).

    Args:
        w: (B, N, h, w), without noise.
        noise: its standard deviation, above 0.

    Returns:
        Bits per pixel of the image, all channels together.

    Raises:
        NDICError: the noise is not above 0.
    """
    if not noise > 0:
        raise NDICError(f"noise is a standard deviation above 0, not {noise:g}: without noise the capacity is infinite")
    variance = w.transpose(0, 1).flatten(1).var(1, unbiased=False)
    return 0.5 * torch.log2(1 + variance / noise**2).sum() / DOWNSAMPLING**2


def check_model(model: Codec) -> None:
    """Raise `NDICError` unless the receiver reconstructs x from its latent and w alone."""
    if not (isinstance(model, NDIC) and type(model).reconstruct is NDIC.reconstruct):
        given = model.name if isinstance(model, Codec) else type(model).__name__
        raise NDICError(f"common information can be analysed in ndic_bls17 and ndic_bmshj18, not in {given}")

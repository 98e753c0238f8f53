"""What a model is worth on pairs it was not trained on, quickly: estimated rates, no bitstream (see `evaluation`)."""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ndic_core.config import Config
from ndic_core.data.pairs import Pairs
from ndic_core.devices import in_bf16
from ndic_core.losses import rate_distortion_loss
from ndic_core.metrics import MS_SSIM_SMALLEST, ms_ssim, psnr
from ndic_core.models.codec import Codec, evaluating

BATCH = 8  # at least; without gradients there is room
RATES = (0.0, 0.5, 1.0)  # of a variable-rate model: its lowest lambda, the middle, its highest


@torch.no_grad()
def validate(
    model: Codec, pairs: Pairs, config: Config, fabric: Fabric, interrupted: Callable[[], bool] = lambda: False
) -> dict | None:
    """Averages over all pairs (and, of a variable-rate model, over three lambdas), latents rounded, nothing flipped.

    Args:
        model: on Fabric's device; processes share the work.
        pairs: the validation pairs.
        config: of the experiment, for the loss.
        fabric: what it runs on.
        interrupted: asked before every batch.

    Returns:
        val_loss, bpp (estimated), psnr (dB), ms_ssim (None for images below 97 pixels); None if interrupted.
    """
    low, high = model.lambdas
    rates = [low * (high / low) ** rate for rate in (RATES if model.gain is not None else (0.0,))]
    sums = torch.zeros(4, dtype=torch.float64, device=fabric.device)
    ours = range(fabric.global_rank, len(pairs), fabric.world_size)
    most = -(-len(pairs) // fabric.world_size)  # of any process: all take as many turns, so that all can agree in each
    size = max(BATCH, config.train_batch_size)
    bf16 = in_bf16(config, fabric.device)
    with evaluating(model), torch.autocast(fabric.device.type, torch.bfloat16, enabled=bf16):
        for chosen in (ours[i : i + size] for i in range(0, most, size)):
            if interrupted():
                return None
            if not chosen:
                continue
            x, y = (images.to(fabric.device) for images in pairs.batch(chosen))
            for lmbda in rates:
                out = model(x, y, lmbda=lmbda, side=bool(config.alpha or config.beta))
                terms = rate_distortion_loss(out, x, y, lmbda, config.alpha, config.beta, metric=config.distortion_loss)
                values = [terms["loss"], terms["bpp"], *picture_quality(x, out["x_hat"])]
                sums += len(x) * torch.stack([value.double() for value in values])
    if fabric.world_size > 1:
        sums = fabric.all_reduce(sums, reduce_op="sum")
    names = ("val_loss", "bpp", "psnr", "ms_ssim")
    averages = dict(zip(names, (sums / (len(pairs) * len(rates))).tolist(), strict=True))
    if min(pairs.size) < MS_SSIM_SMALLEST:
        averages["ms_ssim"] = None
    return averages


def picture_quality(x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean PSNR (dB) and MS-SSIM of a batch as one would see it, clipped to [0, 1]; NaN where MS-SSIM has no scales."""
    x_hat = x_hat.detach().float().clamp(0, 1)
    if min(x.shape[-2:]) < MS_SSIM_SMALLEST:
        return psnr(x, x_hat).mean(), x.new_tensor(torch.nan)
    return psnr(x, x_hat).mean(), ms_ssim(x, x_hat).mean()

"""What a model is worth on pairs it was not trained on, quickly: estimated rates, no bitstream (see `evaluation`)."""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ndic_core.config import Config
from ndic_core.data.pairs import Pairs
from ndic_core.metrics import MS_SSIM_SMALLEST, ms_ssim, psnr
from ndic_core.models.codec import Codec, evaluating
from ndic_core.training.devices import in_bf16
from ndic_core.training.losses import rate_distortion_loss

BATCH = 8  # images at least
ROOM = 4  # times the images of a training step fit in without gradients
RATES = {"low": 0.0, "middle": 0.5, "high": 1.0}  # of a variable-rate model: places in its range of lambdas


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
        `val_loss` is the mean over the pairs, and the geometric mean of these means over the lambdas: a percent counts
        the same at each rate. `bpp` (estimated), `psnr` (dB) and `ms_ssim` (None for images below 97 pixels) are plain
        means. Of the loss without the terms of y and w, `cost_NAME` is the same mean for each of `pairs.parts`, and
        `cost_low`, `cost_middle` and `cost_high` are the means at the lambdas of a variable-rate model. None if
        interrupted.
    """
    low, high = model.lambdas
    names = list(RATES) if model.gain is not None else ["low"]
    rates = [low * (high / low) ** RATES[name] for name in names]
    table = torch.zeros(len(pairs), len(rates), 5, dtype=torch.float64, device=fabric.device)
    ours = range(fabric.global_rank, len(pairs), fabric.world_size)
    most = -(-len(pairs) // fabric.world_size)  # of any process: all take as many turns, so that all can agree in each
    size = -(-max(BATCH, ROOM * config.train_batch_size) // len(rates))  # pairs at a time, each at all rates
    bf16 = in_bf16(config, fabric.device)
    with evaluating(model), torch.autocast(fabric.device.type, torch.bfloat16, enabled=bf16):
        for chosen in (ours[i : i + size] for i in range(0, most, size)):
            if interrupted():
                return None
            if not chosen:
                continue
            # An image at one rate after the other; lambdas stay on the CPU, where a model checks them at no cost.
            x, y = (images.to(fabric.device).repeat_interleave(len(rates), 0) for images in pairs.batch(chosen))
            lmbda = torch.tensor(rates).repeat(len(chosen))
            out = model(x, y, lmbda=lmbda, side=bool(config.alpha or config.beta))
            lmbda = lmbda.to(x.device, non_blocking=True)
            terms = rate_distortion_loss(out, x, y, lmbda, config.alpha, config.beta, metric=config.distortion_loss)
            values = [terms["losses"], terms["costs"], terms["bpps"], *image_quality(x, out["x_hat"])]
            values = torch.stack([value.double() for value in values], dim=1)
            table[chosen.start : chosen.stop : chosen.step] = values.unflatten(0, (len(chosen), len(rates)))
    if fabric.world_size > 1:
        table = fabric.all_reduce(table, reduce_op="sum")
    averages = dict(zip(("bpp", "psnr", "ms_ssim"), table[..., 2:].mean((0, 1)).tolist(), strict=True))
    if min(pairs.size) < MS_SSIM_SMALLEST:
        averages["ms_ssim"] = None
    losses = {"val_loss": table[..., 0]}
    losses |= {f"cost_{name}": table[list(part), :, 1] for name, part in pairs.parts.items()}
    averages = {name: loss.mean(0).log().mean().exp().item() for name, loss in losses.items()} | averages
    if len(rates) > 1:
        averages |= {f"cost_{name}": cost for name, cost in zip(names, table[..., 1].mean(0).tolist(), strict=True)}
    return averages


def image_quality(x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """PSNR (dB) and MS-SSIM of each image, (B,), clipped to [0, 1] as displayed; NaN where MS-SSIM has no scales."""
    x_hat = x_hat.detach().float().clamp(0, 1)
    if min(x.shape[-2:]) < MS_SSIM_SMALLEST:
        return psnr(x, x_hat), x.new_full((len(x),), torch.nan)
    return psnr(x, x_hat), ms_ssim(x, x_hat)

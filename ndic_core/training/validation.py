"""Validation: estimated rates and image quality on held-out pairs, without a bitstream (see `evaluation` for that)."""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ndic_core.data.pairs import Pairs
from ndic_core.metrics import MS_SSIM_SMALLEST, ms_ssim, psnr
from ndic_core.models.codec import Codec, evaluating
from ndic_core.training.losses import rate_distortion_loss

RATES = {"low": 0.0, "middle": 0.5, "high": 1.0}  # of a variable-rate model: positions in its range of lambdas


@torch.no_grad()
def validate(
    model: Codec,
    pairs: Pairs,
    fabric: Fabric,
    alpha: float = 0.0,
    beta: float = 0.0,
    distortion_loss: str = "MS-SSIM",
    bf16: bool = False,
    batch_size: int = 8,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict | None:
    """Averages over all pairs and, for a variable-rate model, over three lambdas. Latents are rounded.

    Args:
        model: on Fabric's device.
        pairs: the validation pairs.
        fabric: device and processes; the processes share the pairs.
        alpha, beta, distortion_loss: of the loss, see `rate_distortion_loss`.
        bf16: compute in bf16, see `uses_bf16`.
        batch_size: images at a time, those of one pair at all lambdas together at least.
        interrupted: called before every batch.

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
    most = -(-len(pairs) // fabric.world_size)  # all processes loop equally often, to agree on `interrupted` each time
    size = -(-batch_size // len(rates))  # pairs at a time, each at all rates
    with evaluating(model), torch.autocast(fabric.device.type, torch.bfloat16, enabled=bf16):
        for chosen in (ours[i : i + size] for i in range(0, most, size)):
            if interrupted():
                return None
            if not chosen:
                continue
            # Each image at all rates in turn; lambdas stay on the CPU, where a model checks them at no cost.
            x, y = (images.to(fabric.device).repeat_interleave(len(rates), 0) for images in pairs.batch(chosen))
            lmbda = torch.tensor(rates).repeat(len(chosen))
            out = model(x, y, lmbda=lmbda, side=bool(alpha or beta))
            lmbda = lmbda.to(x.device, non_blocking=True)
            terms = rate_distortion_loss(out, x, y, lmbda, alpha, beta, metric=distortion_loss)
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
    """PSNR (dB) and MS-SSIM of each image, (B,), clipped to [0, 1] as displayed; MS-SSIM of small images is NaN."""
    x_hat = x_hat.detach().float().clamp(0, 1)
    if min(x.shape[-2:]) < MS_SSIM_SMALLEST:
        return psnr(x, x_hat), x.new_full((len(x),), torch.nan)
    return psnr(x, x_hat), ms_ssim(x, x_hat)

"""How the learning rate changes while a training goes on."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ndic_core.config import Config

PLATEAU = dict(factor=0.1, patience=10, min_lr=1e-7)  # as published


def go_to(lr_scheduler: LambdaLR, step: int) -> None:
    """Set a cosine to where it is after `step` steps, whatever learning rate its optimizer had before."""
    lr_scheduler.last_epoch = step
    for group, rate, scale in zip(
        lr_scheduler.optimizer.param_groups, lr_scheduler.base_lrs, lr_scheduler.lr_lambdas, strict=True
    ):
        group["initial_lr"], group["lr"] = rate, rate * scale(step)


def make_lr_scheduler(config: Config, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR | ReduceLROnPlateau:
    """The schedule that a configuration names, for `config.lr` as the optimizer's rate.

    "plateau" (published): a tenth whenever the validation loss has not fallen ten validations long; its `step` is
    called after each validation, with the loss. "cosine": up in a straight line over `warmup_steps`, then down to 0
    along half a cosine (Loshchilov & Hutter 2017, "SGDR", arXiv 1608.03983, equation 5); its `step` is called after
    each step.

    Args:
        config: of the experiment; `lr_scheduler`, `warmup_steps` and `epochs` count.
        optimizer: whose rate to change.
        steps: of an epoch.

    Example:
        >>> from ndic_core.config import load_config
        >>> config = load_config("teaching", epochs=2, warmup_steps=2, lr=0.1)
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], config.lr)
        >>> schedule, rates = make_schedule(config, optimizer, steps=3), []
        >>> for _ in range(6):
        ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.05, 0.1, 0.1, 0.085, 0.05, 0.015]
    """
    if config.lr_scheduler == "plateau":
        return ReduceLROnPlateau(optimizer, **PLATEAU)
    warmup = config.warmup_steps
    total = max(config.epochs * steps, warmup + 1)

    def scale(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup)))) / 2

    return LambdaLR(optimizer, scale)

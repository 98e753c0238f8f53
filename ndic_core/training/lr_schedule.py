"""Learning-rate schedules: the published reduction on a plateau, and a cosine after a warm-up."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

PLATEAU = dict(factor=0.1, patience=10, min_lr=1e-7)  # as published


def make_lr_scheduler(
    optimizer: torch.optim.Optimizer, kind: str, steps: int, epochs: int, warmup_steps: int = 0
) -> LambdaLR | ReduceLROnPlateau:
    """Build a learning-rate schedule that starts from the optimizer's learning rate.

    "plateau" (published): a tenth whenever the validation loss has not improved for ten validations; its `step` is
    called after each validation, with the loss. "cosine": a linear increase over `warmup_steps`, then a decrease to 0
    along half a cosine (Loshchilov & Hutter 2017, "SGDR", arXiv 1608.03983, equation 5); its `step` is called after
    each optimizer step.

    Args:
        steps: per epoch.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> lr_scheduler = make_lr_scheduler(optimizer, "cosine", steps=3, epochs=2, warmup_steps=2)
        >>> rates = []
        >>> for _ in range(6):
        ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
        ...     optimizer.step()
        ...     lr_scheduler.step()
        >>> rates
        [0.05, 0.1, 0.1, 0.085, 0.05, 0.015]
    """
    if kind == "plateau":
        return ReduceLROnPlateau(optimizer, **PLATEAU)
    total = max(epochs * steps, warmup_steps + 1)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / (total - warmup_steps)))) / 2

    return LambdaLR(optimizer, factor)


def set_step(lr_scheduler: LambdaLR, step: int) -> None:
    """Set a cosine to its value after `step` steps, whatever learning rate its optimizer had before."""
    lr_scheduler.last_epoch = step
    for group, rate, factor in zip(
        lr_scheduler.optimizer.param_groups, lr_scheduler.base_lrs, lr_scheduler.lr_lambdas, strict=True
    ):
        group["initial_lr"], group["lr"] = rate, rate * factor(step)

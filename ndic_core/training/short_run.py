"""A short run recorded step by step, to see how settings act on the first steps, also where the loss diverges."""

import math
from itertools import chain, count

import torch

from ndic_core.config import Config
from ndic_core.training.devices import launch
from ndic_core.training.loader import step_seed
from ndic_core.training.setup import set_up
from ndic_core.training.train import train_step
from ndic_core.training.validation import validate


def short_run(config: Config, steps: int, validation_period: int = 12) -> list[dict]:
    """Train for some steps, and keep the loss of each; nothing is written.

    Args:
        config: `epochs` is replaced, so that the schedule ends with the last step.
        steps: at most; the run ends earlier where the loss is not finite.
        validation_period: steps between validations.

    Returns:
        A dict per step: `loss`, of the batch; and `val_loss` where a validation followed.

    Raises:
        NDICError: see `set_up`.

    Example:
        >>> from ndic_core.config import load_config
        >>> small = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[2, 1, 1], train_batch_size=2)
        >>> rows = short_run(load_config("teaching", **small), steps=4, validation_period=2)
        >>> [sorted(row) for row in rows]
        [['loss'], ['loss', 'val_loss'], ['loss'], ['loss', 'val_loss']]
    """
    fabric = launch(config.cuda, config.train_batch_size)
    per_epoch = math.ceil(config.street_pairs[0] / config.train_batch_size)
    config = config.model_copy(update={"epochs": math.ceil(steps / per_epoch)})
    rows: list[dict] = []
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        setup = set_up(config, fabric)
        setup.net.train()
        for step, batch in zip(range(steps), chain.from_iterable(map(setup.loader.epoch, count())), strict=False):
            torch.manual_seed(step_seed(config.seed, 0, step))
            try:
                loss = train_step(setup, batch)[1]["loss"].item()
            except torch.linalg.LinAlgError:  # SOAP, of a gradient that is not finite
                loss = math.inf
            rows.append({"loss": loss})
            if not math.isfinite(loss):
                break
            if (step + 1) % validation_period == 0:
                terms = dict(alpha=config.alpha, beta=config.beta, distortion_loss=config.distortion_loss)
                rows[-1]["val_loss"] = validate(setup.model, setup.val_pairs, fabric, **terms, bf16=setup.bf16)[
                    "val_loss"
                ]
    return rows

"""The parts of a training: data, model, optimizer, learning-rate schedule and weight average."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ndic_core.checkpoints.checkpoint import load_weights
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError
from ndic_core.models.codec import Codec, unwrap
from ndic_core.models.factory import build_model
from ndic_core.training.devices import uses_bf16
from ndic_core.training.fingerprint import Fingerprint
from ndic_core.training.loader import PairLoader
from ndic_core.training.lr_schedule import make_lr_scheduler, set_step
from ndic_core.training.optimizers import make_optimizer
from ndic_core.training.output_paths import Outputs
from ndic_core.training.state import TrainingState, load_state


@dataclass
class Setup:
    """The parts of a training.

    Attributes:
        loader: the batches of `train_pairs`.
        model: validated and saved.
        net: the same model, wrapped for the device (and several processes, and compiled): used for training steps.
        optimizer: wrapped likewise.
        average: exponential moving average of the weights, or None.
        bf16: whether steps are computed in bf16.
        data: fingerprint of both sets of pairs.
        parts: what a state file stores, by name.
    """

    config: Config
    fabric: Fabric
    train_pairs: Pairs | MixedPairs
    val_pairs: Pairs
    loader: PairLoader
    model: Codec
    net: torch.nn.Module
    optimizer: torch.optim.Optimizer
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler
    average: AveragedModel | None
    bf16: bool
    data: Fingerprint
    parts: dict


def set_up(config: Config, fabric: Fabric, model: Codec | None = None, progress: bool = False) -> Setup:
    """Load the data and build everything that a training step needs.

    Args:
        fabric: from `launch`.
        model: to train in place of the configured one, without its wrapper.
        progress: show a bar on stderr while images are prepared for the first time.

    Raises:
        NDICError: data or weights are missing or do not fit the configuration, or `model` cannot be trained.
    """
    if not torch.is_grad_enabled():
        raise NDICError("training needs gradients: call it outside torch.no_grad() and torch.inference_mode()")
    if model is not None:
        model = unwrap(model)
        if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
            raise NDICError("training needs a model in float32: pass model.float(); precision: bf16 computes faster")
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise NDICError("this model has no parameter to train: call requires_grad_() on those to train")
    train_pairs, val_pairs = (load_split(config, split, progress).to(fabric.device) for split in ("train", "val"))
    of_batches = config.train_batch_size, config.seed, config.epochs, config.matching_loss_weight, config.robust
    loader = PairLoader(train_pairs, fabric, *of_batches)
    model = model or initial_model(config)
    optimizer = make_optimizer(config.optimizer, model.parameters(), config.lr)
    net, fabric_optimizer = fabric.setup(_compiled(model) if config.compile else model, optimizer)
    lr_scheduler = make_lr_scheduler(optimizer, config.lr_scheduler, len(loader), config.epochs, config.warmup_steps)
    parts = {"model": model, "optimizer": optimizer}
    if config.lr_scheduler == "plateau":  # a cosine follows from the number of steps
        parts["lr_scheduler"] = lr_scheduler
    average = None
    if config.ema_decay:
        average = parts["average"] = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    bf16, data = uses_bf16(config.precision, fabric.device), Fingerprint.of(config, train=train_pairs, val=val_pairs)
    of_steps = loader, model, net, fabric_optimizer, lr_scheduler, average, bf16
    return Setup(config, fabric, train_pairs, val_pairs, *of_steps, data, parts)


def _compiled(model: Codec) -> torch.nn.Module:
    """`torch.compile` without its warnings, which are for its developers; the environment variable TORCH_LOGS shows
    them."""
    torch._logging.set_logs(all=logging.ERROR)
    warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)\.")
    return torch.compile(model)


@contextmanager
def compiler_errors(compiled: bool) -> Iterator[None]:
    """Within the block, a failure of `torch.compile`, if it is used, is one sentence."""
    try:
        yield
    except RuntimeError as error:
        if not (compiled and isinstance(error, torch._dynamo.exc.TorchDynamoException)):
            raise
        reason = str(error).strip().split("\n")[0]
        raise NDICError(
            f"compile: True: the compiler failed or was interrupted ({reason}): run again, or set compile: False"
        ) from error


def initial_model(config: Config) -> Codec:
    """The model at the start of a training: with weights from the seed, or those of `weight_path` with `load_weight`.

    Raises:
        NDICError: the checkpoint is missing, or has another model or size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(**config.model_arguments())
        if config.load_weight:
            load_weights(model, config.weight_path)
    return model


def resume(setup: Setup, outputs: Outputs) -> TrainingState:
    """Load an experiment's state file, if there is one, into the parts of its training.

    Raises:
        NDICError: the file is damaged, it belongs to another configuration or other data, or of it and the best weights
            one is missing.
    """
    if not outputs.state.exists():
        outputs.check_data(setup.data)
        outputs.check_no_weights()
        return TrainingState()
    steps = len(setup.loader)
    state, missing, data = load_state(outputs.state, setup.config, setup.parts)
    outputs.check_data(setup.data, data)
    state.step = min(state.step, steps)
    if setup.config.lr_scheduler == "cosine":
        set_step(setup.lr_scheduler, state.epoch * steps + state.step)
    if (state.best < math.inf or "model" in missing) and not outputs.weights.exists():
        raise NDICError(
            f"{outputs.weights} is missing, though {outputs.state} exists: put it back, or delete the state too to "
            f"train anew"
        )
    if "model" in missing:
        load_weights(setup.model, outputs.weights)
    return state

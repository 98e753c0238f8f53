"""Training: set up data and model, then epochs of steps, each followed by validation and saving.

One process trains on one device; `torchrun --nproc_per_node=N -m ndic_core train ...` starts N processes that share
every batch. All randomness of a step follows from the seed and the step's number, so that an interrupted training
resumes bit for bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from ndic_core.checkpoints.checkpoint import load_weights, save_checkpoint
from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.files import make_folder
from ndic_core.models.codec import Codec
from ndic_core.training.devices import device_name, largest, launch
from ndic_core.training.loader import Batch, step_seed
from ndic_core.training.log import log_line, report_setup, show_step
from ndic_core.training.losses import rate_distortion_loss, rate_weights
from ndic_core.training.matching_loss import matching_loss
from ndic_core.training.optimizers import update_average
from ndic_core.training.output_paths import Outputs
from ndic_core.training.setup import Setup, compiler_errors, resume, set_up
from ndic_core.training.signals import catch_stop_signals
from ndic_core.training.state import TrainingState, save_state
from ndic_core.training.validation import validate

SAVE_EVERY = 60.0  # seconds between two saves of the state
CHECK_EVERY = 0.5  # seconds between two looks at the loss (which wait for the GPU) and the reasons to stop
STOP_REASONS = ("", "max_minutes", "interrupted", "not finite")  # processes exchange the index


@dataclass(frozen=True)
class Trained:
    """Result of `train`.

    Attributes:
        model: with the best weights, on the CPU, in evaluation mode.
        history: a dict per validation, see `TrainingState`.
        stopped: why training ended: "epochs", "max_minutes" or "interrupted".
        steps: in all runs of this training.
    """

    model: Codec
    history: list[dict]
    stopped: str
    steps: int


def train(
    config: Config, progress: bool = True, report: Callable[[str], None] = print, model: Codec | None = None
) -> Trained:
    """Train a model as configured; resume if an earlier run of the same experiment was interrupted.

    Args:
        progress: show progress bars on stderr.
        report: receives the lines of the log.
        model: to train in place, instead of the one that `config` describes. Requires `save_weights: False`, since a
            checkpoint could not describe it.

    Returns:
        The trained model and its history. With `save_weights`, the best weights are also in `Outputs(config).weights`,
        the state to resume from in `.state`, all keys in `.settings`, the pairs in `.data`, and curves for TensorBoard
        in `.logs`.

    Raises:
        NDICError: a model of your own would be saved, or cannot be trained; data, weights or an earlier state do not
            fit the configuration; the disk is full; or the loss is no longer finite. Earlier saved files stay intact.

    Example:
        >>> from ndic_core.config import load_config
        >>> small = dict(num_filters=4, resize=[32, 64], epochs=2, street_pairs=[2, 1, 1])
        >>> config = load_config("teaching", model="bls17", save_weights=False, **small)
        >>> trained = train(config, progress=False, report=lambda line: None)
        >>> trained.stopped, [row["epoch"] for row in trained.history]
        ('epochs', [1, 2])
    """
    deadline = math.inf if config.max_minutes is None else time.monotonic() + 60 * config.max_minutes
    outputs = Outputs(config)
    resumed = config.save_weights and outputs.state.exists()
    if model is not None and config.save_weights:
        raise NDICError("train accepts a model of your own only with save_weights: False; save its state_dict yourself")
    if resumed and not config.resume:
        raise NDICError(
            f"{outputs.state} holds an earlier training of this name: set resume: True to continue it, choose another "
            f"experiment_name, or delete it"
        )
    if config.save_weights:
        if not resumed:  # a state is checked when it is loaded
            outputs.check_settings()
        make_folder(outputs.weights.parent)
        make_folder(outputs.logs)

    with ExitStack() as stack:
        # Devices, data, model, optimizer, schedule; the state of an earlier run.
        fabric = launch(config.cuda, config.train_batch_size)
        saves = config.save_weights and fabric.is_global_zero
        progress = progress and fabric.is_global_zero
        report = report if fabric.is_global_zero else lambda line: None
        stack.enter_context(torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []))
        if saves:
            stack.enter_context(outputs.locked())
        stack.enter_context(compiler_errors(config.compile))
        start = config.model_copy(update={"load_weight": False}) if resumed else config
        setup = set_up(start, fabric, model, progress)
        state = resume(setup, outputs) if config.save_weights else TrainingState()
        model, loader, steps = setup.model, setup.loader, len(setup.loader)
        writer = None
        if saves:
            outputs.write_settings(outputs.settings)
            setup.data.write(outputs.data)
            # After a crash the curves may be ahead of the state: epochs that will be repeated are dropped.
            writer = stack.enter_context(SummaryWriter(outputs.logs, purge_step=state.epoch + 1))
        report_setup(setup, outputs.name, report)
        if resumed:
            further = f" and step {state.step} of the next" if state.step else ""
            ignored = ", with its own weights in place of weight_path" if config.load_weight else ""
            report(f"{outputs.state}: going on after epoch {state.epoch}{further}{ignored}")

        best: dict[str, Tensor] | None = None
        saved_at, new_images = time.monotonic(), 0
        stop_requested = stack.enter_context(catch_stop_signals())

        def interrupted() -> bool:
            return bool(agreed(fabric, "interrupted" * stop_requested()))

        def validate_and_keep_best() -> dict | None:
            """Validate the weights and their average, and keep the better ones if they are the best so far."""
            nonlocal best
            began, results = time.monotonic(), []
            loss = dict(alpha=config.alpha, beta=config.beta, distortion_loss=config.distortion_loss, bf16=setup.bf16)
            loss["batch_size"] = max(8, 4 * config.train_batch_size)
            for candidate in (model, setup.average and setup.average.module):
                if candidate is None:
                    continue
                averages = validate(candidate, setup.val_pairs, fabric, **loss, interrupted=interrupted)
                if averages is None:
                    return None
                if not math.isfinite(averages["val_loss"]):
                    raise not_finite(state, outputs)
                results.append((averages, candidate))
            state.validation_seconds += time.monotonic() - began
            averages, better = min(results, key=lambda result: result[0]["val_loss"])
            if averages["val_loss"] < state.best:
                check_weights(model, state, outputs)
                state.best = averages["val_loss"]
                best = {name: value.detach().cpu().clone() for name, value in better.state_dict().items()}
                if saves:
                    save_checkpoint(better, outputs.weights)
            return averages

        def save() -> None:
            nonlocal saved_at, new_images
            now = time.monotonic()
            state.count(device_name(fabric.device), new_images, now - saved_at)
            saved_at, new_images = now, 0
            check_weights(model, state, outputs)
            if saves:
                save_state(outputs.state, config, setup.parts, state, setup.data.digest)

        stopped = ""
        while state.epoch < config.epochs and not stopped:
            # The remaining steps of an epoch.
            setup.net.train()
            checked_at = 0.0
            loss_sum = torch.tensor(state.loss_sum, dtype=torch.float64, device=fabric.device)
            title = f"epoch {state.epoch + 1}/{config.epochs}"
            hidden = None if progress else True  # None: hidden unless stderr is a terminal
            with tqdm(total=steps, initial=state.step, desc=title, disable=hidden, leave=False) as bar:
                for batch in loader.epoch(state.epoch, start=state.step):
                    torch.manual_seed(step_seed(config.seed, state.epoch, state.step, fabric.global_rank))
                    try:
                        out, terms = train_step(setup, batch)
                    except torch.linalg.LinAlgError:  # SOAP, of a gradient that is not finite
                        raise not_finite(state, outputs) from None
                    loss_sum += terms["loss"].detach()
                    state.step += 1
                    new_images += len(batch.x) * fabric.world_size
                    bar.update()
                    now = time.monotonic()
                    if now - checked_at < CHECK_EVERY and fabric.world_size == 1 and state.step < steps:
                        continue
                    checked_at = now
                    state.loss_sum = loss_sum.item()
                    show_step(bar, batch.x, out, terms)
                    if not math.isfinite(state.loss_sum):
                        stopped = "not finite"
                    elif stop_requested():
                        stopped = "interrupted"
                    elif now > deadline:
                        stopped = "max_minutes"
                    stopped = agreed(fabric, stopped)
                    if stopped == "not finite":
                        raise not_finite(state, outputs)
                    if stopped:
                        break
                    if now - saved_at > SAVE_EVERY:
                        save()

            # Validation, learning rate, log.
            epoch = state.epoch + 1
            last = epoch == config.epochs
            averages = None
            if stopped == "max_minutes" or (not stopped and (epoch % config.validation_period == 0 or last)):
                averages = validate_and_keep_best()
                if averages is None:
                    stopped = "interrupted"
            if not stopped:
                if averages is not None:
                    loss = torch.tensor(state.loss_sum / steps, dtype=torch.float64, device=fabric.device)
                    loss = fabric.all_reduce(loss).item() if fabric.world_size > 1 else loss.item()
                    row = {"epoch": epoch, "lr": setup.optimizer.param_groups[0]["lr"], "loss": loss, **averages}
                    state.history.append(row)
                    if config.lr_scheduler == "plateau":
                        setup.lr_scheduler.step(averages["val_loss"])
                    for name, value in row.items():
                        if writer and value is not None:
                            writer.add_scalar(name, value, epoch)
                    if config.verbose_period > 0 and (epoch % config.verbose_period == 0 or last):
                        report(log_line(row))
                state.epoch, state.step, state.loss_sum = epoch, 0, 0.0
            # Also after the first validation: weights without a state cannot be resumed.
            if stopped or last or len(state.history) == 1 or time.monotonic() - saved_at > SAVE_EVERY:
                save()

        model = model.cpu().eval()
        if best is not None:
            model.load_state_dict(best)
        elif config.save_weights and outputs.weights.exists():
            load_weights(model, outputs.weights)
        return Trained(model, state.history, stopped or "epochs", state.epoch * steps + state.step)


def train_step(setup: Setup, batch: Batch) -> tuple[dict, dict[str, Tensor]]:
    """One step: forward pass, loss, backward pass, gradient clipping, optimizer, schedule, weight average.

    Nothing in it waits for a GPU.

    Returns:
        The output of the model, and the terms of `rate_distortion_loss`, which exclude the matching loss.
    """
    config, model, x, y = setup.config, setup.model, batch.x, batch.y
    low, high = model.lambdas
    # Log-uniform in the range of a variable-rate model. On the CPU, where a model checks lambdas without waiting.
    lmbda = low if model.gain is None else (low * (high / low) ** batch.rates).float()
    camera = {"right": batch.right} if model.takes_camera else {}
    with (
        torch.autocast(x.device.type, torch.bfloat16, enabled=setup.bf16),
        nullcontext() if batch.known is None else model.watched() as attention,
    ):
        out = setup.net(x, y, lmbda=lmbda, side=bool(config.alpha or config.beta), **camera)
    if model.gain is not None:
        lmbda = lmbda.to(x.device, non_blocking=True)
    terms = rate_distortion_loss(out, x, y, lmbda, config.alpha, config.beta, metric=config.distortion_loss)
    loss = terms["loss"]
    if config.rate_balance:
        loss = (rate_weights(lmbda, model.lambdas, config.rate_balance) * terms["losses"]).mean()
    if batch.known is not None:
        matches = [layer.match.of(batch.known) for layer in attention]
        loss = loss + batch.matching_loss_weight * matching_loss(matches, batch.disparity)
    setup.optimizer.zero_grad()
    setup.fabric.backward(loss)
    if config.max_grad_norm is not None:
        setup.fabric.clip_gradients(setup.net, setup.optimizer, max_norm=config.max_grad_norm, error_if_nonfinite=False)
    setup.optimizer.step()
    if setup.average is not None:
        update_average(setup.average, model, config.ema_decay)
    if config.lr_scheduler == "cosine":
        setup.lr_scheduler.step()
    return out, terms


def agreed(fabric: Fabric, reason: str) -> str:
    """The most severe of the reasons to stop that the processes have."""
    return STOP_REASONS[largest(fabric, STOP_REASONS.index(reason))]


def check_weights(model: Codec, state: TrainingState, outputs: Outputs) -> None:
    """Raise an error before damaged weights are saved: the last step's loss was computed before its update."""
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise not_finite(state, outputs)


def not_finite(state: TrainingState, outputs: Outputs) -> NDICError:
    """The error for a loss or weights that are NaN or infinite."""
    kept = ""
    if outputs.config.save_weights and outputs.weights.exists():
        kept = f"; {outputs.weights} keeps the best weights so far, and load_weight: True would start from them"
    return NDICError(
        f"loss or weights are no longer finite numbers in epoch {state.epoch + 1}{kept}: train under another "
        f"experiment_name with a lower lr or max_grad_norm"
    )

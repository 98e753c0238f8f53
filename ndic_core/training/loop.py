"""The loop of a training: epochs of steps, validation after each, everything saved on the way."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from ndic_core.checkpoints.checkpoint import load_weights, save_checkpoint
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.errors import NDICError
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.training.devices import bf16_is_slow, device_name, in_bf16
from ndic_core.training.loader import Batch, Batches, step_seed
from ndic_core.training.losses import rate_distortion_loss, rate_weights
from ndic_core.training.lr_schedule import go_to, make_lr_scheduler
from ndic_core.training.matching_loss import matching_loss
from ndic_core.training.optimizers import make_optimizer
from ndic_core.training.output_paths import Outputs
from ndic_core.training.state import Progress, load_state, save_state
from ndic_core.training.validation import image_quality, validate

SAVE_EVERY = 60.0  # seconds between two savings of the state while it changes
LOOK_EVERY = 0.5  # seconds between two looks at the clock, the bar and whether the loss is still finite
REASONS = ("", "max_minutes", "interrupted", "not finite")  # to stop; what several processes exchange is the number


def initial_model(config: Config) -> Codec:
    """The model to start from: with fresh weights, or those of `weight_path` where `load_weight` is set.

    Raises:
        NDICError: the checkpoint is missing, or of another model or size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(**config.model_arguments())
        if config.load_weight:
            load_weights(model, config.weight_path)
    return model


class Training:
    """A model, its optimizer and its data, on their way through the epochs."""

    def __init__(
        self,
        config: Config,
        fabric: Fabric,
        outputs: Outputs,
        progress: bool,
        report: Callable[[str], None],
        model: Codec | None = None,
    ):
        self.config, self.fabric, self.outputs = config, fabric, outputs
        self.show = progress and fabric.is_global_zero
        self.report = report if fabric.is_global_zero else lambda line: None
        self.train_pairs, self.val_pairs = (
            load_split(config, split, self.show).to(fabric.device) for split in ("train", "val")
        )
        self.batches = Batches(self.train_pairs, config, fabric)
        resumed = config.save_weights and outputs.state.exists()
        self.model = model or initial_model(config.model_copy(update={"load_weight": False}) if resumed else config)
        # The wrapped model makes the steps; the bare one, with the same parameters, validates and is saved.
        net = torch.compile(self.model) if config.compile else self.model
        optimizer = make_optimizer(config, self.model.parameters())
        self.net, self.optimizer = fabric.setup(net, optimizer)
        self.lr_scheduler = make_lr_scheduler(config, optimizer, len(self.batches))
        self.parts = {"model": self.model, "optimizer": optimizer}
        if config.lr_scheduler == "plateau":  # a cosine follows from the steps that are done
            self.parts["lr_scheduler"] = self.lr_scheduler
        self.average = None
        if config.ema_decay:
            self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
            self.parts["average"] = self.average
        self.bf16 = in_bf16(config, fabric.device)
        if self.bf16 and bf16_is_slow(fabric.device):
            self.report("precision: this CPU has no bf16 arithmetic, float32 is several times faster here")
        self.progress = Progress()
        self.best: dict[str, Tensor] | None = None
        self.saved_at = self.timed_at = time.monotonic()
        self.new_images = 0
        if resumed:
            self.progress, missing = load_state(outputs.state, config, self.parts)
            self.progress.step = min(self.progress.step, len(self.batches))
            if config.lr_scheduler == "cosine":
                go_to(self.lr_scheduler, self.progress.epoch * len(self.batches) + self.progress.step)
            if (self.progress.best < math.inf or "model" in missing) and not outputs.weights.exists():
                raise NDICError(
                    f"{outputs.weights} is gone, though {outputs.state} is there: put it back, or delete the state too "
                    f"to train anew"
                )
            if "model" in missing:
                load_weights(self.model, outputs.weights)
            further = f" and {self.progress.step} steps of the next" if self.progress.step else ""
            self.report(f"{outputs.state}: going on after epoch {self.progress.epoch}{further}")
        # After a crash the state may be older than the curves: what will be drawn again is dropped.
        writes = config.save_weights and fabric.is_global_zero
        self.writer = SummaryWriter(outputs.logs, purge_step=self.progress.epoch + 1) if writes else None
        parameters = sum(p.numel() for p in self.model.parameters())
        self.report(
            f"{outputs.name}: {config.model} with {parameters / 1e6:.2f} M parameters, {len(self.train_pairs)} pairs "
            f"to train and {len(self.val_pairs)} to validate, {fabric.world_size} × {fabric.device.type} in "
            f"{'bf16' if self.bf16 else 'float32'}"
        )

    def run(self, stop: Callable[[], str]) -> str:
        """Train until the last epoch, or until `stop` gives a reason; return the reason."""
        progress = self.progress
        while progress.epoch < self.config.epochs:
            reason = self.train_epoch(stop)
            if reason == "max_minutes":  # the latest weights may be the best
                if self._validate(lambda: stop() == "interrupted") is None:
                    reason = "interrupted"
            elif not reason and not self._finish_epoch(lambda: stop() == "interrupted"):
                reason = "interrupted"
            if reason:
                self._save()
                return reason
            if time.monotonic() - self.saved_at > SAVE_EVERY or progress.epoch == self.config.epochs:
                self._save()
        return "epochs"

    def close(self) -> None:
        """Write what is left of the curves."""
        if self.writer:
            self.writer.close()

    def best_model(self) -> Codec:
        """The bare model with its best weights, on the CPU, in evaluation mode."""
        model = self.model.cpu().eval()
        if self.best is not None:
            model.load_state_dict(self.best)
        elif self.config.save_weights and self.outputs.weights.exists():
            load_weights(model, self.outputs.weights)
        return model

    def train_epoch(self, stop: Callable[[], str]) -> str:
        """The steps that are left of an epoch; a reason if it was stopped."""
        progress, looked_at, steps = self.progress, 0.0, len(self.batches)
        loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self.fabric.device)
        self.net.train()
        bar = tqdm(
            total=steps,
            initial=progress.step,
            desc=f"epoch {progress.epoch + 1}/{self.config.epochs}",
            disable=None if self.show else True,
            leave=False,
        )
        with bar:
            for batch in self.batches.of_epoch(progress.epoch, progress.step):
                torch.manual_seed(step_seed(self.config.seed, progress.epoch, progress.step, self.fabric.global_rank))
                out, terms = self._step(batch)
                loss_sum += terms["loss"].detach()
                progress.step += 1
                self.new_images += len(batch.x) * self.fabric.world_size
                bar.update()
                now = time.monotonic()
                if now - looked_at < LOOK_EVERY and self.fabric.world_size == 1 and progress.step < steps:
                    continue
                looked_at = now
                progress.loss_sum = loss_sum.item()
                self._show(bar, batch.x, out, terms)
                reason = self._agreed("not finite" if not math.isfinite(progress.loss_sum) else stop())
                if reason == "not finite":
                    self._not_finite()
                if reason:
                    return reason
                if now - self.saved_at > SAVE_EVERY:
                    self._save()
        return ""

    def _step(self, batch: Batch) -> tuple[dict, dict[str, Tensor]]:
        """One step of the optimizer on a batch; what guides attention is in no reported loss."""
        config, x, y, lmbda = self.config, batch.x, batch.y, self._lambdas(batch.rates)
        autocast = torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)
        watched = nullcontext() if batch.known is None else self.model.watched()
        hints = {"right": batch.right} if self.model.takes_camera else {}
        with autocast, watched as met:
            out = self.net(x, y, lmbda=lmbda, side=bool(config.alpha or config.beta), **hints)
        if self.model.gain is not None:
            lmbda = lmbda.to(x.device, non_blocking=True)
        terms = rate_distortion_loss(out, x, y, lmbda, config.alpha, config.beta, metric=config.distortion_loss)
        loss = terms["loss"]
        if config.rate_balance:
            loss = (rate_weights(lmbda, self.model.lambdas, config.rate_balance) * terms["losses"]).mean()
        if batch.known is not None:
            loss = loss + batch.matching_loss_weight * matching_loss(
                [one.match.of(batch.known) for one in met], batch.disparity
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if config.max_grad_norm is not None:
            self.fabric.clip_gradients(
                self.net, self.optimizer, max_norm=config.max_grad_norm, error_if_nonfinite=False
            )
        try:
            self.optimizer.step()
        except torch.linalg.LinAlgError:  # what SOAP's decompositions make of a gradient that is not finite
            self._not_finite()
        if self.average is not None:
            self._update_average()
        if config.lr_scheduler == "cosine":
            self.lr_scheduler.step()
        return out, terms

    @torch.no_grad()
    def _update_average(self) -> None:
        """As `AveragedModel.update_parameters`, which sends the number of updates to a GPU and waits for it."""
        if self.average.n_averaged == 0:
            self.average.update_parameters(self.model)
            return
        average, weights = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(average, weights, 1 - self.config.ema_decay)
        self.average.n_averaged += 1

    def _lambdas(self, rates: Tensor) -> float | Tensor:
        """The lambda of each image: the one there is, or drawn log-uniformly from the range. On the CPU, where a model
        checks them without waiting for the device."""
        low, high = self.model.lambdas
        if self.model.gain is None:
            return low
        return (low * (high / low) ** rates).float()

    def _finish_epoch(self, interrupted: Callable[[], bool]) -> bool:
        """Validate, note the results, reduce the learning rate; False if interrupted before that was done."""
        progress, config = self.progress, self.config
        epoch = progress.epoch + 1
        if epoch % config.validation_period == 0 or epoch == config.epochs:
            averages = self._validate(interrupted)
            if averages is None:
                return False
            lr = self.optimizer.param_groups[0]["lr"]
            loss = torch.tensor(progress.loss_sum / len(self.batches), dtype=torch.float64, device=self.fabric.device)
            loss = self.fabric.all_reduce(loss).item() if self.fabric.world_size > 1 else loss.item()
            row = {"epoch": epoch, "lr": lr, "loss": loss, **averages}
            progress.history.append(row)
            if config.lr_scheduler == "plateau":
                self.lr_scheduler.step(averages["val_loss"])
            for name, value in row.items():
                if self.writer and value is not None:
                    self.writer.add_scalar(name, value, epoch)
            if config.verbose_period > 0 and (epoch % config.verbose_period == 0 or epoch == config.epochs):
                self.report(_line(row))
        progress.epoch, progress.step, progress.loss_sum = epoch, 0, 0.0
        return True

    def _validate(self, interrupted: Callable[[], bool]) -> dict | None:
        """Measure the weights, and their average where there is one; keep the better ones if they are the best so far.

        Returns:
            What `validate` says of the better ones; None if interrupted.
        """
        began = time.monotonic()
        found = []
        for model in (self.model, self.average and self.average.module):
            if model is None:
                continue
            averages = validate(
                model,
                self.val_pairs,
                self.config,
                self.fabric,
                lambda: bool(self._agreed("interrupted" * interrupted())),
            )
            if averages is None:
                return None
            if not math.isfinite(averages["val_loss"]):
                self._not_finite()
            found.append((averages, model))
        self.progress.validation_seconds += time.monotonic() - began
        averages, model = min(found, key=lambda pair: pair[0]["val_loss"])
        if averages["val_loss"] < self.progress.best:
            self._check_weights()
            self.progress.best = averages["val_loss"]
            self.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            if self.config.save_weights and self.fabric.is_global_zero:
                save_checkpoint(model, self.outputs.weights)
        return averages

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        self.progress.took(device_name(self.fabric.device), self.new_images, self.saved_at - self.timed_at)
        self.timed_at, self.new_images = self.saved_at, 0
        self._check_weights()
        if self.config.save_weights and self.fabric.is_global_zero:
            save_state(self.outputs.state, self.config, self.parts, self.progress)

    def _agreed(self, reason: str) -> str:
        """The gravest reason to stop that any process has."""
        if self.fabric.world_size == 1:
            return reason
        number = torch.tensor(REASONS.index(reason), device=self.fabric.device)
        return REASONS[int(self.fabric.all_reduce(number, reduce_op="max"))]

    def _check_weights(self) -> None:
        """The loss of the last step tells nothing of the weights after it: nothing that is spoilt is saved."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self._not_finite()

    def _not_finite(self) -> None:
        kept = ""
        if self.config.save_weights and self.outputs.weights.exists():
            kept = (
                f"; {self.outputs.weights} keeps the best weights so far, and load_weight: True would start from them"
            )
        raise NDICError(
            f"loss or weights are no longer finite numbers in epoch {self.progress.epoch + 1}{kept}: train under "
            f"another experiment_name with a lower lr or max_grad_norm"
        )

    def _show(self, bar: tqdm, x: Tensor, out: dict, terms: dict[str, Tensor]) -> None:
        if not bar.disable:
            quality = image_quality(x[:2], out["x_hat"][:2])  # MS-SSIM of all would slow the training down
            values = (terms["loss"], terms["bpp"], *(value.mean() for value in quality))
            bar.set_postfix_str(
                "loss {:.3f}, {:.3f} bpp, {:.1f} dB, MS-SSIM {:.3f}".format(*(v.item() for v in values))
            )


def _line(row: dict) -> str:
    ms_ssim = "" if row["ms_ssim"] is None else f", MS-SSIM {row['ms_ssim']:.4f}"
    costs = [f"{name.removeprefix('cost_')} {value:.4f}" for name, value in row.items() if name.startswith("cost_")]
    return (
        f"epoch {row['epoch']}: loss {row['loss']:.4f}; validation: loss {row['val_loss']:.4f}, {row['bpp']:.4f} bpp "
        f"(estimated), PSNR {row['psnr']:.2f} dB{ms_ssim}{', cost: ' * bool(costs)}{', '.join(costs)}; "
        f"lr {row['lr']:.1e}"
    )

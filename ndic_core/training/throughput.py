"""How fast a training runs and what it keeps in memory, measured on the package's own loop."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.training.devices import launch
from ndic_core.training.loop import Training
from ndic_core.training.output_paths import Outputs

_WARM_UP = 3  # steps: kernels are chosen, compiled, and memory is asked for
_MB = 1e6


def throughput(config: Config, seconds: float = 2.0) -> dict:
    """Train as a configuration says for a few seconds, and measure it.

    What is timed is `train`'s own loop: fetching a batch, mirroring it, the forward and backward pass, the optimizer. A
    few steps before the clock starts are not counted; validation and saving are left out. Nothing is written.

    Args:
        config: of the experiment; it must have at least one full batch to train on, and should have several batches
            an epoch, since what each epoch begins with is timed, too. Under `torchrun` all processes measure together.
        seconds: how long at least. The loop looks at the clock every half second, so that it may take so much more.

    Returns:
        model, num_filters, batch, precision ("bf16" or "float32", as computed), compile, device (its name);
        images_per_second, step_ms;
        state_mb: all weights, and the gradients and Adam's numbers of those that are trained (with alpha = beta = 0
            not all of them are), in megabytes (10⁶ bytes);
        activation_mb: what the forward pass of one step keeps for the backward pass, each piece of memory counted once;
        None with `compile`, which decides that by itself;
        peak_mb: the most memory that PyTorch had in use on a GPU; None on a CPU, where nobody counts.

    Raises:
        NDICError: fewer pairs than a batch, or what `train` raises.

    Example:
        >>> from ndic_core.config import load_config
        >>> small = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[2, 1, 1], train_batch_size=2)
        >>> row = throughput(load_config("teaching", precision="float32", **small), seconds=0.1)
        >>> row["batch"], row["precision"], row["images_per_second"] > 0
        (2, 'float32', True)
    """
    config = config.model_copy(update={"save_weights": False})
    fabric = launch(config)
    cuda = fabric.device.type == "cuda"
    with torch.random.fork_rng(devices=[fabric.device] if cuda else []):
        training = Training(config, fabric, Outputs(config), progress=False, report=lambda line: None)
        if len(training.train_pairs) < config.train_batch_size:
            raise NDICError(
                f"train_batch_size: got {config.train_batch_size}; there are only {len(training.train_pairs)} pairs to "
                f"train on, less than one batch"
            )
        kept = _kept_in_a_step(training)
        for _ in range(_WARM_UP - 1):
            _train_for(training, 0.0)
        if cuda:
            torch.cuda.reset_peak_memory_stats(fabric.device)
        steps, images, took = _train_for(training, seconds)
    return dict(
        model=config.model,
        num_filters=config.num_filters,
        batch=config.train_batch_size,
        precision="bf16" if training.bf16 else "float32",
        compile=config.compile,
        device=torch.cuda.get_device_name(fabric.device) if cuda else f"CPU, threads: {torch.get_num_threads()}",
        images_per_second=images / took,
        step_ms=1000 * took / steps,
        state_mb=_state(training),
        activation_mb=kept,
        peak_mb=torch.cuda.max_memory_allocated(fabric.device) / _MB if cuda else None,
    )


def throughput_table(rows: Sequence[Mapping]) -> str:
    """Measurements as text, to print: a line for each, under the name of the device.

    Args:
        rows: from `throughput`, all of one device, or read back with `evaluation.read_table`.

    Example:
        >>> sizes = dict(model="bls17", num_filters=64, batch=8, precision="bf16", compile=False)
        >>> speed = dict(device="CPU, threads: 2", images_per_second=25.0, step_ms=320.0)
        >>> print(throughput_table([dict(**sizes, **speed, state_mb=9.0, activation_mb=120.4, peak_mb=None)]))
        CPU, threads: 2
        model               filters  batch  precision  images/s  ms a step  state MB  kept MB  peak MB
        bls17                    64      8       bf16      25.0        320         9      120        –
    """
    lines = dict.fromkeys(row["device"] for row in rows)
    lines = [*lines, f"{'model':19} filters  batch  precision  images/s  ms a step  state MB  kept MB  peak MB"]
    for row in rows:
        megabytes = map(row.get, ("state_mb", "activation_mb", "peak_mb"))  # what is None, a table read back lacks
        memory = ("–" if value is None else f"{value:.0f}" for value in megabytes)
        lines.append(
            f"{row['model']:19} {row['num_filters']:7} {row['batch']:6} {row['precision']:>10} "
            f"{row['images_per_second']:9.1f} {row['step_ms']:10.0f} {{:>9}} {{:>8}} {{:>8}}".format(*memory)
            + "  compiled" * row["compile"]
        )
    return "\n".join(lines)


def _train_for(training: Training, seconds: float) -> tuple[int, int, float]:
    """At least one step: how many steps, images, and seconds."""
    batch, pairs, progress = training.config.train_batch_size, len(training.train_pairs), training.progress
    steps = images = 0
    start = time.perf_counter()
    deadline = start + seconds
    while True:
        before = progress.step
        stopped = training.train_epoch(lambda: "max_minutes" if time.perf_counter() >= deadline else "")
        steps += progress.step - before
        images += min(progress.step * batch, pairs) - min(before * batch, pairs)
        if progress.step == math.ceil(pairs / batch):
            progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        if stopped:
            return steps, images, time.perf_counter() - start


def _state(training: Training) -> float:
    """Megabytes that stay from step to step; where no gradient comes, the optimizer keeps nothing either."""
    weights = list(training.model.parameters())
    gradients = [p.grad for p in weights if p.grad is not None]
    average = [] if training.average is None else list(training.average.parameters())
    optimizer = _tensors(dict(training.parts["optimizer"].state))
    return sum(tensor.numel() * tensor.element_size() for tensor in (*weights, *gradients, *average, *optimizer)) / _MB


def _tensors(state: object) -> Iterator[Tensor]:
    """All tensors of an optimizer's state; SOAP keeps lists of them."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)


def _kept_in_a_step(training: Training) -> float | None:
    """One step; how many megabytes autograd keeps in it, weights themselves not counted."""
    if training.config.compile:
        _train_for(training, 0.0)
        return None
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in training.model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _train_for(training, 0.0)
    return sum(kept.values()) / _MB

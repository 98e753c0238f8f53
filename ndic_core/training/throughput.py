"""Throughput and memory of training steps."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ndic_core.catalogue import MODELS
from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import format_table, read_table
from ndic_core.training.devices import largest, launch
from ndic_core.training.loader import Batch
from ndic_core.training.setup import Setup, set_up
from ndic_core.training.train import train_step

# Tables of measurements on GPUs, and what their rows have in common.
GPU_TABLES = {
    "training_h100.csv": {"device": "NVIDIA H100", "precision": "bf16", "compile": False},
    "gpu_throughput.csv": {"at_once": 1},
    "gpu_compiled.csv": {"at_once": 1},
}
_WARM_UP = 3  # steps, in which kernels are selected and compiled, and memory is allocated
_MB = 1e6


def throughput(config: Config, seconds: float = 2.0) -> dict:
    """Train as configured for a few seconds, and measure speed and memory.

    Timed are fetching and mirroring a batch, the forward and backward pass, and the optimizer, after a few steps of
    warm-up; not validation and saving. Nothing is written.

    Args:
        config: should have several full batches per epoch, since the time to start an epoch is
            included. Under `torchrun` all processes measure together.
        seconds: minimum duration.

    Returns:
        model, num_filters, batch, precision ("bf16" or "float32", as computed), compile, device (its name);
        images_per_second, step_ms;
        state_mb: all weights, and the gradients and optimizer state of the trained ones, in megabytes (10⁶ bytes);
        activation_mb: memory that the forward pass of one step stores for the backward pass, each block counted once;
        None with `compile`, which decides that itself;
        peak_mb: peak of PyTorch's memory on a GPU; None on a CPU.

    Raises:
        NDICError: fewer pairs than a batch, or an error of `set_up`.

    Example:
        >>> from ndic_core.config import load_config
        >>> small = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[2, 1, 1], train_batch_size=2)
        >>> row = throughput(load_config("teaching", precision="float32", **small), seconds=0.1)
        >>> row["batch"], row["precision"], row["images_per_second"] > 0
        (2, 'float32', True)
    """
    fabric = launch(config.cuda, config.train_batch_size)
    cuda = fabric.device.type == "cuda"
    with torch.random.fork_rng(devices=[fabric.device] if cuda else []):
        setup = set_up(config, fabric)
        if len(setup.train_pairs) < config.train_batch_size:
            raise NDICError(
                f"train_batch_size: got {config.train_batch_size}; there are only {len(setup.train_pairs)} pairs to "
                f"train on, less than one batch"
            )
        setup.net.train()
        batches = chain.from_iterable(map(setup.loader.epoch, count()))
        activation_mb = _activation_mb(setup, next(batches))
        for _ in range(_WARM_UP - 1):
            train_step(setup, next(batches))
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats(fabric.device)
        steps, images, took = _train_for(setup, batches, seconds)
    return dict(
        model=config.model,
        num_filters=config.num_filters,
        batch=config.train_batch_size,
        precision="bf16" if setup.bf16 else "float32",
        compile=config.compile,
        device=torch.cuda.get_device_name(fabric.device) if cuda else f"CPU, threads: {torch.get_num_threads()}",
        images_per_second=images / took,
        step_ms=1000 * took / steps,
        state_mb=_state_mb(setup),
        activation_mb=activation_mb,
        peak_mb=torch.cuda.max_memory_allocated(fabric.device) / _MB if cuda else None,
    )


def throughput_table(rows: Sequence[Mapping]) -> str:
    """Measurements as text: the name of the device, then a line for each.

    Args:
        rows: from `throughput`, all of one device, or read back with `evaluation.tables.read_table`.

    Example:
        >>> sizes = dict(model="bls17", num_filters=64, batch=8, precision="bf16", compile=False)
        >>> speed = dict(device="CPU, threads: 2", images_per_second=25.0, step_ms=320.0)
        >>> print(throughput_table([dict(**sizes, **speed, state_mb=9.0, activation_mb=120.4, peak_mb=None)]))
        CPU, threads: 2
        model  filters  batch  precision  images/s  ms per step  state MB  activation MB
        bls17       64      8  bf16           25.0          320         9            120
    """
    columns = ("model", "num_filters", "batch", "precision", "compile", "images_per_second", "step_ms")
    columns += ("state_mb", "activation_mb", "peak_mb")
    shown = [key for key in columns if any(row.get(key) for row in rows)]
    return "\n".join([*dict.fromkeys(row["device"] for row in rows), format_table(rows, shown)])


def stored_rates(folder: Path) -> list[dict]:
    """Measurements of training on GPUs from the tables in `benchmarks/results`, those of them that exist.

    Returns:
        Rows with model, num_filters, batch, device and images_per_second at least. at_once is the number of trainings
        that shared the GPU, where it is known; rows of several models together are left out.

    Raises:
        NDICError: a table cannot be read.
    """
    rows = []
    for name, known in GPU_TABLES.items():
        if (folder / name).exists():
            rows += [known | row for row in read_table(folder / name)]
    return [row for row in rows if row["model"] in MODELS]


def activation_per_image(rows: Sequence[Mapping]) -> float:
    """MB of activations that each image of a batch adds: the slope between the smallest and the largest batch.

    Args:
        rows: of one model, size and precision, with several batch sizes.

    Raises:
        NDICError: all rows have one batch size, or nothing was counted.

    Example:
        >>> activation_per_image([dict(batch=1, activation_mb=30.0), dict(batch=5, activation_mb=110.0)])
        20.0
    """
    known = [(row["batch"], row["activation_mb"]) for row in rows if row.get("activation_mb") is not None]
    if len({batch for batch, _ in known}) < 2:
        raise NDICError("a slope needs two batch sizes with activation_mb: measure another one, without compile")
    (first, low), (last, high) = min(known), max(known)
    return (high - low) / (last - first)


def _train_for(setup: Setup, batches: Iterator[Batch], seconds: float) -> tuple[int, int, float]:
    """Train for at least one step and `seconds`; the number of steps and images, and the seconds that they took."""
    steps = images = 0
    start = time.perf_counter()
    done = False
    while not done:
        batch = next(batches)
        _, terms = train_step(setup, batch)
        steps += 1
        images += len(batch.x) * setup.fabric.world_size
        done = bool(largest(setup.fabric, int(time.perf_counter() - start >= seconds)))
    terms["loss"].item()  # waits for the GPU
    return steps, images, time.perf_counter() - start


def _state_mb(setup: Setup) -> float:
    """Memory of weights, their average, gradients and optimizer state, where there are any."""
    weights = list(setup.model.parameters())
    gradients = [p.grad for p in weights if p.grad is not None]
    average = [] if setup.average is None else list(setup.average.parameters())
    optimizer = [leaf for leaf in tree_leaves(dict(setup.parts["optimizer"].state)) if isinstance(leaf, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*weights, *gradients, *average, *optimizer)) / _MB


def _activation_mb(setup: Setup, batch: Batch) -> float | None:
    """Memory that autograd stores in one step, without the weights themselves."""
    if setup.config.compile:
        train_step(setup, batch)
        return None
    stored = {}
    weights = {p.untyped_storage().data_ptr() for p in setup.model.parameters()}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        train_step(setup, batch)
    return sum(stored.values()) / _MB

"""On what a training runs: a GPU or the CPU, one process or several, in which precision."""

import atexit
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from ndic_core.config import Config
from ndic_core.errors import NDICError


def launch(config: Config) -> Fabric:
    """The devices of this process, ready to train on.

    Under `torchrun` (which sets `WORLD_SIZE`) all its processes work together, over NCCL on GPUs and gloo on CPUs.

    Args:
        config: of the experiment; `cuda` and `train_batch_size` count.

    Raises:
        NDICError: the batch cannot be shared evenly.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if config.train_batch_size % world:
        raise NDICError(
            f"train_batch_size: got {config.train_batch_size}; {world} processes share each batch, so it must be a "
            f"multiple of {world}"
        )
    cuda = config.cuda and torch.cuda.is_available()
    # alpha = 0 leaves parts of a model without gradient, which DDP must be told.
    strategy = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=local,
        num_nodes=max(1, world // local),
        strategy=strategy,
    )
    fabric.launch()
    if world > 1:
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """Fabric does this for NCCL only, and gloo's threads, left running, may abort the interpreter as it ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def in_bf16(config: Config, device: torch.device) -> bool:
    """Whether to compute steps in bf16 (by `torch.autocast`; weights, likelihoods and losses stay float32).

    Fabric's own mixed precision would round the images and lambdas that a model is given, too.

    Raises:
        NDICError: bf16 is asked of a GPU without it.
    """
    cuda = device.type == "cuda"
    able = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else _cpu_computes_bf16()
    if config.precision == "bf16" and cuda and not able:
        raise NDICError("precision: this GPU has no bf16; set precision: 'auto' or 'float32'")
    return config.precision == "bf16" or (config.precision == "auto" and able)


def device_name(device: torch.device) -> str:
    """What a device is called: a GPU's own name, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def bf16_is_slow(device: torch.device) -> bool:
    """Whether bf16 would be emulated: float32 is then several times faster."""
    return device.type == "cpu" and not _cpu_computes_bf16()


def _cpu_computes_bf16() -> bool:
    """Whether the processor has bf16 arithmetic of its own; emulated, it would be slower than float32."""
    units = (getattr(torch.cpu, f"_is_{unit}_supported", bool) for unit in ("avx512_bf16", "amx_tile"))
    return any(supported() for supported in units)

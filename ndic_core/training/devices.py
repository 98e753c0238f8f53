"""Devices of a training: GPU or CPU, one process or several, float32 or bf16."""

import atexit
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from ndic_core.errors import NDICError


def launch(cuda: bool = False, train_batch_size: int = 1) -> Fabric:
    """Connect the processes of a training and select the device of this one.

    Under `torchrun` (which sets `WORLD_SIZE`) all its processes train together, over NCCL on GPUs and gloo on CPUs.

    Args:
        cuda: use a GPU if there is one.
        train_batch_size: images per step of all processes together.

    Raises:
        NDICError: the batch cannot be shared evenly.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if train_batch_size % world:
        raise NDICError(
            f"train_batch_size: got {train_batch_size}; {world} processes share each batch, so it must be a "
            f"multiple of {world}"
        )
    # With alpha = 0, parts of a model have no gradient.
    strategy = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    fabric = Fabric(
        accelerator="cuda" if cuda and torch.cuda.is_available() else "cpu",
        devices=local,
        num_nodes=max(1, world // local),
        strategy=strategy,
    )
    fabric.launch()
    if world > 1:
        # Fabric does this for NCCL only; gloo's threads, if left running, may abort the interpreter at exit.
        atexit.register(lambda: torch.distributed.is_initialized() and torch.distributed.destroy_process_group())
    return fabric


def largest(fabric: Fabric, value: int) -> int:
    """The largest value of any process, on which all of them can act alike."""
    if fabric.world_size == 1:
        return value
    return int(fabric.all_reduce(torch.tensor(value, device=fabric.device), reduce_op="max"))


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether steps are computed in bf16 (by `torch.autocast`; weights, likelihoods and losses stay float32).

    Fabric's own mixed precision would also round the images and lambdas that a model receives.

    Args:
        precision: "bf16", "float32" or "auto", which is bf16 where the device has bf16 arithmetic.

    Raises:
        NDICError: bf16 is requested on a GPU that does not support it.
    """
    cuda = device.type == "cuda"
    supported = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else _cpu_has_bf16()
    if precision == "bf16" and cuda and not supported:
        raise NDICError("precision: this GPU has no bf16; set precision: 'auto' or 'float32'")
    return precision == "bf16" or (precision == "auto" and supported)


def device_name(device: torch.device) -> str:
    """The name of a GPU, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def bf16_is_slow(device: torch.device) -> bool:
    """Whether bf16 is emulated, so that float32 is several times faster."""
    return device.type == "cpu" and not _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """Whether the processor has bf16 arithmetic; emulated, it is slower than float32."""
    units = (getattr(torch.cpu, f"_is_{unit}_supported", bool) for unit in ("avx512_bf16", "amx_tile"))
    return any(supported() for supported in units)

"""Models whose layers PyTorch wraps or computes: compiled, pruned, weight- or spectral-normed, tied."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# The attributes under which wrappers keep a model, so parts of the names in their state dicts: of `torch.compile`,
# Lightning Fabric, (Distributed)DataParallel and AveragedModel, FSDP, activation checkpoints.
WRAPPED_AS = ("_orig_mod", "_forward_module", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def plain_name(name: str) -> str:
    """The name of a parameter without the parts that wrappers add.

    Example:
        >>> plain_name("_forward_module.module.conv1._orig_mod.weight")
        'conv1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPED_AS)


def plain_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model without wrappers and parametrizations, under the names that they have without wrappers.

    Only classes of PyTorch and Lightning are known as wrappers: others may compute something else than what they
    contain. Shared modules are there under each of their names.
    """
    for name, module in model.named_modules(remove_duplicate=False):
        inside = [*module._modules]
        wraps = len(inside) == 1 and inside[0] in WRAPPED_AS
        if wraps and type(module).__module__.partition(".")[0] in ("torch", "lightning", "lightning_fabric"):
            continue
        if "parametrizations" not in name.split("."):
            yield plain_name(name), module


def computed_parameters(module: nn.Module) -> dict[str, Callable | None]:
    """The parameters of a module that PyTorch computes from others, and the hook that does it, if there is one."""
    found = dict.fromkeys(module.parametrizations) if is_parametrized(module) else {}
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, (BasePruningMethod, WeightNorm, SpectralNorm)):
            found[hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name] = hook
    return found


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a model computes with, under the names that they have without wrappers.

    Without wrapped layers these are its named parameters. Weights that PyTorch computes from other parameters (masks of
    `torch.nn.utils.prune`, norms, parametrizations) are computed; shared ones are there under each of their names.

    Args:
        model: in evaluation mode, in which `spectral_norm` changes nothing.
    """
    found = {}
    for prefix, module in plain_modules(model):
        computed = computed_parameters(module)
        for hook in computed.values():
            if hook is not None:  # as before each forward pass: the attribute may be older than its parameters
                hook(module, None)
        own = {name for name, value in module._parameters.items() if value is not None}
        own = {name for name in own if name.rpartition("_")[0] not in computed}  # not `weight_orig`, `weight_g`
        found |= {f"{prefix}.{name}".lstrip("."): getattr(module, name) for name in own | computed.keys()}
    return found

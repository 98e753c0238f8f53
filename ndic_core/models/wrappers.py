"""Weights of models whose layers PyTorch wraps or computes: compiled, pruned, weight- or spectral-normed, tied."""

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


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a model computes with, under the names that they have without wrappers.

    Without wrapped layers these are its named parameters. Weights that PyTorch computes from other parameters (masks of
    `torch.nn.utils.prune`, norms, parametrizations) are computed; shared ones are there under each of their names.

    Args:
        model: in evaluation mode, in which `spectral_norm` changes nothing.
    """
    found = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        if "parametrizations" in prefix.split("."):
            continue
        computed = set(module.parametrizations) if is_parametrized(module) else set()
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, (BasePruningMethod, WeightNorm, SpectralNorm)):
                hook(module, None)  # as before each forward pass: the attribute may be older than its parameters
                computed.add(hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name)
        own = {name for name, value in module._parameters.items() if value is not None}
        own = {name for name in own if name.rpartition("_")[0] not in computed}  # not `weight_orig`, `weight_g`
        found |= {plain_name(f"{prefix}.{name}".lstrip(".")): getattr(module, name) for name in own | computed}
    return found

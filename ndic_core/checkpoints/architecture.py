"""The model that a configuration describes, and in what another one differs: its images would be others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.models.wrappers import computed_parameters, plain_modules

_WITHOUT_EFFECT = ("training", "p", "inplace")  # attributes that change no output in evaluation mode: p of a dropout


class Layer(NamedTuple):
    """A module.

    Attributes:
        kind: its class.
        settings: its attributes that are numbers or text, such as the stride and the padding mode.
        replaced: its methods that are not those of the class.
        buffers: their names.
        order: of what it contains, where the order has an effect.
    """

    kind: str
    settings: dict[str, object]
    replaced: list[str]
    buffers: set[str]
    order: list[str]


class Architecture(NamedTuple):
    """Shapes of the parameters and the modules of a model, by name."""

    shapes: dict[str, tuple[int, ...]]
    layers: dict[str, Layer]


def build(config: dict) -> Codec:
    """The model of a configuration, on the CPU and in 32 bits, whatever the program's defaults are."""
    with _defaults():
        return build_model(**{("name" if key == "model" else key): value for key, value in config.items()})


@lru_cache(maxsize=8)
def described(config: str) -> Architecture:
    """The model of a configuration in JSON."""
    with torch.random.fork_rng(devices=[]):
        model = build(json.loads(config))
    return Architecture({name: tuple(p.shape) for name, p in model.named_parameters()}, _layers(model))


def difference(model: Codec, weights: dict[str, Tensor], wanted: Architecture) -> str | None:
    """In what a model is not the one of its configuration, or None.

    Args:
        model: without wrappers around it.
        weights: the result of `plain_weights`.
        wanted: of its configuration.
    """
    for name in sorted(wanted.shapes.keys() | weights.keys()):
        value, shape = weights.get(name), wanted.shapes.get(name)
        if value is None:
            return f"{name} is missing"
        if shape is None:
            return f"{name} was added"
        if tuple(value.shape) != shape:
            return f"{name} has shape {tuple(value.shape)}, not {shape}"
        plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided and value.is_floating_point()
        if not plain:
            return f"{name} is a {type(value).__name__} of {value.dtype}, not a dense tensor of floats"
    found = _layers(model)
    for name in [*wanted.layers, *found]:
        if name not in found or name not in wanted.layers:
            return f"{name}, a {found[name].kind}, was added" if name in found else f"{name} is missing"
    changes = (_change(found[name], layer, name or model.name) for name, layer in wanted.layers.items())
    return next(filter(None, changes), None)


def _layers(model: nn.Module) -> dict[str, Layer]:
    found: dict[str, Layer] = {}
    for name, module in plain_modules(model):
        kind = type_before_parametrizations(module)
        public = {key: value for key, value in vars(module).items() if key not in _WITHOUT_EFFECT and key[0] != "_"}
        layer = Layer(
            kind=f"{kind.__module__}.{kind.__qualname__}",
            settings={key: value for key, value in public.items() if isinstance(value, (int, float, str, tuple))},
            replaced=[key for key, value in vars(module).items() if _replaces(value, kind, key)],
            buffers={key for key in module._buffers if key.rpartition("_")[0] not in computed_parameters(module)},
            order=[*module._modules] if isinstance(module, nn.Sequential) else [],
        )
        found.setdefault(name, layer)  # an own wrapper, not what it contains
    return found


def _replaces(value: object, kind: type, key: str) -> bool:
    """Whether an attribute of a module takes the place of a method; one that is only compiled does not."""
    if key == "forward" and issubclass(kind, Codec):  # as Accelerate does; it is not used in coding
        return False
    return callable(getattr(kind, key, None)) and not hasattr(value, "_torchdynamo_orig_callable")


def _change(layer: Layer, expected: Layer, name: str) -> str | None:
    if layer.kind != expected.kind:
        return f"{name} is a {layer.kind}, not a {expected.kind}"
    for key, value in expected.settings.items():
        if layer.settings.get(key) != value:
            return f"{name}.{key} is {layer.settings.get(key)!r}, not {value!r}"
    if layer.replaced:
        return f"the method {name}.{layer.replaced[0]} was replaced"
    if added := sorted(layer.buffers - expected.buffers):
        return f"the buffer {name}.{added[0]} was added"
    if layer.order != expected.order:
        return f"{name} has another order of layers"
    return None


@contextmanager
def _defaults() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)

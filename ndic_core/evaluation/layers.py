"""The layers and tensor sizes of a model, recorded while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.models.gdn import GDN
from ndic_core.models.matching import RowRefinement, RowSearch

_KINDS = {
    nn.Conv2d: "conv",
    nn.Conv3d: "conv",
    nn.ConvTranspose2d: "deconv",
    nn.Linear: "linear",
    nn.LayerNorm: "layer norm",
    nn.ReLU: "ReLU",
    nn.LeakyReLU: "leaky ReLU",
    FactorizedPrior: "factorised prior",
}
_FUNCTIONS = {F.leaky_relu: "leaky ReLU", F.scaled_dot_product_attention: "attention"}


@dataclass(frozen=True)
class Layer:
    """A layer, as it ran.

    Attributes:
        name: of the module within its block, such as "conv1"; "" where the block is the layer, or for a function.
        kind: "conv", "deconv", "GDN", "IGDN", "ReLU", …
        features: input and output channels of a convolution or a linear layer.
        kernel: of a convolution, along each dimension.
        stride: of a convolution.
        output: size of the output without the batch.
        parameters: their number.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    features: tuple[int, int] | None = None
    kernel: tuple[int, ...] = ()
    stride: int = 1
    parameters: int = 0

    @property
    def stride_words(self) -> str:
        """Empty for 1, else "↓2" of a convolution, "↑2" of a transposed one."""
        return "" if self.stride == 1 else f"{'↑' if self.kind == 'deconv' else '↓'}{self.stride}"

    @property
    def words(self) -> str:
        """Such as "conv 5×5, 64, ↓2", "linear 8 → 256" or "GDN"."""
        if self.kernel:
            parts = [f"{self.kind} {'×'.join(map(str, self.kernel))}", str(self.features[1]), self.stride_words]
            return ", ".join(filter(None, parts))
        return f"{self.kind} {self.features[0]} → {self.features[1]}" if self.features else self.kind


@dataclass
class Block:
    """A block of the figure.

    Attributes:
        name: of the module in the model, such as "analysis_x" or "cams.0".
        parameters: their number, with those outside of its layers.
        inputs, output: sizes of tensors without the batch; of several outputs the first.
        layers: in the order in which they ran.
        terms: the terms of the loss that train it, keys of `TERMS`.
        codes: whether it is used in encoding or decoding, not only in the loss.
        facts: of attention modules: their number of `heads`, `patch_grid`, `patch_size`, `offsets`.
    """

    name: str
    parameters: int
    inputs: tuple[tuple[int, ...], ...] = ()
    output: tuple[int, ...] = ()
    layers: list[Layer] = field(default_factory=list)
    terms: tuple[str, ...] = ()
    codes: bool = False
    facts: dict = field(default_factory=dict)


class _Functions(TorchFunctionMode):
    """Records activations and attention that are called as functions, outside of layers."""

    def __init__(self):
        super().__init__()
        self.latest: Block | None = None  # the block of the latest layer
        self.inside: list[nn.Module] = []  # layers that are running

    def __torch_function__(self, function, types, args=(), kwargs=None):
        inside = bool(self.inside)
        out = function(*args, **(kwargs or {}))
        if function in _FUNCTIONS and not inside:
            self.latest.layers.append(Layer("", _FUNCTIONS[function], tuple(out.shape[1:])))
        return out


@contextmanager
def recorded(model: nn.Module, blocks: dict[str, Block]) -> Iterator[None]:
    """Within the block, what runs of a model is recorded in its blocks, which are brought into the order of running."""
    hooks, order, functions = [], {}, _Functions()

    def layer_hooks(module: nn.Module, name: str, block: Block) -> None:
        def before(*_):
            functions.inside.append(module)

        def after(_, given, out):
            functions.inside.pop()
            functions.latest = block
            out = out[0] if isinstance(out, tuple) else out
            block.layers.append(_layer(module, name, tuple(out.shape[1:])))

        hooks.extend([module.register_forward_pre_hook(before), module.register_forward_hook(after)])

    def block_hook(module: nn.Module, block: Block) -> None:
        def after(_, given, out):
            order.setdefault(block.name)
            block.inputs = tuple(tuple(part.shape[1:]) for part in given if isinstance(part, Tensor))
            first = out[0] if isinstance(out, tuple) else out
            block.output = tuple(first.shape[1:])
            block.facts = _facts(module, out)

        hooks.append(module.register_forward_hook(after))

    for name, block in blocks.items():
        module = model.get_submodule(name)
        block_hook(module, block)
        for part, layer in module.named_modules():
            if _kind(layer):
                layer_hooks(layer, part, block)
    try:
        with functions:
            yield
    finally:
        for hook in hooks:
            hook.remove()
    for name in [*order, *(name for name in [*blocks] if name not in order)]:
        blocks[name] = blocks.pop(name)


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, GDN):
        return "IGDN" if module.inverse else "GDN"
    return next((kind for of, kind in _KINDS.items() if isinstance(module, of)), None)


def _layer(module: nn.Module, name: str, output: tuple[int, ...]) -> Layer:
    known = {}
    if isinstance(module, nn.Linear):
        known = dict(features=(module.in_features, module.out_features))
    elif hasattr(module, "kernel_size"):
        known = dict(features=(module.in_channels, module.out_channels), kernel=tuple(module.kernel_size))
        known |= dict(stride=max(module.stride))
    return Layer(name, _kind(module), output, parameters=sum(p.numel() for p in module.parameters()), **known)


def _facts(module: nn.Module, out: object) -> dict:
    if isinstance(module, CrossAttentionModule):
        return {name: getattr(module, name) for name in ("heads", "patch_grid", "patch_size")}
    if isinstance(module, (RowSearch, RowRefinement)):
        return {"offsets": out[1].places.shape[1]}
    return {}

"""The architecture of a model, collected from its modules: blocks, layers, tensor sizes, and what trains each block.

The model runs once on the meta device, where nothing is computed. Hooks record every layer and tensor size; the graph
of automatic differentiation states which term of the loss depends on the parameters of which block.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ndic_core.errors import NDICError, brief, height_and_width
from ndic_core.evaluation.layers import Block, recorded
from ndic_core.metrics import estimated_bpp
from ndic_core.models.bands import BAND_PIXELS
from ndic_core.models.codec import Codec, unwrap
from ndic_core.models.entropy_models import ScaleHyperprior
from ndic_core.models.matching import Match
from ndic_core.training.matching_loss import matching_loss

TERMS = {  # of the training loss, see `ndic_core.training`
    "R_x": "rate of what is transmitted",
    "D_x": "distortion of x̂",
    "alpha": "α (R_y + D_y), rate and distortion of y",
    "beta": "β R_w, rate of w",
    "matching": "matching loss",
}
_SIZE = (128, 256)


@dataclass(frozen=True)
class Architecture:
    """The blocks of a model by name, in the order in which they run, for images of a size (height, width).

    Attributes:
        name: of the model.
        size: of x.
        transmitted: as of the model, ("x",) or ("x", "z").
        variable_rate: whether gains scale the latent before and after quantisation.
        terms: keys of `TERMS` that the loss of this model can have.
    """

    name: str
    size: tuple[int, int]
    transmitted: tuple[str, ...]
    variable_rate: bool
    terms: tuple[str, ...]
    blocks: dict[str, Block]


def describe(model: Codec, size: tuple[int, int] | None = None) -> Architecture:
    """The blocks of a model with their layers, tensor sizes and loss terms.

    Args:
        model: any of `ndic_core.MODELS`, trained or not; it is not changed.
        size: height and width of x; by default 128 × 256, or the only size that the weights accept.

    Raises:
        NDICError: `model` is no codec, or does not accept `size`.

    Example:
        >>> import ndic_core as ndic
        >>> found = describe(ndic.build_model("ndic_bls17", num_filters=8))
        >>> found.blocks["analysis_w"].output, found.blocks["analysis_w"].terms
        ((8, 8, 16), ('D_x', 'alpha', 'beta'))
        >>> [layer.words for layer in found.blocks["analysis_w"].layers][:2]
        ['conv 5×5, 8, ↓2', 'GDN']
    """
    model = unwrap(model, with_values=False)
    size = _accepted(model, size)
    with torch.inference_mode(False), torch.enable_grad():
        shapes = copy.deepcopy(model).to("meta", torch.float32).train().requires_grad_(True)
        parameters = {name: set(shapes.get_submodule(name).parameters()) for name in _block_names(shapes)}
        blocks, coding = (
            {name: Block(name, sum(p.numel() for p in own)) for name, own in parameters.items()} for _ in range(2)
        )
        out, matches = _run(shapes, size, blocks)
        terms = {name: _reached(results) for name, results in _terms(model, out, matches, size).items()}
        _run(shapes, size, coding, side=False)
    for name, block in blocks.items():
        block.terms = tuple(term for term, reached in terms.items() if reached & parameters[name])
        block.codes = bool(coding[name].output)
    return Architecture(model.name, size, model.transmitted, model.gain is not None, tuple(terms), blocks)


def layer_table(model: Codec, size: tuple[int, int] | None = None) -> list[dict]:
    """The layers of a model, for `format_table(rows, rows[0])`; arguments and errors as of `describe`.

    Returns:
        A row per layer with parameters: block, layer (its name in the block), kernel, stride ("↓2" halves the sides,
        "↑2" doubles them), output (size without the batch), parameters. Parameters of a block outside of its layers
        have a row of their own. So the column of parameters adds up to those of the model.

    Example:
        >>> import ndic_core as ndic
        >>> from ndic_core.evaluation.tables import format_table
        >>> rows = layer_table(ndic.build_model("bls17", num_filters=8), (64, 64))
        >>> print(format_table(rows[:2], rows[0]))
        block       layer  kernel  stride  output       parameters
        analysis_x  conv1  9×9     ↓4      8 × 16 × 16        1952
        analysis_x  gdn1                   8 × 16 × 16          72
    """
    rows = []
    for block in describe(model, size).blocks.values():
        layers = {layer.name: layer for layer in block.layers if layer.parameters}  # shared layers run twice
        for layer in layers.values():
            row = dict(block=block.name, layer=layer.name or layer.kind, kernel="×".join(map(str, layer.kernel)))
            row |= dict(stride=layer.stride_words, output=size_words(layer.output), parameters=layer.parameters)
            rows.append(row)
        if rest := block.parameters - sum(layer.parameters for layer in layers.values()):
            row = dict(block=block.name, layer="constants", kernel="", stride="", output="", parameters=rest)
            rows.append(row)
    return rows


def size_words(size: tuple[int, ...]) -> str:
    """Such as "64 × 8 × 16": channels, height, width."""
    return " × ".join(map(str, size))


def _accepted(model: Codec, size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        size = model.tiling(*_SIZE).tile
    height, width = height_and_width(size, "size")
    tile = model.tiling(height, width).tile
    if tile != (height, width):
        raise NDICError(f"{model.name} accepts no images of size={brief(size)}: choose size={tuple(tile)}")
    if height * width > BAND_PIXELS:
        raise NDICError(f"size={brief(size)} has more than {BAND_PIXELS} pixels: choose a smaller one, sizes scale")
    return height, width


def _block_names(model: Codec) -> Iterator[str]:
    """Modules that are blocks; where features are aligned between the stages of a decoder, each stage is one."""
    for name, child in model.named_children():
        if isinstance(child, ScaleHyperprior):
            yield from (f"{name}.{part}" for part in ("hyper_analysis", "prior_z", "hyper_synthesis"))
        elif hasattr(model, "cams") and name.startswith(("synthesis", "cams", "pyramid")):
            yield from (f"{name}.{part}" for part, _ in child.named_children())
        else:
            yield name


def _run(model: Codec, size: tuple[int, int], blocks: dict[str, Block], side: bool = True) -> tuple[dict, list[Match]]:
    """Run a model on the meta device; fill in the blocks."""
    images = torch.empty(
        2, 3, *size, dtype=torch.float32, device="meta"
    )  # of a single image a search computes its volume in two parts
    options = {"right": False} if model.takes_camera else {}
    with ExitStack() as within:
        within.enter_context(recorded(model, blocks))
        scales = within.enter_context(model.watched()) if model.takes_camera else []
        out = model(images, images, side=side, **options)
    return out, [scale.match for scale in scales]


def _terms(model: Codec, out: dict, matches: list[Match], size: tuple[int, int]) -> dict[str, list[Tensor]]:
    """Tensors whose sum is each term of the loss, by keys of `TERMS`."""
    likelihoods = out["likelihoods"]

    def rate(*parts: str) -> Tensor:
        return estimated_bpp(likelihoods, [part for part in parts if part in likelihoods], math.prod(size))

    terms = {"R_x": [rate(*model.transmitted)], "D_x": [out["x_hat"]]}
    if "y_hat" in out:
        terms |= {"alpha": [rate("y", "z_y"), out["y_hat"]], "beta": [rate("w")]}
    if "matching_loss_weight" in model.info.training_keys:
        terms["matching"] = [matching_loss(matches, torch.empty(2, *size, dtype=torch.float32, device="meta"))]
    return terms


def _reached(results: list[Tensor]) -> set[nn.Parameter]:
    """The parameters that results depend on, by the graph of automatic differentiation."""
    found, seen, waiting = set(), set(), [result.grad_fn for result in results]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # of a leaf
            found.add(node.variable)
        waiting += [before for before, _ in node.next_functions]
    return found

"""Layers of a block in a few words, one line each."""

from collections.abc import Sequence
from itertools import groupby

from ndic_core.evaluation.architecture import size_words
from ndic_core.evaluation.layers import Block, Layer

_ACTIVATIONS = ("GDN", "IGDN", "ReLU", "leaky ReLU")


def block_words(block: Block) -> list[str]:
    """The layers of a block, line by line; equal layers that follow each other are one line.

    Example:
        >>> import ndic_core as ndic
        >>> from ndic_core.evaluation.architecture import describe
        >>> blocks = describe(ndic.build_model("bmshj18_factorized", num_filters=64)).blocks
        >>> block_words(blocks["analysis_x"])
        ['3 × (conv 5×5, 64, ↓2 + GDN)', 'conv 5×5, 64, ↓2']
    """
    by_name = {layer.name: layer for layer in block.layers}
    if "heads" in block.facts:
        return _cross_attention(block, by_name)
    if "offsets" in block.facts:
        return _matching(block, by_name)
    return _merged(block.layers)


def parameter_words(count: int) -> str:
    """Such as "2.89 M parameters"."""
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if count >= unit:
            return f"{count / unit:.3g}{name} parameters"
    return f"{count} parameters"


def _merged(layers: Sequence[Layer]) -> list[str]:
    units: list[str] = []
    for layer in layers:
        if layer.kind in _ACTIVATIONS and units and " + " not in units[-1]:
            units[-1] += f" + {layer.words}"
        else:
            units.append(layer.words)
    counted = ((unit, len(list(same))) for unit, same in groupby(units))
    return [_times(count, unit) for unit, count in counted]


def _times(count: int, unit: str) -> str:
    if count == 1:
        return unit
    return f"{count} × ({unit})" if " + " in unit else f"{count} × {unit}"


def _cross_attention(block: Block, by_name: dict[str, Layer]) -> list[str]:
    tokens, heads = block.inputs[0][0] * block.facts["patch_grid"] ** 2, block.facts["heads"]
    embed, unpack = by_name["embed_x"], by_name["unpack"]
    width = by_name["to_q"].features[1] // heads
    return [
        f"{tokens} tokens of {size_words(block.facts['patch_size'])} values",
        f"embed {embed.features[0]} → {embed.features[1]} + layer norm",
        f"{heads} heads of {width}; out {' → '.join(map(str, (*by_name['to_out'].features, unpack.features[1])))}",
    ]


def _matching(block: Block, by_name: dict[str, Layer]) -> list[str]:
    roles = {"q": "to_q", "k": "to_k", "v": "to_v", "k, v": "to_kv"}
    found = {role: by_name[name].words.partition(" ")[2] for role, name in roles.items() if name in by_name}
    if found.get("q") == found.get("k"):
        found = {"q, k": found["q"], "v": found["v"]}
    refine = [layer.words.replace("conv ", "") for layer in block.layers if layer.name.startswith("refine")]
    return [
        "conv " + "; ".join(f"{role}: {words}" for role, words in found.items()),
        f"{block.facts['offsets']} offsets and no-match token",
        f"refine: {refine[0]} + {refine[1]}; {refine[2]}",
    ]

"""Import of the authors' checkpoints (PyTorch releases of NDIC and NDIC-CAM).

Every parameter of a model is looked up by its name in the published file, and sliced or transposed where the published
layout differs. Further tensors in the published files have no effect on any output.
"""

import math
import re
from collections.abc import Callable

from torch import Tensor

from ndic_core.errors import NDICError

PUBLISHED_HEADS = 8  # heads and patch grid do not follow from the shapes; all published checkpoints have these
PUBLISHED_GRID = 4
PUBLISHED_SIZE = (128, 256)

# A parameter that only this model has, most specific first.
_UNIQUE_PARAMETER = {
    "cross_attention": "ca1.attn.to_qkv_x.weight",
    "ndic_bmshj18": "entropy_bottleneck_sigma_x.matrix0",
    "ndic_bls17": "entropy_bottleneck_hx.matrix0",
    "bmshj18": "ha.conv_h1.weight",
    "bls17": "conv3.weight",
}

# Names of modules here and in the published files: (ours, theirs), regular expressions in order.
_SYNTHESIS = [
    (r"synthesis_x\.stage(\d)\.(deconv|igdn)", r"\2\1"),
    (r"synthesis_x\.stage4", r"deconv4"),
    (r"synthesis_y\.stage(\d)\.(deconv|igdn)", r"\2\1_cor"),
    (r"synthesis_y\.stage4", r"deconv4_cor"),
]
_ANALYSIS = [
    (r"analysis_x\.(\w+)", r"\1"),
    (r"analysis_y\.(\w+)", r"\1_cor"),
    (r"analysis_w\.(\w+)", r"\1_w"),
]


def _hyperprior(ours: str, analysis: str, synthesis: str, prior: str) -> list[tuple[str, str]]:
    return [
        (rf"{ours}\.hyper_analysis\.conv(\d)", rf"{analysis}.conv_h\1"),
        *((rf"{ours}\.hyper_synthesis\.deconv{i}", f"{synthesis}.conv_h{i + 3}") for i in (1, 2, 3)),
        (rf"{ours}\.prior_z", prior),
    ]


_NDIC_BLS17 = [
    *_ANALYSIS,
    *_SYNTHESIS,
    (r"prior_x", "entropy_bottleneck_hx"),
    (r"prior_y", "entropy_bottleneck_hy"),
    (r"prior_w", "entropy_bottleneck"),
]
_MODULES = {
    "bls17": [
        (r"analysis_x\.(\w+)", r"\1"),
        (r"synthesis_x\.igdn1", "igdn2"),
        (r"synthesis_x\.igdn2", "igdn3"),
        (r"synthesis_x\.(deconv\d)", r"\1"),
        (r"prior_x", "entropy_bottleneck"),
    ],
    "bmshj18": [*_ANALYSIS, *_SYNTHESIS, *_hyperprior("prior_x", "ha", "hs", "entropy_bottleneck")],
    "ndic_bls17": _NDIC_BLS17,
    "ndic_bmshj18": [
        *_ANALYSIS,
        *_SYNTHESIS,
        *_hyperprior("prior_x", "ha_primary_image", "hs_primary_image", "entropy_bottleneck_sigma_x"),
        *_hyperprior("prior_y", "ha_cor_image", "hs_cor_image", "entropy_bottleneck_sigma_y"),
        (r"prior_w", "entropy_bottleneck_common_info"),
    ],
    "cross_attention": [
        *_NDIC_BLS17,
        *(
            (rf"cams\.{i}\.{ours}", f"ca{i + 1}.{theirs}")
            for i in (0, 1, 2)
            for ours, theirs in (
                ("embed_x", "to_patch_embedding_x.1"),
                ("embed_y", "to_patch_embedding_y.1"),
                ("norm", "norm"),
                ("to_q", "attn.to_qkv_x"),
                ("to_kv", "attn.to_qkv_y"),
                ("to_out", "attn.to_out.0"),
                ("unpack", "unpack_embedding_y.0"),
            )
        ),
    ],
}


def recognise(tensors: dict[str, Tensor]) -> str | None:
    """Which model a published state dict belongs to, or None."""
    if not any(key.startswith("entropy_bottleneck") for key in tensors):  # a module of another network
        return None
    for name, parameter in _UNIQUE_PARAMETER.items():
        if parameter in tensors and (name != "bls17" or "conv4.weight" not in tensors):
            return name
    return None


def modern_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the newer names: in older bls17 files `conv1` is `conv1_z` or `conv1_w`."""
    older = {re.sub(r"_[zw](?=\.)", "", key): value for key, value in tensors.items()}
    return older if recognise(tensors) is None and recognise(older) == "bls17" else tensors


def options(name: str, tensors: dict[str, Tensor], image_size: tuple[int, int] | None) -> dict:
    """Arguments for `build_model`, from the shapes of a published state dict.

    Raises:
        NDICError: the image size of a `cross_attention` checkpoint is unknown, or the one given does not fit.
    """
    num_filters, same, *_ = tensors["conv2.weight"].shape
    if num_filters != same:  # the model's size follows from this layer
        raise ValueError(f"conv2.weight has {num_filters} and {same} channels")
    found = {"num_filters": num_filters}
    if name != "cross_attention":
        return found
    width, values = tensors["ca1.to_patch_embedding_x.1.weight"].shape
    area = values * (8 * PUBLISHED_GRID) ** 2
    if image_size is None:
        if area != math.prod(PUBLISHED_SIZE):
            raise NDICError(
                f"this cross_attention checkpoint fits images of {area} pixels but does not determine their height and "
                f"width: pass image_size=(height, width), or --image-size HEIGHT WIDTH"
            )
        image_size = PUBLISHED_SIZE
    elif math.prod(image_size) != area:
        raise NDICError(
            f"this cross_attention checkpoint fits images of {area} pixels, not {image_size[0]} × {image_size[1]}"
        )
    inner = tensors["ca1.attn.to_qkv_x.weight"].shape[0] // 3
    return found | {
        "image_size": tuple(image_size),
        "embed_dim": width,
        "heads": PUBLISHED_HEADS,
        "head_dim": inner // PUBLISHED_HEADS,
        "patch_grid": PUBLISHED_GRID,
    }


def source_of(name: str, parameter: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The published name of a parameter of a model, and a function from the published tensor to ours.

    Example:
        >>> source_of("bls17", "synthesis_x.igdn1.beta")[0]
        'igdn2.beta'
    """
    # the leaf of a prior's list has two parts
    module, leaf = re.fullmatch(r"(.*?)\.((?:matrices|biases|factors)\.\d|[^.]*)", parameter).groups()
    for ours, theirs in _MODULES[name]:
        match = re.fullmatch(ours, module)
        if match:
            module = match.expand(theirs)
            break
    if leaf.startswith(("matrices.", "biases.")):
        return f"{module}.{'matrix' if leaf[0] == 'm' else 'bias'}{leaf[-1]}", lambda tensor: tensor
    if leaf.startswith("factors."):
        return f"{module}.factors", lambda stacked: stacked[int(leaf[-1])]
    if leaf == "gamma":  # theirs is indexed [input, output]
        return f"{module}.gamma", lambda gamma: gamma.T
    if module.endswith("to_qkv_x"):  # rows q, k, v of which only q is used
        return f"{module}.{leaf}", lambda rows: rows[: len(rows) // 3]
    if module.endswith("to_qkv_y"):  # here only k and v
        return f"{module}.{leaf}", lambda rows: rows[len(rows) // 3 :]
    return f"{module}.{leaf}", lambda tensor: tensor

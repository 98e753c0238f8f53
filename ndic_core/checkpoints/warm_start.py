"""Warm starts: a model is initialised with the weights of a simpler one and at first computes the same output."""

import math

import torch
from torch import Tensor, nn

from ndic_core.models.codec import Codec
from ndic_core.models.cross_attention import CrossAttentionModule

# Transforms of y are initialised with those of x, so that the features of both are comparable: those of its own image
# always, as with alpha = 0 the simpler model's are not trained; that of w only where the simpler model has none.
_FROM_X = {"analysis_y": "analysis_x", "synthesis_y": "synthesis_x"}
_FROM_X_IF_MISSING = {"analysis_w": "analysis_x"}
SHARPNESS = 2.0  # of a CAM's initial attention; with much less it is nearly uniform


@torch.no_grad()
def start_from(model: Codec, simpler: Codec) -> None:
    """Initialise the parameters that both models have with the simpler one's weights.

    Weights for additional input channels, of common information and aligned features, are set to 0, so that the image
    of x is at first that of the simpler model. A CAM is initialised by `init_as_patch_matching`.

    Args:
        model: receives the weights; has the same number of filters.
        simpler: one of the models in `model.info.warm_starts`.
    """
    given = simpler.state_dict()
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        if part in _FROM_X:
            name = f"{_FROM_X[part]}.{rest}"
        source = given.get(name, given.get(f"{_FROM_X_IF_MISSING.get(part)}.{rest}"))
        if source is not None and (source.shape == parameter.shape or _widened(parameter, source)):
            parameter.zero_()
            parameter[: len(source)] = source
    for module in model.modules():
        if isinstance(module, CrossAttentionModule):
            init_as_patch_matching(module)


@torch.no_grad()
def init_as_patch_matching(cam: CrossAttentionModule, sharpness: float = SHARPNESS) -> None:
    """Initialise a CAM as patch matching: each patch of x attends to similar patches of y and returns them.

    Both embeddings are the low frequencies of a patch (all of them where the width allows) after the same random
    rotation, as the norm that follows removes their mean. Queries and keys have the same projection, so that attention
    depends on their cosine similarity; values, `to_out` and `unpack` approximately invert the embedding. With random
    weights q and k are unrelated, attention is uniform, and the output is the mean of y.

    Args:
        cam: receives the weights.
        sharpness: scale of the logits; 0 is uniform attention.
    """
    width, (rows, columns) = cam.embed_x.out_features, cam.patch_size
    basis = torch.kron(_cosines(rows), _cosines(columns))
    frequency = torch.arange(rows)[:, None] / rows + torch.arange(columns) / columns
    basis = basis[frequency.flatten().argsort(stable=True)[:width]]
    embedding = nn.init.orthogonal_(torch.empty(width, width))[:, : len(basis)] @ basis
    head_dim = cam.to_q.out_features // cam.heads
    heads = torch.cat([nn.init.orthogonal_(torch.empty(head_dim, width)) for _ in range(cam.heads)])
    values_for = {
        cam.embed_x: embedding,
        cam.embed_y: embedding,
        cam.to_q: math.sqrt(sharpness) * heads,
        cam.to_kv: torch.cat([math.sqrt(sharpness) * heads, heads]),
        cam.to_out: heads.T * width / len(heads),
        cam.unpack: embedding.T,
    }
    for layer, weight in values_for.items():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_()


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II), (frequency, position)."""
    position = torch.arange(size) + 0.5
    waves = torch.cos(math.pi / size * torch.arange(size)[:, None] * position) * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves


def _widened(parameter: Tensor, source: Tensor) -> bool:
    """Whether it is the same transposed convolution with more input channels, the first dimension of its shape."""
    return parameter.ndim == 4 and parameter.shape[1:] == source.shape[1:] and len(parameter) > len(source)

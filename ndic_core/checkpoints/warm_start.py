"""A richer model that starts from a simpler one's weights: it does at first what the simpler one does."""

import math

import torch
from torch import Tensor, nn

from ndic_core.models.codec import Codec
from ndic_core.models.cross_attention import CrossAttentionModule

# Transforms of the side image start as those of x: features of both are then comparable. Those for its own picture do
# so even where the simpler model has them, which need not have trained them (alpha = 0); w's only where it has none.
_AS_OF_X = {"analysis_y": "analysis_x", "synthesis_y": "synthesis_x"}
_WHERE_NEW = {"analysis_w": "analysis_x"}
SHARPNESS = 2.0  # of a CAM's first attention: with much less, all of y's tokens count nearly alike


@torch.no_grad()
def start_from(model: Codec, simpler: Codec) -> None:
    """Fill what both models have with the simpler one's weights; the rest stays fresh.

    Layers that take more channels here, for common information and aligned features, do not hear these at first: their
    weights for them are 0. So the picture of x is the same as the simpler model's, and learning goes on from there. A
    CAM looks at first for what is alike: see `init_as_patch_matching`.

    Args:
        model: to be filled; of as many filters.
        simpler: one of the models in `model.info.warm_starts`.
    """
    given = simpler.state_dict()
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        if part in _AS_OF_X:
            name = f"{_AS_OF_X[part]}.{rest}"
        source = given.get(name, given.get(f"{_WHERE_NEW.get(part)}.{rest}"))
        if source is not None and (source.shape == parameter.shape or _widened(parameter, source)):
            parameter.zero_()
            parameter[: len(source)] = source
    for module in model.modules():
        if isinstance(module, CrossAttentionModule):
            init_as_patch_matching(module)


@torch.no_grad()
def init_as_patch_matching(cam: CrossAttentionModule, sharpness: float = SHARPNESS) -> None:
    """Let a CAM start as a search: each patch of x looks for patches of y that look like it, and brings what it finds.

    Both embeddings become the same low frequencies of a patch (all of them where the width allows), turned at random,
    since the norm that follows takes their mean away. Queries and keys project them alike, so that attention follows
    their cosine; values, `to_out` and `unpack` about undo all this: what attention has found arrives as a patch again.
    With fresh weights q and k have nothing to do with each other, attention is even, and brings the mean of y.

    Args:
        cam: to be filled.
        sharpness: how much attention prefers what is alike; 0 would be even attention.
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
    place = torch.arange(size) + 0.5
    waves = torch.cos(math.pi / size * torch.arange(size)[:, None] * place) * math.sqrt(2 / size)
    waves[0] /= math.sqrt(2)
    return waves


def _widened(parameter: Tensor, source: Tensor) -> bool:
    """Whether it is the same transposed convolution, but for more input channels, which come first in its shape."""
    return parameter.ndim == 4 and parameter.shape[1:] == source.shape[1:] and len(parameter) > len(source)

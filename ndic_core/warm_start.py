"""A richer model that starts from a simpler one's weights: it does at first what the simpler one does."""

import torch
from torch import Tensor

from ndic_core.models.codec import Codec

# Whose weights a model may start from, besides its own.
SIMPLER = {
    "bmshj18": ("bmshj18_factorized",),
    "ndic_bls17": ("bmshj18_factorized",),
    "ndic_bmshj18": ("bmshj18_factorized", "bmshj18", "ndic_bls17"),
    "cross_attention": ("bmshj18_factorized", "ndic_bls17"),
    "parallax_attention": ("bmshj18_factorized", "ndic_bls17"),
}
# Transforms of the side image, which models without it lack, start as those of x: features of both are then comparable.
_SAME_KIND = {"analysis_y": "analysis_x", "analysis_w": "analysis_x", "synthesis_y": "synthesis_x"}


@torch.no_grad()
def start_from(model: Codec, simpler: Codec) -> None:
    """Fill what both models have with the simpler one's weights; the rest stays fresh.

    Layers that take more channels here, for common information and aligned features, do not hear these at first: their
    weights for them are 0. So the picture of x is the same as the simpler model's, and learning goes on from there.

    Args:
        model: to be filled; one of `SIMPLER`, of as many filters.
        simpler: one of `SIMPLER[model.name]`.
    """
    given = simpler.state_dict()
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        source = given.get(name, given.get(f"{_SAME_KIND.get(part)}.{rest}"))
        if source is not None and (source.shape == parameter.shape or _widened(parameter, source)):
            parameter.zero_()
            parameter[: len(source)] = source


def _widened(parameter: Tensor, source: Tensor) -> bool:
    """Whether it is the same transposed convolution, but for more input channels, which come first in its shape."""
    return parameter.ndim == 4 and parameter.shape[1:] == source.shape[1:] and len(parameter) > len(source)

"""Which rate to ask for when a file of a given size is wanted."""

from bisect import bisect_left

import torch
from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.metrics import bits
from ndic_core.models.codec import Codec, check_tensor, evaluating
from ndic_core.models.coding import LEVELS
from ndic_core.models.gain import scaled

_OVERHEAD = 17  # bytes of a file beyond its estimated bits: header, checksum and the coder's state


@torch.no_grad()
def lmbda_for_bytes(model: Codec, x: Tensor, size: int) -> float:
    """The lambda whose file of `x` comes nearest to `size` bytes.

    By the estimated bits, which rise with the rate level, so that nothing needs to be encoded to find it; with trained
    weights the file itself is then within two percent.

    Args:
        model: with variable-rate weights.
        x: (3, H, W) in [0, 1].
        size: of the whole file that is wanted, in bytes. The lowest or highest rate is taken where none comes near.

    Returns:
        To be given to `ndic_core.encode`.

    Raises:
        NDICError: these weights offer one rate only, or `x` is no such image.

    Example:
        >>> import ndic_core as ndic
        >>> model = ndic.build_model("bls17", num_filters=8, lmbda=(1e-5, 1e-3))
        >>> x = torch.rand(3, 64, 64)
        >>> lmbda_for_bytes(model, x, size=1) < lmbda_for_bytes(model, x, size=10**6)
        True
    """
    check_tensor(x, "x", "(3, H, W)")
    if model.gain is None:
        raise NDICError(f"these weights of {model.name} offer one rate only, so the size of a file cannot be chosen")
    with evaluating(model), torch.autocast(model.device.type, enabled=False):
        latent = model.analyse(model.layout(*x.shape[-2:]).split(model.fit(x)))

        def estimate(level: int) -> float:
            gain, _ = model.gains(model.lmbda_at(level), len(latent))
            _, likelihoods = model.prior_x(scaled(latent, gain), gain)
            return _OVERHEAD + sum(bits(part).sum().item() for part in likelihoods) / 8

        above = min(bisect_left(range(LEVELS + 1), size, key=estimate), LEVELS)
        nearest = min({max(above - 1, 0), above}, key=lambda level: abs(estimate(level) - size))
    return model.lmbda_at(nearest)

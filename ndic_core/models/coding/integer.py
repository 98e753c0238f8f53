"""Integer arithmetic for the hyper-synthesis, so that encoder and decoder use the same distributions on every machine.

Floating-point sums depend on their order, and the order depends on the device, the number of threads and the version
of a library. If the receiver selects another table for one scale, all further symbols are wrong. Ballé, Johnston &
Minnen ("Integer Networks for Data Compression with Latent-Variable Models", ICLR 2019) compute them in integers. Here
integers are stored in float64, in which sums and products below 2**53 are exact in any order; rescaling is by
powers of two, which is exact too.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FRACTION_BITS = 10  # of activations and of the result
_LIMIT = 2.0**26  # activations are clamped to this (65,536 in real units)
_WEIGHT_BITS = 16  # at most; fewer where weights are so large that sums could exceed 2**53


class IntegerSynthesis:
    """Fixed-point version of a stack of transposed convolutions and ReLUs, on the CPU, exact in any order.

    Args:
        layers: `nn.ConvTranspose2d` and `nn.ReLU` modules in order.

    Example:
        >>> import torch
        >>> layer = torch.nn.ConvTranspose2d(2, 2, 3, padding=1)
        >>> z = torch.randint(-5, 5, (1, 2, 4, 4)).float()
        >>> fixed = IntegerSynthesis([layer])(z) / 2**FRACTION_BITS
        >>> bool((fixed - layer(z)).abs().max() < 0.01)
        True
    """

    def __init__(self, layers):
        self._steps = []
        fraction = 0  # the input consists of integers
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                self._steps.append(F.relu)
            else:
                self._steps.append(_integer_deconv(layer, fraction))
                fraction = FRACTION_BITS

    @torch.no_grad()
    def __call__(self, z_hat: Tensor) -> Tensor:
        """Integers, in float64 on the CPU: about the float network's output times 2**FRACTION_BITS.

        `z_hat` are integers (B, C, h, w) of any float type and on any device.
        """
        values = z_hat.to("cpu", torch.float64).clamp(-_LIMIT, _LIMIT)
        for step in self._steps:
            values = step(values)
        return values


def _integer_deconv(layer: nn.ConvTranspose2d, fraction: int):
    """One transposed convolution from `fraction` to FRACTION_BITS fraction bits."""
    weight = layer.weight.detach().to("cpu", torch.float64)
    bias = layer.bias.detach().to("cpu", torch.float64)
    largest_sum = float(weight.abs().sum(dim=(0, 2, 3)).max())
    # 2**bits * largest_sum * _LIMIT must stay below 2**52 (the rest is for the bias).
    _, exponent = math.frexp(largest_sum * _LIMIT)
    bits = min(_WEIGHT_BITS, 51 - exponent)
    weight = (weight * 2.0**bits).round()
    bias = (bias * 2.0 ** (bits + fraction)).round().clamp(-(2.0**51), 2.0**51)
    rescale = 2.0 ** (FRACTION_BITS - bits - fraction)

    def step(values: Tensor) -> Tensor:
        total = F.conv_transpose2d(values, weight, bias, layer.stride, layer.padding, layer.output_padding)
        return (total * rescale + 0.5).floor_().clamp_(-_LIMIT, _LIMIT)

    return step

"""Generalised divisive normalisation (GDN): CompressAI's, with fused arithmetic."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndic_core.models import _compressai


class GDN(_compressai.GDN):
    """Generalised divisive normalisation (Ballé, Laparra & Simoncelli 2016, arXiv 1511.06281), or its inverse.

        out_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j²)        inverse: times instead of divided by

    Parameters and their bounds are CompressAI's. In the channels-last memory format (see `channels_last`) the sum is
    one matrix product.

    Args:
        in_channels: C, of features (B, C, H, W).
        inverse: multiply instead of divide.

    Example:
        >>> x = torch.randn(1, 4, 8, 8)
        >>> bool(torch.allclose(GDN(4)(x), _compressai.GDN(4)(x), atol=1e-6))
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        beta, gamma = self.beta_reparam(self.beta), self.gamma_reparam(self.gamma)
        x = x.permute(0, 2, 3, 1)
        if torch.is_grad_enabled():
            out = _Normalise.apply(x, beta, gamma, self.inverse)
        else:  # the same values in less memory
            out = _root(x * x, beta, gamma, self.inverse).mul_(x)
        return out.permute(0, 3, 1, 2)


def _root(squares: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
    """What x is multiplied by, (B, H, W, C)."""
    with torch.autocast("cpu" if squares.is_meta else squares.device.type, enabled=False):  # none for meta
        norm = F.linear(squares, gamma.to(squares.dtype), beta.to(squares.dtype))
        return norm.sqrt_() if inverse else norm.rsqrt_()


class _Normalise(torch.autograd.Function):
    """On (B, H, W, C); saves fewer intermediate results than autograd would."""

    @staticmethod
    def forward(ctx, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        squares = x * x
        root = _root(squares, beta, gamma, inverse)
        ctx.inverse = inverse
        ctx.save_for_backward(x, squares, root, gamma)
        return x * root

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        x, squares, root, gamma = ctx.saved_tensors
        grad_x = grad * root
        outer = (grad * x).div_(root) if ctx.inverse else (grad_x * x).mul_(root).mul_(root).neg_()
        grad_norm = outer.mul_(0.5).flatten(0, 2)
        grad_squares = (grad_norm @ gamma.to(grad_norm.dtype)).reshape(x.shape)
        grad_x.addcmul_(grad_squares, x, value=2)
        grad_gamma = grad_norm.t() @ squares.flatten(0, 2)
        return grad_x, grad_norm.sum(0, dtype=gamma.dtype), grad_gamma.to(gamma.dtype), None

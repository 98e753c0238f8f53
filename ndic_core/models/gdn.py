"""GDN as CompressAI has it, with its arithmetic fused: fewer passes over the features, forward and backward."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndic_core.models import _compressai

CACHED = 2**20  # bytes of a tensor that a CPU works on at a time


class GDN(_compressai.GDN):
    """Generalised divisive normalisation (Ballé, Laparra & Simoncelli 2016, arXiv 1511.06281), or its inverse.

        out_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j²)        inverse: times instead of divided by

    Parameters and their bounds are CompressAI's. A pixel's channels lie side by side (see `channels_last`), so the sum
    is one matrix product.

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
        out = _Normalise.apply(x.permute(0, 2, 3, 1), beta, gamma, self.inverse)
        return out.permute(0, 3, 1, 2)


class _Normalise(torch.autograd.Function):
    """On (B, H, W, C), part by part; what autograd would keep of every intermediate result is not kept."""

    @staticmethod
    def forward(ctx, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        root, out = x.new_empty(x.shape), x.new_empty(x.shape)  # of a layout that `_parts` need not copy
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):  # shapes alone know no autocast
            weight, bias = gamma.to(x.dtype), beta.to(x.dtype)
            for part, part_root, part_out in _parts(x, root, out):
                norm = F.linear(part * part, weight, bias)
                (torch.sqrt if inverse else torch.rsqrt)(norm, out=part_root)
                torch.mul(part, part_root, out=part_out)
        ctx.inverse = inverse
        ctx.save_for_backward(x, root, gamma)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        x, root, gamma = ctx.saved_tensors
        weight, grad_x = gamma.to(x.dtype), x.new_empty(x.shape)
        grad_beta, grad_gamma = torch.zeros_like(gamma[0]), torch.zeros_like(gamma)
        for part, part_root, part_grad, part_grad_x in _parts(x, root, grad, grad_x):
            torch.mul(part_grad, part_root, out=part_grad_x)
            if ctx.inverse:
                grad_norm = (part_grad * part).div_(part_root)
            else:
                grad_norm = (part_grad_x * part).mul_(part_root).mul_(part_root).neg_()
            grad_norm.mul_(0.5)
            part_grad_x.addcmul_(grad_norm @ weight, part, value=2)
            grad_beta += grad_norm.sum(0, dtype=gamma.dtype)
            grad_gamma += grad_norm.t() @ (part * part)
        return grad_x, grad_beta, grad_gamma, None


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """(B, H, W, C) as matrices of so many pixels that a CPU's cache holds what is computed of them."""
    x = tensors[0]
    pixels = max(1, CACHED // (x.shape[-1] * x.element_size()) if x.is_cpu else x[..., 0].numel())
    return zip(*(tensor.flatten(0, 2).split(pixels) for tensor in tensors), strict=True)

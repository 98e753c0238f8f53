"""The fused GDN computes what CompressAI's does, forward and backward."""

import pytest
import torch
from compressai.layers import GDN as Plain

from ndic_core.models.gdn import GDN


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_values_and_gradients(inverse, channels_last):
    torch.manual_seed(0)
    ours, plain = GDN(6, inverse=inverse).double(), Plain(6, inverse=inverse).double()
    with torch.no_grad():
        ours.gamma.add_(0.1 * torch.rand_like(ours.gamma))
        ours.beta.add_(torch.rand_like(ours.beta))
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn_like(x)
    results = []
    for layer in (ours, plain):
        given = x.clone().requires_grad_()
        out = layer(given)
        (out * weight).sum().backward()
        results.append([out, given.grad, layer.beta.grad, layer.gamma.grad])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_half_precision_stays_half_and_close():
    x = torch.randn(2, 6, 5, 7)
    layer = GDN(6)
    exact = layer(x)
    given = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        rough = layer(given)
    rough.float().sum().backward()
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.03
    assert layer.gamma.grad.dtype == torch.float32

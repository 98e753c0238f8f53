"""The parallax attention module against its definition, and the model that stands on it."""

import pytest
import torch
from conftest import lively
from torch import nn

import ndic_core as ndic
from ndic_core.models import parallax
from ndic_core.models.parallax import ParallaxAttentionModule


def module(reach, heads=2, head_width=4, channels=8) -> ParallaxAttentionModule:
    torch.manual_seed(0)
    made = ParallaxAttentionModule(channels, reach, heads, head_width)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def by_definition(m: ParallaxAttentionModule, t, u, i: int, j: int):
    """Answer and weights at one position, offset by offset; beyond y's borders stands the "nothing" token."""
    (_, _, height, width), (r_y, r_x) = t.shape, m.reach
    q = m._projected(t, m.norm_x, m.to_q)[:, i, j]
    kv = m._projected(u, m.norm_y, m.to_kv)
    offsets = [(a, b) for a in range(-r_y, r_y + 1) for b in range(-r_x, r_x + 1)]
    inside = torch.tensor([0 <= i + a < height and 0 <= j + b < width for a, b in offsets])
    pairs = zip(offsets, inside, strict=True)
    seen = [kv[:, i + a, j + b] if ok else m.nothing.expand(len(kv), -1) for (a, b), ok in pairs]
    k, v = torch.stack([*seen, m.nothing.expand(len(kv), -1)], 1).chunk(2, -1)
    q, k, v = (part.unflatten(-1, (m.heads, -1)) for part in (q, k, v))
    logits = torch.einsum("bhd,bnhd->bhn", q, k) / q.shape[-1] ** 0.5 + torch.cat([m.bias, m.nothing_bias], 1)
    weights = logits.softmax(-1)
    answer = m.to_out(torch.einsum("bhn,bnhd->bhd", weights, v).flatten(1))
    return answer, (weights[..., :-1] * inside).unflatten(-1, (2 * r_y + 1, 2 * r_x + 1))


@pytest.mark.parametrize("reach", [(0, 0), (0, 3), (1, 2), (0, 100), (3, 40)])
@pytest.mark.parametrize("width", [5, 32, 70])  # less than a block, one, several and a rest
def test_module_computes_what_it_says(reach, width):
    m = module(reach)
    t, u = torch.randn(2, 2, 8, 4, width)
    answer, maps = m(t, u), m.attention(t, u)
    assert maps.shape == (2, 2, 4, width, 2 * reach[0] + 1, 2 * reach[1] + 1)
    for i, j in ((0, 0), (1, width - 1), (3, width // 2), (2, min(33, width - 2))):
        expected, weights = by_definition(m, t, u, i, j)
        assert torch.allclose(answer[:, :, i, j], expected, atol=1e-5)
        assert torch.allclose(maps[:, :, i, j], weights, atol=1e-6)


def test_gradients_reach_everything_and_are_finite():
    m = module((1, 3))
    t, u = torch.randn(2, 1, 8, 4, 40, requires_grad=True)
    m(t, u).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in m.parameters())


def test_blocks_change_nothing(monkeypatch):
    m = module((1, 6))
    t, u = torch.randn(2, 1, 8, 6, 50)
    whole = m(t, u)
    monkeypatch.setattr(parallax, "BLOCK", 7)
    assert torch.allclose(m(t, u), whole, atol=1e-5)


@pytest.mark.parametrize("keys", [1, 200, 1000])
def test_neither_do_bands_of_rows(monkeypatch, keys):
    m = module((1, 6))
    t, u = torch.randn(2, 2, 8, 9, 50)
    whole = m(t, u)
    monkeypatch.setattr(parallax, "KEYS", keys)
    assert torch.allclose(m(t, u), whole, atol=1e-6)


def test_nothing_beyond_the_window_matters():
    m = module((1, 3))
    t, u = torch.randn(2, 1, 8, 9, 40)
    changed = u.clone()
    for far in (changed[:, :, :2], changed[:, :, 7:], changed[:, :, :, :16], changed[:, :, :, 25:]):
        far.copy_(torch.randn(far.shape))
    assert torch.allclose(m(t, u)[:, :, 4, 20], m(t, changed)[:, :, 4, 20], atol=1e-6)
    assert torch.equal(u[:, :, 2:7, 16:25], changed[:, :, 2:7, 16:25])
    assert not torch.allclose(m(t, u)[:, :, 4, 19], m(t, changed)[:, :, 4, 19], atol=1e-3)


def test_memory_grows_with_the_pixels(monkeypatch):
    """Numbers that attention touches for each position: as many in a row of 1024 as in one of 256."""
    m, touched = module((0, 12)), {}
    attend = parallax.F.scaled_dot_product_attention
    for width in (256, 1024):
        monkeypatch.setattr(
            parallax.F,
            "scaled_dot_product_attention",
            lambda q, k, *rest, width=width: (
                touched.update({width: len(q) * q.shape[2] * k.shape[2] / width}) or attend(q, k, *rest)
            ),
        )
        m(*torch.randn(2, 1, 8, 1, width))
    assert touched[256] == touched[1024] == parallax.BLOCK + 2 * 12 + 1


def test_a_shifted_picture_is_found():
    """With keys that are the queries, attention points along the row at where the picture has gone."""
    m = module((0, 8), heads=1, head_width=16, channels=16)
    for norm in (m.norm_x, m.norm_y):
        norm.reset_parameters()
    with torch.no_grad():
        for p in (m.bias, m.nothing_bias, m.nothing, m.to_q.bias, m.to_kv.bias):
            p.zero_()
        m.to_q.weight.zero_()[:, :, 1, 1] = 4 * torch.eye(16)
        m.to_kv.weight[:16] = m.to_q.weight
    t = torch.randn(1, 16, 6, 40)
    maps = m.attention(t, t.roll(-5, dims=3))[0, 0, :, :, 0]
    assert (maps[:, 5:].argmax(-1) == 8 - 5).all()


@pytest.mark.parametrize("options", [dict(hyperprior=True), dict(r_x=20, r_y=9, heads=3, head_width=5), dict(r_x=0)])
def test_variants_are_full_members(options, tmp_path):
    model = lively("parallax_attention", num_filters=6, lmbda=(0.001, 0.01), **options)
    x, y = torch.rand(2, 3, 50, 90)
    step = 64 if options.get("hyperprior") else 16
    assert model.multiple_of == step
    assert set(model(*torch.rand(2, 1, 3, step, step))["likelihoods"]) >= set(model.transmitted)
    assert model.transmitted == (("x", "z") if options.get("hyperprior") else ("x",))
    ndic.save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = ndic.load_checkpoint(tmp_path / "model.safetensors")
    stream = ndic.encode(model, x, lmbda=0.003)
    x_hat = ndic.decode(loaded, stream, y)
    assert x_hat.shape == x.shape
    assert torch.equal(x_hat, ndic.decode(model, stream, y))
    assert not torch.equal(x_hat, ndic.decode(loaded, stream, y.flip(-1)))


def test_a_rounded_up_reach_covers_every_scale():
    maps = lively("parallax_attention", r_x=9, r_y=1).attention_maps(*torch.rand(2, 1, 3, 64, 64))
    assert [tuple(layer.shape[-2:]) for layer in maps] == [(3, 5), (3, 7), (3, 11)]


def test_attention_maps_are_distributions_with_a_rest():
    for layer in lively("parallax_attention").attention_maps(*torch.rand(2, 2, 3, 64, 128)):
        assert (layer >= 0).all()
        assert (layer.sum((-1, -2)) < 1).all()
        assert (layer[:, :, :, 0, :, : layer.shape[-1] // 2] == 0).all()  # left of y's border


def test_a_module_that_was_looked_at_in_inference_mode_can_still_be_trained():
    """What is kept from one call to the next is an ordinary tensor."""
    module = ParallaxAttentionModule(8, (0, 5))
    t, u = torch.rand(2, 1, 8, 2, 37)  # a width that no other test has
    with torch.inference_mode():
        module(t, u)
    module(t, u).sum().backward()
    assert module.bias.grad.isfinite().all()

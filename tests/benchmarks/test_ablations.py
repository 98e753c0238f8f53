"""Each ablation removes its part and nothing else."""

from argparse import Namespace

import ablations
import pytest
import torch
from conftest import lively

import ndic_core as ndic


@pytest.fixture
def views():
    return torch.rand(2, 1, 3, 64, 64)


def reads(model, part, x, y):
    """Whether the image depends on the weights of a part of the model."""
    before = model(x, y)["x_hat"]
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.1)
    return not torch.equal(model(x, y)["x_hat"], before)


def test_without_w_and_without_a_layer(views):
    x, y = views
    model = lively("cross_attention")
    assert reads(model, model.analysis_w, x, y)
    ablations.without_w(model)
    assert not reads(model, model.analysis_w, x, y)
    for layer in range(3):
        model = lively("cross_attention")
        cam = model.cams[layer]
        assert reads(model, cam, x, y)
        ablations.without(layer, model)
        assert not reads(model, cam, x, y)
        assert reads(model, model.cams[(layer + 1) % 3], x, y)


def test_position_embeddings_start_at_zero_and_are_trained(views):
    x, y = views
    model = lively("cross_attention").eval()
    before = model(x, y)["x_hat"]
    ablations.with_places(model)
    out = model.eval()(x, y)["x_hat"]
    assert torch.equal(out, before)
    out.square().mean().backward()
    assert all(cam.places.grad.abs().max() > 0 for cam in model.cams)


def test_tokens_of_one_position_have_the_same_embedding():
    """Tokens are ordered by channel; the same position in two channels has the same vector."""
    cam = ablations.PlacedCrossAttentionModule((8, 16), 4, 1, dropout=0)
    with torch.no_grad():
        cam.places.copy_(torch.arange(16.0)[:, None].expand(16, 4))
    features = torch.zeros(1, 3, 8, 16)
    features[:, :, 2:4, 4:8] = 1  # the patch in row 1, column 1
    tokens = cam._tokens(features)
    marked = tokens.sum(-1)[0].nonzero().flatten()
    embedded = cam._placed(torch.zeros(1, len(tokens[0]), 4))[0, marked]
    assert embedded.tolist() == [[5.0] * 4] * 3


def test_attention_starts_uniform():
    model = lively("cross_attention")
    kept = model.analysis_x.conv1.weight
    before = model.cams[0].to_q.weight
    ablations.with_even_start(model)
    assert model.analysis_x.conv1.weight is kept
    assert not torch.equal(model.cams[0].to_q.weight, before)
    assert ndic.encode(model, torch.rand(3, 64, 64))


def test_every_variant_is_a_configuration(tmp_path):
    assert len({variant.label for variant in ablations.VARIANTS}) == len(ablations.VARIANTS)
    for variant in ablations.VARIANTS:
        keys = {"model": variant.model, **variant.keys}
        assert ablations.configuration(Namespace(data=tmp_path, out=tmp_path), **keys).distortion_loss == "MSE"

"""What a hyperprior is for: correlations, channels and bits agree with direct computations."""

import math

import pytest
import torch
from conftest import lively

from ndic_core.errors import NDICError
from ndic_core.evaluation.bit_maps import bit_maps
from ndic_core.evaluation.hyperprior import (
    best_scale_bits,
    channels_for,
    frequency_bits,
    hyperprior_bits,
    image_content,
    neighbour_correlation,
)
from ndic_core.models.entropy_models import ScaleHyperprior


def test_correlation_is_that_of_values_an_offset_apart():
    values = torch.randn(2, 3, 6, 9)
    values[:, 2] = 1.5  # constant: left out
    expected = []
    for channel in (0, 1):
        first, second = values[:, channel, :-2, :-1].flatten(), values[:, channel, 2:, 1:].flatten()
        expected.append(torch.corrcoef(torch.stack([first, second]))[0, 1])
    found = neighbour_correlation(values, rows=2, columns=1)
    assert found == pytest.approx(torch.stack(expected).mean().item(), abs=1e-6)
    assert neighbour_correlation(values, 0, 0) == pytest.approx(1)
    with pytest.raises(NDICError, match="every channel is constant"):
        neighbour_correlation(torch.ones(1, 2, 4, 4))
    with pytest.raises(NDICError, match=r"shape \(B, C, h, w\), not \(4, 4\)"):
        neighbour_correlation(torch.rand(4, 4))
    with pytest.raises(NDICError, match="rows"):
        neighbour_correlation(values, rows=6)


def test_content_is_where_it_was_put():
    x = torch.full((1, 3, 32, 64), 0.5)
    x[..., 40:] = 0.8  # a vertical edge between columns 39 and 40
    x[0, 0, :8, :8] += 0.3  # a red corner
    content = image_content(x)
    assert content["vertical edges"][0, 20].nonzero().flatten().tolist() == [39]
    assert not content["horizontal edges"][0, 20].any()
    assert content["colour"][0].nonzero().amax(0).tolist() == [7, 7]
    assert content["horizontal edges"][0, :, 3].nonzero().flatten().tolist() == [7]
    with pytest.raises(NDICError, match="x must be a float tensor"):
        image_content(x[0])


def test_each_content_gets_the_channel_that_responds_to_it_alone():
    content = {name: torch.rand(2, 32, 64) for name in ("a", "b")}
    pooled = {name: torch.nn.functional.avg_pool2d(map_, 8) for name, map_ in content.items()}
    magnitudes = torch.stack(
        [pooled["a"] + pooled["b"], torch.zeros(2, 4, 8), 5 * pooled["b"], pooled["a"] + 0.01 * torch.rand(2, 4, 8)], 1
    )
    found = channels_for(content, magnitudes)
    assert {name: channel for name, (channel, _) in found.items()} == {"a": 3, "b": 2}
    assert found["b"][1] == pytest.approx(1)
    assert found["a"][1] > 0.9
    with pytest.raises(NDICError, match="1 channels vary, too few for 2 kinds of content"):
        channels_for(content, magnitudes[:, :2])


def test_frequencies_sum_to_the_entropy():
    h_hat = torch.tensor([0.0, 0, 0, 1, 1, -4, 0, 0]).reshape(2, 1, 2, 2)
    bits = frequency_bits(h_hat)
    assert bits.shape == h_hat.shape
    assert bits[1, 0, 0, 1].item() == pytest.approx(3)  # once in eight
    entropy = -sum(n * math.log2(n / 8) for n in (5, 2, 1))
    assert bits.sum().item() == pytest.approx(entropy, rel=1e-6)


def test_one_scale_is_the_best_of_all():
    prior = ScaleHyperprior(2)
    h_hat = (
        torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 7.0])[:, None, None]
    ).round()
    found = best_scale_bits(prior, h_hat)
    for channel, sigmas in ((0, (0.2, 0.3, 0.4)), (1, (6.0, 7.0, 8.0))):
        values = h_hat[:, channel]
        tried = [-prior.likelihood(values, torch.full_like(values, s)).log2().sum().item() for s in sigmas]
        assert found[channel].item() <= 1.001 * min(tried)
        assert found[channel].item() > 0.98 * min(tried)
        assert found[channel] >= frequency_bits(h_hat)[:, channel].sum() - 1e-3


def test_bits_of_a_model_are_those_of_its_maps(pair):
    model = lively("bmshj18", lmbda=(1e-5, 1e-3))
    x = torch.stack([pair[0], pair[1]])
    lmbda = model.lmbda_at(150)
    found = hyperprior_bits(model, x, lmbda)
    maps = [bit_maps(model, image, lmbda) for image in x]
    for name, part in (("h", "x"), ("z", "z")):
        assert found[name] == pytest.approx(sum(one[part].sum().item() for one in maps) / 2, rel=1e-3)
    assert found["entropy"] <= found["one_scale"]
    assert 0 <= found["zeros_z"] <= 1
    with pytest.raises(NDICError, match="bls17 has no hyperprior: give bmshj18"):
        hyperprior_bits(lively("bls17", lmbda=(1e-5, 1e-3)), x)

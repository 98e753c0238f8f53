"""Linear probe of the features of alignment modules."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.linear_probe import features_at_alignment, linear_probe_r2


@pytest.mark.parametrize("name", ["cross_attention", "parallax_attention"])
def test_features_are_those_that_the_modules_meet(name):
    model = lively(name).train()
    x, y = torch.rand(2, 2, 3, 64, 64)
    met = features_at_alignment(model, x, y)
    assert [tuple(t.shape) for t, _, _ in met] == [(2, 8, 8, 8), (2, 8, 16, 16), (2, 8, 32, 32)]
    assert model.training
    model.eval()
    for cam, (t, u, aligned) in zip(model.cams, met, strict=True):
        if name == "cross_attention":
            assert torch.equal(cam(t, u), aligned)
        assert aligned.shape[2:] == t.shape[2:] == u.shape[2:]
        assert not cam._forward_hooks


def test_a_model_that_aligns_nothing_is_refused():
    model = ndic.build_model("ndic_bls17", num_filters=4)
    with pytest.raises(NDICError, match="ndic_bls17 aligns no features"):
        features_at_alignment(model, *torch.rand(2, 1, 3, 32, 32))


def test_r2_of_a_linear_map_of_noise_and_of_their_mixture():
    torch.manual_seed(0)
    source, noise = torch.randn(2, 4, 6, 16, 16)
    mixed = torch.einsum("ij,bjhw->bihw", torch.randn(6, 6), source)
    assert linear_probe_r2(mixed, source) > 0.999
    assert abs(linear_probe_r2(noise, source)) < 0.05
    half = mixed / mixed.std() + noise
    assert linear_probe_r2(half, source) == pytest.approx(0.5, abs=0.1)
    assert linear_probe_r2(half, 1e12 * source + 3) == pytest.approx(linear_probe_r2(half, source), abs=1e-6)


def test_r2_is_measured_on_images_that_were_not_fitted():
    torch.manual_seed(0)
    t, source = torch.randn(4, 3, 4, 4), torch.randn(4, 3, 4, 4)
    source[:2] = t[:2]  # what holds in the first half only
    assert linear_probe_r2(t, source) < 0


@pytest.mark.parametrize("shapes", [((1, 3, 4, 4), (1, 3, 4, 4)), ((2, 3, 4, 4), (2, 3, 4, 5))])
def test_features_of_different_places_are_refused(shapes):
    with pytest.raises(NDICError, match="same two images or more"):
        linear_probe_r2(*(torch.zeros(shape) for shape in shapes))

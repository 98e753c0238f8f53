"""Bit maps: the model's own likelihoods, position by position, and their place in the image."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.bit_maps import STEP, bit_maps, covered, over_image
from ndic_core.metrics import bits


@pytest.mark.parametrize("name", ndic.MODELS)
def test_maps_are_the_models_own_likelihoods(name, pair):
    model = lively(name, image_size=(128, 256), lmbda=(1e-5, 1e-3))
    x, y = pair
    lmbda = model.lmbda_at(200)
    with torch.no_grad():
        likelihoods = model(x[None], y[None], lmbda=lmbda)["likelihoods"]
    maps = bit_maps(model, x, lmbda)
    assert tuple(maps) == model.transmitted
    for part, found in maps.items():
        torch.testing.assert_close(found, -likelihoods[part][0].log2(), rtol=1e-4, atol=1e-4)
        step = STEP[part]
        spread = over_image(found.sum(0), step, 128, 256)
        assert spread.sum().item() == pytest.approx(bits(likelihoods[part]).item(), rel=1e-4)
        assert spread[step, 2 * step].item() == pytest.approx(found[:, 1, 2].sum().item() / step**2, rel=1e-4)


def test_the_rate_level_is_the_one_that_a_file_names(pair):
    """A lambda between two levels has the map of the nearest level."""
    model = lively("bls17", lmbda=(1e-5, 1e-3))
    x, _ = pair
    near = model.lmbda_at(100) * 1.001
    assert torch.equal(bit_maps(model, x, near)["x"], bit_maps(model, x, model.lmbda_at(100))["x"])
    assert bit_maps(model, x, model.lmbda_at(101))["x"].sum() > bit_maps(model, x, near)["x"].sum()


@pytest.mark.parametrize("name", ["bls17", "bmshj18", "cross_attention"])
def test_images_of_any_size_and_tiles(name, pair):
    model = lively(name, image_size=(64, 64), lmbda=(1e-5, 1e-3))
    x = pair[0][:, :100, :150]
    maps = bit_maps(model, x)
    for part, found in maps.items():
        assert found.shape[1] * STEP[part] >= 100
        assert found.shape[2] * STEP[part] >= 150
    if name == "cross_attention":  # each tile is coded as an image of its own
        corner = bit_maps(model, x[:, 64:, 64:128])["x"]
        torch.testing.assert_close(maps["x"][:, 4:8, 4:8], corner, rtol=1e-4, atol=1e-4)


def test_training_mode_stays_and_does_not_matter(pair):
    model = lively("bmshj18", lmbda=(1e-5, 1e-3))
    expected = bit_maps(model, pair[0])["z"]
    model.train()
    assert torch.equal(bit_maps(model, pair[0])["z"], expected)
    assert model.training


def test_bad_arguments_are_named():
    model = lively("bls17", lmbda=(1e-5, 1e-3))
    with pytest.raises(NDICError, match="not offered"):
        bit_maps(model, torch.rand(3, 32, 32), lmbda=1.0)
    with pytest.raises(NDICError, match="x must be a float tensor"):
        bit_maps(model, torch.rand(1, 3, 32, 32))
    for wrong in (torch.full((3, 32, 32), 255.0), torch.full((3, 32, 32), torch.inf)):
        with pytest.raises(NDICError, match=r"x must have values in \[0, 1\]"):
            bit_maps(model, wrong)
    with pytest.raises(NDICError, match="x is an empty image, 0 × 5"):
        bit_maps(model, torch.rand(3, 0, 5))
    with pytest.raises(NDICError, match="sum over channels"):
        over_image(torch.rand(8, 2, 2), 16, 32, 32)
    with pytest.raises(NDICError, match="does not cover an image of 40 × 32"):
        over_image(torch.rand(2, 2), 16, 40, 32)


def test_only_positions_that_are_wholly_inside_a_mask_are_covered():
    mask = torch.zeros(9, 12, dtype=torch.bool)
    mask[0:4, 4:12] = True
    mask[4:8, 0:4] = True
    mask[5, 1] = False
    assert covered(mask, 4).tolist() == [[False, True, True], [False, False, False]]
    both = covered(torch.stack([mask, ~mask]), 4)
    assert both[1].tolist() == [[True, False, False], [False, True, True]]
    with pytest.raises(NDICError, match=r"a mask has shape .* sides of 16 at least, not \(9, 12\)"):
        covered(mask, 16)

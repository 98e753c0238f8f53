"""The model that aligns y along the row: a full member of the family, at any size, with y, a wrong one or none."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic


@pytest.mark.parametrize("options", [{}, dict(search_range=20, search_rows=9), dict(search_range=0), dict(robust=True)])
def test_variants_are_full_members(options, tmp_path):
    model = lively("parallax_attention", num_filters=6, lmbda=(0.001, 0.01), **options)
    x, y = torch.rand(2, 3, 50, 90)
    assert set(model(*torch.rand(2, 1, 3, 16, 32))["likelihoods"]) == {"x"}
    ndic.save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = ndic.load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    stream = ndic.encode(model, x, lmbda=0.003)
    x_hat = ndic.decode(loaded, stream, y)
    assert x_hat.shape == x.shape
    assert torch.equal(x_hat, ndic.decode(model, stream, y))
    assert not torch.equal(x_hat, ndic.decode(loaded, stream, y.flip(-1)))


def test_the_window_covers_the_largest_disparity_at_every_scale():
    model, (x, y) = lively("parallax_attention", search_range=9, search_rows=1), torch.rand(2, 1, 3, 16, 256)
    shapes = [tuple(layer.shape[-2:]) for layer in model.attention_maps(x[..., :32], y[..., :32])]
    assert shapes == [(3, 5), (7, 13), (15, 29)]
    assert model.attention_maps(x, y)[0].shape[-1] == 2 * 6 + 1  # a wider image further: 3/16 of 256 pixels


def test_attention_maps_are_distributions_with_a_rest_and_stay_within_y():
    for layer in lively("parallax_attention").attention_maps(*torch.rand(2, 2, 3, 64, 128)):
        assert (layer >= 0).all()
        assert (layer.sum((-1, -2)) < 1).all()
        reach = layer.shape[-1] // 2
        assert (layer[:, :, :, 0, :, : reach - 1] == 0).all()  # left of y's border, but for what is read at it


def test_watching_ends():
    model = lively("parallax_attention")
    x, y = torch.rand(2, 1, 3, 16, 32)
    with pytest.raises(ZeroDivisionError), model.watched() as met:
        1 / 0  # noqa: B018
    model(x, y)
    assert met == []
    with model.watched() as met:
        model(x.expand(3, -1, -1, -1), y.expand(3, -1, -1, -1))
    assert [one.t.shape for one in met] == [(3, 8, 2, 4), (3, 8, 4, 8), (3, 8, 8, 16)]
    assert [one.aligned.shape for one in met] == [(3, 4, 2, 4), (3, 4, 4, 8), (3, 4, 8, 16)]


def test_nothing_of_y_is_used_that_the_alignment_rejects():
    """With the no-match token at every position features are those without y, and so is the image."""
    model = lively("parallax_attention", robust=True)
    for cam in model.cams:
        torch.nn.init.constant_(cam.no_match.bias, 1e4)
    for parameter in model.retouch.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, y = torch.rand(2, 1, 3, 32, 64)
    h_x, _ = model.prior_x(model.analyse(x))
    assert torch.allclose(model.reconstruct(h_x, y), model.reconstruct(h_x, None), atol=1e-3)


def test_a_right_cameras_pair_is_aligned_as_the_mirrored_left_ones():
    model = lively("parallax_attention")
    x, y = torch.rand(2, 2, 3, 32, 64)
    right = torch.tensor([False, True])
    with model.watched() as met:
        model(x, y, right=right)
        t = [one.t for one in met]
        del met[:]
        for told in (right, None):
            model(x, y, right=told)
    by_hand = model.cams[0](t[0][1:].flip(-1), model.pyramid_y(y)[0][1:].flip(-1))
    assert torch.allclose(met[0].aligned[1], by_hand[0][0].flip(-1), atol=1e-5)
    assert torch.allclose(met[0].match.offset[1, 1], -by_hand[1].offset[0, 1].flip(-1), atol=1e-5)


def test_each_image_finds_its_own_direction():
    """Of both directions the one with the sharper attention is taken, image by image."""
    model = lively("parallax_attention", search_range=32)
    x, y = torch.rand(2, 6, 3, 64, 128)
    alone = [model(x[i : i + 1], y[i : i + 1])["x_hat"] for i in range(6)]
    told = [model(x, y, right=torch.full((6,), side))["x_hat"] for side in (False, True)]
    found = model(x, y)["x_hat"]
    sides = {bool((found[i] - told[1][i]).abs().max() < (found[i] - told[0][i]).abs().max()) for i in range(6)}
    assert torch.allclose(torch.cat(alone), found, atol=1e-4)
    assert all(min((found[i] - t[i]).abs().max() for t in told) < 1e-4 for i in range(6))
    assert sides == {False, True}


def test_y_may_be_missing_only_where_that_was_trained():
    x, y = torch.rand(2, 3, 32, 64)
    robust, plain = (lively("parallax_attention", num_filters=6, robust=robust) for robust in (True, False))
    x_hat = ndic.decode(robust, ndic.encode(robust, x))
    assert x_hat.shape == x.shape
    assert not torch.equal(x_hat, ndic.decode(robust, ndic.encode(robust, x), y))
    assert robust(x[None])["x_hat"].shape == (1, 3, 32, 64)
    with pytest.raises(ndic.NDICError, match="decodes with a side image"):
        ndic.decode(plain, ndic.encode(plain, x))
    with pytest.raises(ndic.NDICError, match="needs y, the side image"):
        plain(x[None])

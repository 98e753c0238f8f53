"""Variants of the cross-attention module, and controls in its place: each differs in its part and in nothing else."""

import copy
from functools import partial

import cam_variants as cv
import numpy as np
import pytest
import torch
from conftest import lively

from ndic_core.data.pairs import Pairs
from ndic_core.data.street import Street
from ndic_core.models.cross_attention import CrossAttentionModule

GRID, SIZE = 4, (8, 16)


@pytest.fixture
def views():
    return torch.rand(2, 1, 3, 64, 64)


@pytest.fixture
def model():
    return lively("cross_attention", dropout=0)


def cam(kind=CrossAttentionModule):
    torch.manual_seed(0)
    return kind(SIZE, 16, 2, 8, GRID, 0.0).eval()


def features(channels=3):
    return torch.randn(2, 2, channels, *SIZE, generator=torch.Generator().manual_seed(1))


def depends(module, t, u, where):
    """The positions of the output that depend on the features `u` in the region `where`, (h, w)."""
    changed = u.clone()
    changed[..., where[0], where[1]] += torch.randn_like(changed[..., where[0], where[1]])
    return ((module(t, changed) - module(t, u)).abs() > 1e-6).any(0).any(0)


def test_a_residual_connection_adds_the_features_of_y():
    t, u = features()
    assert torch.allclose(cam(cv.Residual)(t, u), u + cam()(t, u), atol=1e-6)


def test_cosines_do_not_depend_on_the_length_of_a_query():
    t, u = features()
    module = cam(cv.Temperature)
    before = module(t, u)
    with torch.no_grad():
        module.to_q.weight.mul_(7)
    assert torch.allclose(module(t, u), before, atol=1e-5)
    with torch.no_grad():
        module.log_factor.add_(1)
    assert not torch.allclose(module(t, u), before, atol=1e-5)
    weights = module.attention(t, u)
    assert torch.allclose(weights.sum((-1, -2)), torch.ones(2, 2, GRID, GRID), atol=1e-5)


def test_patches_of_one_place_have_the_same_embedding():
    module = cam(cv.Placed)
    with torch.no_grad():
        module.places.copy_(torch.arange(16.0)[:, None].expand(16, 16))
    marked = torch.zeros(1, 3, *SIZE)
    marked[:, :, 2:4, 4:8] = 1  # the patch in row 1, column 1, of every channel
    tokens = module._tokens(marked).sum(-1)[0].nonzero().flatten()
    assert module.placed(torch.zeros(1, 48, 16))[0, tokens].tolist() == [[5.0] * 16] * 3
    t, u = features()
    with torch.no_grad():
        module.places.zero_()
    assert torch.allclose(module(t, u), cam()(t, u), atol=1e-6)


def test_attention_within_a_row_reads_that_row_only():
    t, u = features()
    where = slice(2, 4), slice(4, 8)  # patch row 1, column 1
    rows = depends(cam(cv.WithinRow), t, u, where).any(1)
    assert rows.tolist() == [2 <= row < 4 for row in range(8)]
    assert depends(cam(), t, u, where).any(1).all()


@pytest.mark.parametrize(("grid", "tokens"), [(4, (4, 4)), (8, (8, 8)), (16, (8, 16))])
def test_tokens_of_all_channels(grid, tokens):
    torch.manual_seed(0)
    module = cv.MultiChannel(3, SIZE, 16, 2, 8, grid).eval()
    assert module.grid == tokens
    t, u = features()
    assert module(t, u).shape == t.shape
    rows, columns = (side // count for side, count in zip(SIZE, tokens, strict=True))
    order = torch.randperm(tokens[0] * tokens[1])

    def shuffled(features):
        patches = features.reshape(2, 3, tokens[0], rows, tokens[1], columns).permute(0, 1, 3, 5, 2, 4)
        patches = patches.flatten(4)[..., order].unflatten(4, tokens)
        return patches.permute(0, 1, 4, 2, 5, 3).reshape(2, 3, *SIZE)

    assert torch.allclose(module(t, shuffled(u)), module(t, u), atol=1e-6)  # patches have no place
    assert torch.allclose(module(shuffled(t), u), shuffled(module(t, u)), atol=1e-6)


def test_options_of_tokens_of_all_channels():
    def module(**options):
        torch.manual_seed(0)
        return cv.MultiChannel(3, SIZE, 32, 2, 16, 16, **options).eval()

    t, u = features()
    assert torch.allclose(module(residual=True)(t, u), u + module()(t, u), atol=1e-6)
    where = slice(2, 3), slice(4, 8)
    assert depends(module(row=True), t, u, where).any(1).tolist() == [row == 2 for row in range(8)]
    assert depends(module(), t, u, where).any(1).all()
    moved = u.roll(3, -1)  # every position of u is in moved, three columns further right

    def similarity(module):
        return torch.cosine_similarity(module(u, moved).flatten(), u.flatten(), 0)

    assert similarity(module(search=True)) > 0.8 > 0.3 > similarity(module())


@pytest.mark.parametrize("options", [{}, dict(search=True), dict(row=True, search=True)])
def test_attention_of_tokens_of_all_channels_is_that_of_the_output(options):
    torch.manual_seed(0)
    module = cv.MultiChannel(3, SIZE, 32, 2, 16, 8, **options).eval()
    t, u = features()
    weights = module.attention(t, u).flatten(4).flatten(2, 3)
    out = (weights @ module._keys_values(u)[1]).transpose(1, 2).flatten(2)
    aligned = module.unpack(module.to_out(out).mT.unflatten(2, module.grid))
    assert torch.allclose(aligned, module(t, u), atol=1e-5)


def test_both_images_have_one_decoder(model, views):
    x, y = views
    apart = sum(parameter.numel() for parameter in model.parameters())
    decoder = sum(parameter.numel() for parameter in model.synthesis_y.parameters())
    cv.with_tied_decoders(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == apart - decoder
    assert model(x, y)["y_hat"].shape == y.shape
    h = model.analysis_x(x)
    cv.with_identity(model)
    assert torch.equal(*model._decode_stages(h, h, model.common_information(y)))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.synthesis_x.stage1[0].weight.zero_()
    assert not torch.equal(twin(x, y)["x_hat"], model(x, y)["x_hat"])


@pytest.mark.parametrize(
    "change",
    [
        *(partial(cv.with_module, kind) for kind in (cv.Residual, cv.Temperature, cv.Placed, cv.WithinRow)),
        partial(cv.with_multi_channel, 8),
        partial(cv.with_multi_channel, 16, residual=True, search=True, row=True),
        cv.with_patch_matching,
        cv.with_tied_decoders,
        cv.with_identity,
        cv.with_convolutions,
        cv.with_best_shift,
    ],
)
def test_every_variant_is_trained_and_decodes(change, model, views):
    x, y = views
    before = model(x, y, side=False)["x_hat"].detach()
    change(model)
    x_hat = model(x, y, side=False)["x_hat"]
    assert x_hat.shape == x.shape
    assert not torch.equal(x_hat, before)
    x_hat.square().mean().backward()
    for module in model.cams:
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_convolutions_have_as_many_parameters(model):
    def count(model):
        return [sum(parameter.numel() for parameter in cam.parameters()) for cam in model.cams]

    before = count(model)
    cv.with_convolutions(model)
    assert count(model) == pytest.approx(before, rel=0.2)


def test_the_best_shift_of_a_shifted_image():
    y = torch.rand(2, 3, 16, 128)
    x = torch.stack([y[0].roll(5, -1), y[1].roll(-9, -1)])
    assert cv.best_shifts(x, y)[:, 0, 0].tolist() == [-5, 9]


def test_features_are_read_where_they_are_told():
    _, u = features()
    module = cv.Told(lambda: torch.full((2, 16, 32), -4.0), stride=2)
    assert torch.allclose(module(u, u)[..., 2:], u[..., :-2], atol=1e-6)


def test_true_places_are_those_of_the_disparity(model):
    street = Street(size=(64, 64), noise=0, exposure=0)
    pair = street.pair(0)
    disparity = pair.disparity.masked_fill(pair.occluded, torch.nan)
    images = (torch.stack([pair.x, pair.y]).permute(0, 2, 3, 1) * 255).round().byte().numpy()
    pairs = Pairs(images, np.array([[0, 1]]), ["a"], disparity=disparity.numpy()[None])
    cv.with_true_places([pairs], model)
    x, y = (image[None] for image in pairs[0])
    for images in ((x, y), (x.flip(-1), y.flip(-1))):
        model(*images, side=False)
        place = model.cams[0].place()
        warped = cv.Told(lambda place=place: place, 1)(images[1], images[1])
        error, unaligned = ((images[0] - other).square() for other in (warped, images[1]))
        visible = ~pair.occluded if images[0] is x else ~pair.occluded.flip(-1)
        assert error[..., visible].mean() < 0.25 * unaligned[..., visible].mean()


def test_unknown_disparity_is_that_of_the_surface_to_the_left():
    nan = torch.nan
    row = torch.tensor([[nan, nan, 3.0, nan, 5.0, nan], [nan] * 6])
    assert cv._filled(row).tolist() == [[3, 3, 3, 3, 5, 5], [0] * 6]


def test_only_the_modules_are_fed_another_y(model, views, monkeypatch):
    x, y = views
    other = torch.rand_like(y)
    right = model(x, y, side=False)["x_hat"]
    with cv.fed_another(model, x[0], other[0]):
        fed = model(x, y, side=False)["x_hat"]
    assert torch.equal(model(x, y, side=False)["x_hat"], right)
    wrong = model(x, other, side=False)["x_hat"]
    assert not torch.equal(fed, right)
    assert not torch.equal(fed, wrong)
    w = torch.zeros_like(model.common_information(y))
    monkeypatch.setattr(model, "common_information", lambda y: w)  # then all of y comes through the modules
    wrong = model(x, other, side=False)["x_hat"]
    with cv.fed_another(model, x[0], other[0]):
        assert torch.allclose(model(x, y, side=False)["x_hat"], wrong, atol=1e-5)

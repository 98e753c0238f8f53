"""Shapes, sizes, modes and attention of the models."""

import inspect

import pytest
import torch
from conftest import SIDE_INFO, lively

import ndic_core as ndic
from ndic_core.catalogue import CATALOGUE
from ndic_core.models.cross_attention import CrossAttentionModule

KEYS = {
    "bls17": {"x"},
    "bmshj18_factorized": {"x"},
    "bmshj18": {"x", "z"},
    "ndic_bls17": {"x", "y", "w"},
    "ndic_bmshj18": {"x", "z", "y", "z_y", "w"},
    "cross_attention": {"x", "y", "w"},
    "parallax_attention": {"x"},
}


@pytest.mark.parametrize("name", ndic.MODELS)
def test_the_catalogue_has_the_options_of_the_class(name):
    info = CATALOGUE[name]
    parameters = dict(inspect.signature(info.load_class()).parameters)
    assert ("image_size" in parameters) == info.fixed_size
    parameters.pop("image_size", None)
    defaults = {key: field.default for key, field in info.options.model_fields.items()}
    assert {key: parameter.default for key, parameter in parameters.items()} == defaults
    assert info.load_class().name == name
    assert set(info.warm_starts) <= set(ndic.MODELS)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_answer(name):
    model = lively(name, num_filters=6)
    x, y = torch.rand(2, 2, 3, 64, 64)
    out = model(x, y)
    assert out["x_hat"].shape == x.shape
    assert ("y_hat" in out) == ("y" in KEYS[name])
    assert set(out["likelihoods"]) == KEYS[name]
    assert out["likelihoods"]["x"].shape == (2, 6, 4, 4)
    assert all(((p >= 1e-9) & (p <= 1)).all() for p in out["likelihoods"].values())
    assert model.transmitted == tuple(key for key in ("x", "z") if key in KEYS[name])
    assert model.lambdas == (3e-5, 3e-5)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_side_information_is_used_exactly_where_it_should_be(name):
    model = lively(name)
    x, y, other = torch.rand(3, 1, 3, 64, 64)
    out, swapped = model(x, y), model(x, other)
    assert torch.equal(out["likelihoods"]["x"], swapped["likelihoods"]["x"])  # the rate never depends on y
    assert torch.equal(out["x_hat"], swapped["x_hat"]) == (name not in SIDE_INFO)
    if name in SIDE_INFO:
        with pytest.raises(ndic.NDICError, match="needs y"):
            model(x)
    else:
        assert torch.equal(model(x)["x_hat"], out["x_hat"])


@pytest.mark.parametrize("name", ndic.MODELS)
def test_sizes(name):
    model = lively(name, num_filters=3)
    step = CATALOGUE[name].multiple_of
    if name == "cross_attention":
        with pytest.raises(ndic.NDICError, match=r"exactly 64 × 64; this image is 64 × 128"):
            model(*torch.rand(2, 1, 3, 64, 128))
    else:
        assert model(*torch.rand(2, 1, 3, step, 2 * step))["x_hat"].shape == (1, 3, step, 2 * step)
        with pytest.raises(ndic.NDICError, match=f"multiples of {step}; this image is {step} × {step + 8}"):
            model(*torch.rand(2, 1, 3, step, step + 8))


def test_wrong_images_are_named():
    model = lively("ndic_bls17", num_filters=3)
    x = torch.rand(1, 3, 32, 32)
    with pytest.raises(ndic.NDICError, match=r"x must be a float tensor .*got \(3, 32, 32\)"):
        model(x[0], x)
    with pytest.raises(ndic.NDICError, match=r"y must be a float tensor .*uint8"):
        model(x, (x * 255).byte())
    with pytest.raises(ndic.NDICError, match="the same shape"):
        model(x, torch.rand(1, 3, 32, 48))


@pytest.mark.parametrize("name", ndic.MODELS)
def test_every_parameter_is_used(name):
    """No dead weights: with all terms of the loss, each parameter gets a gradient."""
    model = lively(name, num_filters=12, lmbda=(0.001, 0.01)).train()
    with torch.no_grad():  # layers that start at 0 keep those before them from a gradient in the first step
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=1e-3)
    out = model(*torch.rand(2, 1, 3, 64, 64))
    loss = out["x_hat"].square().sum() + sum(p.log().sum() for p in out["likelihoods"].values())
    (loss + out.get("y_hat", torch.zeros(1)).square().sum()).backward()
    assert [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", ndic.MODELS)
def test_training_adds_noise_and_evaluation_none(name):
    model = lively(name, num_filters=4)
    pair = torch.rand(2, 1, 3, 64, 64)
    assert torch.equal(model(*pair)["x_hat"], model(*pair)["x_hat"])
    model.train()
    first, second = model(*pair), model(*pair)
    for key in KEYS[name] - {"y", "z_y"}:
        assert not torch.equal(first["likelihoods"][key], second["likelihoods"][key])
    for key in KEYS[name] & {"y", "z_y"}:  # never quantised, hence without noise
        assert torch.equal(first["likelihoods"][key], second["likelihoods"][key])


def test_w_noise_has_the_published_variance():
    model = lively("ndic_bls17", num_filters=32).train()
    y = torch.rand(1, 3, 256, 256)
    noise = model.common_information(y) - model.analysis_w(y)
    assert noise.var().item() == pytest.approx(0.001, rel=0.1)


def test_published_parameter_count():
    """The release of NDIC-CAM has 29.7 M parameters, 4.7 M of them without effect on any output."""
    model = ndic.build_model("cross_attention")
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 29.7 - 4.7


def test_small_attention_is_a_configuration():
    options = dict(embed_dim=24, heads=3, head_dim=5, patch_grid=2, dropout=0)
    model = ndic.build_model("cross_attention", num_filters=4, image_size=(32, 64), **options).eval()
    x, y = torch.rand(2, 2, 3, 32, 64)
    assert model(x, y)["x_hat"].shape == x.shape
    assert [tuple(layer.shape) for layer in model.attention_maps(x, y)] == [(2, 3, 2, 2, 2, 2)] * 3


def test_attention_maps_are_the_softmax_that_the_module_applies():
    torch.manual_seed(0)
    cam = CrossAttentionModule((8, 16), width=12, heads=2, head_dim=6).eval()
    t, u = torch.randn(2, 1, 5, 8, 16)
    q, (k, _) = cam._queries(t), cam._keys_values(u)
    full = torch.softmax(q @ k.mT / 6**0.5, dim=-1)
    by_channel = full.reshape(1, 2, 5, 16, 5, 16)
    expected = by_channel.sum(4).mean(2).reshape(1, 2, 4, 4, 4, 4)
    assert torch.allclose(cam.attention(t, u), expected, atol=1e-6)
    assert torch.allclose(cam.attention(t, u).sum((-1, -2)), torch.ones(1, 2, 4, 4))


def test_attention_maps_leave_the_model_as_it_was():
    model = lively("cross_attention", num_filters=4).train()
    x, y = torch.rand(2, 1, 3, 64, 64)
    first, second = model.attention_maps(x, y), model.attention_maps(x, y)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (dict(name="jpeg"), "unknown model 'jpeg': choose one of bls17"),
        (dict(name="bls17", heads=2), "bls17: unknown key 'heads': the keys are num_filters, lambda"),
        (dict(name="bls17", num_filters=0), "bls17: num_filters: got 0; accepted is a whole number from 1 to 4096"),
        (dict(name="bls17", lmbda=(2, 1)), "lambda: got .* two of them: .lowest, highest."),
        (dict(name="cross_attention", image_size=(128.0, 256)), "two multiples of 32"),
        (dict(name="cross_attention", image_size=(128, 250)), "two multiples of 32 .* got \\(128, 250\\)"),
        (dict(name="parallax_attention", search_rows=True), "search_rows: got True"),
    ],
)
def test_building_errors(arguments, sentence):
    with pytest.raises(ndic.NDICError, match=sentence):
        ndic.build_model(**arguments)

"""Starting from a simpler model's weights: the same picture at first, then training goes on."""

import pytest
import torch
from conftest import lively, quiet, teaching

import ndic_core as ndic
from ndic_core.catalogue import CATALOGUE
from ndic_core.checkpoints.checkpoint import load_weights
from ndic_core.checkpoints.warm_start import init_as_patch_matching, start_from
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.training.setup import initial_model

RANGE = (1e-4, 1e-2)
STEPS = [(model, simpler) for model, info in CATALOGUE.items() for simpler in info.warm_starts]


@pytest.mark.parametrize(("name", "simpler"), STEPS)
def test_the_picture_is_the_simpler_models(name, simpler):
    given = lively(simpler, lmbda=RANGE)
    torch.nn.init.normal_(given.gain.log_gain)
    torch.nn.init.normal_(given.gain.log_inverse)
    model = lively(name, seed=1, lmbda=RANGE)
    x, y = torch.rand(2, 2, 3, 64, 64)
    start_from(model, given)
    for lmbda in (1e-4, 1e-3, 1e-2):
        out, wanted = model(x, y, lmbda=lmbda), given(x, y, lmbda=lmbda)
        assert torch.equal(out["x_hat"], wanted["x_hat"])
        if "y" not in wanted["likelihoods"] and given.transmitted == model.transmitted:
            assert torch.equal(out["likelihoods"]["x"], wanted["likelihoods"]["x"])


def test_what_is_new_learns(own_folder, tmp_path):
    """Weights that start at 0 must not stay there."""
    file = save(lively("bmshj18_factorized"), tmp_path)
    changes = dict(load_weight=True, weight_path=str(file), alpha=0, beta=0)
    model = quiet(teaching(own_folder, tmp_path, model="parallax_attention", **changes)).model
    for layer in (model.synthesis_x.stage2.deconv, model.synthesis_x.stage3.deconv, model.synthesis_x.stage4):
        assert layer.weight[8:].abs().min() > 0
    assert model.retouch.layers.conv3.weight.abs().amax((0, 2, 3)).min() > 0
    for part in (model.cams[0].refine.conv2, model.cams[2].refine.conv2):
        assert part.weight.abs().amax((0, *range(2, part.weight.ndim))).median() > 0  # some ReLUs give nothing


@pytest.mark.parametrize(
    ("simpler", "name", "w_from"),
    [("bmshj18_factorized", "ndic_bls17", "analysis_x"), ("ndic_bls17", "cross_attention", "analysis_w")],
)
def test_transforms_of_y_start_as_those_of_x(simpler, name, w_from):
    """Also where the simpler model has some: with alpha = 0 they are not trained. That of w is, and is kept."""
    given, model = lively(simpler), lively(name, seed=1)
    start_from(model, given)
    assert torch.equal(model.analysis_y.conv3.weight, given.analysis_x.conv3.weight)
    assert torch.equal(model.synthesis_y.stage4.weight, given.synthesis_x.stage4.weight)
    assert torch.equal(model.analysis_w.conv3.weight, getattr(given, w_from).conv3.weight)


@torch.no_grad()
@pytest.mark.parametrize(("size", "width", "heads", "kept"), [((16, 32), 64, 4, 1.0), ((32, 64), 32, 8, 0.25)])
def test_a_cam_looks_at_first_for_what_is_alike(size, width, heads, kept):
    """Of patches that lie elsewhere in y: it brings them where x has them, about as its width lets it."""
    torch.manual_seed(0)
    cam = CrossAttentionModule(size, width, heads, head_dim=16, dropout=0)
    init_as_patch_matching(cam, sharpness=50.0)
    t = torch.randn(1, 2, *size)
    u = cam._untokens(cam._tokens(t).roll(5, dims=1))  # every patch of x is 5 tokens further in y
    found = cam._tokens(cam(t, u))
    basis = cam.embed_x.weight
    low = cam._tokens(t) @ basis.T @ basis  # what the width keeps of a patch
    assert torch.cosine_similarity(found, low, dim=-1).mean() > 0.8
    assert basis.square().sum() / basis.shape[1] == pytest.approx(kept)
    even = CrossAttentionModule(size, width, heads, head_dim=16, dropout=0)
    assert torch.cosine_similarity(even._tokens(even(t, u)), low, dim=-1).abs().mean() < 0.3


def test_the_start_follows_from_the_seed(own_folder, tmp_path):
    file = save(lively("ndic_bls17", num_filters=4), tmp_path)
    start = dict(load_weight=True, weight_path=str(file))
    config = teaching(own_folder, tmp_path, model="cross_attention", num_filters=4, **start)
    models = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        models.append(initial_model(config))
    assert torch.equal(models[0].cams[0].to_q.weight, models[1].cams[0].to_q.weight)
    assert torch.equal(models[0].cams[0].embed_x.weight, models[0].cams[0].embed_y.weight)


def save(model, folder):
    file = folder / f"{model.name}.safetensors"
    ndic.save_checkpoint(model, file)
    return file


@pytest.mark.parametrize(
    ("stored", "filters", "name", "sentence"),
    [
        ("bls17", 8, "ndic_bls17", "has model bls17, the configuration says ndic_bls17"),
        ("bmshj18_factorized", 6, "ndic_bls17", "has num_filters 6, the configuration says 8"),
        ("ndic_bls17", 8, "bmshj18_factorized", "has model ndic_bls17"),  # a richer one
    ],
)
def test_what_does_not_fit_is_refused(stored, filters, name, sentence, tmp_path):
    file = save(ndic.build_model(stored, num_filters=filters), tmp_path)
    with pytest.raises(ndic.NDICError, match=sentence):
        load_weights(ndic.build_model(name, num_filters=8), file)


def test_another_range_of_rates_starts_with_the_same_gains(tmp_path):
    given = lively("bmshj18_factorized", lmbda=(2e-4, 5e-3))
    file = save(given, tmp_path)
    model = ndic.build_model("bmshj18_factorized", num_filters=8, lmbda=(4e-6, 6e-4)).eval()
    load_weights(model, file)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x, lmbda=4e-6)["x_hat"], given(x, lmbda=2e-4)["x_hat"])
    assert torch.equal(model(x)["x_hat"], given(x)["x_hat"])
    with pytest.raises(ndic.NDICError, match=r"set lambda: \[0.0002, 0.005\], or another range"):
        load_weights(ndic.build_model("bmshj18_factorized", num_filters=8), file)

"""Variable-rate models: gain units, in the models and in the stream."""

import math

import numpy as np
import pytest
import torch
from conftest import SIDE_INFO, lively

import ndic_core as ndic
from ndic_core.models.coding.container import unpack
from ndic_core.models.gain import ANCHORS, GainUnits

LAMBDAS = (0.001, 0.064)


def variable(name: str, **options):
    """A variable-rate model with gains unlike each other, as training makes them."""
    model = lively(name, lmbda=LAMBDAS, **options)
    torch.manual_seed(5)
    with torch.no_grad():
        model.gain.log_gain.add_(0.05 * torch.randn_like(model.gain.log_gain))
        model.gain.log_inverse.add_(0.05 * torch.randn_like(model.gain.log_inverse))
    return model


def test_gains_are_learned_at_anchors_and_log_linear_between():
    units = GainUnits(3, LAMBDAS)
    with torch.no_grad():
        units.log_gain.copy_(torch.randn(ANCHORS, 3))
    at = torch.tensor([2.0, 2.25, 3.0]) / (ANCHORS - 1)
    gain, _ = units(at)
    assert torch.allclose(gain[[0, 2]].log(), units.log_gain[2:4], atol=1e-5)
    assert torch.allclose(gain[1], gain[0] ** 0.75 * gain[2] ** 0.25, rtol=1e-5)
    gain, inverse = GainUnits(3, LAMBDAS)(torch.tensor([0.0, 1.0]))
    assert torch.allclose(gain * inverse, torch.ones(2, 3))
    assert math.isclose((gain[1] / gain[0])[0].item(), 8.0, rel_tol=1e-5)  # the square root of 64


@pytest.mark.parametrize("name", ndic.MODELS)
def test_larger_lambdas_need_more_bytes_and_decode_exactly(name, pair):
    model = variable(name)
    x, y = (image[:, :64, :64] for image in pair)
    sizes = []
    for lmbda in (0.001, 0.0023, 0.008, 0.064):
        stream = ndic.encode(model, x, lmbda=lmbda)
        level = unpack(stream)[0].level
        assert level == round(255 * math.log(lmbda / 0.001) / math.log(64))
        sizes.append(len(stream))
        with torch.no_grad():
            wanted = model(x[None], y[None], lmbda=0.001 * 64 ** (level / 255))["x_hat"][0].clamp(0, 1)
        assert torch.allclose(ndic.decode(model, stream, y), wanted, atol=1e-5)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.5 * sizes[0]


@pytest.mark.parametrize("name", ["bmshj18_factorized", "cross_attention", "parallax_attention"])
def test_a_batch_may_hold_many_rates(name, pair):
    model = variable(name)
    x, y = (image[None, :, :64, :64].repeat(3, 1, 1, 1) for image in pair)
    lambdas = torch.tensor([0.001, 0.01, 0.064])
    with torch.no_grad():
        together = model(x, y, lmbda=lambdas)
        alone = model(x[1:2], y[1:2], lmbda=0.01)
    assert torch.allclose(together["x_hat"][1], alone["x_hat"][0], atol=1e-4)
    bits = -together["likelihoods"]["x"].log2().flatten(1).sum(1)
    assert torch.allclose(bits[1], -alone["likelihoods"]["x"].log2().sum(), rtol=1e-4)
    assert bits[0] < bits[1] < bits[2]


def test_none_is_the_middle_rate(pair):
    model = variable("bmshj18_factorized")
    assert model.lambdas == LAMBDAS
    assert ndic.encode(model, pair[0]) == ndic.encode(model, pair[0], lmbda=math.sqrt(0.001 * 0.064))


@pytest.mark.parametrize("lmbda", [0.0009, 0.07, 0.0, float("nan")])
def test_a_lambda_out_of_range_is_refused_with_the_range(lmbda, pair):
    model = variable("bls17")
    with pytest.raises(ndic.NDICError, match=r"lambdas from 0\.001 to 0\.064; lmbda = .* is not offered"):
        ndic.encode(model, pair[0], lmbda=lmbda)
    with pytest.raises(ndic.NDICError, match="is not offered"):
        model(pair[0][None], lmbda=torch.tensor([lmbda]))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_numpys_numbers_are_rates(kind, pair):
    model = variable("bls17")
    assert ndic.encode(model, pair[0], kind(0.0078125)) == ndic.encode(model, pair[0], 0.0078125)
    with pytest.raises(ndic.NDICError, match=r"lmbda = 0\.07 is not offered"):
        ndic.encode(model, pair[0], kind(0.07))


@pytest.mark.parametrize("rates", [LAMBDAS, 0.01])
@pytest.mark.parametrize(
    ("lmbda", "said"),
    [
        ("0.01", "lmbda = 0.01 is not offered: it must be a number, not str"),
        ([0.01], "must be a number, not list"),
        (np.array(0.01), "must be a number, not ndarray"),
        (0.01 + 0j, "must be a number, not complex"),
        (torch.tensor([0.01, 0.01]), r"a tensor \(2,\) of torch.float32 on cpu is not offered: it must be a number$"),
        (torch.tensor([]), r"a tensor \(0,\)"),
        (torch.tensor([[0.01]]), r"a tensor \(1, 1\)"),
        (torch.tensor(0.01 + 0j), "of torch.complex64"),
        (torch.tensor(0.01, device="meta"), "on meta"),
    ],
)
def test_a_rate_is_a_number(rates, lmbda, said):
    model = lively("bls17", lmbda=rates)
    with pytest.raises(ndic.NDICError, match=said):
        ndic.encode(model, torch.rand(3, 16, 16), lmbda)


def test_a_tensor_of_rates_has_one_for_each_image():
    model = variable("bls17")
    x = torch.rand(3, 3, 16, 16)
    for lmbda in (torch.tensor(0.01), torch.tensor([0.01])):
        assert ndic.encode(model, x[0], lmbda) == ndic.encode(model, x[0], 0.01)
        assert torch.equal(model(x, lmbda=lmbda)["x_hat"], model(x, lmbda=lmbda.item())["x_hat"])
    with pytest.raises(ndic.NDICError, match=r"it must be a number, or \(3,\) of them"):
        model(x, lmbda=torch.tensor([0.01, 0.02]))


def test_a_model_of_one_rate_has_no_gain_and_refuses_other_lambdas(pair):
    model = lively("bls17", lmbda=0.01)
    assert model.gain is None
    assert model.lambdas == (0.01, 0.01)
    assert not [key for key in model.state_dict() if "gain" in key]
    assert unpack(ndic.encode(model, pair[0], lmbda=0.01))[0].level is None
    with pytest.raises(ndic.NDICError, match=r"one rate, lambda = 0\.01"):
        ndic.encode(model, pair[0], lmbda=0.02)


def test_streams_of_one_kind_do_not_decode_with_the_other(pair):
    kinds = {"single-rate weights": lively("bls17"), "variable-rate weights": variable("bls17")}
    for (ours, model), (theirs, sender) in (kinds.items(), reversed(kinds.items())):
        with pytest.raises(ndic.NDICError, match=f"made with {theirs}, these are {ours}"):
            ndic.decode(model, ndic.encode(sender, pair[0]))


@pytest.mark.parametrize("name", SIDE_INFO)
def test_without_side_only_what_the_receiver_needs_is_computed(name, pair):
    model = lively(name)
    x, y = (image[None, :, :64, :64] for image in pair)
    with torch.no_grad():
        whole, lean = model(x, y), model(x, y, side=False)
    assert set(lean["likelihoods"]) == set(model.transmitted)
    assert "y_hat" not in lean
    assert torch.equal(whole["x_hat"], lean["x_hat"])

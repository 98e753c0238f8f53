"""What is measured of w, and drawn from parts."""

import math

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.common_information import (
    channel_effects,
    from_parts,
    levelled,
    loss_terms,
    noise_capacity,
    sent_latent,
)
from ndic_core.errors import NDICError
from ndic_core.losses import rate_distortion_loss
from ndic_core.metrics import psnr

NAMES = ["ndic_bls17", "ndic_bmshj18"]


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return lively(request.param, num_filters=6)


@pytest.fixture(scope="module")
def views(pair):
    return tuple(view[None, :, :64, :128] for view in pair)


def test_the_terms_add_up_to_the_loss(model, views):
    x, y = views
    terms = loss_terms(model, x, y)
    with torch.no_grad():
        out = model(x, y)
        loss = rate_distortion_loss(out, x, y, 0.01, alpha=0.7, beta=0.3, metric="MSE")["loss"].item()
    errors = [(image - hat).square().mean().item() for image, hat in ((x, out["x_hat"]), (y, out["y_hat"]))]
    rates = terms["bpp_x"] + 0.7 * terms["bpp_y"] + 0.3 * terms["bpp_w"]
    assert loss == pytest.approx(rates.item() + 255**2 * 0.01 * (errors[0] + 0.7 * errors[1]), rel=1e-5)
    assert terms["psnr_y"].item() == pytest.approx(psnr(y, out["y_hat"].clamp(0, 1)).item(), abs=1e-4)


def test_both_parts_draw_what_a_file_decodes_to(model, views):
    x, y = views
    with torch.no_grad():
        w = model.common_information(y)
    decoded = ndic.decode(model, ndic.encode(model, x[0]), y[0])
    assert torch.allclose(from_parts(model, sent_latent(model, x), w)[0], decoded, atol=1e-5)


def test_a_file_names_a_level_and_so_does_the_latent(views):
    model = lively("ndic_bls17", num_filters=6, lmbda=(1e-3, 1e-2))
    lmbda = 0.0042  # between two levels
    decoded = ndic.decode(model, ndic.encode(model, views[0][0], lmbda), views[1][0])
    with torch.no_grad():
        w = model.common_information(views[1])
    assert torch.allclose(from_parts(model, sent_latent(model, views[0], lmbda), w)[0], decoded, atol=1e-5)


def test_parts_left_out_are_zero(model, views):
    h, w = torch.randn(2, 1, 6, 4, 8)
    zero = torch.zeros_like(h)
    assert torch.equal(from_parts(model, h, None), from_parts(model, h, zero))
    assert torch.equal(from_parts(model, None, w), from_parts(model, zero, w))
    with pytest.raises(NDICError, match="nothing to draw from"):
        from_parts(model, None, None)


def test_what_is_measured_needs_w_alone(views):
    for name in ("bls17", "parallax_attention"):
        with pytest.raises(NDICError, match=f"not in {name}"):
            loss_terms(ndic.build_model(name, num_filters=4), *views)


def test_a_levelled_channel_keeps_its_mean_and_all_others():
    w = torch.randn(2, 3, 4, 5)
    changed = levelled(w, 1)
    assert torch.equal(changed[:, [0, 2]], w[:, [0, 2]])
    assert torch.allclose(changed[:, 1], w[:, 1].mean((1, 2), keepdim=True).expand(2, 4, 5))


def test_a_channel_that_the_decoder_ignores_has_no_effect(model):
    h, w = torch.randn(2, 1, 6, 4, 8)
    first = next(layer for layer in model.synthesis_x.modules() if isinstance(layer, torch.nn.ConvTranspose2d))
    kept = first.weight.detach().clone()
    first.weight.data[6 + 2] = 0  # inputs come first in a transposed convolution; w follows the latent
    effects = channel_effects(model, h, w)
    first.weight.data.copy_(kept)
    assert effects[2] == 0
    assert (effects[[0, 1, 3, 4, 5]] > 0).all()
    with pytest.raises(NDICError, match="one picture"):
        channel_effects(model, torch.cat([h, h]), torch.cat([w, w]))


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_capacity_is_that_of_gaussian_channels(noise):
    w = (
        torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        * torch.tensor([0.0, 1.0, 2.0])[:, None, None]
    )
    expected = sum(0.5 * math.log2(1 + (scale / noise) ** 2) for scale in (1.0, 2.0)) / 256
    assert noise_capacity(w, noise).item() == pytest.approx(expected, rel=0.01)

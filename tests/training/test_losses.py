"""The published loss, term by term."""

import math

import pytest
import torch
from pytorch_msssim import ms_ssim

import ndic_core as ndic
from ndic_core.training.losses import rate_distortion_loss

PIXELS = 128 * 256


@pytest.fixture
def out():
    torch.manual_seed(0)
    x, y = torch.rand(2, 2, 3, 128, 256)
    likelihoods = {key: torch.rand(2, 4, 8, 16) * 0.9 + 0.05 for key in ("x", "z", "y", "z_y", "w")}
    x_hat, y_hat = x + 0.1 * torch.randn_like(x), y + 0.2 * torch.randn_like(y)
    return x, y, {"x_hat": x_hat, "y_hat": y_hat, "likelihoods": likelihoods}


def bpp(out, *parts):
    return sum(-out["likelihoods"][part].log2().sum() for part in parts) / (2 * PIXELS)


@pytest.mark.parametrize(("alpha", "beta"), [(0, 0), (1, 1), (0.3, 0), (0, 2.0)])
@pytest.mark.parametrize("metric", ["MSE", "MS-SSIM"])
def test_the_published_loss(out, alpha, beta, metric):
    x, y, out = out
    lmbda = 0.001

    def d(a, b):
        if metric == "MSE":
            return (a - b).square().mean()
        return 1 - ms_ssim(a, b, data_range=1.0, win_size=7)

    wanted = lmbda * 255**2 * (d(x, out["x_hat"]) + alpha * d(y, out["y_hat"]))
    wanted += bpp(out, "x", "z") + alpha * bpp(out, "y", "z_y") + beta * bpp(out, "w")
    terms = rate_distortion_loss(out, x, y, lmbda, alpha, beta, metric)
    assert math.isclose(terms["loss"].item(), wanted.item(), rel_tol=1e-5)
    assert math.isclose(terms["bpp"].item(), bpp(out, "x", "z").item(), rel_tol=1e-5)
    assert math.isclose(terms["distortion"].item(), d(x, out["x_hat"]).item(), rel_tol=1e-4)


def test_each_image_has_its_own_lambda(out):
    x, y, out = out
    lambdas = torch.tensor([0.001, 0.01])
    together = rate_distortion_loss(out, x, y, lambdas, metric="MSE")["loss"]
    alone = []
    for i in range(2):
        likelihoods = {key: p[i : i + 1] for key, p in out["likelihoods"].items()}
        one = {"x_hat": out["x_hat"][i : i + 1], "likelihoods": likelihoods}
        alone.append(rate_distortion_loss(one, x[i : i + 1], y[i : i + 1], lambdas[i].item(), metric="MSE")["loss"])
    assert torch.allclose(together, sum(alone) / 2, rtol=1e-5)


def test_models_without_side_information_have_the_terms_of_x_only(out):
    x, y, out = out
    lean = {"x_hat": out["x_hat"], "likelihoods": {"x": out["likelihoods"]["x"]}}
    with_y = rate_distortion_loss(lean, x, y, 0.01, alpha=1, beta=1, metric="MSE")["loss"]
    assert torch.equal(with_y, rate_distortion_loss(lean, x, y, 0.01, metric="MSE")["loss"])


def test_images_too_small_for_ms_ssim(out):
    x, y, out = out
    out["x_hat"] = out["x_hat"][..., :64, :64]
    with pytest.raises(ndic.NDICError, match="MS-SSIM needs images with both sides above 96"):
        rate_distortion_loss(out, x[..., :64, :64], y, 0.01)

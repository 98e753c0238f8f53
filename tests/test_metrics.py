"""PSNR, MS-SSIM and bits, against NumPy and the library, and at the ends of their ranges."""

import math

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as library_ms_ssim

from ndic_core.errors import NDICError
from ndic_core.metrics import bits, estimated_bpp, measured_bpp, ms_ssim, ms_ssim_db, psnr, quality


@pytest.fixture(scope="module")
def noisy(pair):
    """Two real pictures and what two strengths of noise leave of them."""
    x = torch.stack(pair)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x, (x + noise * torch.tensor([0.02, 0.1]).reshape(2, 1, 1, 1)).clamp(0, 1)


def test_psnr_is_computed_image_by_image(noisy):
    x, x_hat = noisy
    expected = [-10 * np.log10(np.mean((x[i] - x_hat[i]).double().numpy() ** 2)) for i in range(2)]
    assert psnr(x, x_hat).tolist() == pytest.approx(expected, abs=1e-4)
    assert psnr(x, x).tolist() == [math.inf, math.inf]


def test_ms_ssim_is_the_librarys_and_symmetric(noisy):
    expected = library_ms_ssim(*noisy, data_range=1, win_size=7, size_average=False)
    assert torch.allclose(ms_ssim(*noisy), expected, atol=1e-6)
    assert torch.allclose(ms_ssim(*reversed(noisy)), expected, atol=1e-6)
    assert expected[0] > expected[1]


def test_half_precision_is_raised(noisy):
    x, x_hat = (part.half() for part in noisy)
    assert psnr(x, x_hat).dtype == ms_ssim(x, x_hat).dtype == torch.float32
    assert torch.equal(psnr(x, x_hat), psnr(x.float(), x_hat.float()))
    assert bits(torch.full((1, 100_000), 0.5).half()).item() == 100_000  # more than float16 can hold


@pytest.mark.parametrize("size", [(96, 256), (256, 96)])
def test_ms_ssim_says_which_sizes_it_takes(size):
    with pytest.raises(NDICError, match=rf"above 96 pixels .* {size[0]} × {size[1]}"):
        ms_ssim(torch.zeros(1, 3, *size), torch.zeros(1, 3, *size))
    larger = torch.zeros(1, 3, *(side + (side == 96) for side in size))
    assert ms_ssim(larger, larger).item() == 1


def test_db_stay_finite_in_a_table():
    for dtype in (torch.float32, torch.float64):
        db = ms_ssim_db(torch.tensor([0.0, 0.9, 0.999, 1.0, 1.0 + 1e-6], dtype=dtype))
        assert db.tolist() == pytest.approx([0, 10, 30, 72.247, 72.247], abs=1e-3)


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
@pytest.mark.parametrize(
    ("shape", "other", "dtype", "said"),
    [
        ((3, 128, 128), (3, 128, 128), torch.float32, r"of shape \(B, 3, H, W\) .* got \(3, 128, 128\)"),
        ((1, 3, 128, 128), (2, 3, 128, 128), torch.float32, "one shape"),
        ((1, 3, 128, 128), (1, 3, 128, 128), torch.uint8, "uint8"),
        ((1, 1, 128, 128), (1, 1, 128, 128), torch.float32, r"got \(1, 1, 128, 128\)"),
        ((1, 4, 128, 128), (1, 4, 128, 128), torch.float32, r"got \(1, 4, 128, 128\)"),
    ],
)
def test_other_tensors_are_refused(metric, shape, other, dtype, said):
    with pytest.raises(NDICError, match=said):
        metric(torch.zeros(shape, dtype=dtype), torch.zeros(other, dtype=dtype))


@pytest.mark.parametrize("metric", [psnr, ms_ssim, lambda x, x_hat: quality(x[0], x_hat[0])])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.numpy(), "got ndarray"),
        (lambda x: x.tolist(), "got list"),
        (lambda x: x.to_sparse(), "got a sparse_coo tensor"),
        (lambda x: 255 * x, r"x must have values in \[0, 1\], not 0 to 255: divide 8-bit values by 255"),
        (lambda x: 2 * x - 1, r"not -1 to 1: divide"),
    ],
)
def test_arrays_and_other_ranges_are_refused(metric, change, said):
    x = (torch.arange(3 * 128 * 128) % 2).float().reshape(1, 3, 128, 128)
    with pytest.raises(NDICError, match=said):
        metric(change(x), change(x))


def test_float_and_double_are_compared_and_devices_are_not_mixed(noisy):
    x, x_hat = noisy
    for metric in (psnr, ms_ssim):
        assert torch.equal(metric(x, x_hat.double()), metric(x.double(), x_hat.double()))
        assert torch.equal(metric(x.double(), x_hat), metric(x.double(), x_hat.double()))
        with pytest.raises(NDICError, match="one device; x is on cpu, x_hat on meta"):
            metric(x, x_hat.to("meta"))


def test_decoders_may_leave_the_range(noisy):
    x, x_hat = noisy
    assert psnr(x, x_hat + 3).max() < 0
    assert psnr(x + 0.4, x).isfinite().all()  # as rounding and resampling do


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 2_000_000)])  # many symbols keep their precision
def test_bits_are_counted_image_by_image(shape):
    likelihoods = torch.rand(shape, generator=torch.Generator().manual_seed(0)).clamp(min=1e-9)
    expected = -np.log2(likelihoods.double().numpy()).reshape(len(likelihoods), -1).sum(1)
    assert bits(likelihoods).tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_rate_counts_only_its_parts():
    likelihoods = {"x": torch.full((2, 8), 0.25), "z": torch.full((2, 4), 0.5), "w": torch.full((2, 99), 1e-9)}
    assert estimated_bpp(likelihoods, ("x", "z"), pixels=10).tolist() == [2.0, 2.0]
    assert measured_bpp(bytes(5), pixels=10) == 4
    for pixels in (0, -1, None, math.nan):
        with pytest.raises(NDICError, match="pixels is the height times the width"):
            measured_bpp(bytes(5), pixels)
        with pytest.raises(NDICError, match="pixels is the height times the width"):
            estimated_bpp(likelihoods, ("x",), pixels)


@pytest.mark.parametrize("wrong", [torch.tensor([1]), np.ones(3)])
def test_likelihoods_are_floats(wrong):
    with pytest.raises(NDICError, match="likelihoods must be a float tensor"):
        bits(wrong)


def test_db_of_a_number():
    assert ms_ssim_db(0.9).item() == pytest.approx(10)
    for wrong in ("0.9", None, [0.9]):
        with pytest.raises(NDICError, match="a number or a tensor"):
            ms_ssim_db(wrong)


def test_ms_ssim_keeps_float32_under_autocast(noisy):
    with torch.autocast("cpu", torch.bfloat16):
        within = ms_ssim(*noisy)
    assert torch.equal(within, ms_ssim(*noisy))


def test_the_quality_of_an_image_asks_for_one_image():
    with pytest.raises(NDICError, match=r"x must be a float tensor of shape \(3, H, W\) .* \(1, 3, 8, 8\)"):
        quality(torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8))

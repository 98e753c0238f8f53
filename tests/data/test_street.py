"""The generated street: exact geometry, the effect of every parameter, image statistics like KITTI's."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d

from ndic_core import NDICError
from ndic_core.data.disparity import warp
from ndic_core.data.street import Street

SMALL = Street(size=(64, 128))
CLEAN = replace(SMALL, noise=0, exposure=0)


@pytest.fixture(scope="module")
def pairs():
    """Pairs of the default collection, as KITTI's cameras would see them: enough for means that hold."""
    return [Street().pair(index) for index in range(48)]


@pytest.fixture(scope="module")
def real_views(shared):
    """Every third left view of KITTI, its centre 2:1, resized to 128 × 256 with Pillow's LANCZOS: uint8."""
    views = []
    for file in sorted((shared / "data" / "kitti_train" / "image_2").iterdir())[::3]:
        with Image.open(file) as image:
            left = (image.width - 2 * image.height) // 2
            view = image.convert("RGB").crop((left, 0, left + 2 * image.height, image.height))
            views.append(np.asarray(view.resize((256, 128), Image.Resampling.LANCZOS)))
    return views


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def webp_bytes(view: np.ndarray) -> int:
    Image.fromarray(view).save(buffer := BytesIO(), "WEBP", quality=50)
    return buffer.tell()


def spectral_slope(views: list[np.ndarray]) -> float:
    """Slope of the power spectrum of grey views, averaged over directions and views, both axes logarithmic."""
    grey = np.stack(views).mean(-1) / 255
    grey = grey - grey.mean((1, 2), keepdims=True)
    height, width = grey.shape[1:]
    power = np.abs(np.fft.fft2(grey * np.hanning(height)[:, None] * np.hanning(width))).mean(0) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    seen = (radius >= 0.02) & (radius < 0.5)
    return float(np.polyfit(np.log(radius[seen]), np.log(power[seen]), 1)[0])


def test_shapes_types_and_ranges(pairs):
    for pair in pairs[:4]:
        assert pair.x.shape == pair.y.shape == (3, 128, 256)
        assert pair.disparity.shape == pair.occluded.shape == (128, 256)
        assert pair.x.dtype == pair.y.dtype == pair.disparity.dtype == torch.float32
        assert pair.occluded.dtype == torch.bool
        assert all(((image >= 0) & (image <= 1)).all() for image in (pair.x, pair.y))
        assert pair.disparity.min() >= 0


def test_every_size_shows_the_same_street():
    usual = Street(noise=0, exposure=0).pair(5).x
    for size in ((64, 128), (256, 512)):
        assert psnr(replace(CLEAN, size=size).pair(5).x, adaptive_avg_pool2d(usual, size)) > 20
    assert replace(CLEAN, size=(48, 200)).pair(5).x.shape == (3, 48, 200)


@pytest.mark.parametrize("index", range(12))
def test_true_disparity_takes_y_to_x(index):
    pair = Street(noise=0, exposure=0).pair(index)
    seen = ~pair.occluded
    assert psnr(warp(pair.y, pair.disparity)[:, seen], pair.x[:, seen]) >= 30
    assert psnr(pair.y[:, seen], pair.x[:, seen]) < 25  # without the disparity


def test_disparities_and_occlusions_are_those_of_a_street(pairs):
    disparity, occluded = (torch.stack([getattr(p, name) for p in pairs]) for name in ("disparity", "occluded"))
    low, high = np.percentile(disparity, [1, 99])
    assert low <= 2
    assert 30 <= high <= 50
    assert 0.03 <= occluded.float().mean() <= 0.15
    assert occluded[torch.arange(256) - disparity < 0].all()  # what leaves the frame


def test_compresses_and_falls_off_in_frequency_like_kitti(pairs, real_views):
    views = [(pair.x * 255).round().byte().permute(1, 2, 0).numpy() for pair in pairs]
    assert np.mean(list(map(webp_bytes, views))) == pytest.approx(np.mean(list(map(webp_bytes, real_views))), rel=0.25)
    assert spectral_slope(views) == pytest.approx(spectral_slope(real_views), abs=0.3)


# Scenes of SMALL: means of x in a grid of 2 × 4 cells, then the means of y, the disparity and the occlusion.
RENDERED = {
    0: ((0.3509, 0.7798, 0.6564, 0.4913, 0.3899, 0.3551, 0.4187, 0.3891), 0.4786, 3.920, 0.1080),
    2: ((0.6799, 0.7660, 0.1579, 0.2857, 0.4455, 0.4024, 0.4840, 0.5328), 0.4665, 4.809, 0.1641),
    4: ((0.3139, 0.6594, 0.6387, 0.3407, 0.3748, 0.4860, 0.3609, 0.1812), 0.4122, 4.448, 0.1184),
}


@pytest.mark.parametrize("index", RENDERED)
def test_the_rendered_images_belong_to_the_version_in_the_cache_key(index):
    pair = SMALL.pair(index)
    cells, y, disparity, occluded = RENDERED[index]
    message = "the street renders other images: increment RENDERER in data/street/pairs.py, then update RENDERED here"
    # Other CPUs round differently, which moves a few rays across an edge.
    assert adaptive_avg_pool2d(pair.x, (2, 4)).mean(0).flatten().tolist() == pytest.approx(cells, abs=4e-4), message
    assert pair.y.mean().item() == pytest.approx(y, abs=2e-4), message
    assert pair.disparity.mean().item() == pytest.approx(disparity, abs=0.01), message
    assert pair.occluded.float().mean().item() == pytest.approx(occluded, abs=2e-3), message


def test_same_index_same_pair():
    first, _, again, other_seed = SMALL.pair(7), SMALL.pair(8), SMALL.pair(7), replace(SMALL, seed=1).pair(7)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert psnr(first.x, other_seed.x) < 25


def test_disparity_grows_with_the_baseline_and_x_stays():
    narrow, wide = replace(SMALL, baseline=0.3).pair(2), replace(SMALL, baseline=0.6).pair(2)
    assert torch.equal(narrow.x, wide.x)
    seen = ~(narrow.occluded | wide.occluded)
    assert torch.allclose(wide.disparity[seen], 2 * narrow.disparity[seen], atol=1e-4)
    assert wide.occluded.sum() > narrow.occluded.sum()
    assert replace(SMALL, baseline=0).pair(2).disparity.max() == 0


def test_noise_has_the_given_standard_deviation():
    clean, noisy = CLEAN.pair(4), replace(CLEAN, noise=0.02).pair(4)
    inner = (clean.x > 0.1) & (clean.x < 0.9)  # away from clipping
    assert (noisy.x - clean.x)[inner].std().item() == pytest.approx(0.02, rel=0.05)
    assert not torch.equal(noisy.y - clean.y, noisy.x - clean.x)


def test_exposure_changes_y_only():
    clean, exposed = CLEAN.pair(4), replace(CLEAN, exposure=0.3).pair(4)
    assert torch.equal(clean.x, exposed.x)
    brighter = exposed.y - clean.y
    assert brighter.abs().max() > 0.01
    assert (brighter >= -1e-6).all() or (brighter <= 1e-6).all()


@pytest.mark.parametrize("change", [{"time_offset": -1.0}, {"time_offset": 0.4}, {"vertical_misalignment": 3}])
def test_time_offset_and_misalignment_change_y_only(change):
    pair, changed = CLEAN.pair(1), replace(CLEAN, **change).pair(1)
    for name in ("x", "disparity", "occluded"):
        assert torch.equal(getattr(pair, name), getattr(changed, name))
    assert psnr(pair.y, changed.y) < 30


@pytest.mark.parametrize("rows", [3, -2])
def test_vertical_misalignment_shifts_y_down(rows):
    aligned, shifted = CLEAN.pair(1), replace(CLEAN, vertical_misalignment=rows).pair(1)
    back = torch.roll(shifted.y, -rows, 1)[:, 4:-4]
    assert psnr(back, aligned.y[:, 4:-4]) > 40  # the vignetting does not move


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("size", [(128,), (8, 256), (128.0, 256), "128x256"]),
        ("baseline", [-0.1, float("nan"), "wide", None, True]),
        ("noise", [1.5]),
        ("exposure", [-0.1]),
        ("time_offset", [60]),
        ("vertical_misalignment", [33, float("inf")]),
        ("seed", [-1, 0.5, True]),
        ("index", [-1]),
    ],
)
def test_wrong_parameters_are_named(parameter, values):
    for value in values:
        with pytest.raises(NDICError, match=f"{parameter} is .*give"):
            SMALL.pair(value) if parameter == "index" else Street(**{parameter: value})


def test_numpy_numbers_are_accepted():
    street = Street(size=[np.int64(64), 128], baseline=np.float32(0.5), seed=np.int64(0))
    assert street.size == (64, 128)
    assert torch.equal(street.pair(np.int64(3)).x, SMALL.pair(3).x)

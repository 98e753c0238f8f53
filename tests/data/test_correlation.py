"""Block matching and conditional entropy, on noise of known entropy, on shifted images, on the street."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndic_core import NDICError
from ndic_core.data.correlation import block_matching, conditional_entropy
from ndic_core.data.disparity import warp
from ndic_core.data.street import Street

LEVELS = 20.0  # standard deviation of the noise, in levels of a file


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 128, 256, generator=torch.Generator().manual_seed(seed))


def image(values: torch.Tensor) -> torch.Tensor:
    return 0.5 + LEVELS / 255 * values


def bits_of_a_gaussian(deviation: float) -> float:
    return math.log2(deviation * math.sqrt(2 * math.pi * math.e))


@pytest.fixture(scope="module")
def scenes():
    return [Street().pair(20_000_000 + i) for i in (2, 9)]


@settings(max_examples=20, deadline=None)
@given(shift=st.integers(-9, 9), drop=st.integers(-2, 2), causal=st.booleans())
def test_a_shift_is_found_and_undone(shift, drop, causal):
    x = torch.rand(3, 40, 64, generator=torch.Generator().manual_seed(1))
    y = x.roll((drop, -shift), dims=(1, 2))
    match = block_matching(x, y, columns=(-10, 10), rows=2, patch=7, causal=causal)
    inner = slice(8, -8), slice(16, -16)
    assert (match.disparity[inner] == shift).all()
    assert (match.drop[inner] == drop).all()
    assert match.error[inner].max() < 1e-12
    moved = warp(y, match.disparity, match.drop)
    assert torch.allclose(moved[(slice(None), *inner)], x[(slice(None), *inner)], atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (0, 20), (12, 0), (12, 20)])
def test_a_causal_match_depends_on_earlier_samples_only(place):
    x, y = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(3))
    own, changed = 32 * place[0] + place[1], x.clone()
    changed.view(-1)[own:] += 1
    changed.view(-1)[own + 1 :: 2] = 0
    before, after = (block_matching(view, y, (-8, 8), causal=True) for view in (x, changed))
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old.flatten()[: own + 1], new.flatten()[: own + 1])
    assert not torch.equal(before.disparity, after.disparity)


@pytest.mark.parametrize("shape", [(4, 8192), (8192, 4)])
def test_samples_at_the_border_do_not_predict_themselves(shape):
    view = image(noise(1)[0]).reshape(shape)
    bits = conditional_entropy(view, groups=1)
    assert bits.gaussian == pytest.approx(bits_of_a_gaussian(LEVELS), abs=0.02)
    assert bits.histogram == pytest.approx(bits_of_a_gaussian(LEVELS), abs=0.04)


def test_views_stay_on_their_device():
    view, disparity = torch.empty(3, 16, 32, device="meta"), torch.empty(16, 32, device="meta")
    assert all(part.is_meta for part in block_matching(view, view, (0, 4), rows=1))
    assert warp(view, disparity, disparity).is_meta


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.98])
def test_gaussian_views_have_the_entropy_of_the_formula(correlation, groups):
    shared, own = noise(2)
    alone = bits_of_a_gaussian(LEVELS)
    given_y = bits_of_a_gaussian(LEVELS * math.sqrt(1 - correlation**2))
    x, y = image(shared), image(correlation * shared + math.sqrt(1 - correlation**2) * own)
    for known, expected in ((None, alone), (y, given_y)):
        bits = conditional_entropy(x, known, columns=(-4, 4), groups=groups)
        assert bits.gaussian == pytest.approx(expected, abs=0.02)
        assert bits.histogram == pytest.approx(expected, abs=0.04)
    assert conditional_entropy(x, x, columns=(0, 0)) == (0, 0)


def test_y_of_the_street_saves_bits_and_another_scene_does_not(scenes):
    scene, other = scenes
    alone, known, foreign = (conditional_entropy(scene.x[1], y) for y in (None, scene.y[1], other.y[1]))
    for kind in ("gaussian", "histogram"):
        assert getattr(known, kind) < getattr(alone, kind) - 0.15
        assert abs(getattr(foreign, kind) - getattr(alone, kind)) < 0.12


def test_the_true_disparity_is_found_on_the_street(scenes):
    scene = scenes[0]
    match = block_matching(scene.x, scene.y)
    seen = ~scene.occluded & (scene.disparity > 1)  # the sky has no texture
    near = ((match.disparity - scene.disparity).abs() <= 1)[seen].float().mean()
    assert near > 0.75


def test_warping_interpolates():
    y = torch.arange(16.0).expand(2, 3, 16) / 16
    moved = warp(y, torch.full((3, 16), 2.5))
    assert moved[:, :, 6:] == pytest.approx((y - 2.5 / 16)[:, :, 6:], abs=1e-6)
    assert moved.dtype == y.dtype


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: block_matching(torch.rand(3, 8, 8), torch.rand(3, 8, 9)), "of one shape"),
        (lambda: block_matching(*torch.rand(2, 3, 8, 8), columns=(4, 2)), "a range"),
        (lambda: block_matching(*torch.rand(2, 3, 8, 8), patch=4), "odd"),
        (lambda: conditional_entropy(torch.rand(3, 64, 64)), "one channel"),
        (lambda: conditional_entropy(torch.rand(16, 16)), "too few"),
        (lambda: conditional_entropy(torch.rand(64, 64), 255 * torch.rand(64, 64)), "divide 8-bit values by 255"),
        (lambda: block_matching(torch.rand(3, 0, 8), torch.rand(3, 0, 8)), "no pixel"),
    ],
)
def test_wrong_arguments_are_refused(wrong, sentence):
    with pytest.raises(NDICError, match=sentence):
        wrong()

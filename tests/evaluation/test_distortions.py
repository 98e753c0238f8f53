"""Damages have the PSNR that is asked for, and each is the damage that its name says."""

import pytest
import torch

from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.evaluation.distortions import DISTORTIONS, distort, distort_to_psnr
from ndic_core.metrics import psnr

X = Street(size=(64, 96)).pair(0).x


@pytest.mark.parametrize("kind", DISTORTIONS)
@pytest.mark.parametrize("target", [23, 30.5, 40])
def test_the_psnr_is_met(kind, target):
    damaged = distort_to_psnr(X, kind, target)
    assert psnr(X[None], damaged[None]).item() == pytest.approx(target, abs=0.05)
    assert damaged.shape == X.shape
    assert 0 <= damaged.min() <= damaged.max() <= 1


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_stronger_damage_has_a_lower_psnr(kind):
    values = [psnr(X[None], distort(X, kind, strength)[None]).item() for strength in (0.05, 0.2, 0.8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[2] + 3


def test_a_shift_moves_columns_to_the_right():
    assert torch.equal(distort(X, "shift", 1)[..., 1:], X[..., :-1])
    assert torch.equal(distort(X, "shift", 3)[..., 0], X[..., 0])
    assert torch.allclose(distort(X, "shift", 0.5)[..., 1:], (X[..., :-1] + X[..., 1:]) / 2, atol=1e-6)


def test_colour_leaves_green_and_moves_red_and_blue_apart():
    grey = torch.full((3, 8, 8), 0.5)
    assert distort(grey, "colour", 0.1)[:, 0, 0].tolist() == pytest.approx([0.6, 0.5, 0.4])


def test_blur_keeps_an_even_image_and_lowers_contrast():
    even = torch.full((3, 9, 9), 0.25)
    assert torch.allclose(distort(even, "blur", 2.0), even)
    assert distort(X, "blur", 2.0).std() < 0.9 * X.std()


def test_noise_is_the_same_in_every_call_and_has_the_strength():
    grey = torch.full((3, 64, 64), 0.5)
    first = distort(grey, "noise", 0.05)
    assert torch.equal(first, distort(grey, "noise", 0.05))
    assert first.std().item() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_a_psnr_out_of_reach_is_refused(kind):
    with pytest.raises(NDICError, match=f"{kind} does not reach a PSNR of 0 dB"):
        distort_to_psnr(X, kind, 0)


def test_an_even_image_cannot_be_blurred_to_a_psnr():
    with pytest.raises(NDICError, match="blur does not reach a PSNR of 30 dB"):
        distort_to_psnr(torch.full((3, 16, 16), 0.5), "blur", 30)


@pytest.mark.parametrize("strength", [0, -1, 17.0, "2", None, float("nan")])
def test_other_strengths_are_refused(strength):
    with pytest.raises(NDICError, match="strength of blur is"):
        distort(X, "blur", strength)


def test_other_kinds_and_images_are_refused():
    with pytest.raises(NDICError, match="kind"):
        distort(X, "jpeg", 1.0)
    with pytest.raises(NDICError, match="x must"):
        distort_to_psnr(X[None], "blur", 30)

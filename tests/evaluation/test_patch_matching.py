"""Patch matching: the toy task of a cross-attention module."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.evaluation.patch_matching import (
    as_feature,
    match_of_roll,
    patch_matching_score,
    randomly_rolled,
    textures,
    train_patch_matching,
)
from ndic_core.models.cross_attention import CrossAttentionModule


@pytest.fixture
def cam() -> CrossAttentionModule:
    torch.manual_seed(0)
    return CrossAttentionModule((8, 8), width=32, heads=2, head_dim=32, patch_grid=2, dropout=0.0).eval()


def test_textures_are_normalised_smooth_and_periodic():
    torch.manual_seed(0)
    t = textures(64, 2, (16, 32))
    assert t.shape == (64, 2, 16, 32)
    assert t.mean((2, 3)).abs().max() < 1e-5
    assert torch.allclose(t.std((1, 2, 3)), torch.ones(64), atol=1e-4)
    inside = (t[..., 1:] - t[..., :-1]).square().mean()
    seam = (t[..., 0] - t[..., -1]).square().mean()
    assert seam == pytest.approx(inside.item(), rel=0.15)
    assert inside < 0.5 * 2 * t.var()  # neighbours resemble each other


def test_textures_are_rolled_by_whole_steps():
    torch.manual_seed(0)
    t = textures(8, 1, (8, 16))
    rolls = [t.roll((i, j), (-2, -1)) for i in (0, 4) for j in (0, 4, 8, 12)]
    for one, *candidates in zip(randomly_rolled(t, (4, 4)), *rolls, strict=True):
        assert any(torch.equal(one, candidate) for candidate in candidates)


@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (4, 8), (7, 15)])
def test_the_match_of_a_roll_is_the_same_content(shift):
    t = torch.arange(8 * 16.0).reshape(8, 16)
    disparity, drop = match_of_roll((8, 16), shift)
    row, column = torch.meshgrid(torch.arange(8), torch.arange(16), indexing="ij")
    assert torch.equal(t.roll(shift, (0, 1))[(row + drop).long(), (column - disparity).long()], t)


def test_a_module_learns_to_find_patches_and_uses_y(cam):
    before = patch_matching_score(cam, (4, 4))
    losses = train_patch_matching(cam, (4, 4), steps=150)
    after = patch_matching_score(cam, (4, 4))
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    assert not cam.training
    assert after.accuracy > 0.8 > 0.6 > before.accuracy
    assert after.error < 0.6 * after.error_other
    assert after.error < 0.6 * before.error
    with pytest.raises(NDICError, match=r"steps of \(3, 4\) do not divide features of 8 × 8"):
        train_patch_matching(cam, (3, 4), steps=1)


def test_an_image_becomes_a_texture():
    feature = as_feature(torch.rand(3, 32, 64))
    assert feature.shape == (1, 1, 8, 16)
    assert feature.mean().abs() < 1e-5
    assert feature.std().item() == pytest.approx(1)

"""Matching accuracy, on attention weights whose true match is known."""

import math

import pytest
import torch
from attention_maps import pointing
from conftest import lively

from ndic_core.data.disparity import patch_shares, true_offsets
from ndic_core.data.street import Street, StreetPair
from ndic_core.errors import NDICError
from ndic_core.evaluation.matching_accuracy import best_match, measure_alignment, patch_accuracy


class KnownAttention:
    """A model with given attention maps."""

    def __init__(self, maps):
        self.maps = maps

    def to_model(self, images):
        return images

    def attention_maps(self, x, y):
        return self.maps


@pytest.fixture(scope="module")
def scene() -> StreetPair:
    return Street().pair(7)


def test_perfect_attention_scores_perfectly(scene):
    maps = [pointing(true_offsets(scene.disparity, scene.occluded, stride)[0], 30) for stride in (8, 4, 2)]
    for layer in measure_alignment(KnownAttention(maps), [scene, scene]):
        assert layer.accuracy_1px == layer.accuracy_upper_bound == 1
        assert layer.occlusion_auc == 1
        assert layer.accuracy_zero_shift <= layer.accuracy_constant_shift < 1


def test_attention_at_a_wrong_offset(scene):
    truth = [true_offsets(scene.disparity, scene.occluded, stride)[0] for stride in (8, 4, 2)]
    off = [pointing(t + 2, 60) for t in truth]  # to the other side, by two feature pixels
    assert [layer.accuracy_1px for layer in measure_alignment(KnownAttention(off), [scene])] == [0, 0, 0]
    straight = [pointing(torch.zeros_like(t), 5) for t in truth]
    for layer in measure_alignment(KnownAttention(straight), [scene]):
        assert layer.accuracy_1px == layer.accuracy_zero_shift
        assert layer.occlusion_auc == 0.5


def test_offsets_between_patches():
    weights = torch.zeros(1, 2, 4, 4, 4, 4)
    weights[..., 1, 0] = 1  # everything looks at the patch in the second row and first column
    offset, nothing = best_match(weights, (16, 32))
    assert offset.shape == (2, 16, 32)
    assert offset[:, 0, 0].tolist() == [4, 0]
    assert offset[:, 15, 31].tolist() == [-8, -24]
    assert (nothing == 0).all()


def test_a_position_is_visible_if_all_its_pixels_are():
    disparity, occluded = torch.full((2, 8), 4.0), torch.zeros(2, 8, dtype=torch.bool)
    occluded[:, :3] = True
    offset, hidden = true_offsets(disparity, occluded, 2)
    assert offset.isfinite().tolist() == [[False, False, True, True]]
    assert hidden.tolist() == [[True, False, False, False]]
    assert offset[0, 2] == -2


@pytest.mark.parametrize("name", ["cross_attention", "parallax_attention"])
def test_both_attentions_can_be_measured(name, scene):
    model = lively(name, image_size=(128, 256))
    layers = measure_alignment(model, [scene])
    assert [layer.stride for layer in layers] == [8, 4, 2]
    assert all(0 <= layer.accuracy_1px <= layer.accuracy_upper_bound <= 1 for layer in layers)
    assert len({layer.accuracy_zero_shift for layer in layers}) == 3
    if name == "cross_attention":
        assert all(layer.accuracy_upper_bound <= 0.6 for layer in layers)  # whole patches are too far away
        assert [layer.occlusion_auc for layer in layers] == [0.5] * 3


def test_positions_outside_y_do_not_count_as_occlusion(scene):
    """They are known by the border alone."""
    maps = []
    for stride in (8, 4, 2):
        truth, _ = true_offsets(scene.disparity, torch.zeros_like(scene.occluded), stride)
        beyond = torch.arange(truth.shape[1]) + truth < 0
        assert beyond.any()
        maps.append(pointing(truth.masked_fill(beyond, torch.nan), 30))
    assert [layer.occlusion_auc for layer in measure_alignment(KnownAttention(maps), [scene])] == [0.5] * 3


def test_maps_of_patches_as_small_as_a_position_are_still_maps_of_patches():
    weights = torch.eye(16).reshape(1, 1, 4, 4, 4, 4)
    assert (best_match(weights, (4, 4))[0] == 0).all()


def test_what_cannot_be_measured(scene):
    same = Street(baseline=0).pair(1)
    layers = measure_alignment(lively("parallax_attention", image_size=(128, 256)), [same])
    assert all(math.isnan(layer.occlusion_auc) and layer.accuracy_zero_shift == 1 for layer in layers)
    with pytest.raises(NDICError, match="no visible position"):
        measure_alignment(KnownAttention([]), [])
    with pytest.raises(NDICError, match="ndic_bls17 has no attention to measure"):
        measure_alignment(lively("ndic_bls17"), [scene])


def test_patch_shares_are_counted_pixel_by_pixel(scene):
    shares = patch_shares(scene.disparity, scene.occluded)
    for i, j in [(0, 0), (2, 0), (2, 2), (3, 3)]:
        counted = torch.zeros(4, 4)
        for row in range(32 * i, 32 * (i + 1)):
            for column in range(64 * j, 64 * (j + 1)):
                if not scene.occluded[row, column]:
                    counted[row // 32, round(column - scene.disparity[row, column].item()) // 64] += 1
        assert torch.allclose(shares[i, j], counted / counted.sum(), atol=1e-6)


def test_patch_shares_leave_out_what_y_does_not_show():
    disparity = torch.zeros(4, 8)
    disparity[:, 4:] = 4.0
    shares = patch_shares(disparity, torch.arange(8).expand(4, 8) < 4, patch_grid=2)
    assert shares[:, 0].isnan().all()
    assert shares[0, 1].tolist() == [[1, 0], [0, 0]]
    assert patch_shares(disparity + 8, patch_grid=2).isnan().all()  # beyond y's frame
    lower = patch_shares(disparity, patch_grid=2, drop=torch.full((4, 8), 1.0))
    assert lower[0, 0].tolist() == [[0.5, 0], [0.5, 0]]
    with pytest.raises(NDICError, match="4 × 8 does not divide into 3 × 3 patches"):
        patch_shares(disparity, patch_grid=3)


def test_a_patch_counts_where_most_of_it_is():
    shares = torch.zeros(2, 2, 4)
    shares[0, 0], shares[0, 1], shares[1, 0] = torch.tensor([[0.7, 0.3, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1]])
    shares[1, 1] = torch.nan  # hidden
    shares = shares.unflatten(-1, (2, 2))

    def accuracy_1px(*places):  # of two heads; the first has the larger weights
        best = torch.nn.functional.one_hot(torch.tensor([*places, 0]), 4).float()
        weights = torch.stack([best, best.roll(1, -1) / 2]).reshape(1, 2, 2, 2, 2, 2)
        return patch_accuracy(weights.expand(3, -1, -1, -1, -1, -1), shares)

    assert accuracy_1px(0, 0, 3) == accuracy_1px(0, 1, 3) == 1
    assert accuracy_1px(1, 0, 3) == pytest.approx(2 / 3)
    assert accuracy_1px(2, 2, 2) == 0
    with pytest.raises(NDICError, match="no match to measure"):
        patch_accuracy(torch.zeros(1, 1, 2, 2, 2, 2), shares * torch.nan)
    with pytest.raises(NDICError, match=r"\(B, heads, 2, 2, 2, 2\), not \(1, 2, 16, 32, 1, 13\)"):
        patch_accuracy(torch.zeros(1, 2, 16, 32, 1, 13), shares)

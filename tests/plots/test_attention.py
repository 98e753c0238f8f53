"""Figures of attention between patches show weights, true matches and aligned features."""

import pytest
import torch
from matplotlib.colors import to_hex

from ndic_core.data.disparity import patch_shares
from ndic_core.data.street import Street
from ndic_core.evaluation.patch_matching import MatchingScore, match_of_roll
from ndic_core.plots.attention import aligned_features, patch_attention, search_curves, soft_lookup


@pytest.fixture(scope="module")
def scene():
    return Street().pair(7)


def shown(axis):
    return torch.from_numpy(axis.get_images()[0].get_array().filled(torch.nan))


def frames(axis):
    """Left, top and colour of the coloured frames."""
    return [(p.get_x() - 0.5, p.get_y() - 0.5, to_hex(p.get_edgecolor()).upper()) for p in axis.patches][1::2]


@pytest.mark.parametrize("head", [2, None])
def test_weights_and_true_position_are_tables(scene, head):
    torch.manual_seed(0)
    weights = torch.rand(1, 3, 4, 4, 4, 4).flatten(4).softmax(-1).unflatten(-1, (4, 4))
    figure = patch_attention(scene.x, scene.y, weights, scene.disparity, scene.occluded, (70, 130), head)
    found, true = map(shown, figure.axes[2:4])
    expected = weights[0].mean(0) if head is None else weights[0, head]
    assert torch.allclose(found, 100 * expected[2, 2])
    assert torch.allclose(true, 100 * patch_shares(scene.disparity, scene.occluded)[2, 2])
    assert ("mean of the heads" if head is None else "head 2") in figure.axes[2].get_title()


def test_frames_are_at_the_largest_weight_and_at_the_true_match(scene):
    weights = torch.zeros(1, 1, 4, 4, 16)
    weights[..., 7] = 1  # row 1, column 3
    disparity, drop = match_of_roll((128, 256), (32, 64))
    figure = patch_attention(scene.x, scene.x, weights.unflatten(-1, (4, 4)), disparity, place=(70, 70), drop=drop)
    assert frames(figure.axes[1]) == [(192, 32, "#D55E00"), (128, 96, "#0072B2")]  # patch (2, 1) moved by one each
    assert shown(figure.axes[3])[3, 2] == 100
    query = figure.axes[0].patches[0]
    assert (query.get_x() - 0.5, query.get_y() - 0.5) == (64, 64)


def test_x_is_left_out_beside_an_image_to_click_on(scene):
    weights = torch.full((1, 1, 4, 4, 4, 4), 1 / 16)
    _, y, *tables = patch_attention(scene.x, scene.y, weights, scene.disparity).axes
    found = patch_attention(scene.x, scene.y, weights, scene.disparity, show_x=False).axes
    assert [axis.get_title() for axis in found] == [axis.get_title() for axis in (y, *tables)]
    assert frames(found[0]) == frames(y)


def test_a_hidden_patch_has_no_true_match(scene):
    weights = torch.full((1, 1, 4, 4, 4, 4), 1 / 16)
    figure = patch_attention(scene.x, scene.y, weights, scene.disparity, torch.ones_like(scene.occluded), (127, 255))
    assert len(frames(figure.axes[1])) == 1
    assert "not visible in y" in figure.axes[1].get_title()
    assert shown(figure.axes[3]).abs().max() == 0


def test_a_lookup_shows_its_signals_and_weights():
    x, y, answer, weights = torch.randn(5), torch.randn(5), torch.randn(5), torch.eye(5)
    signals, table, *_ = soft_lookup(x, y, weights, answer).axes
    for line, expected in zip(signals.lines, (y, x, answer), strict=True):
        assert torch.equal(torch.as_tensor(line.get_ydata()), expected)
    assert torch.equal(shown(table), weights)


def test_search_curves_show_accuracy_in_percent_and_both_errors():
    found = {0: MatchingScore(1.0, 0.2, 0.8), 64: MatchingScore(0.5, 0.3, 0.7)}
    accuracy, errors = search_curves({"one": found}, patch=64, usual=(0, 40)).axes
    assert list(accuracy.lines[0].get_ydata()) == [100, 50]
    assert [list(line.get_ydata()) for line in errors.lines] == [[0.2, 0.3], [0.8, 0.7]]


def test_aligned_features_shows_the_selected_channels():
    t, u, aligned = torch.randn(3, 5, 8, 16)
    figure = aligned_features(t, u, aligned, [4, 0])
    for axis, expected in zip(figure.axes, (t[4], u[4], aligned[4], t[0], u[0], aligned[0]), strict=True):
        assert torch.equal(shown(axis), expected)

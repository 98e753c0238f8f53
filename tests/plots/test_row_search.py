"""Strips of the search along the row show weights at their offsets, and true matches where there are any."""

import pytest
import torch
from attention_maps import pointing

from ndic_core.errors import NDICError
from ndic_core.plots.row_search import Case, match_cases, pixel_search, row_scales, row_weights


def visible(scene, truth) -> tuple[int, int]:
    """A pixel that is visible at all scales and has a disparity above 8 pixels."""
    i, j = (truth[0] < -1).nonzero()[3].tolist()
    return 8 * i + 4, 8 * j + 4


def bars(axis) -> dict[float, float]:
    """Heights above zero by the centre of the bar."""
    return {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in axis.patches if bar.get_height() > 1e-6}


def test_patches_and_their_results_are_framed(scene):
    figure = pixel_search(scene, [(40, 100), (80, 120)], [(60, 30), (80, 110)], [(40, 95), (80, 110)], side=9)
    left, right = figure.axes
    assert [(p.get_x() + 4.5, p.get_y() + 4.5) for p in left.patches] == [(100, 40), (120, 80)]
    assert [(p.get_x() + 4.5, p.get_y() + 4.5) for p in right.patches] == [(30, 60), (95, 40), (110, 80), (110, 80)]
    matches = [line for line in right.lines if line.get_marker() == "+"]
    assert matches[0].get_xdata()[0] == pytest.approx(100 - scene.disparity[40, 100].item())
    with pytest.raises(NDICError, match="two results"):
        pixel_search(scene, [(40, 100)], [], [(40, 95)])
    with pytest.raises(NDICError, match="place"):
        pixel_search(scene, [], [], [])


def test_weights_of_every_scale_are_near_the_true_match(scene, truth):
    row, column = visible(scene, truth)
    figure = row_scales(scene, [pointing(t, 60) for t in truth], row, column)
    match = column - scene.disparity[row, column].item()
    for axis, stride in zip(figure.axes[2:], (8, 4, 2), strict=True):
        ((centre, height),) = bars(axis).items()
        assert height == 1
        assert abs(centre - match) <= 1.5 * stride
        assert axis.lines[0].get_xdata()[0] == pytest.approx(match)
    i, j = scene.occluded.nonzero()[0].tolist()
    with pytest.raises(NDICError, match="hidden from y"):
        row_scales(scene, [pointing(t, 60) for t in truth], i, j)


def test_cases_have_a_true_match_or_none(scene, truth):
    row, column = visible(scene, truth)
    weights = pointing(truth[1], 60)
    match = column - scene.disparity[row, column].item()
    cases = [Case("seen", scene.y, weights, (row, column), match), Case("other", scene.x, 0 * weights, (row, column))]
    figure = match_cases(scene.x, cases, 4)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["seen", "other"]
    seen, other = figure.axes[4:]
    offset = 4 * truth[1][row // 4, column // 4].item()
    assert min(bars(seen)) == pytest.approx(offset, abs=2)
    assert len(seen.lines) == 1
    assert list(bars(other).values()) == [1]  # the no-match token
    assert max(bars(other)) > 32
    assert len(other.lines) == 0
    with pytest.raises(NDICError, match="case"):
        match_cases(scene.x, [], 4)


def test_weights_of_a_position_add_up_to_one():
    weights = torch.tensor([0.1, 0.6, 0.2]).expand(1, 1, 4, 8, 1, 3)
    offsets, window, no_match = row_weights(weights, 4, 5, 9)
    assert offsets.tolist() == [-4, 0, 4]
    assert window.sum().item() + no_match == pytest.approx(1)
    with pytest.raises(NDICError, match="no position for pixel"):
        row_weights(weights, 4, 16, 0)

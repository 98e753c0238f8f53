"""Figures of parallax attention show weights, estimated disparity and matching accuracy."""

import pytest
import torch
from attention_maps import pointing
from matplotlib.colors import to_rgba

from ndic_core.data.disparity import true_offsets
from ndic_core.evaluation.matching_accuracy import Alignment
from ndic_core.plots.matching import alignment_scores, attention_disparity, row_attention
from ndic_core.plots.style import MODEL_STYLE


def labelled(figure) -> dict:
    """Artists of the panel of weights by the first words of their labels."""
    handles, labels = figure.axes[2].get_legend_handles_labels()
    return {label.split(",")[0]: handle for handle, label in zip(handles, labels, strict=True)}


def test_weights_are_at_their_offsets_beside_the_true_match(scene, truth):
    layer, stride = 1, 4
    i, j = (truth[layer] < -2).nonzero()[0].tolist()
    found = labelled(row_attention(scene, pointing(truth[layer], 12), stride, i * stride + 1, j * stride + 2))
    (highest,) = [bar for bar in found["weight in y"] if bar.get_height() > 0]
    assert highest.get_height() == 1
    centre, true = highest.get_x() + highest.get_width() / 2, found["true match"].get_xdata()[0]
    assert true == pytest.approx(stride * truth[layer][i, j].item(), abs=1e-4)
    assert centre == pytest.approx(true, abs=stride / 2)
    assert found["no match"][0].get_height() == 0


def test_a_hidden_position_has_no_true_match(scene, truth):
    _, hidden = true_offsets(scene.disparity, scene.occluded, 4)
    i, j = hidden.nonzero()[0].tolist()
    figure = row_attention(scene, pointing(truth[1], 12), 4, 4 * i, 4 * j)
    assert "true match" not in labelled(figure)
    assert labelled(figure)["no match"][0].get_height() == 1
    assert "hidden from y; no match: 1.00" in figure.axes[2].get_title()


def test_rows_above_and_below_are_drawn_at_their_positions(scene):
    weights = torch.zeros(1, 1, 32, 64, 3, 7)
    weights[..., 0, 0], weights[..., 1, 6], weights[..., 2, 6] = 0.5, 0.3, 0.2
    figure = row_attention(scene, weights, 4, 60, 100)
    window, best = figure.axes[1].patches[:2]
    assert window.get_height() == 12
    assert best.get_y() + best.get_height() / 2 == pytest.approx(60 - 4 + 2 - 0.5)
    assert best.get_x() + best.get_width() / 2 == pytest.approx(100 - 12 + 2 - 0.5)


def test_zero_has_no_sign(scene, truth):
    """In the sky the disparity is 0, and a sum of weights may exceed 1 by a rounding error."""
    i, j = (truth[2] == 0).nonzero()[0].tolist()
    weights = pointing(truth[2], 12) * (1 + 1e-6)
    axis = row_attention(scene, weights, 2, 2 * i, 2 * j).axes[2]
    words = [axis.get_title(), *axis.get_legend_handles_labels()[1]]
    assert "true match, 0.0 px" in words
    assert "no match: 0.00" in words[0]


def test_x_is_left_out_beside_an_image_to_click_on(scene, truth):
    weights = pointing(truth[1], 12)
    whole, y, _ = row_attention(scene, weights, 4, 60, 100).axes
    beside, axis = row_attention(scene, weights, 4, 60, 100, show_x=False).axes
    assert whole.get_title().startswith("x: ")
    assert (beside.get_title(), len(beside.patches)) == (y.get_title(), len(y.patches))
    assert "no match" in axis.get_title()


@pytest.mark.parametrize("place", [(0, 0), (127, 255)])
def test_corners_can_be_drawn(scene, truth, place):
    row_attention(scene, pointing(truth[1], 20), 4, *place).canvas.draw()


def test_estimated_and_true_disparity_are_side_by_side(scene, truth):
    figure = attention_disparity(scene, [pointing(t, 40) for t in truth])
    images = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    found, true = (torch.from_numpy(image.filled(torch.nan)) for image in images[8:10])  # at 1/2
    visible = true.isfinite()
    assert (found[visible] - true[visible]).abs().max() <= 1  # half a position, in image pixels
    assert torch.equal(true[visible], -2 * truth[2][visible])


def test_scores_are_bars_in_the_models_colours_and_trainings_differ():
    layers = [Alignment(8, 0.5, 0.9, 0.1, 0.3, 0.9), Alignment(4, 0.25, 0.8, 0.1, 0.2, 0.8)]
    results = {"cross_attention": layers, "parallax_attention": layers[::-1], "parallax_attention, unguided": layers}
    hits, occlusion = alignment_scores(results).axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in hits.containers}
    assert list(heights.values()) == [[50, 25], [25, 50], [50, 25]]
    for bars in (*hits.containers, *occlusion.containers):
        colour = to_rgba(MODEL_STYLE[bars.get_label().partition(",")[0]][0])
        assert all(bar.get_facecolor() == colour for bar in bars)
    assert [bar.get_height() for bar in occlusion.containers[0]] == [0.9, 0.8]
    assert hits.containers[1][0].get_hatch() != hits.containers[2][0].get_hatch()

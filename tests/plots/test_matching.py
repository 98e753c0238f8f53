"""What the figures of alignment show."""

import pytest
import torch
from attention_maps import pointing
from conftest import lively
from matplotlib.colors import to_rgba

from ndic_core.data.ground_truth import true_offsets
from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.evaluation.matching_accuracy import Alignment, measure_alignment
from ndic_core.plots.matching import alignment_scores, disparity_found, look_along_row
from ndic_core.plots.panels import MODEL_STYLE


@pytest.fixture(scope="module")
def scene():
    return Street().pair(7)


@pytest.fixture(scope="module")
def truth(scene):
    return [true_offsets(scene.disparity, scene.occluded, stride)[0] for stride in (8, 4, 2)]


def drawn(figure, label: str):
    """Axis and artist with a label."""
    for axis in figure.axes:
        for artist, text in zip(*axis.get_legend_handles_labels(), strict=True):
            if text.startswith(label):
                return axis, artist
    raise AssertionError(f"nothing is labelled {label!r}")


def test_weights_stand_at_their_offsets_and_the_truth_beside_them(scene, truth):
    layer, stride = 1, 4
    i, j = (truth[layer] < -2).nonzero()[0].tolist()
    figure = look_along_row(scene, pointing(truth[layer], 12), stride, i * stride + 1, j * stride + 2)
    _, bars = drawn(figure, "weight in y")
    (highest,) = [bar for bar in bars if bar.get_height() > 0]
    assert highest.get_height() == 1
    centre = highest.get_x() + highest.get_width() / 2
    _, line = drawn(figure, "true match")
    assert line.get_xdata()[0] == pytest.approx(stride * truth[layer][i, j].item(), abs=1e-4)
    assert centre == pytest.approx(line.get_xdata()[0], abs=stride / 2)
    _, nothing = drawn(figure, "nothing matches")
    assert nothing[0].get_height() == 0


def test_a_hidden_position_has_no_true_match(scene, truth):
    _, hidden = true_offsets(scene.disparity, scene.occluded, 4)
    i, j = hidden.nonzero()[0].tolist()
    figure = look_along_row(scene, pointing(truth[1], 12), 4, 4 * i, 4 * j)
    with pytest.raises(AssertionError, match="true match"):
        drawn(figure, "true match")
    assert drawn(figure, "nothing matches")[1][0].get_height() == 1
    assert "hidden from y; nothing matches: 1.00" in drawn(figure, "nothing matches")[0].get_title()


@pytest.mark.parametrize("place", [(0, 0), (127, 255), (127, 0), (64, 128)])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_place_can_be_looked_at(scene, truth, place, layer):
    look_along_row(scene, pointing(truth[layer], 20), (8, 4, 2)[layer], *place).canvas.draw()


def test_disparity_found_shows_found_and_true_side_by_side(scene, truth):
    figure = disparity_found(scene, [pointing(t, 40) for t in truth])
    images = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    found, true = (torch.from_numpy(image.filled(torch.nan)) for image in images[8:10])  # at 1/2
    seen = true.isfinite()
    assert (found[seen] - true[seen]).abs().max() <= 1  # half a position, in image pixels
    assert torch.equal(true[seen], -2 * truth[2][seen])


def test_disparity_found_takes_maps_of_either_attention(scene):
    for name in ("cross_attention", "parallax_attention"):
        model = lively(name, image_size=(128, 256))
        disparity_found(scene, model.attention_maps(scene.x[None], scene.y[None])).canvas.draw()


def test_scores_are_bars_in_the_models_colours(scene):
    layers = [Alignment(8, 0.5, 0.9, 0.1, 0.3, 0.9), Alignment(4, 0.25, 0.8, 0.1, 0.2, 0.8)]
    figure = alignment_scores({"cross_attention": layers[:2], "parallax_attention": layers[::-1]})
    hits, slots = figure.axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in hits.containers}
    assert heights == {"cross_attention": [50, 25], "parallax_attention": [25, 50]}
    for bars in (*hits.containers, *slots.containers):
        colour = to_rgba(MODEL_STYLE[bars.get_label()][0])
        assert all(bar.get_facecolor() == colour for bar in bars)
    assert [bar.get_height() for bar in slots.containers[0]] == [0.9, 0.8]


def test_two_trainings_of_one_model_can_be_compared():
    layers = [Alignment(8, 0.5, 0.9, 0.1, 0.3, 0.9)]
    hits, _ = alignment_scores({"parallax_attention": layers, "parallax_attention, unguided": layers}).axes
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in hits.containers}
    assert len(looks) == 2
    with pytest.raises(NDICError, match="no result"):
        alignment_scores({})


def test_rows_above_and_below_are_shown_where_they_lie(scene):
    weights = torch.zeros(1, 1, 32, 64, 3, 7)
    weights[..., 0, 0], weights[..., 1, 6], weights[..., 2, 6] = 0.5, 0.3, 0.2
    figure = look_along_row(scene, weights, 4, 60, 100)
    window, best = figure.axes[1].patches[:2]
    assert window.get_height() == 12
    assert best.get_y() + best.get_height() / 2 == pytest.approx(60 - 4 + 2 - 0.5)
    assert best.get_x() + best.get_width() / 2 == pytest.approx(100 - 12 + 2 - 0.5)
    with pytest.raises(NDICError, match=r"\(128, 0\) lies outside a picture of 128 × 256"):
        look_along_row(scene, weights, 4, 128, 0)


def test_the_scores_are_those_that_were_measured(scene):
    model = lively("parallax_attention")
    measured = measure_alignment(model, [scene])
    hits, _ = alignment_scores({model.name: measured}).axes
    assert [bar.get_height() for bar in hits.containers[0]] == [100 * layer.accuracy_1px for layer in measured]

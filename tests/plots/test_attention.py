"""What the figures of attention between patches show."""

import pytest
import torch
from matplotlib.colors import to_hex

from ndic_core.data.ground_truth import patch_shares
from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.evaluation.patch_matching import MatchingScore, match_of_roll
from ndic_core.plots.attention import features_met, look_at_patches, search_curves, soft_lookup


@pytest.fixture(scope="module")
def scene():
    return Street().pair(7)


def tables(figure):
    """The two tables of numbers: weights, and the truth."""
    return [torch.from_numpy(figure.axes[k].get_images()[0].get_array().filled(torch.nan)) for k in (2, 3)]


def frames(axis):
    """Left, top and colour of the coloured frames."""
    return [(p.get_x() - 0.5, p.get_y() - 0.5, to_hex(p.get_edgecolor()).upper()) for p in axis.patches][1::2]


def test_the_weights_and_the_truth_stand_in_tables(scene):
    torch.manual_seed(0)
    weights = torch.rand(1, 3, 4, 4, 4, 4).flatten(4).softmax(-1).unflatten(-1, (4, 4))
    truth = patch_shares(scene.disparity, scene.occluded)
    figure = look_at_patches(scene.x, scene.y, weights, scene.disparity, scene.occluded, (70, 130), head=2)
    found, true = tables(figure)
    assert torch.allclose(found, 100 * weights[0, 2, 2, 2])
    assert torch.allclose(true, 100 * truth[2, 2])
    mean, _ = tables(look_at_patches(scene.x, scene.y, weights, scene.disparity, scene.occluded, (70, 130)))
    assert torch.allclose(mean, 100 * weights[0, :, 2, 2].mean(0))
    assert "head 2" in figure.axes[2].get_title()


def test_frames_stand_where_attention_looks_and_where_the_truth_is(scene):
    weights = torch.zeros(1, 1, 4, 4, 16)
    weights[..., 7] = 1  # row 1, column 3
    disparity, drop = match_of_roll((128, 256), (32, 64))
    figure = look_at_patches(scene.x, scene.x, weights.unflatten(-1, (4, 4)), disparity, place=(70, 70), drop=drop)
    assert frames(figure.axes[1]) == [(192, 32, "#D55E00"), (128, 96, "#0072B2")]  # patch (2, 1) moved by one each
    _, true = tables(figure)
    assert true[3, 2] == 100
    asks = figure.axes[0].patches[0]
    assert (asks.get_x() - 0.5, asks.get_y() - 0.5) == (64, 64)


def test_a_hidden_patch_has_no_true_match(scene):
    weights = torch.full((1, 1, 4, 4, 4, 4), 1 / 16)
    hidden = torch.ones_like(scene.occluded)
    figure = look_at_patches(scene.x, scene.y, weights, scene.disparity, hidden)
    assert len(frames(figure.axes[1])) == 1
    assert "doesn't show this patch" in figure.axes[1].get_title()
    assert tables(figure)[1].abs().max() == 0


@pytest.mark.parametrize("place", [(0, 0), (127, 255), (127, 0), (0, 255)])
def test_every_place_can_be_looked_at(scene, place):
    weights = torch.full((1, 2, 4, 4, 4, 4), 1 / 16)
    look_at_patches(scene.x, scene.y, weights, scene.disparity, scene.occluded, place).canvas.draw()


def test_what_cannot_be_looked_at_is_named(scene):
    weights = torch.full((1, 2, 4, 4, 4, 4), 1 / 16)
    with pytest.raises(NDICError, match=r"\(128, 0\) lies outside a picture of 128 × 256"):
        look_at_patches(scene.x, scene.y, weights, scene.disparity, place=(128, 0))
    with pytest.raises(NDICError, match="there is no head 2: they are numbered from 0 to 1"):
        look_at_patches(scene.x, scene.y, weights, scene.disparity, head=2)
    with pytest.raises(NDICError, match=r"have shape \(1, heads, P, P, P, P\), not \(1, 2, 16, 32, 1, 13\)"):
        look_at_patches(scene.x, scene.y, torch.zeros(1, 2, 16, 32, 1, 13), scene.disparity)


def test_a_lookup_shows_its_signals_and_weights():
    x, y, answer, weights = torch.randn(5), torch.randn(5), torch.randn(5), torch.eye(5)
    signals, table, *_ = soft_lookup(x, y, weights, answer).axes
    lines = {line.get_label(): torch.tensor(line.get_ydata()) for line in signals.lines}
    assert torch.equal(lines["x, what is asked for"], x)
    assert torch.equal(lines["y, what there is"], y)
    assert torch.equal(lines["what comes back"], answer)
    assert torch.equal(torch.from_numpy(table.get_images()[0].get_array().filled(torch.nan)), weights)


def test_search_curves_show_hits_in_percent_and_both_errors():
    found = {0: MatchingScore(1.0, 0.2, 0.8), 64: MatchingScore(0.5, 0.3, 0.7)}
    hits, errors = search_curves({"one": found}, patch=64, usual=(0, 40)).axes
    assert list(hits.lines[0].get_ydata()) == [100, 50]
    assert [list(line.get_ydata()) for line in errors.lines] == [[0.2, 0.3], [0.8, 0.7]]
    with pytest.raises(NDICError, match="no result"):
        search_curves({}, patch=64, usual=(0, 40))
    with pytest.raises(NDICError, match="4 results cannot be told apart"):
        search_curves(dict.fromkeys("abcd", found), patch=64, usual=(0, 40))


def test_features_met_shows_the_channels_asked_for():
    t, u, aligned = torch.randn(3, 5, 8, 16)
    figure = features_met(t, u, aligned, [4, 0])
    shown = [torch.from_numpy(axis.get_images()[0].get_array().filled(torch.nan)) for axis in figure.axes]
    for image, expected in zip(shown, (t[4], u[4], aligned[4], t[0], u[0], aligned[0]), strict=True):
        assert torch.equal(image, expected)
    features_met(t, u, aligned, [1], patch_grid=None).canvas.draw()
    for wrong in ([], [5]):
        with pytest.raises(NDICError, match="choose channels from 0 to 4"):
            features_met(t, u, aligned, wrong)

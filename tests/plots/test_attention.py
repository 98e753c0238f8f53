"""Figures of attention between patches show weights, true matches, and models at one place."""

import pytest
import torch
from matplotlib.colors import to_hex

from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.evaluation.patch_matching import MatchingScore, match_of_roll
from ndic_core.plots.attention import PatchSearch, patch_attention, same_place, search_curves, soft_lookups


@pytest.fixture(scope="module")
def scene():
    return Street().pair(7)


def shown(axis):
    return torch.from_numpy(axis.get_images()[0].get_array().filled(torch.nan))


def frames(axis):
    """Left, top and colour of the coloured frames."""
    return [(p.get_x() - 0.5, p.get_y() - 0.5, to_hex(p.get_edgecolor()).upper()) for p in axis.patches][1::2]


def axes_of(figure):
    return {axis.get_label(): axis for axis in figure.axes}


def test_weights_are_a_table_with_its_own_scale(scene):
    torch.manual_seed(0)
    weights = torch.rand(1, 3, 4, 4, 4, 4).flatten(4).softmax(-1).unflatten(-1, (4, 4))
    search = PatchSearch(scene.y, weights, scene.disparity, scene.occluded)
    axes = axes_of(patch_attention(scene.x, {"a": search, "b": search}, (70, 130)))
    expected = 100 * weights[0].mean(0)[2, 2]
    for i in range(2):
        assert torch.allclose(shown(axes[f"weights {i}"]), expected)
    limits = axes["weights 0"].get_images()[0].get_clim()
    assert limits == pytest.approx((expected.min().item(), expected.max().item()))


def test_frames_are_at_the_largest_weight_and_at_the_true_match(scene):
    weights = torch.zeros(1, 1, 4, 4, 16)
    weights[..., 7] = 1  # row 1, column 3
    disparity, drop = match_of_roll((128, 256), (32, 64))
    search = PatchSearch(scene.x, weights.unflatten(-1, (4, 4)), disparity, drop=drop)
    axes = axes_of(patch_attention(scene.x, {"a": search}, (70, 70)))
    assert frames(axes["0"]) == [(192, 32, "#D55E00"), (128, 96, "#0072B2")]  # patch (2, 1) moved by one each
    query = axes["x"].patches[0]
    assert (query.get_x() - 0.5, query.get_y() - 0.5) == (64, 64)
    beside_click = axes_of(patch_attention(scene.x, {"a": search}, (70, 70), show_x=False))
    assert "x" not in beside_click
    assert frames(beside_click["0"]) == frames(axes["0"])


def test_a_hidden_patch_has_no_true_match(scene):
    weights = torch.full((1, 1, 4, 4, 4, 4), 1 / 16)
    search = PatchSearch(scene.y, weights, scene.disparity, torch.ones_like(scene.occluded))
    assert len(frames(axes_of(patch_attention(scene.x, {"a": search}, (127, 255)))["0"])) == 1


def test_lookups_show_their_signals_and_weights():
    x, y, answer, weights = torch.randn(5), torch.randn(5), torch.randn(5), torch.eye(5)
    axes = soft_lookups({"a": (x, y, answer, weights), "b": (y, x, answer, 1 - weights)}).axes
    for line, expected in zip(axes[0].lines, (y, x, answer), strict=True):
        assert torch.equal(torch.as_tensor(line.get_ydata()), expected)
    assert torch.equal(shown(axes[2]), weights)
    assert torch.equal(shown(axes[3]), 1 - weights)


def test_search_curves_show_accuracy_in_percent_and_both_errors():
    found = {0: MatchingScore(1.0, 0.2, 0.8), 64: MatchingScore(0.5, 0.3, 0.7)}
    accuracy, errors = search_curves(found, patch=64, usual=(0, 40)).axes
    assert list(accuracy.lines[0].get_ydata()) == [100, 50]
    assert [list(line.get_ydata()) for line in errors.lines] == [[0.2, 0.3], [0.8, 0.7]]


def test_models_at_one_place_are_orange_where_their_weights_are(scene):
    patches, window = torch.zeros(1, 1, 4, 4, 4, 4), torch.zeros(1, 1, 64, 128, 1, 9)
    patches[..., 1, 2] = 1
    window[..., 1] = 1  # three positions, 6 pixels, to the left
    place = (70, 130)
    maps = {"patches": patches, "row": window}
    x, first, y, second = same_place(scene, maps, place, ["a", "b"]).axes
    grey = 0.75 * scene.y.mean(0).clamp(0, 1)
    for axis, where in ((first, (slice(32, 64), slice(128, 192))), (second, (slice(70, 72), slice(124, 126)))):
        expected = torch.zeros(128, 256, dtype=torch.bool)
        expected[where] = True
        image = shown(axis)[..., 0]
        assert torch.equal(~torch.isclose(image, grey, atol=1e-5), expected)
    assert first.get_title() == "patches\na"
    match = place[1] - scene.disparity[place].item()
    assert [axis.lines[0].get_xydata().tolist() for axis in (y, first)] == [[[pytest.approx(match), 70]]] * 2
    assert x.lines[0].get_xydata().tolist() == [[130, 70]]
    with pytest.raises(NDICError, match="a note: give 2, not 1"):
        same_place(scene, maps, place, ["a"])

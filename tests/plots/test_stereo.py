"""Figures of stereo pairs show the images, the disparity and the errors."""

from dataclasses import replace

import pytest
import torch

from ndic_core.data.disparity import warp
from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.plots.stereo import (
    alignment,
    disparity_maps,
    matching_points,
    settings_strip,
    warping,
)


@pytest.fixture(scope="module")
def scene():
    return Street(size=(32, 64)).pair(3)


def shown(figure, title: str):
    (axis,) = [axis for axis in figure.axes if axis.get_title().startswith(title)]
    return axis.images[0]


def test_a_pair_is_shown_without_interpolation_with_its_disparity(scene):
    figure = matching_points(scene.x, scene.y, scene.disparity, scene.occluded, [(20, 40)])
    assert (shown(figure, "x,").get_array() == scene.x.permute(1, 2, 0).numpy()).all()
    assert (shown(figure, "y,").get_array() == scene.y.permute(1, 2, 0).numpy()).all()
    disparity = shown(figure, "disparity of x")
    assert (disparity.get_array().mask == scene.occluded.numpy()).all()
    assert disparity.get_clim() == pytest.approx((0, scene.disparity[~scene.occluded].max().item()))


def test_negative_disparities_are_within_the_colour_scale(scene):
    disparity = shown(disparity_maps({"matched": -scene.disparity}), "matched")
    assert disparity.get_clim()[0] == pytest.approx(-scene.disparity.max().item())
    assert not disparity.get_array().mask.any()


def test_matching_points_are_in_one_row_and_apart_by_the_disparity(scene):
    points = [(20, 40), (8, 50)]
    figure = matching_points(scene.x, scene.y, scene.disparity, scene.occluded, points)
    dots = {
        name: [line.get_xydata()[0].tolist() for line in axis.lines if line.get_marker() == "o"]
        for name, axis in zip("xy", (axis for axis in figure.axes if axis.get_title()[:2] in ("x,", "y,")), strict=True)
    }
    assert dots["x"] == [[column, row] for row, column in points]
    for (row, column), match in zip(points, dots["y"], strict=True):
        assert match == pytest.approx([column - scene.disparity[row, column].item(), row])
    profile = next(axis for axis in figure.axes if axis.get_title().startswith("brightness"))
    assert profile.lines[0].get_ydata() == pytest.approx(255 * scene.x[:, 20].mean(0).numpy())
    with pytest.raises(NDICError, match=r"\(40, 0\) is outside"):
        matching_points(scene.x, scene.y, scene.disparity, scene.occluded, [(40, 0)])


def test_the_error_after_warping_is_that_of_the_warped_view(scene):
    difference = 255 * (scene.x - warp(scene.y, scene.disparity)).mean(0)
    for figure in (warping(scene), alignment(scene.x, scene.y, scene.disparity, scene.occluded)):
        assert shown(figure, "x − warped y: ").get_array().data == pytest.approx(difference.numpy())
    assert shown(figure, "x − y: ").get_array().data == pytest.approx(255 * (scene.x - scene.y).mean(0).numpy())
    assert figure.axes[2].collections  # the outline of the hidden positions
    visible = alignment(scene.x, scene.y, scene.disparity, torch.zeros_like(scene.occluded))
    assert not visible.axes[2].collections


def test_a_strip_has_one_column_for_each_setting_and_one_colour_scale(scene):
    pairs = {"near": scene, "far": replace(scene, disparity=2 * scene.disparity)}
    axes = settings_strip(pairs).axes
    assert [axis.get_title() for axis in axes[:2]] == ["near", "far"]
    assert axes[2].images[0].get_clim() == axes[3].images[0].get_clim()
    assert "dB" in axes[4].get_title()
    window = (slice(4, 20), slice(8, 40))
    axes = settings_strip(pairs, disparity=False, words=["a", "b"], window=window).axes
    assert [axis.get_title() for axis in axes[2:4]] == ["a", "b"]
    assert (axes[0].images[0].get_array() == scene.y[:, 4:20, 8:40].permute(1, 2, 0).numpy()).all()
    with pytest.raises(NDICError, match="one for each, not 2 and 1"):
        settings_strip(pairs, words=["a"])


def test_a_strip_of_a_detail_measures_the_detail(scene):
    occluded = torch.zeros_like(scene.occluded)
    occluded[4:12, 8:24] = True  # a half of the rows and of the columns of the detail
    pair = replace(scene, occluded=occluded)
    axes = settings_strip({"a": pair}, window=(slice(4, 20), slice(8, 40))).axes
    assert axes[1].get_title() == "25% occluded"
    assert axes[2].get_title() != settings_strip({"a": pair}).axes[2].get_title()


def test_titles_of_two_lines_make_a_strip_taller(scene):
    one, two = (settings_strip({"a": scene}, words=[words]).get_figheight() for words in ("b", "b\nc"))
    assert two > one


def test_maps_have_the_colour_scale_of_the_first(scene):
    figure = disparity_maps({"true": scene.disparity, "other": 3 * scene.disparity}, scene.occluded)
    first, second = (shown(figure, name) for name in ("true", "other"))
    assert first.get_clim() == second.get_clim()
    assert first.get_clim()[1] == pytest.approx(scene.disparity[~scene.occluded].max().item())
    with pytest.raises(NDICError, match="one size"):
        disparity_maps({"a": scene.disparity, "b": scene.disparity[1:]})
    with pytest.raises(NDICError, match="no disparity map"):
        disparity_maps({})

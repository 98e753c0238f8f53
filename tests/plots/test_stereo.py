"""Figures of two views show the pixels and numbers they are given."""

import pytest
import torch

from ndic_core import NDICError
from ndic_core.data.street import Street
from ndic_core.plots.stereo import anaglyph, prediction, stereo_pair


@pytest.fixture(scope="module")
def scene():
    return Street(size=(32, 64)).pair(3)


def shown(figure, title: str):
    (axis,) = [axis for axis in figure.axes if axis.get_title().startswith(title)]
    return axis.images[0]


def test_an_anaglyph_has_red_of_the_left_view_and_the_rest_of_the_right_one(scene):
    both = anaglyph(scene.x, scene.y)
    assert torch.equal(both[0], scene.x[0])
    assert torch.equal(both[1:], scene.y[1:])
    with pytest.raises(NDICError, match="two views"):
        anaglyph(scene.x, scene.y[:, :8])


def test_a_disparity_of_another_size(scene):
    with pytest.raises(NDICError, match=r"disparity must have the views' size \(32, 64\), not \(32, 60\)"):
        stereo_pair(scene.x, scene.y, scene.disparity[:, :60])
    with pytest.raises(NDICError, match="hidden must have the views' size"):
        stereo_pair(scene.x, scene.y, scene.disparity, scene.occluded[:8])


def test_a_pair_is_shown_pixel_for_pixel_with_its_disparity(scene):
    figure = stereo_pair(scene.x, scene.y, scene.disparity, scene.occluded)
    assert shown(figure, "x,").get_array().shape == (32, 64, 3)
    assert (shown(figure, "y,").get_array() == scene.y.permute(1, 2, 0).numpy()).all()
    disparity = shown(figure, "disparity, true; white")
    assert (disparity.get_array().mask == scene.occluded.numpy()).all()
    assert disparity.get_clim() == (0, 40)
    assert {axis.images[0].get_interpolation() for axis in figure.axes if axis.images} == {"none"}
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == ["pixels"]


def test_negative_disparities_are_within_the_colours(scene):
    disparity = shown(stereo_pair(scene.y, scene.x, -scene.disparity, how="matched"), "disparity, matched")
    assert disparity.get_clim()[0] == pytest.approx(-scene.disparity.max().item())
    assert not disparity.get_array().mask.any()


def test_a_prediction_is_shown_with_what_is_wrong_in_it(scene):
    figure = prediction(scene.x, scene.y, scene.x, scene.occluded)
    assert (shown(figure, "x − y moved: inf dB").get_array() == 0).all()
    apart = shown(figure, "x − y: ")
    assert apart.get_array().data == pytest.approx((scene.x - scene.y).mean(0).numpy())
    (moved,) = [axis for axis in figure.axes if "moved: " in axis.get_title()]
    assert moved.collections  # the outline of what y cannot show
    assert not prediction(scene.x, scene.y, scene.x).axes[3].collections

"""Figures of stereo pairs show the images, the disparity and the errors."""

import pytest
import torch

from ndic_core.data.street import Street
from ndic_core.plots.stereo import anaglyph, prediction, stereo_pair


@pytest.fixture(scope="module")
def scene():
    return Street(size=(32, 64)).pair(3)


def shown(figure, title: str):
    (axis,) = [axis for axis in figure.axes if axis.get_title().startswith(title)]
    return axis.images[0]


def test_an_anaglyph_has_red_of_the_left_view_and_the_rest_of_the_right_view(scene):
    both = anaglyph(scene.x, scene.y)
    assert torch.equal(both[0], scene.x[0])
    assert torch.equal(both[1:], scene.y[1:])


def test_a_pair_is_shown_without_interpolation_with_its_disparity(scene):
    figure = stereo_pair(scene.x, scene.y, scene.disparity, scene.occluded)
    assert (shown(figure, "x,").get_array() == scene.x.permute(1, 2, 0).numpy()).all()
    assert (shown(figure, "y,").get_array() == scene.y.permute(1, 2, 0).numpy()).all()
    disparity = shown(figure, "disparity, true; white")
    assert (disparity.get_array().mask == scene.occluded.numpy()).all()
    assert disparity.get_clim() == (0, 40)


def test_negative_disparities_are_within_the_colour_scale(scene):
    disparity = shown(stereo_pair(scene.y, scene.x, -scene.disparity, how="matched"), "disparity, matched")
    assert disparity.get_clim()[0] == pytest.approx(-scene.disparity.max().item())
    assert not disparity.get_array().mask.any()


def test_a_prediction_is_shown_with_its_error(scene):
    figure = prediction(scene.x, scene.y, scene.x, scene.occluded)
    assert (shown(figure, "x − warped y: inf dB").get_array() == 0).all()
    assert shown(figure, "x − y: ").get_array().data == pytest.approx((scene.x - scene.y).mean(0).numpy())
    assert figure.axes[3].collections  # the outline of the hidden positions
    assert not prediction(scene.x, scene.y, scene.x).axes[3].collections

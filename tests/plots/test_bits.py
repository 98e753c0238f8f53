"""What the figures of bits and scales show."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.bits import bits_over_picture, file_parts, neighbour_correlations, scales_beside_latent


def shown(axis) -> np.ndarray:
    """The map on top of an axis."""
    return np.asarray(axis.images[-1].get_array())


def panels(figure) -> dict:
    return {axis.get_title(): axis for axis in figure.axes if axis.images and axis.get_title()}


def test_maps_lie_over_the_picture_with_their_sum_and_scale():
    picture = torch.rand(3, 32, 64)
    spent, quiet = torch.rand(32, 64), torch.full((32, 64), 0.01)
    figure = bits_over_picture(picture, {"h": spent, "z": quiet}, largest={"h": 2.0})
    found = panels(figure)
    title = f"h: {spent.sum():,.0f} bits"
    assert list(found) == ["the picture", title, "z: 20 bits"]
    np.testing.assert_allclose(shown(found[title]), spent)
    assert [found[name].images[-1].get_clim() for name in (title, "z: 20 bits")] == [(0, 2), (0, pytest.approx(0.01))]
    assert found[title].images[-1].get_interpolation() == "none"
    np.testing.assert_allclose(shown(found["the picture"]), picture.permute(1, 2, 0))
    np.testing.assert_allclose(np.asarray(found[title].images[0].get_array()), picture.mean(0), atol=1e-6)
    assert sum(axis.get_ylabel() == "bits per pixel, estimated" for axis in figure.axes) == 2


def test_a_map_without_a_bit_can_be_shown():
    (_, axis) = panels(bits_over_picture(torch.rand(3, 32, 64), {"h": torch.zeros(32, 64)})).values()
    assert axis.get_title() == "h: 0 bits"


def test_a_map_of_another_size_is_refused():
    with pytest.raises(NDICError, match=r"'h' is \(2, 4\), its picture 32 × 64: use over_image"):
        bits_over_picture(torch.rand(3, 32, 64), {"h": torch.zeros(2, 4)})


def test_latent_and_scales_share_their_colours():
    latent, sigma = torch.randn(8, 16) * 5, torch.rand(8, 16) + 0.11
    left, middle, right = panels(scales_beside_latent(latent, sigma, "channel 3")).values()
    assert left.get_title() == "|latent|, channel 3"
    np.testing.assert_allclose(shown(left), latent.abs())
    np.testing.assert_allclose(shown(middle), sigma)
    np.testing.assert_allclose(shown(right), (latent / sigma).abs())
    assert left.images[0].get_clim() == middle.images[0].get_clim() == (0, pytest.approx(latent.abs().max().item()))


def test_correlations_are_written_where_they_belong():
    values = torch.arange(15.0).reshape(3, 5)[:, 1:4] / 20
    (axis,) = neighbour_correlations({"|h|": values}).axes
    written = {text.get_position(): text.get_text() for text in axis.texts}
    assert written[(0, 0)] == "0.35"
    assert written[(1, 0)] == "0.40"
    assert written[(0, -1)] == "0.10"
    assert len(written) == 9


def test_parts_of_a_file_add_up():
    rows = [dict(lmbda=1e-5, z=100, x=2700, file=3000), dict(lmbda=1e-4, z=200, x=7600, file=8000)]
    bits, shares = file_parts(rows).axes
    tops = [
        max(bar.get_y() + bar.get_height() for bar in bits.patches if round(bar.get_x() + 0.4) == i) for i in (0, 1)
    ]
    assert tops == [3000, 8000]
    heights = [bar.get_height() for bar in shares.patches]
    assert heights[0] == pytest.approx(100 / 30)
    assert sum(heights) == pytest.approx(200)
    assert [label.get_text() for label in bits.get_xticklabels()] == ["1.0e-05", "1.0e-04"]

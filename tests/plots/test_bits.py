"""Bit maps show the values that they are given."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.bits import bit_savings, bit_savings_by_rate


def shown(axis) -> np.ndarray:
    """The topmost map of an axis."""
    return np.asarray(axis.images[-1].get_array())


def test_maps_are_over_their_image_with_sums_and_one_scale():
    image, before, after = torch.rand(3, 32, 64), torch.rand(32, 64), torch.full((32, 64), 0.01)
    figure = bit_savings(image, before, after, ("h", "h and z"), "scene 3")
    whole, first, second, saved = figure.axes[:4]
    titles = [axis.get_title() for axis in figure.axes[:4]]
    sums = [f"h: {before.sum():,.0f} bits", "h and z: 20 bits", f"saved: {(before - after).sum():+,.0f} bits"]
    assert titles == ["x, the image", *sums]
    np.testing.assert_allclose(shown(first), before)
    np.testing.assert_allclose(shown(saved), before - after, atol=1e-6)
    np.testing.assert_allclose(shown(whole), image.permute(1, 2, 0))
    np.testing.assert_allclose(np.asarray(first.images[0].get_array()), image.mean(0), atol=1e-6)
    assert first.images[-1].get_clim() == second.images[-1].get_clim() == (0, pytest.approx(before.max().item()))
    low, high = saved.images[-1].get_clim()
    assert -low == high == pytest.approx((before - after).abs().max().item())
    with pytest.raises(NDICError, match=r"before must have the size of its image, \(32, 64\), not \(2, 4\)"):
        bit_savings(image, torch.zeros(2, 4), after, ("h", "z"))


def test_every_rate_is_a_row_with_scales_of_its_own():
    image, quiet = torch.rand(3, 32, 64), torch.full((32, 64), 0.1)
    figure = bit_savings_by_rate(image, [("low", quiet, 2 * quiet), ("high", 4 * quiet, 3 * quiet)], ("a", "b"))
    low, high = figure.axes[:3], figure.axes[3:6]
    assert [row[0].get_ylabel() for row in (low, high)] == ["low", "high"]
    assert [axis.get_title() for axis in low] == ["a: 205 bits", "b: 410 bits", "saved: −205 bits"]
    assert [row[0].images[-1].get_clim()[1] for row in (low, high)] == pytest.approx([0.2, 0.4])
    with pytest.raises(NDICError, match="there is no row"):
        bit_savings_by_rate(image, [])

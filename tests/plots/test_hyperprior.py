"""Figures of the hyperprior show the values that they are given."""

import math

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.hyperprior import (
    channel_scales,
    gaussian_areas,
    price_of_scales,
    saving_over_rate,
    scales_beside_latent,
)

ROW = dict(lmbda=1.4e-5, file=4000.0, entropy=3000.0, one_scale=3100.0, h=2850.0, z=90.0)


def shown(axis) -> np.ndarray:
    return np.asarray(axis.images[-1].get_array())


def test_the_area_is_written_with_its_bits():
    figure = gaussian_areas(2, [1.0, 4.0])
    p = 0.5 * (math.erf(2.5 / math.sqrt(2)) - math.erf(1.5 / math.sqrt(2)))
    assert figure.axes[0].get_title() == f"σ = 1\np(2) = {p:.3g}, {-math.log2(p):.2f} bits"
    vertices = figure.axes[0].collections[0].get_paths()[0].vertices[:, 0]
    assert vertices.min() == pytest.approx(1.5, abs=0.05)
    assert vertices.max() == pytest.approx(2.5, abs=0.05)
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert high > 1 / math.sqrt(2 * math.pi)  # the narrow density is not cut
    assert figure.axes[1].get_ylim() == (low, high)  # so that areas can be compared
    assert gaussian_areas(0, [0.01]).axes[0].get_title() == "σ = 0.01\np(0) = 1, 0.00 bits"
    with pytest.raises(NDICError, match="a scale is 0: give scales above 0"):
        gaussian_areas(2, [0])
    with pytest.raises(NDICError, match="there is no scale"):
        gaussian_areas(2, [])


def test_latent_scales_and_their_ratio():
    image, latent, sigma = torch.rand(3, 32, 64), torch.randn(8, 16) * 5, torch.rand(8, 16) + 0.11
    _, left, middle, right = scales_beside_latent(image, latent, sigma, "channel 3").axes[:4]
    np.testing.assert_allclose(shown(left), latent.abs())
    np.testing.assert_allclose(shown(middle), sigma)
    np.testing.assert_allclose(shown(right), (latent / sigma).abs())
    assert left.get_title() == f"|h|: {latent.abs().min():.1f} to {latent.abs().max():.1f}"
    assert right.images[0].get_clim() == (0, 3)


def test_a_channel_is_a_column():
    columns = [(name, torch.rand(32, 64), torch.randn(8, 16), torch.rand(8, 16) + 0.1) for name in ("edges", "colour")]
    axes = channel_scales(columns).axes
    assert [axis.get_title() for axis in axes[:2]] == ["edges", "colour"]
    for i, (_, content, latent, sigma) in enumerate(columns):
        np.testing.assert_allclose(shown(axes[i]), content)
        np.testing.assert_allclose(shown(axes[2 + i]), latent.abs())
        np.testing.assert_allclose(shown(axes[4 + i]), sigma)
    with pytest.raises(NDICError, match="there is no channel"):
        channel_scales([])


def test_savings_are_compared_with_the_price():
    (axis,) = saving_over_rate(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 2.0, 4.0]), 1.0).axes
    assert axis.lines[0].get_ydata().tolist() == [0, 2, 4]
    assert set(axis.lines[1].get_ydata()) == {1.0}
    paying, losing = (area.get_paths()[0].vertices for area in axis.collections)
    assert paying[:, 0].min() == losing[:, 0].max() == 0.5  # where both are equal


def test_costs_add_up_to_the_difference_from_the_best_code():
    parts, costs = price_of_scales([ROW, ROW | dict(lmbda=1e-4, h=2000.0)]).axes
    assert [bar.get_height() for bar in parts.patches] == [90, 90, 1060, 1910]
    assert [text.get_text() for text in parts.texts] == ["2.2", "2.2", "26.5", "47.8"]
    assert [bar.get_height() for bar in costs.patches] == [100, 100, -250, -1100, 90, 90]
    assert costs.lines[0].get_ydata().tolist() == [-60, -910]
    assert [label.get_text() for label in costs.get_xticklabels()] == ["1.4e−5", "1.0e−4"]
    with pytest.raises(NDICError, match="there is no row"):
        price_of_scales([])

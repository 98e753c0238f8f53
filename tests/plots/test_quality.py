"""Figures of quality metrics show the factors and losses that they are given."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.quality import damages, quality_title, window_factors

X = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(0))
PATCH = X.mean(0)[:16, :16]


def heights(axis):
    return [bar.get_height() for bar in axis.patches]


def test_each_change_has_its_row_and_its_three_factors():
    patches = {"original": PATCH, "brighter": PATCH + 0.2, "duller": PATCH / 2}
    axes = window_factors(patches, {"brighter": (0.9, 1, 1), "duller": (0.8, 0.7, 1)}, row=3).axes
    assert [axis.get_title() for axis in axes[:3]] == ["original", "brighter", "duller"]
    original, changed = axes[4].lines
    assert original.get_ydata() == pytest.approx(PATCH[3].numpy())
    assert changed.get_ydata() == pytest.approx(PATCH[3].numpy() + 0.2)
    assert heights(axes[7]) == pytest.approx([0.9, 1, 1])
    assert heights(axes[8]) == pytest.approx([0.8, 0.7, 1])


def test_factors_of_each_change_are_needed():
    with pytest.raises(NDICError, match="give l, c and s of 'brighter'"):
        window_factors({"original": PATCH, "brighter": PATCH}, {}, row=0)
    with pytest.raises(NDICError):
        window_factors({}, {}, row=0)


def test_damages_show_errors_and_losses_on_one_axis():
    versions = {"a": (X + 0.1).clamp(0, 1), "b": X}
    figure = damages(X, versions, {"a": [0.2, 0.1], "b": [0.0, 0.05]})
    axes = figure.axes
    assert [axis.get_title() for axis in axes[:3]] == ["x", "a", "b"]
    error = axes[4].images[0].get_array()
    assert error.max() == pytest.approx(25.5, abs=0.01)
    assert axes[5].images[0].get_array().max() == 0
    assert heights(axes[7]) == pytest.approx([0.2, 0.1])
    assert heights(axes[8]) == pytest.approx([0, 0.05])
    assert axes[7].get_ylim() == axes[8].get_ylim() == pytest.approx((0, 0.21))


def test_damages_keep_a_given_axis():
    assert damages(X, {"a": X}, {"a": [0.2]}, top=0.5).axes[5].get_ylim() == (0, 0.5)


def test_damages_refuse_what_does_not_fit():
    with pytest.raises(NDICError, match="one size"):
        damages(X, {"a": X[:, :16]}, {"a": [0.1]})
    with pytest.raises(NDICError, match="give the losses of 'a'"):
        damages(X, {"a": X}, {})


def test_titles_contain_the_values():
    large = torch.zeros(3, 97, 97)
    assert quality_title("noise", X, X + 0.1) == "noise\nPSNR 20.0 dB"
    assert quality_title("noise", large, large + 0.1).splitlines()[2].startswith("MS-SSIM")

"""What the figures of common information show."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ndic_core.common_information_plots import channel_in_picture, handles, training_terms, w_channels
from ndic_core.correlation_plots import at_baseline, saving_over_baseline
from ndic_core.errors import NDICError
from ndic_core.plotting import MODEL_STYLE

PICTURE = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))
BASELINES = [0.0, 0.5, 2.0]
POINTS = {0.0: (0.2, 0.01), 0.5: (0.1, 0.01), 2.0: (-0.1, 0.02), "another scene": (-0.3, 0.05)}


def curve(axis, label):
    (drawn,) = [values for values, text in zip(*axis.get_legend_handles_labels(), strict=True) if text == label]
    return list(drawn.get_ydata())


def test_channels_are_centred_on_their_means():
    w = torch.stack([torch.full((2, 4), 3.0), torch.arange(8.0).reshape(2, 4)])
    figure = w_channels(PICTURE, w, {1: "second", 0: "first"})
    assert [axis.get_title() for axis in figure.axes[:3]] == ["y", "second", "first"]
    shown = figure.axes[1].images[0]
    assert shown.get_array().mean() == pytest.approx(0)
    assert shown.get_clim() == pytest.approx((-3.5, 3.5))
    assert (figure.axes[2].images[0].get_array() == 0).all()


def test_a_change_is_drawn_around_grey():
    without = PICTURE.clone()
    without[0, 0, 0] = PICTURE[0, 0, 0] - 12 / 255
    change = channel_in_picture(PICTURE, torch.rand(2, 4), PICTURE, without, "title", limit=24.0)
    shown = np.asarray(change.axes[3].images[0].get_array())
    assert shown[0, 0, 0] == pytest.approx(0.75)
    assert (shown[1:] == 0.5).all()


def test_terms_are_running_means():
    keys = ("bpp_x", "bpp_w", "bpp_y", "mse_x", "mse_y")
    rows = [{key: i + step for i, key in enumerate(keys, 1)} for step in range(10)]
    figure = training_terms({"a": rows}, window=4)
    assert curve(figure.axes[0], "a") == pytest.approx(np.arange(7) + 2.5)
    assert curve(figure.axes[1], "y, a") == pytest.approx(np.arange(7) + 4.5)
    assert curve(figure.axes[2], "x, a") == pytest.approx(np.arange(7) + 5.5)
    with pytest.raises(NDICError, match="running mean"):
        training_terms({"a": rows[:3]}, window=4)


def test_every_row_is_marked_above_its_weights():
    keys = ("cost", "psnr_true", "psnr_swapped", "psnr_absent", "bpp_w", "w_capacity", "psnr_y")
    weights = [(1, 1), (0, 0), (1, 1)]
    rows = [
        dict(alpha=a, beta=b, **{key: n + i / 10 for i, key in enumerate(keys)}) for n, (a, b) in enumerate(weights)
    ]
    figure = handles(rows, anchor=5.0)
    (marks,) = [line for line in figure.axes[0].lines if line.get_label() == "ndic_bls17"]
    assert list(zip(*marks.get_data(), strict=True)) == [(1, 0), (0, 1), (1, 2)]
    assert curve(figure.axes[1], "right y") == pytest.approx([0.1, 1.1, 2.1])
    assert curve(figure.axes[0], "no y: bmshj18_factorized") == [5.0, 5.0]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["α = 0\nβ = 0", "α = 1\nβ = 1"]
    with pytest.raises(NDICError, match="no row"):
        handles([])


def test_savings_are_percent_and_each_model_has_its_colour():
    lines = {"as it lies": [1.0, 0.7, 0.4, 0.2]}
    figure = saving_over_baseline(BASELINES, lines, {"as it lies": [4, 1, 0.2, 0.05]}, {"ndic_bls17": POINTS})
    assert [len(axis.lines[0].get_xdata()) for axis in figure.axes[:2]] == [3, 3]
    container = figure.axes[2].containers[0]
    assert container.lines[0].get_ydata().tolist() == pytest.approx([20, 10, -10])
    assert container.lines[0].get_color() == MODEL_STYLE["ndic_bls17"][0]
    apart = figure.axes[2].containers[1].lines[0]
    assert apart.get_ydata().tolist() == pytest.approx([-30])
    assert apart.get_xdata()[0] > 2
    with pytest.raises(NDICError, match="2 points for 3 baselines"):
        saving_over_baseline(BASELINES, {"a": [1, 2]}, {"a": [1, 2]}, {})


@pytest.mark.parametrize(("metres", "where"), [(0.5, 0.5), (None, 2.44)])
def test_the_ring_lies_where_y_is(metres, where):
    figure = at_baseline(PICTURE, PICTURE, PICTURE, "ndic_bls17", POINTS, (metres, 0.15), "title")
    assert isinstance(figure, Figure)
    (ring,) = [line for line in figure.axes[3].lines if line.get_markersize() == 13]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx((where, 15))
    assert (figure.axes[2].images[0].get_array() == 0).all()

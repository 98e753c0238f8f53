"""Figures of the common information show its channels, their effect and the results of the loss weights."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.common_information import channel_effect, loss_weights, training_terms, w_channels

IMAGE = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))


def curve(axis, label):
    (found,) = [values for values, text in zip(*axis.get_legend_handles_labels(), strict=True) if text == label]
    return list(found.get_ydata())


def test_channels_are_centred_on_their_means():
    w = torch.stack([torch.full((2, 4), 3.0), torch.arange(8.0).reshape(2, 4)])
    figure = w_channels(IMAGE, w, {1: "second", 0: "first"})
    assert [axis.get_title() for axis in figure.axes[:3]] == ["y", "second", "first"]
    shown = figure.axes[1].images[0]
    assert shown.get_array().mean() == pytest.approx(0)
    assert shown.get_clim() == pytest.approx((-3.5, 3.5))
    assert (figure.axes[2].images[0].get_array() == 0).all()


def test_the_effect_of_a_channel_is_drawn_around_grey():
    without = IMAGE.clone()
    without[0, 0, 0] = IMAGE[0, 0, 0] - 12 / 255
    figure = channel_effect(IMAGE, torch.rand(2, 4), IMAGE, without, "title")
    shown = np.asarray(figure.axes[3].images[0].get_array())
    assert shown[0, 0, 0] == pytest.approx(0.75)
    assert (shown[1:] == 0.5).all()


def test_terms_are_running_means():
    keys = ("bpp_x", "bpp_w", "bpp_y", "mse_x", "mse_y")
    rows = [{key: i + step for i, key in enumerate(keys, 1)} for step in range(10)]
    figure = training_terms({"a": rows}, window=4)
    assert curve(figure.axes[0], "a") == pytest.approx(np.arange(7) + 2.5)
    assert curve(figure.axes[1], "y, a") == pytest.approx(np.arange(7) + 4.5)
    assert curve(figure.axes[2], "x, a") == pytest.approx(np.arange(7) + 5.5)


def test_every_row_is_marked_above_its_weights():
    keys = ("cost", "psnr_matching_y", "psnr_mismatched_y", "psnr_no_y", "bpp_w", "w_capacity", "psnr_y")
    weights = [(1, 1), (0, 0), (1, 1)]
    rows = [dict(alpha=a, beta=b) | {key: n + i / 10 for i, key in enumerate(keys)} for n, (a, b) in enumerate(weights)]
    figure = loss_weights(rows, anchor=5.0)
    (marks,) = [line for line in figure.axes[0].lines if line.get_label() == "ndic_bls17"]
    assert marks.get_xydata().tolist() == [[1, 0], [0, 1], [1, 2]]
    assert curve(figure.axes[1], "matching y") == pytest.approx([0.1, 1.1, 2.1])
    assert curve(figure.axes[0], "no y: bmshj18_factorized") == [5.0, 5.0]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["α = 0\nβ = 0", "α = 1\nβ = 1"]
    with pytest.raises(NDICError, match="leave out the rows of other models"):
        loss_weights([*rows, rows[0] | dict(model="bmshj18_factorized")])


def test_the_rate_of_w_is_drawn_where_its_prior_is_trained():
    known = dict.fromkeys(("cost", "psnr_matching_y", "psnr_mismatched_y", "psnr_no_y", "psnr_y"), 1.0)
    rows = [known | dict(alpha=0, beta=beta, bpp_w=0.1, w_capacity=0.3) for beta in (0, 1)]
    axis = loss_weights(rows).axes[2]
    its_rate, bound = axis.lines
    assert its_rate.get_xdata() == pytest.approx([0.92])  # of beta 1 alone
    assert bound.get_ydata() == pytest.approx([0.3, 0.3])
    assert len(loss_weights(rows[:1]).axes[2].lines) == 1  # beta is 0 in every row

"""What the figures of common information show."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ndic_core.errors import NDICError
from ndic_core.plots.common_information import channel_in_picture, handles, training_terms, w_channels
from ndic_core.plots.correlation import at_baseline, saving_over_baseline
from ndic_core.plots.panels import MODEL_STYLE

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
    for titles, columns in (({9: "none"}, 4), ({-1: "none"}, 4), ({0: "first"}, 0)):
        with pytest.raises(NDICError, match="channels from 0 to 1, and 1 column"):
            w_channels(PICTURE, w, titles, columns)


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
    with pytest.raises(NDICError, match="1 step or more, not 0"):
        training_terms({"a": rows}, window=0)
    for names in ("", "abcde"):
        with pytest.raises(NDICError, match=f"1 to 4 trainings in a figure, not for {len(names)}"):
            training_terms(dict.fromkeys(names, rows), window=4)


def test_every_row_is_marked_above_its_weights():
    keys = ("cost", "psnr_matching_y", "psnr_mismatched_y", "psnr_no_y", "bpp_w", "w_capacity", "psnr_y")
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
    with pytest.raises(NDICError, match="leave out the rows of bmshj18_factorized"):
        handles([*rows, dict(model="bmshj18_factorized", alpha=0, beta=0, cost=2.0)])


@pytest.mark.parametrize(("rate", "capacity"), [(0.1, 0.3), (0.3, 0.1)])
def test_the_rate_of_w_stands_where_its_prior_is_trained(rate, capacity):
    known = dict.fromkeys(("cost", "psnr_matching_y", "psnr_mismatched_y", "psnr_no_y", "psnr_y"), 1.0)
    rows = [known | dict(alpha=0, beta=beta, bpp_w=rate, w_capacity=capacity) for beta in (0, 1)]
    axis = handles(rows).axes[2]
    its_rate, fits = axis.lines
    assert its_rate.get_xdata() == pytest.approx([0.92])  # of beta 1 alone
    assert fits.get_ydata() == pytest.approx([capacity, capacity])
    assert axis.get_ylim() == pytest.approx((0, 1.4 * 0.3))
    (untrained,) = handles([row | {"beta": 0, "bpp_w": 9.0} for row in rows[:1]]).axes[2].lines
    assert untrained.get_ydata() == pytest.approx([capacity])


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


def test_a_negative_correlation_is_seen():
    figure = saving_over_baseline(BASELINES, {"a": [1, 0.5, -0.4]}, {"a": [4, 1, 0.2]}, {})
    assert figure.axes[0].get_ylim()[0] < -0.4
    assert figure.axes[1].get_ylim()[0] == 0


def test_what_cannot_be_drawn_over_baselines_is_refused():
    one, three = {"a": [1, 2, 3]}, {name: [1, 2, 3] for name in "abc"}
    for lines, bounds in ((three, three), (one, {}), (one, {"b": [1, 2, 3]})):
        with pytest.raises(NDICError, match="of the same names, 2 at most"):
            saving_over_baseline(BASELINES, lines, bounds, {})
    with pytest.raises(NDICError, match="'vvc' has no style"):
        saving_over_baseline(BASELINES, one, one, {"vvc": POINTS})
    with pytest.raises(NDICError, match="no baseline"):
        saving_over_baseline([], {"a": []}, {"a": []}, {})
    with pytest.raises(NDICError, match="ndic_bls17 has no point at a baseline"):
        saving_over_baseline(BASELINES, one, one, {"ndic_bls17": {"another scene": (0.1, 0.1)}})
    with pytest.raises(NDICError, match="no baseline"):
        at_baseline(PICTURE, PICTURE, PICTURE, "ndic_bls17", {}, (None, 0.1), "title")


@pytest.mark.parametrize(
    ("here", "places", "words"),
    [
        (0.5, [0, 0.5, 0.61], ["0", "0.5", "another\nscene"]),
        (1.0, [0, 0.5, 1, 1.22], ["0", "0.5", "1", "another\nscene"]),  # beyond the points, and yet the same scene
    ],
)
def test_another_scene_lies_beyond_all_baselines(here, places, words):
    points = {place: POINTS[place] for place in (0.0, 0.5, "another scene")}
    axis = at_baseline(PICTURE, PICTURE, PICTURE, "ndic_bls17", points, (here, 0.15), "title").axes[3]
    assert axis.get_xticks() == pytest.approx(places)
    assert [label.get_text() for label in axis.get_xticklabels()] == words


@pytest.mark.parametrize(("metres", "where"), [(0.5, 0.5), (None, 2.44)])
def test_the_ring_lies_where_y_is(metres, where):
    figure = at_baseline(PICTURE, PICTURE, PICTURE, "ndic_bls17", POINTS, (metres, 0.15), "title")
    assert isinstance(figure, Figure)
    (ring,) = [line for line in figure.axes[3].lines if line.get_markersize() == 13]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx((where, 15))
    assert (figure.axes[2].images[0].get_array() == 0).all()

"""Predictions, entropies and rate savings are drawn for kinds of y and over the camera baseline."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.correlation import (
    correlation_over_baseline,
    kinds_of_side_information,
    samples_of_context,
    savings_over_baseline,
)
from ndic_core.plots.style import MODEL_STYLE

IMAGE = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))
BASELINES = [0.0, 0.5, 2.0]
POINTS = {0.0: (0.2, 0.01), 0.5: (0.1, 0.01), 2.0: (-0.1, 0.02), "another scene": (-0.3, 0.05)}


def test_savings_are_percent_in_the_models_colour():
    figure = savings_over_baseline(BASELINES, {"y": [1.0, 0.7, 0.4, 0.2]}, {"ndic_bls17": POINTS})
    line, other = figure.axes[0].lines
    assert line.get_ydata().tolist() == [1.0, 0.7, 0.4]
    assert other.get_ydata().tolist() == [0.2]
    curve, apart = (container.lines[0] for container in figure.axes[1].containers)
    assert curve.get_ydata().tolist() == pytest.approx([20, 10, -10])
    assert curve.get_color() == MODEL_STYLE["ndic_bls17"][0]
    assert apart.get_ydata().tolist() == pytest.approx([-30])
    assert apart.get_xdata()[0] == other.get_xdata()[0] > 2


def test_a_negative_correlation_is_inside_the_axis():
    figure = savings_over_baseline(BASELINES, {"a": [1, 0.5, -0.4]}, {"ndic_bls17": POINTS})
    assert figure.axes[0].get_ylim()[0] <= -0.4


def test_another_scene_is_right_of_all_baselines():
    ticks = savings_over_baseline([0.0, 0.5], {"a": [1, 0.5]}, {}).axes[0]
    assert ticks.get_xticks() == pytest.approx([0, 0.5, 0.61])
    assert ticks.get_xticklabels()[-1].get_text() == "another\nscene"


@pytest.mark.parametrize("count", [2, 5])
def test_a_line_has_a_number_for_each_baseline(count):
    with pytest.raises(NDICError, match=f"y has {count} numbers: give one for each of 3 baselines"):
        savings_over_baseline(BASELINES, {"y": [0.5] * count}, {})


def test_bars_are_the_bits_that_remain_and_those_that_are_saved():
    kinds = {"good": (IMAGE, IMAGE, 4.0), "bad": (IMAGE, 1 - IMAGE, 5.5)}
    figure = kinds_of_side_information(IMAGE, kinds, alone=5.0, floor=3.0)
    bars = figure.axes[-1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([4, 1, 5.5, 0])
    words = [text.get_text() for text in figure.axes[-1].texts]
    assert words == ["1.00 saved", "0.50 more"]
    with pytest.raises(NDICError, match="no kind of y"):
        kinds_of_side_information(IMAGE, {}, 5.0, 3.0)


def test_the_mutual_information_is_between_the_entropies():
    bits = {"H(x)": [5.0, 5.0, 5.0], "H(x|y)": [3.5, 4.0, 4.5]}
    figure = correlation_over_baseline(BASELINES, {"matched": [30, 25, 20]}, bits, 3.0)
    (area,) = figure.axes[1].collections
    assert {(0.0, 3.5), (0.0, 5.0), (2.0, 4.5)} <= set(map(tuple, area.get_paths()[0].vertices))
    with pytest.raises(NDICError, match="'matched' has 1 values for 3 baselines"):
        correlation_over_baseline(BASELINES, {"matched": [30]}, bits, 3.0)
    with pytest.raises(NDICError, match=r"H\(x\|y\)"):
        correlation_over_baseline(BASELINES, {"matched": [30, 25, 20]}, {"H(x)": [5.0] * 3}, 3.0)


def test_the_context_is_ten_samples_of_x_and_nine_of_y():
    axes = samples_of_context().axes
    assert [sum(text.get_text() == letter for text in axis.texts) for axis, letter in zip(axes, "ab", strict=True)] == [
        10,
        9,
    ]

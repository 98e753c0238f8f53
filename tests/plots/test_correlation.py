"""Correlations and rate savings are drawn over the distance between the cameras."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.plots.correlation import savings_over_baseline
from ndic_core.plots.style import MODEL_STYLE

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

"""What the figures of rate and distortion show."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.lagrangian import lagrangian, loss_terms

POINTS = [dict(bpp=r, distortion=0.01 / r) for r in (0.05, 0.1, 0.2, 0.4)]


def marked(figure):
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "smallest sum"]
    return line.get_xdata()[0], line.get_ydata()[0]


@pytest.mark.parametrize("point", POINTS)
def test_the_point_that_lambda_asks_for_is_marked(point):
    # R + a/R is smallest at R = sqrt(a)
    figure = lagrangian(POINTS, point["bpp"] ** 2 / 0.01 / 255**2)
    assert marked(figure) == pytest.approx((point["bpp"], point["distortion"]))


def test_the_best_line_touches_and_no_point_lies_below():
    figure = lagrangian(POINTS, 0.04 / 0.01 / 255**2)
    (best,) = [line for line in figure.axes[0].lines if line.get_label().startswith("R +")]
    (r0, r1), (d0, d1) = best.get_data()
    gaps = [p["distortion"] - (d0 + (p["bpp"] - r0) * (d1 - d0) / (r1 - r0)) for p in POINTS]
    assert min(gaps) == pytest.approx(0, abs=1e-6)
    assert (r1 - r0) / (d0 - d1) == pytest.approx(0.04 / 0.01)


def test_the_picture_is_clipped_and_titled():
    figure = lagrangian(POINTS, 1e-4, torch.full((3, 4, 8), 1.5), "a title")
    assert figure.axes[1].get_title() == "a title"
    assert figure.axes[1].get_images()[0].get_array().max() == 1


def test_terms_are_weighted_and_smoothed():
    rates, distortions = torch.linspace(1, 0, 50).tolist(), [0.01] * 50
    rate, distortion = loss_terms(rates, distortions, lmbda=0.002, window=5).axes
    assert distortion.lines[0].get_ydata().tolist() == pytest.approx([255**2 * 0.002 * 0.01] * 50)
    steps, mean = rate.lines[1].get_data()
    assert mean.tolist() == pytest.approx([rates[int(step)] for step in steps], abs=1e-6)
    assert steps.tolist() == list(range(2, 48))


def test_nothing_to_show_is_refused():
    with pytest.raises(NDICError, match="at least one point"):
        lagrangian([], 1e-4)
    with pytest.raises(NDICError, match="above 0"):
        lagrangian(POINTS, 0)
    with pytest.raises(NDICError, match="25 or more"):
        loss_terms([1.0], [1.0], 0.1)

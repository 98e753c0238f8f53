"""Comparisons of codecs show the differences that they are given."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.plots.comparison import lagrangian, quality_over_offset, rate_gap, spread

ANCHOR = [dict(model="bls17", bpp=0.1 * 2**n, ms_ssim_db=8.0 + 2 * n) for n in range(5)]
CROSSING = [
    dict(model="bmshj18", bpp=row["bpp"] * factor, ms_ssim_db=row["ms_ssim_db"])
    for row, factor in zip(ANCHOR, (1.2, 1.1, 1.0, 0.9, 0.8), strict=True)
]
POINTS = [dict(bpp=r, distortion=0.01 / r) for r in (0.05, 0.1, 0.2, 0.4)]


def mean(figure):
    return float(figure.axes[1].get_title().split()[-2])


def test_the_mean_is_the_bd_rate_or_that_of_a_part():
    assert mean(rate_gap(ANCHOR, CROSSING)) == pytest.approx(bd_rate(ANCHOR, CROSSING, "ms_ssim_db"), abs=0.06)
    assert mean(rate_gap(ANCHOR, CROSSING, part=(0.0, 0.3))) > 9
    assert mean(rate_gap(ANCHOR, CROSSING, part=(0.7, 1.0))) < -9


def test_areas_and_lines_have_the_values_of_the_rates():
    _, gaps = rate_gap(ANCHOR, CROSSING).axes
    gap, qualities = gaps.lines[2].get_data()
    assert (qualities[0], qualities[-1]) == (pytest.approx(8, abs=0.02), pytest.approx(16, abs=0.02))
    assert (gap[0], gap[-1]) == (pytest.approx(20, abs=0.1), pytest.approx(-20, abs=0.1))
    fewer, more = (area.get_paths()[0].vertices[:, 0] for area in gaps.collections[:2])
    assert fewer.min() < -19 < fewer.max() <= 0
    assert 0 <= more.min() < 19 < more.max()


def test_a_name_without_a_style():
    with pytest.raises(NDICError, match="'vvc' has no style"):
        rate_gap([row | {"model": "vvc"} for row in ANCHOR], CROSSING)


def test_spread_shows_every_number_and_the_mean():
    axis = spread({"a": [1.0, 3.0], "b": [-4.0]}, {"a": (1.0, 3.0), "b": (-5.0, -3.0)}, "%").axes[0]
    dots, bar, diamond, *_ = axis.lines
    assert dots.get_xdata().tolist() == [1, 3]
    assert list(bar.get_xdata()) == [1, 3]
    assert list(np.atleast_1d(diamond.get_xdata())) == [2]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


def test_offsets_are_averaged_and_no_y_is_a_horizontal_line():
    rows = [
        dict(model="ndic_bls17", side_info="matching_y", time_offset=t, ms_ssim_db=db)
        for t, db in ((0.1, 9.0), (0.0, 11.0), (0.1, 10.0), (0.0, 12.0))
    ]
    rows += [dict(model="ndic_bls17", side_info="no_y", ms_ssim_db=8.0)]
    curve, level = quality_over_offset(rows).axes[0].lines
    assert curve.get_xydata().tolist() == [[0.0, 11.5], [0.1, 9.5]]
    assert set(level.get_ydata()) == {8.0}
    assert level.get_linestyle() == ":"


def test_offsets_of_small_images_are_refused():
    with pytest.raises(NDICError, match="ndic_bls17 has no ms_ssim_db"):
        quality_over_offset([dict(model="ndic_bls17", side_info="no_y", ms_ssim_db=None)])


def test_the_best_line_touches_the_points_from_below():
    axis, image = lagrangian(POINTS, 0.04 / 0.01 / 255**2, torch.full((3, 4, 8), 1.5), "a title").axes
    assert image.get_title() == "a title"
    labelled = {line.get_label(): line for line in axis.lines}
    assert labelled["smallest sum"].get_xydata()[0] == pytest.approx((0.2, 0.05))  # R + a/R is smallest at sqrt(a)
    (best,) = [line for label, line in labelled.items() if label.startswith("R +")]
    (r0, r1), (d0, d1) = best.get_data()
    gaps = [p["distortion"] - (d0 + (p["bpp"] - r0) * (d1 - d0) / (r1 - r0)) for p in POINTS]
    assert min(gaps) == pytest.approx(0, abs=1e-6)
    assert (r1 - r0) / (d0 - d1) == pytest.approx(0.04 / 0.01)

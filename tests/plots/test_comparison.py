"""What the figures of compared codecs show."""

import numpy as np
import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.plots.comparison import header_costs, quality_over_offset, rate_gap, spread

ANCHOR = [dict(model="bls17", bpp=0.1 * 2**n, ms_ssim_db=8.0 + 2 * n) for n in range(5)]
CROSSING = [
    dict(model="bmshj18", bpp=row["bpp"] * factor, ms_ssim_db=row["ms_ssim_db"])
    for row, factor in zip(ANCHOR, (1.2, 1.1, 1.0, 0.9, 0.8), strict=True)
]


def mean(figure):
    return float(figure.axes[1].get_title().split()[-2])


def test_the_mean_is_the_bd_rate_or_that_of_a_part():
    assert mean(rate_gap(ANCHOR, CROSSING)) == pytest.approx(bd_rate(ANCHOR, CROSSING, "ms_ssim_db"), abs=0.06)
    assert mean(rate_gap(ANCHOR, CROSSING, part=(0.0, 0.3))) > 9
    assert mean(rate_gap(ANCHOR, CROSSING, part=(0.7, 1.0))) < -9
    assert mean(rate_gap(ANCHOR, CROSSING, part=(0.0, 0.0))) == pytest.approx(20, abs=0.1)


def test_the_mean_of_a_single_place_is_a_mark():
    place = rate_gap(ANCHOR, CROSSING, part=(0.0, 0.0)).axes[1].lines[-1]
    assert place.get_marker() == "D"
    assert place.get_xydata()[0] == pytest.approx((20, 8), abs=0.1)
    assert "D" not in [line.get_marker() for line in rate_gap(ANCHOR, CROSSING).axes[1].lines]


def test_areas_and_lines_lie_where_the_numbers_do():
    curves, gaps = rate_gap(ANCHOR, CROSSING, title="here").axes
    assert curves.get_title() == "here"
    texts = [text.get_text() for text in curves.get_legend().get_texts()]
    assert texts == ["bls17", "bmshj18", "fewer bits", "more bits"]
    gap, qualities = gaps.lines[2].get_data()
    assert (qualities[0], qualities[-1]) == (pytest.approx(8, abs=0.02), pytest.approx(16, abs=0.02))
    assert (gap[0], gap[-1]) == (pytest.approx(20, abs=0.1), pytest.approx(-20, abs=0.1))
    fewer, more = (area.get_paths()[0].vertices for area in gaps.collections[:2])
    assert fewer[:, 0].min() < -19
    assert fewer[:, 0].max() <= 0
    assert more[:, 0].max() > 19
    assert more[:, 0].min() >= 0


def test_what_has_no_style_or_no_common_quality_is_refused():
    with pytest.raises(NDICError, match="'vvc' has no style"):
        rate_gap([row | {"model": "vvc"} for row in ANCHOR], CROSSING)
    with pytest.raises(NDICError, match="no ms_ssim_db in common"):
        rate_gap(ANCHOR, [row | {"ms_ssim_db": row["ms_ssim_db"] + 20} for row in CROSSING])
    with pytest.raises(NDICError, match="needs model"):
        rate_gap(ANCHOR, [{key: row[key] for key in ("bpp", "ms_ssim_db")} for row in CROSSING])
    with pytest.raises(NDICError, match="'PNG' has no style"):
        header_costs({"PNG": {100: 60}})


def test_spread_shows_every_number_and_the_mean():
    axis = spread({"a": [1.0, 3.0], "b": [-4.0]}, {"a": (1.0, 3.0), "b": (-5.0, -3.0)}, "%").axes[0]
    dots, bar, diamond, *_ = axis.lines
    assert "95 %" not in diamond.get_label()  # the caller's interval may be of another kind
    assert dots.get_xdata().tolist() == [1, 3]
    assert list(bar.get_xdata()) == [1, 3]
    assert list(np.atleast_1d(diamond.get_xdata())) == [2]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize(("values", "intervals"), [({}, {}), ({"a": [1.0]}, {"b": (0, 1)}), ({"a": []}, {"a": (0, 1)})])
def test_a_spread_of_nothing_is_refused(values, intervals):
    with pytest.raises(NDICError, match="every row needs one number"):
        spread(values, intervals, "%")


def test_header_costs_are_bits_per_pixel():
    axis = header_costs({"WebP": {400: 50, 100: 50}, "bls17": {100: 25}}).axes[0]
    assert [line.get_label() for line in axis.lines] == ["WebP", "bls17"]
    assert axis.lines[0].get_xdata().tolist() == [100, 400]
    assert axis.lines[0].get_ydata().tolist() == [4, 1]


def test_offsets_are_averaged_and_no_y_is_a_level():
    rows = [
        dict(model="ndic_bls17", side_info="matching_y", time_offset=t, ms_ssim_db=db)
        for t, db in ((0.1, 9.0), (0.0, 11.0), (0.1, 10.0), (0.0, 12.0))
    ]
    rows += [dict(model="ndic_bls17", side_info="no_y", ms_ssim_db=8.0)]
    curve, level = quality_over_offset(rows, "three streets").axes[0].lines
    assert curve.get_xydata().tolist() == [[0.0, 11.5], [0.1, 9.5]]
    assert set(level.get_ydata()) == {8.0}
    assert level.get_linestyle() == ":"
    with pytest.raises(NDICError, match="no point to draw"):
        quality_over_offset([])
    for key in ("model", "side_info", "time_offset", "ms_ssim_db"):
        with pytest.raises(NDICError, match=f"a row lacks {key}"):
            quality_over_offset([{name: value for name, value in rows[0].items() if name != key}])

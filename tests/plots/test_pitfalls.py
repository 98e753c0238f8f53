"""Figures of pitfalls show the curves, differences and shares that they are given."""

import numpy as np
import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.plots.pitfalls import curve_panels, extrapolation, gap_strip, overheads

ANCHOR = [dict(model="WebP", bpp=0.1 * 2**n, ms_ssim_db=8.0 + 2 * n, psnr=20.0 + n) for n in range(6)]
TEST = [row | dict(model="HEVC", bpp=0.8 * row["bpp"]) for row in ANCHOR]
MODEL = [row | dict(model="ndic_bls17") for row in ANCHOR]


def labels(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_panels_have_the_curves_and_their_side_information_and_weights():
    no_y = [row | dict(side_info="no_y", ms_ssim_db=row["ms_ssim_db"] - 1) for row in MODEL]
    weights = [row | dict(weights=word) for word in ("one", "two") for row in MODEL]
    left, right = curve_panels({"a": MODEL + no_y, "b": weights + ANCHOR[::-1]}).axes
    assert (left.get_title(), right.get_title()) == ("a", "b")
    assert labels(left) == ["ndic_bls17", "ndic_bls17, no y"]
    assert labels(right) == ["ndic_bls17, one", "ndic_bls17, two", "WebP"]
    assert [line.get_linestyle() for line in left.lines] == ["-", ":"]
    assert right.lines[0].get_markerfacecolor() != right.lines[1].get_markerfacecolor() == "white"
    assert right.lines[2].get_xdata().tolist() == sorted(row["bpp"] for row in ANCHOR)


def test_each_panel_may_have_its_metric():
    left, right = curve_panels({"a": ANCHOR, "b": ANCHOR}, ("ms_ssim_db", "psnr")).axes
    assert left.lines[0].get_ydata()[-1] == 18
    assert right.lines[0].get_ydata()[-1] == 25
    with pytest.raises(NDICError, match="a metric for each panel"):
        curve_panels({"a": ANCHOR}, ("psnr", "psnr"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (dict(model="vvc"), "'vvc' has no style"),
        (dict(side_info="some"), "side_info"),
        (dict(psnr=None), "has no psnr"),
        (dict(bpp=0.0), "above 0"),
    ],
)
def test_points_that_cannot_be_drawn_are_named(row, sentence):
    with pytest.raises(NDICError, match=sentence):
        curve_panels({"a": [ANCHOR[0] | row]}, "psnr")


def test_nothing_to_draw_is_refused():
    for empty in ({}, {"a": []}):
        with pytest.raises(NDICError):
            curve_panels(empty)
    with pytest.raises(NDICError):
        gap_strip({})
    with pytest.raises(NDICError):
        overheads({}, {})


def test_the_dashed_line_of_a_strip_is_the_bd_rate():
    crossing = [row | dict(bpp=row["bpp"] * factor) for row, factor in zip(TEST, np.linspace(1.8, 0.9, 6), strict=True)]
    panels = {"lower": (ANCHOR, TEST, "psnr"), "crossing": (ANCHOR, crossing, "ms_ssim_db")}
    for axis, (title, setting) in zip(gap_strip(panels).axes, panels.items(), strict=True):
        mean = bd_rate(*setting)
        assert axis.get_title() == f"{title}\nmean {mean:+.1f} %"
        assert axis.collections[-1].get_segments()[0][0][0] == pytest.approx(mean, abs=0.1)
    gap = axis.lines[0].get_xdata()
    assert gap[0] > 40 > 0 > gap[-1]


def test_known_and_withheld_points_and_both_differences_are_drawn():
    quality = np.linspace(8, 18, 11)
    rates = np.full(11, 0.5), np.full(11, 0.6)
    left, right = extrapolation(ANCHOR, TEST, (ANCHOR[:4], TEST[2:]), rates, quality).axes
    sizes = {line.get_label(): len(line.get_xdata()) for line in left.lines}
    assert sizes["WebP, known"] == sizes["HEVC, known"] == 4
    assert sizes["WebP, withheld"] == sizes["HEVC, withheld"] == 6
    by_label = {line.get_label(): line.get_xdata() for line in right.lines}
    assert by_label["all points"] == pytest.approx(-20, abs=0.1)
    assert by_label["extrapolated"] == pytest.approx(20)
    band = left.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == (12, 14)  # where the known points overlap


def test_overheads_are_parts_of_the_smallest_files():
    left, right = overheads({"JPEG": (400, 1000), "bls17": (20, 200)}, {"JPEG": (-40.0, -25.0)}).axes
    assert [bar.get_width() for bar in left.patches] == [400, 20, 600, 180]
    places = [line.get_xydata().tolist() for line in right.lines if len(line.get_xydata()) == 1]
    assert places == [[[-40, 0]], [[-25, 0]]]

"""Patterns, the intervals of a range coder, and lines of equal loss."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from ndic_core.errors import NDICError
from ndic_core.plots.transform_coding import against_classical, intervals, lambda_strip, patterns

POINTS = [dict(bpp=bpp, distortion=0.04 / bpp) for bpp in (0.1, 0.2, 0.4, 0.8)]  # R + w D is smallest at √(0.04 w)


def weight_for(bpp: float) -> float:
    """The lambda whose best rate on the curve of POINTS is bpp."""
    return bpp**2 / 0.04 / 255**2


def test_patterns_are_scaled_around_grey():
    patch = torch.zeros(3, 4, 4)
    patch[:, 1, 1], patch[:, 2, 2] = -0.02, 0.01
    figure = patterns({"a": [patch, 5 * patch], "b": [torch.zeros(3, 4, 4)] * 2})
    first, second, nothing, _ = (axis.get_images()[0].get_array() for axis in figure.axes)
    assert np.allclose(first, second)
    assert [first[i, i, 0] for i in range(3)] == pytest.approx([0.5, 0, 0.75])
    assert (nothing == 0.5).all()
    assert [part.get_suptitle() for part in figure.subfigs] == ["a", "b"]


def test_rows_of_different_lengths_are_refused():
    patch = torch.zeros(3, 4, 4)
    with pytest.raises(NDICError, match=r"one length, not \[1, 2\]"):
        patterns({"a": [patch], "b": [patch, patch]})


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_intervals_are_those_of_the_message():
    words = texts(intervals({"a": 0.5, "b": 0.25, "c": 0.25}, "ac"))
    assert words[:2] == ["0", "1"]  # before the first symbol
    assert words[5:7] == ["0", "0.5"]  # a
    assert words[10:12] == ["0.375", "0.5"]  # c: the last quarter of it
    assert words[12].endswith("means a c: 3.00 bits")


def test_the_interval_of_the_coded_symbol_is_outlined():
    figure = intervals({"a": 0.5, "b": 0.25, "c": 0.25}, "cb")
    outlined = [bar for bar in figure.axes[0].patches if not bar.get_fill()]
    assert [(bar.get_x(), bar.get_width()) for bar in outlined] == [(0.75, 0.25), (0.5, 0.25)]


@pytest.mark.parametrize(
    ("p", "message", "sentence"),
    [
        ({"a": 0.5, "b": 0.4}, "a", "sum to 1, not 0.9"),
        ({"a": 0.5, "b": 0.5}, "ax", "one to five symbols of a, b, not"),
        ({"a": 0.5, "b": 0.5}, "", "one to five symbols"),
        ({"a": 0.5, "b": 0.5}, "aaaaaa", "one to five symbols"),
    ],
)
def test_other_messages_are_refused(p, message, sentence):
    with pytest.raises(NDICError, match=sentence):
        intervals(p, message)


def row(x, bpp):
    return dict(lmbda=weight_for(bpp), bytes=round(1000 * bpp), x_hat=x)


def test_each_lambda_touches_at_its_own_point():
    x = torch.rand(3, 8, 16)
    figure = lambda_strip(x, POINTS, [row(x, 0.1), row(x / 2, 0.8)], part=(slice(2, 6), slice(0, 8)))
    _, low, high, shown, first, second = figure.axes
    for axis, bpp in ((low, 0.1), (high, 0.8)):
        touching = axis.lines[-1]
        assert touching.get_xdata()[0] == bpp
        line = axis.lines[-2]
        slope = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
        assert slope == pytest.approx(-1 / (255**2 * weight_for(bpp)))
        assert np.interp(bpp, *line.get_data()) == pytest.approx(0.04 / bpp)
    assert first.get_title() == "100 bytes, measured"
    assert np.allclose(shown.get_images()[0].get_array(), x[:, 2:6, :8].permute(1, 2, 0))
    assert np.allclose(second.get_images()[0].get_array(), x[:, 2:6, :8].permute(1, 2, 0) / 2)
    assert len(figure.axes[0].get_legend().texts) == 3


def test_wrong_arguments_of_the_strip_are_named():
    x = torch.rand(3, 8, 16)
    with pytest.raises(NDICError, match="no round trip"):
        lambda_strip(x, POINTS, [])
    with pytest.raises(NDICError, match="metric is 'PSNR': choose from MS-SSIM, MSE"):
        lambda_strip(x, POINTS, [row(x, 0.1)], metric="PSNR")
    with pytest.raises(NDICError, match="images of one size"):
        lambda_strip(x, POINTS, [row(x[:, 1:], 0.1)])


def test_lines_have_their_names_at_their_ends_and_none_overlaps():
    names = {"bls17": 13.0, "JPEG": 14.0, "WebP": 14.01, "AVIF": 14.02}
    rows = [
        dict(model=name, bpp=bpp, ms_ssim_db=top - 5 + 10 * bpp) for name, top in names.items() for bpp in (0.1, 0.5)
    ]
    figure = against_classical(rows, title="two images")
    (axis,) = figure.axes
    assert axis.get_legend() is None
    assert axis.get_title() == "two images"
    for text in axis.texts:
        assert text.xy == (0.5, pytest.approx(names[text.get_text()]))
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axis.texts]  # without the line to the end of the curve
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    widths = {line.get_label(): line.get_linewidth() for line in axis.lines}
    assert widths["bls17"] > 2 * max(width for name, width in widths.items() if name != "bls17")

"""Rate–distortion curves and image panels show the values that they are given."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.evaluation.published_points import POINTS
from ndic_core.plots.panels import inspection, rate_distortion, side_by_side, swipe, tradeoff
from ndic_core.plots.style import CODEC_STYLE, MODEL_STYLE


def row(model, bpp, db, **more):
    return dict(model=model, bpp=bpp, psnr=db, ms_ssim_db=db - 12, **more)


ROWS = [
    row("cross_attention", 0.4, 31.0, side_info="matching_y"),
    row("cross_attention", 0.1, 25.0, side_info="matching_y"),
    row("cross_attention", 0.1, 22.0, side_info="mismatched_y"),
    row("cross_attention", 0.1, 21.0, side_info="no_y"),
    row("bls17", 0.12, 24.0, side_info="no_y"),
    *(row(name, bpp, 20 + 10 * bpp) for name in CODEC_STYLE for bpp in (0.2, 0.8)),
]


def sent(model="cross_attention", size=(32, 64), **values):
    result = row(model, 0.2, 24.5) | dict(lmbda=3e-5, bytes=819, ms_ssim=0.9369, x_hat=torch.rand(3, *size))
    return result | values


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def drawn(figure):
    figure.canvas.draw()  # also proves that it can be drawn
    return figure


def shown(axis):
    return torch.as_tensor(np.asarray(axis.images[0].get_array()))


def test_curves_have_their_points_by_rate_in_the_style_of_the_model():
    found = lines(drawn(rate_distortion(ROWS)))
    assert found["cross_attention"].get_xdata().tolist() == [0.1, 0.4]
    assert found["cross_attention"].get_ydata().tolist() == [25.0, 31.0]
    assert lines(rate_distortion(ROWS, "ms_ssim_db"))["cross_attention"].get_ydata().tolist() == [13.0, 19.0]
    of_one = ["cross_attention", "cross_attention, mismatched y", "cross_attention, no y"]
    assert list(found) == ["bls17", *of_one, *CODEC_STYLE]
    for label in of_one:
        assert (found[label].get_color(), found[label].get_marker()) == MODEL_STYLE["cross_attention"]
    assert len({found[label].get_linestyle() for label in of_one}) == 3


def test_axes_and_legend_say_how_the_rate_was_obtained():
    measured, estimated = (rate_distortion(ROWS, rate=rate) for rate in ("measured", "estimated"))
    assert "measured (bytes of whole files)" in measured.axes[0].get_xlabel()
    assert "estimated (by likelihoods)" in estimated.axes[0].get_xlabel()
    assert {"JPEG, measured", "bls17"} <= lines(estimated).keys()


@pytest.mark.parametrize("metric", ["psnr", "ms_ssim_db"])
def test_published_points_are_hollow_and_labelled(metric):
    found = lines(drawn(rate_distortion(ROWS, metric, published=True)))
    for model, points in POINTS[metric].items():
        line = found[f"{model}, published (estimated)"]
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == list(points)
        assert (line.get_markerfacecolor(), line.get_linestyle()) == ("none", "None")
    assert not any("published" in label for label in lines(rate_distortion(ROWS, metric)))


@pytest.mark.parametrize("rates", [(0.31, 0.45), (0.003, 4.0), (0.1, 0.1)])
def test_the_rate_axis_has_ticks(rates):
    axis = drawn(rate_distortion([row("bls17", rate, 30.0) for rate in rates])).axes[0]
    low, high = axis.get_xlim()
    assert low < min(rates) <= max(rates) < high
    assert sum(low <= tick <= high for tick in axis.get_xticks()) >= min(2, len(set(rates)))


@pytest.mark.parametrize(
    ("rows", "message"), [([], "no point to draw"), ([row("BPG", 0.1, 20.0)], "'BPG' has no style")]
)
def test_rows_that_cannot_be_drawn(rows, message):
    with pytest.raises(NDICError, match=message):
        rate_distortion(rows)


def test_curves_of_one_model_with_other_weights_are_told_apart():
    rows = [row("bls17", bpp, 30.0, weights=weights) for weights in ("MSE", "MS-SSIM") for bpp in (0.1, 0.2)]
    rows += [row("ndic_bls17", 0.1, 30.0, weights="MSE", side_info="no_y"), row("bmshj18", 0.1, 30.0)]
    found = lines(drawn(rate_distortion(rows)))
    assert list(found) == ["bls17, MSE", "bls17, MS-SSIM", "bmshj18", "ndic_bls17, MSE, no y"]
    first, second = found["bls17, MSE"], found["bls17, MS-SSIM"]
    assert (first.get_color(), first.get_marker()) == (second.get_color(), second.get_marker())
    assert (first.get_fillstyle(), second.get_fillstyle()) == ("full", "none")


def test_an_infinite_psnr_is_drawn_at_the_cap():
    (line,) = lines(rate_distortion([row("bls17", 0.1, 40.0), row("bls17", 0.2, float("inf"))])).values()
    assert line.get_ydata().tolist() == [40, 100]


@pytest.mark.parametrize(
    ("metric", "message"),
    [("ms_ssim_db", "bls17 has no ms_ssim_db; .* above 96 pixels: use psnr"), ("psnr", "has no psnr: measure it")],
)
def test_points_without_the_metric_are_named(metric, message):
    with pytest.raises(NDICError, match=message):
        rate_distortion([row("bls17", 0.1, 30.0) | {metric: None}], metric)


def test_side_by_side(pair):
    x, y = pair
    x_hat = x + 0.1  # partly out of range
    axes = drawn(side_by_side(x, y, x_hat, bpp=0.1234)).axes
    x_hat = x_hat.clamp(0, 1)
    titles = [axis.get_title() for axis in axes]
    assert titles[3] == "error |x − x̂|, mean of the channels, 4 times"
    mse = np.mean((x - x_hat).double().numpy() ** 2)
    for words in ("0.1234 bpp measured", f"{-10 * np.log10(mse):.2f} dB PSNR", "MS-SSIM 0."):
        assert words in titles[2]
    error = (4 * (x - x_hat).abs().mean(0)).clamp(0, 1).expand(3, -1, -1)
    for axis, image in zip(axes, (x, y, x_hat, error), strict=True):
        assert axis.images[0].get_interpolation() == "none"
        assert torch.allclose(shown(axis), image.permute(1, 2, 0), atol=1e-6)
    small = torch.rand(3, 64, 64)
    titles = [axis.get_title() for axis in side_by_side(small, None, small, bpp=1.0).axes if axis.images]
    assert len(titles) == 3
    assert "MS-SSIM" not in titles[1]


def test_tradeoff(pair):
    x, _ = pair
    x_hat = (x + 0.2).clamp(0, 1)
    figure = drawn(tradeoff(x, sent(x_hat=x_hat), ROWS[:2]))
    first, second, error, _, curves = figure.axes
    assert "cross_attention at λ = 3.00e-05: 819 bytes" in figure.texts[0].get_text()
    assert torch.equal(shown(first), x.permute(1, 2, 0))
    assert torch.equal(shown(second), x_hat.permute(1, 2, 0))
    assert torch.allclose(shown(error), 255 * (x - x_hat).abs().mean(0))
    assert error.images[0].get_clim() == (0, 64)  # independent of the error
    for axis in (first, second, error):
        assert axis.images[0].get_interpolation() == "none"
        assert axis.images[0].get_window_extent().width == pytest.approx(512)  # two dots per pixel
    found = {line.get_label(): line for line in curves.get_lines()}
    assert (found["_here"].get_xdata(), found["_here"].get_ydata()) == ([0.2], [12.5])
    assert found["_here"].get_color() == found["cross_attention"].get_color()


def test_tradeoff_of_a_small_image_is_of_psnr():
    rows = [row("bls17", 0.1, 30.0) | dict(ms_ssim_db=None)]
    figure = tradeoff(torch.rand(3, 32, 64), sent("bls17", ms_ssim=None, ms_ssim_db=None), rows)
    (ring,) = [line for line in figure.axes[-1].get_lines() if line.get_label() == "_here"]
    assert ring.get_ydata() == [24.5]
    assert figure.axes[-1].get_ylabel() == "PSNR (dB)"
    assert "MS-SSIM" not in figure.axes[1].get_title()


@pytest.mark.parametrize("similarity", [dict(ms_ssim=0.9369, ms_ssim_db=12.0), dict(ms_ssim=None, ms_ssim_db=None)])
def test_inspection(similarity):
    x, result, bits = torch.rand(3, 32, 64), sent(**similarity), torch.full((32, 64), 0.25)
    figure = inspection(x, result, bits)
    axes = [axis for axis in figure.axes if axis.images]
    expected = (x, result["x_hat"], 255 * (x - result["x_hat"]).abs().mean(0), bits)
    for axis, values in zip(axes, expected, strict=True):
        assert torch.allclose(shown(axis), values.permute(1, 2, 0) if values.ndim == 3 else values)
    assert [axis.images[0].get_clim() for axis in axes[2:]] == [(0, 64), (0, 0.8)]
    assert axes[3].get_title() == "512 bits in total (estimated)"
    for words in ("cross_attention", "3.00e-05", "819 bytes", "0.200 bpp (measured)", "24.50 dB"):
        assert words in figure.get_suptitle()
    assert ("MS-SSIM 0.9369" in figure.get_suptitle()) == (similarity["ms_ssim"] is not None)


@pytest.mark.parametrize("edge", [0, 0.3])
def test_swipe(edge):
    first, second = sent("bls17", bytes=812), sent("ndic_bls17", bytes=99)
    before = second["x_hat"].clone()
    (axis,) = swipe(first, second, edge).axes
    column = round(64 * edge)
    assert torch.equal(shown(axis)[:, :column], first["x_hat"].permute(1, 2, 0)[:, :column])
    assert torch.equal(shown(axis)[:, column:], before.permute(1, 2, 0)[:, column:])
    assert torch.equal(second["x_hat"], before)
    assert axis.lines[0].get_xdata()[0] == column - 0.5
    for side, name, count in (("left", "bls17", 812), ("right", "ndic_bls17", 99)):
        assert name in axis.get_title(loc=side)
        assert f"{count} bytes" in axis.get_title(loc=side)

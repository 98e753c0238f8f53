"""Figures hold what they were given, and say what it is."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ndic_core.errors import NDICError
from ndic_core.evaluation.published_points import POINTS
from ndic_core.plots.panels import CODEC_STYLE, MODEL_STYLE, pixels, rate_distortion, side_by_side, tradeoff


def row(model, bpp, db, **more):
    return dict(model=model, bpp=bpp, psnr=db, ms_ssim_db=db - 12, **more)


ROWS = [
    row("cross_attention", 0.4, 31.0, lmbda=3e-4, side_info="matching_y"),
    row("cross_attention", 0.1, 25.0, lmbda=3e-5, side_info="matching_y"),
    row("cross_attention", 0.1, 22.0, lmbda=3e-5, side_info="mismatched_y"),
    row("cross_attention", 0.1, 21.0, lmbda=3e-5, side_info="no_y"),
    row("bls17", 0.12, 24.0, lmbda=3e-5, side_info="no_y"),
    *(row(name, bpp, 20 + 10 * bpp) for name in CODEC_STYLE for bpp in (0.2, 0.8)),
]


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def drawn(figure):
    """The figure as pixels, which also proves that it can be drawn."""
    figure.canvas.draw()
    return figure


def test_curves_hold_their_points_in_order_of_rate():
    found = lines(drawn(rate_distortion(ROWS)))
    assert found["cross_attention"].get_xdata().tolist() == [0.1, 0.4]
    assert found["cross_attention"].get_ydata().tolist() == [25.0, 31.0]
    assert lines(rate_distortion(ROWS, "ms_ssim_db"))["cross_attention"].get_ydata().tolist() == [13.0, 19.0]
    assert list(found) == [
        "bls17",
        "cross_attention",
        "cross_attention, another scene's y",
        "cross_attention, no y",
        *CODEC_STYLE,
    ]


def test_a_model_keeps_its_colour_and_marker():
    found = lines(rate_distortion(ROWS))
    for label in ("cross_attention", "cross_attention, another scene's y", "cross_attention, no y"):
        assert (found[label].get_color(), found[label].get_marker()) == MODEL_STYLE["cross_attention"]
    assert len({found[label].get_linestyle() for label in found if label.startswith("cross")}) == 3


def test_styles_differ_without_colour():
    markers = [marker for _, marker in MODEL_STYLE.values()]
    dashes = [dash for _, dash in CODEC_STYLE.values()]
    assert len(set(markers)) == len(markers)
    assert len(set(dashes)) == len(dashes)
    for colour, _ in CODEC_STYLE.values():
        assert len({to_hex(colour)[i : i + 2] for i in (1, 3, 5)}) == 1  # grey


def test_the_axes_say_what_they_measure():
    measured, estimated = (rate_distortion(ROWS, rate=rate) for rate in ("measured", "estimated"))
    assert "measured (bytes of whole files), in bits per pixel" in measured.axes[0].get_xlabel()
    assert "estimated (by likelihoods), in bits per pixel" in estimated.axes[0].get_xlabel()
    assert measured.axes[0].get_ylabel() == "PSNR (dB)"
    assert "MS-SSIM" in rate_distortion(ROWS, "ms_ssim_db").axes[0].get_ylabel()
    assert {"JPEG, measured", "bls17"} <= lines(estimated).keys()  # a classical file has no estimate


@pytest.mark.parametrize("metric", ["psnr", "ms_ssim_db"])
def test_published_points_are_hollow_and_called_so(metric):
    found = lines(drawn(rate_distortion(ROWS, metric, published=True)))
    for model, points in POINTS[metric].items():
        line = found[f"{model}, published (estimated)"]
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == list(points)
        assert line.get_markerfacecolor() == "none"
        assert line.get_linestyle() == "None"
        if model in MODEL_STYLE:
            assert (line.get_color(), line.get_marker()) == MODEL_STYLE[model]
    assert not any("published" in label for label in lines(rate_distortion(ROWS, metric)))


@pytest.mark.parametrize("rates", [(0.31, 0.45), (0.003, 4.0), (0.1, 0.1)])
def test_rates_can_be_read_off(rates):
    axis = drawn(rate_distortion([row("bls17", rate, 30.0) for rate in rates])).axes[0]
    low, high = axis.get_xlim()
    assert low < min(rates) <= max(rates) < high
    assert sum(low <= tick <= high for tick in axis.get_xticks()) >= (1 if len(set(rates)) == 1 else 2)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (ROWS, dict(metric="vmaf"), "psnr or ms_ssim_db"),
        (ROWS, dict(rate="guessed"), "measured or estimated"),
        ([], {}, "no point to draw"),
        ([row("BPG", 0.1, 20.0)], {}, "'BPG' .* no style"),
        ([row("DSIN", 0.1, 20.0)], {}, "'DSIN' .* no style"),
        ([row("cross_attention", 0.1, 20.0, side_info="maybe")], {}, "'maybe' has no style"),
        ([row("bls17", 0.0, 20.0)], {}, "cannot be drawn"),
        ([row("bls17", 0.1, float("inf"))], {}, "cannot be drawn"),
        ([dict(model="bls17", bpp=0.1)], {}, "needs model, bpp and psnr"),
    ],
)
def test_bad_rows(rows, options, said):
    with pytest.raises(NDICError, match=said):
        rate_distortion(rows, **options)


def test_side_by_side(pair):
    x, y = pair
    x_hat = x + 0.1  # partly out of range
    figure = drawn(side_by_side(x, y, x_hat, bpp=0.1234, gain=5))
    titles = [axis.get_title() for axis in figure.axes]
    pictures = [axis.get_images()[0] for axis in figure.axes]
    assert titles[:2] == ["x, the picture sent", "y, the side image at the receiver"]
    assert titles[3] == "error |x − x̂|, mean of the channels, 5 times"
    assert "0.1234 bpp measured" in titles[2]
    mse = np.mean((x - x_hat.clamp(0, 1)).double().numpy() ** 2)
    assert f"{-10 * np.log10(mse):.2f} dB PSNR" in titles[2]
    assert "MS-SSIM 0." in titles[2]
    assert all(picture.get_interpolation() == "none" for picture in pictures)
    assert np.allclose(pictures[2].get_array(), x_hat.clamp(0, 1).permute(1, 2, 0))
    error = (5 * (x - x_hat.clamp(0, 1)).abs().mean(0, keepdim=True)).clamp(0, 1).expand(3, -1, -1)
    assert np.allclose(pictures[3].get_array(), error.permute(1, 2, 0), atol=1e-6)


def test_side_by_side_without_side_image_or_room_for_ms_ssim():
    x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    figure = drawn(side_by_side(x, None, x * 0.9, bpp=1.0))
    titles = [axis.get_title() for axis in figure.axes if axis.get_images()]
    assert len(titles) == 3
    assert "dB PSNR" in titles[1]
    assert "MS-SSIM" not in titles[1]


def sent_as(model, x_hat, bpp=0.2):
    return row(model, bpp, 24.0) | dict(lmbda=3e-5, bytes=round(bpp * 4096), ms_ssim=0.9369, x_hat=x_hat)


def test_tradeoff_shows_picture_error_and_place_on_the_curve(pair):
    x, _ = pair
    x_hat = (x + 0.1).clamp(0, 1)
    figure = drawn(tradeoff(x, sent_as("cross_attention", x_hat), ROWS[:2], limit=50))
    axes = {axis.get_title(): axis for axis in figure.axes}
    assert [text.get_text() for text in figure.texts] == [
        "cross_attention at λ = 3.00e-05: 819 bytes, 0.200 bits per pixel (measured)"
    ]
    shown = axes["x̂: PSNR 24.00 dB, MS-SSIM 0.9369"].get_images()[0]
    assert np.allclose(shown.get_array(), x_hat.permute(1, 2, 0))
    error = axes["error |x − x̂|, mean of the channels"].get_images()[0]
    assert np.allclose(error.get_array(), 255 * (x - x_hat).abs().mean(0))
    assert error.get_clim() == (0, 50)
    lines = {line.get_label(): line for line in figure.axes[-1].get_lines()}
    assert (lines["_here"].get_xdata(), lines["_here"].get_ydata()) == ([0.2], [12.0])
    assert lines["_here"].get_color() == lines["cross_attention"].get_color() == MODEL_STYLE["cross_attention"][0]
    assert "measured" in figure.axes[-1].get_xlabel()


def test_the_error_keeps_its_scale(pair):
    x, _ = pair
    for distance in (0.01, 0.2):
        figure = tradeoff(x, sent_as("bls17", (x + distance).clamp(0, 1)), ROWS)
        (error,) = (axis for axis in figure.axes if axis.get_title().startswith("error"))
        assert error.get_images()[0].get_clim() == (0, 64)


def test_pictures_of_256_pixels_are_shown_in_whole_pixels(pair):
    figure = drawn(tradeoff(pair[0], sent_as("bls17", pair[1]), ROWS))
    for axis in figure.axes:
        for image in axis.get_images():
            assert image.get_interpolation() == "none"
            assert image.get_window_extent().width == pytest.approx(512)


def test_tradeoff_of_two_shapes(pair):
    with pytest.raises(NDICError, match="one shape"):
        tradeoff(pair[0], sent_as("bls17", torch.zeros(3, 64, 64)), ROWS)


def test_tradeoff_without_ms_ssim_or_of_an_unknown_model(pair):
    with pytest.raises(NDICError, match="sides above 96"):
        tradeoff(pair[0], sent_as("bls17", pair[1]) | dict(ms_ssim=None, ms_ssim_db=None), ROWS)
    with pytest.raises(NDICError, match="no model 'jpeg'"):
        tradeoff(pair[0], sent_as("bls17", pair[1]) | dict(model="jpeg"), ROWS)


def test_pixels_are_what_matplotlib_takes():
    picture = torch.linspace(-1, 2, 3 * 4 * 5).reshape(3, 4, 5).bfloat16().requires_grad_()
    shown = pixels(picture)
    assert shown.shape == (4, 5, 3)
    assert (shown.min(), shown.max()) == (0, 1)
    assert shown[1, 2, 2] == picture[2, 1, 2].clamp(0, 1)

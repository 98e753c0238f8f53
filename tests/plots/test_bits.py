"""Bit maps and bitstreams show the values that they are given."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import Header, pack
from ndic_core.plots.bits import bit_savings, bit_savings_by_rate, damage_by_place, file_bytes


def shown(axis) -> np.ndarray:
    """The topmost map of an axis."""
    return np.asarray(axis.images[-1].get_array())


def test_maps_are_over_their_image_with_sums_and_one_scale():
    image, before, after = torch.rand(3, 32, 64), torch.rand(32, 64), torch.full((32, 64), 0.01)
    figure = bit_savings(image, before, after, ("h", "h and z"), "scene 3")
    whole, first, second, saved = figure.axes[:4]
    titles = [axis.get_title() for axis in figure.axes[:4]]
    sums = [f"h: {before.sum():,.0f} bits", "h and z: 20 bits", f"saved: {(before - after).sum():+,.0f} bits"]
    assert titles == ["x, the image", *sums]
    np.testing.assert_allclose(shown(first), before)
    np.testing.assert_allclose(shown(saved), before - after, atol=1e-6)
    np.testing.assert_allclose(shown(whole), image.permute(1, 2, 0))
    np.testing.assert_allclose(np.asarray(first.images[0].get_array()), image.mean(0), atol=1e-6)
    assert first.images[-1].get_clim() == second.images[-1].get_clim() == (0, pytest.approx(before.max().item()))
    low, high = saved.images[-1].get_clim()
    assert -low == high == pytest.approx((before - after).abs().max().item())
    with pytest.raises(NDICError, match=r"before must have the size of its image, \(32, 64\), not \(2, 4\)"):
        bit_savings(image, torch.zeros(2, 4), after, ("h", "z"))


def test_every_rate_is_a_row_with_scales_of_its_own():
    image, quiet = torch.rand(3, 32, 64), torch.full((32, 64), 0.1)
    figure = bit_savings_by_rate(image, [("low", quiet, 2 * quiet), ("high", 4 * quiet, 3 * quiet)], ("a", "b"))
    low, high = figure.axes[:3], figure.axes[3:6]
    assert [row[0].get_ylabel() for row in (low, high)] == ["low", "high"]
    assert [axis.get_title() for axis in low] == ["a: 205 bits", "b: 410 bits", "saved: −205 bits"]
    assert [row[0].images[-1].get_clim()[1] for row in (low, high)] == pytest.approx([0.2, 0.4])
    with pytest.raises(NDICError, match="there is no row"):
        bit_savings_by_rate(image, [])


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def cells(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_ha() == "center" and len(text.get_text()) == 2]


def test_every_byte_has_the_colour_of_its_field():
    stream = pack(Header("cross_attention", b"\x01\x02\x03", 128, 100, 7), b"PAYLOAD")
    figure = file_bytes(stream)
    assert cells(figure) == [f"{byte:02x}" for byte in stream]
    colours = [patch.get_facecolor() for patch in figure.axes[0].patches]
    squares, legend = colours[: len(stream)], colours[len(stream) :]
    counts = [2, 1, 3, 2, 1, 1, 7, 4]  # magic, version ..., fingerprint, height, width, level, payload, checksum
    assert squares == [colour for colour, count in zip(legend, counts, strict=True) for _ in range(count)]
    assert len(set(legend)) == 8
    assert "version 1; a rate level follows; model 5, cross_attention" in texts(figure)
    assert texts(figure).count("1 byte") == 3


@pytest.mark.parametrize(
    ("columns", "lines", "start", "end", "words"),
    [
        (16, 5, 32, 240, "... 208 bytes of payload ..."),
        (4, 3, 4, 260, "... 256 bytes ..."),  # also of the header
    ],
)
def test_the_middle_of_a_long_file_is_left_out(columns, lines, start, end, words):
    stream = pack(Header("bls17", bytes(3), 5, 5), bytes(range(250)))
    assert len(stream) == 262
    figure = file_bytes(stream, columns, lines)
    assert cells(figure) == [f"{byte:02x}" for byte in stream[:start] + stream[end:]]
    assert words in texts(figure)


def test_damage_over_its_position():
    rows = [dict(byte=0, wrong=0.5, psnr=9.0), dict(byte=6, wrong=0.25, psnr=None), dict(byte=9, wrong=None, psnr=None)]
    latents, quality = damage_by_place(rows, 20.0).axes
    assert latents.lines[0].get_xydata().tolist() == [[0, 50], [6, 25]]
    assert quality.lines[0].get_xydata().tolist() == [[0, 9]]
    assert quality.lines[1].get_ydata() == [20.0, 20.0]
    assert all(axis.lines[-1].get_xdata() == [9] for axis in (latents, quality))

"""Bit maps, scales and bitstreams show the values that they are given."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import Header, pack
from ndic_core.plots.bits import (
    bits_over_image,
    damage_by_place,
    file_bytes,
    file_parts,
    neighbour_correlations,
    scales_beside_latent,
)


def shown(axis) -> np.ndarray:
    """The topmost map of an axis."""
    return np.asarray(axis.images[-1].get_array())


def test_maps_are_over_their_image_with_sum_and_scale():
    image = torch.rand(3, 32, 64)
    spent, quiet = torch.rand(32, 64), torch.full((32, 64), 0.01)
    figure = bits_over_image(image, {"h": spent, "z": quiet, "none": torch.zeros(32, 64)}, largest={"h": 2.0})
    whole, over, pale, _ = figure.axes[:4]
    titles = [axis.get_title() for axis in figure.axes[:4]]
    assert titles == ["the image", f"h: {spent.sum():,.0f} bits", "z: 20 bits", "none: 0 bits"]
    np.testing.assert_allclose(shown(over), spent)
    assert [axis.images[-1].get_clim() for axis in (over, pale)] == [(0, 2), (0, pytest.approx(0.01))]
    np.testing.assert_allclose(shown(whole), image.permute(1, 2, 0))
    np.testing.assert_allclose(np.asarray(over.images[0].get_array()), image.mean(0), atol=1e-6)
    with pytest.raises(NDICError, match=r"'h' is \(2, 4\), its image 32 × 64: use over_image"):
        bits_over_image(torch.rand(3, 32, 64), {"h": torch.zeros(2, 4)})


def test_latent_and_scales_share_their_colours():
    latent, sigma = torch.randn(8, 16) * 5, torch.rand(8, 16) + 0.11
    left, middle, right = scales_beside_latent(latent, sigma, "channel 3").axes[:3]
    assert left.get_title() == "|latent|, channel 3"
    np.testing.assert_allclose(shown(left), latent.abs())
    np.testing.assert_allclose(shown(middle), sigma)
    np.testing.assert_allclose(shown(right), (latent / sigma).abs())
    assert left.images[0].get_clim() == middle.images[0].get_clim() == (0, pytest.approx(latent.abs().max().item()))


def test_correlations_are_written_at_their_offsets():
    values = torch.arange(15.0).reshape(3, 5)[:, 1:4] / 20
    (axis,) = neighbour_correlations({"|h|": values}).axes
    written = {text.get_position(): text.get_text() for text in axis.texts}
    assert (written[(0, 0)], written[(1, 0)], written[(0, -1)]) == ("0.35", "0.40", "0.10")
    assert len(written) == 9


def test_parts_of_a_file_add_up():
    rows = [dict(lmbda=1e-5, z=100, x=2700, file=3000), dict(lmbda=1e-4, z=200, x=7600, file=8000)]
    bits, shares = file_parts(rows).axes
    tops = [bar.get_y() + bar.get_height() for bar in bits.patches]
    assert tops == [100, 200, 2800, 7800, 3000, 8000]
    heights = [bar.get_height() for bar in shares.patches]
    assert heights[0] == pytest.approx(100 / 30)
    assert sum(heights) == pytest.approx(200)


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

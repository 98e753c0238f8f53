"""What the figures of one picture, and of two in one frame, show."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.inspection import inspection, swipe


def sent(model="bls17", size=(32, 64), **numbers):
    row = dict(model=model, lmbda=1e-4, bytes=812, bpp=0.2, psnr=24.5, ms_ssim=0.9, ms_ssim_db=10.0)
    return row | dict(x_hat=torch.rand(3, *size)) | numbers


def test_four_panels_show_the_picture_its_error_and_its_bits():
    x, row, bits = torch.rand(3, 32, 64), sent(), torch.full((32, 64), 0.25)
    figure = inspection(x, row, bits, limit=50, most=2)
    panels = [axis for axis in figure.axes if axis.images]
    shown = [np.asarray(axis.images[0].get_array()) for axis in panels]
    np.testing.assert_allclose(shown[0], x.permute(1, 2, 0))
    np.testing.assert_allclose(shown[1], row["x_hat"].permute(1, 2, 0))
    np.testing.assert_allclose(shown[2], 255 * (x - row["x_hat"]).abs().mean(0), rtol=1e-5)
    np.testing.assert_allclose(shown[3], bits)
    assert [axis.images[0].get_clim() for axis in panels[2:]] == [(0, 50), (0, 2)]
    assert all(axis.images[0].get_interpolation() == "none" for axis in panels)
    assert panels[3].get_title() == "512 bits in all (estimated)"
    words = figure.get_suptitle()
    assert all(
        part in words for part in ("bls17", "1.00e-04", "812 bytes", "0.200 bpp (measured)", "24.50 dB", "0.9000")
    )


def test_small_pictures_have_no_ms_ssim():
    figure = inspection(torch.rand(3, 32, 64), sent(ms_ssim=None, ms_ssim_db=None), torch.zeros(32, 64))
    assert "MS-SSIM" not in figure.get_suptitle()


def test_a_map_or_picture_of_another_size_is_refused():
    with pytest.raises(NDICError, match=r"bits \(2, 4\)"):
        inspection(torch.rand(3, 32, 64), sent(), torch.zeros(2, 4))
    with pytest.raises(NDICError, match="must have one shape"):
        inspection(torch.rand(3, 32, 32), sent(), torch.zeros(32, 32))


@pytest.mark.parametrize("edge", [0, 0.3, 1])
def test_the_edge_parts_the_two_pictures(edge):
    first, second = sent("bls17"), sent("ndic_bls17", bytes=99)
    kept = second["x_hat"].clone()
    (axis,) = swipe(first, second, edge).axes
    column = round(64 * edge)
    shown = torch.from_numpy(np.asarray(axis.images[0].get_array())).permute(2, 0, 1)
    assert torch.equal(shown[..., :column], first["x_hat"][..., :column])
    assert torch.equal(shown[..., column:], second["x_hat"][..., column:])
    assert torch.equal(second["x_hat"], kept)
    assert axis.lines[0].get_xdata()[0] == column - 0.5
    assert "bls17" in axis.get_title(loc="left")
    assert "812 bytes" in axis.get_title(loc="left")
    assert "ndic_bls17" in axis.get_title(loc="right")
    assert "99 bytes" in axis.get_title(loc="right")


def test_pictures_of_two_sizes_or_an_edge_outside_are_refused():
    with pytest.raises(NDICError, match="one size"):
        swipe(sent(), sent(size=(32, 32)))
    with pytest.raises(NDICError, match=r"from 0 to 1, not at 1\.5"):
        swipe(sent(), sent(), 1.5)


def test_a_model_without_style_is_refused():
    with pytest.raises(NDICError, match="'vvc' has no style"):
        swipe(sent(), sent("vvc"))

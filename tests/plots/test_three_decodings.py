"""The figure of several decodings shows one file and a reconstruction for each side image."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.three_decodings import decodings

X = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(0))
YS = {"matching y": X.flip(2), "no y": None}


def row(value, size=1234):
    return dict(bytes=size, psnr=20.5, ms_ssim_db=11.25, x_hat=torch.full_like(X, value))


ROWS = {"matching y": row(0.2), "no y": row(0.4) | {"ms_ssim_db": None, "psnr": 17.0}}


def test_images_file_and_numbers_are_shown():
    axis = decodings(X, YS, ROWS).axes[0]
    means = [image.get_array().mean() for image in axis.images]
    assert means == pytest.approx([X.mean().item(), X.mean().item(), 0.2, 0.4], abs=1e-5)
    words = [text.get_text() for text in axis.texts]
    assert "1,234 bytes" in words
    assert words.count("decoder") == 2
    assert {"matching y", "no y", "nothing", "PSNR 20.5, MS-SSIM 11.2 dB", "PSNR 17.0 dB"} <= set(words)


def test_every_text_is_inside_the_figure():
    figure = decodings(X, YS, ROWS)
    figure.draw_without_rendering()
    for text in figure.axes[0].texts:
        if text.get_text():
            box = text.get_window_extent()
            assert figure.bbox.contains(box.x0, box.y0), text
            assert figure.bbox.contains(box.x1, box.y1), text


def test_what_does_not_fit_is_refused():
    with pytest.raises(NDICError, match="no decoding with 'no y'"):
        decodings(X, YS, {"matching y": row(0.2)})
    with pytest.raises(NDICError, match="2 files of different sizes"):
        decodings(X, YS, ROWS | {"no y": row(0.4, 99)})
    with pytest.raises(NDICError):
        decodings(X, {}, {})

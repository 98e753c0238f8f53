"""The system diagram shows the images and the bytes of a run."""

import numpy as np
import pytest
import torch

from ndic_core.plots.system_diagram import two_cameras


def test_images_and_bytes_of_the_run(pair):
    x, y = pair
    x_hat = x + 0.3  # partly out of range
    figure = two_cameras(x, y, x_hat, bytes(1234))
    figure.canvas.draw()
    for image, given in zip(figure.axes[0].get_images(), (x, x_hat.clamp(0, 1), y), strict=True):
        assert np.allclose(image.get_array(), given.permute(1, 2, 0))
        assert image.get_window_extent().size == pytest.approx((256, 128))  # pixel for pixel
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"1,234 bytes", "instead of 98,304", "80 times smaller", "the encoder never sees y"} <= words


def test_everything_is_inside_the_figure():
    figure = two_cameras(*torch.rand(3, 3, 100, 330), b"file")
    figure.canvas.draw()
    frame = figure.bbox
    for artist in [*figure.axes[0].texts, *figure.axes[0].get_images(), *figure.axes[0].patches]:
        box = artist.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1 + 1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1 + 1

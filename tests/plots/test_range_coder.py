"""Figures of the range coder show its states, and which latents are wrong."""

import numpy as np
import torch

from ndic_core.plots.range_coder import coder_states, latents_after

SHARES = {"a": (0, 5), "b": (5, 3), "c": (8, 2)}


def test_states_digits_and_symbols_in_the_order_of_writing():
    (axis,) = coder_states(SHARES, [("a", 10, [], 20), ("b", 20, [], 67), ("c", 67, [7], 38)]).axes
    words = [text.get_text() for text in axis.texts]
    assert words[:12] == ["last digit", "its symbol", *"0123456789"]
    boxed = [text.get_text() for text in axis.texts if text.get_fontsize() == 15]
    assert "".join(boxed) == "10206738"
    assert [word for word in words if word in SHARES] == ["a", "b", "c", "a", "b", "c"]
    assert "67 → 6" in words
    assert [text.get_text() for text in axis.texts if text.get_fontsize() == 13] == ["7"]
    digits, last = [patch.get_facecolor() for patch in axis.patches[:10]], axis.patches[11:18:2]
    assert [patch.get_facecolor() for patch in last] == [digits[digit] for digit in (0, 0, 7, 8)]


def test_right_wrong_and_missing_latents():
    right = torch.zeros(4, 1, 2)
    right[0, 0, 0], right[3, 0, 1] = 5, -1
    wrong, missing = right.clone(), right.clone()
    wrong[1, 0, 1] = 2
    missing[3] = torch.nan
    image = torch.rand(3, 8, 16)
    figure = latents_after(right, {"sent": (right, image), "flipped": (wrong, image), "cut": (missing, None)})
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert [axis.get_title() for axis in upper] == ["sent", "flipped", "cut"]
    shown = [np.asarray(axis.images[0].get_array()).tolist() for axis in upper]  # channel 2 is 0 everywhere
    assert shown == [[[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 2, 1]], [[1, 0, 3], [0, 0, 3]]]
    np.testing.assert_allclose(lower[1].images[0].get_array(), image.permute(1, 2, 0))
    assert [text.get_text() for text in lower[2].texts] == ["refused:\nno image"]

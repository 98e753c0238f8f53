"""The bins show what is sent and taken; the strip shows every rate."""

import pytest
import torch
from matplotlib.text import Text

from ndic_core.errors import NDICError
from ndic_core.plots.introduction import bins_of_words, rates_strip


def texts(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text)}


BINS = {(0, 0): [(0, 0, 0), (1, 1, 1)], (1, 1): [(0, 1, 0), (1, 0, 1)]}


@pytest.mark.parametrize(("y", "taken"), [((1, 0, 0), "takes 101"), ((0, 1, 1), "takes 010")])
def test_the_receiver_takes_the_nearest_word_of_the_bin(y, taken):
    shown = texts(bins_of_words(BINS, (1, 0, 1), y))
    assert {"x = 101", "sends bin 11", f"y = {''.join(map(str, y))}", taken} <= shown
    assert sorted(text for text in shown if "from y" in text) == ["1 bit from y", "2 bits from y"]


def test_a_word_of_no_bin_is_refused():
    with pytest.raises(NDICError, match="no bin contains 110"):
        bins_of_words(BINS, (1, 1, 0), (1, 1, 1))


def test_every_rate_has_an_image_and_its_error():
    x = torch.rand(3, 32, 64)
    rows = [{"bytes": size, "x_hat": (x + step).clamp(0, 1)} for size, step in ((90, 0.2), (1200, 0.0))]
    figure = rates_strip(x, rows)
    assert {"90 bytes", "1,200 bytes"} <= texts(figure)
    errors = [axis.images[0].get_array().max() for axis in figure.axes[2:4]]
    assert errors[0] > 10
    assert errors[1] == 0
    with pytest.raises(NDICError, match="a round trip for each rate"):
        rates_strip(x, [])

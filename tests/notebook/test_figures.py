"""Figures carry their alt text in the output itself; sentences show computed numbers."""

import re
from base64 import b64decode
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from PIL import Image

from ndic_core.errors import NDICError
from ndic_core.notebook.figures import Described, note, show


@pytest.fixture(autouse=True)
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def shown(call):
    with capture_output() as captured:
        call()
    (output,) = captured.outputs
    return output.data


def test_a_figure_has_its_description_and_all_its_pixels():
    figure = Figure((2, 1), dpi=50)
    figure.subplots().plot([1, 3, 2])
    data = shown(lambda: show(figure, 'one "curve",\n    a < b'))
    alt = re.search(r' alt="([^"]*)"', data["text/html"])[1]
    assert unescape(alt) == data["text/plain"] == 'one "curve", a < b'
    png = b64decode(re.search(r"base64,([^\"]+)", data["text/html"])[1])
    with Image.open(BytesIO(png)) as image:
        assert image.size == (100, 50)
        buffer = BytesIO()
        figure.savefig(buffer, format="png")
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(buffer).convert("RGB")))


@pytest.mark.parametrize(("figure", "alt", "named"), [(3, "a curve", "no figure"), (Figure(), " ", "alt is empty")])
def test_what_is_no_figure_or_has_no_description_is_refused(figure, alt, named):
    with pytest.raises(NDICError, match=named):
        Described(figure, alt)


def test_a_note_shows_computed_values():
    data = shown(lambda: note("{saving:.0%} fewer bytes, $x_{{1}}$, {rows[0]}", saving=0.256, rows=["a"]))
    assert data["text/markdown"] == data["text/plain"] == "26% fewer bytes, $x_{1}$, a"


@pytest.mark.parametrize(
    ("text", "values", "named"),
    [
        ("{saving:.0%} fewer", {}, "no value for saving"),
        ("fewer bytes", {"saving": 0.2}, "does not show saving"),
        ("{saving:.0%} fewer", {"saving": "much"}, "does not fit"),
    ],
)
def test_a_note_that_does_not_fit_its_values_is_refused(text, values, named):
    with pytest.raises(NDICError, match=named):
        note(text, **values)

"""Controls redraw figures, and a click moves two sliders."""

import subprocess
import sys
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from ipywidgets import Dropdown, FloatSlider, Text, Widget, fixed
from matplotlib.figure import Figure
from PIL import Image

from ndic_core.errors import NDICError
from ndic_core.notebook.widgets import ClickImage, explore


@pytest.fixture(autouse=True)
def closed():
    yield
    Widget.close_all()


@pytest.fixture
def calls():
    """What `draw` was called with, by each call."""
    return []


@pytest.fixture
def draw(calls):
    def draw(noise=0.5, scene=1, pair=1):
        calls.append((noise, scene))
        return Figure()

    return draw


def test_a_control_redraws_the_figure(draw, calls):
    explorer = explore(draw, noise=(0.0, 1.0), scene=[1, 2, 3], pair=fixed("any"))
    noise, scene, _ = explorer.children
    noise.value = 0.7
    scene.value = 2
    assert calls == [(0.5, 1), (0.7, 1), (0.7, 2)]
    assert isinstance(explorer.result, Figure)


def test_controls_have_labels_and_report_when_released(draw):
    own = FloatSlider(0.2, min=0, max=1, description="noise of the sensor")
    explorer = explore(draw, noise=own, scene=Text("a"), pair=Dropdown(options=[1, 2]))
    controls = explorer.children[:-1]
    assert [control.description for control in controls] == ["noise of the sensor", "scene", "pair"]
    assert [control.continuous_update for control in controls[:2]] == [False, False]
    assert len({(control.style.description_width, control.layout.width) for control in controls}) == 1
    assert repr(explorer) == "[explorer of noise of the sensor, scene, pair: run to move it]"


def test_figures_of_pyplot_are_closed():
    explore(lambda n: plt.figure(), n=(1, 3))
    assert plt.get_fignums() == []


def test_a_click_moves_the_sliders_and_draws_once(calls):
    place = ClickImage(torch.rand(3, 40, 60), row=3, column=5, description="noise")
    explore(lambda place: calls.append(place) or Figure(), place=place)
    image = place.children[0]
    image.value = (30, 50)  # what a click in the browser does
    assert (place.row.value, place.column.value) == (30, 50)
    place.row.value = 7
    place.column.value = 8
    assert image.value == (7, 8)
    assert calls == [(3, 5), (30, 50), (7, 50), (7, 8)]


def test_the_image_is_shown_without_changes():
    pixels = torch.rand(3, 4, 6)
    place = ClickImage(pixels * 2 - 0.5, description="noise")  # beyond [0, 1] is clipped
    assert (place.row.max, place.column.max) == (3, 5)
    assert place.value == (2, 3)
    assert place.children[0].description == "noise"
    shown = np.asarray(Image.open(BytesIO(place.children[0].png)).convert("RGB"))
    assert np.abs(shown / 255 - (pixels * 2 - 0.5).clamp(0, 1).permute(1, 2, 0).numpy()).max() < 1 / 255


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (dict(image=np.zeros((4, 6, 3))), r"shape \(3, H, W\), not \(4, 6, 3\)"),
        (dict(image=np.zeros((3, 4, 6)), row=4), r"\(4, 3\) is outside an image of 4 rows and 6 columns"),
    ],
)
def test_invalid_images_and_pixels_are_rejected(arguments, reason):
    with pytest.raises(NDICError, match=reason):
        ClickImage(**arguments)


def test_the_package_needs_no_widgets():
    hide = "import sys; sys.modules |= dict.fromkeys(['anywidget', 'ipywidgets', 'IPython'])"
    use = "import ndic_core; ndic_core.MODELS; import ndic_core.plots.panels"
    subprocess.run([sys.executable, "-c", f"{hide}\n{use}"], check=True)

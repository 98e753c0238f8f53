"""Controls redraw figures, and a click moves two sliders."""

import subprocess
import sys
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from ipywidgets import Dropdown, FloatLogSlider, FloatRangeSlider, FloatSlider, Text, Widget, fixed
from matplotlib.figure import Figure
from PIL import Image

from ndic_core.errors import NDICError
from ndic_core.notebook import widgets
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


def test_the_figure_is_described_with_the_settings(draw, monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", shown.append)
    explorer = explore(draw, {"noise": "noise, variance"}, "a street", noise=(0.0, 1.0), scene=[1, 2], pair=fixed([7]))
    explorer.children[1].value = 2
    assert [described.alt for described in shown] == [f"a street (noise, variance 0.5, scene {n})" for n in (1, 2)]
    assert shown[-1].figure is explorer.result


def test_controls_have_labels_and_report_when_released(draw):
    own = FloatSlider(0.2, min=0, max=1, description="noise of the sensor")
    explorer = explore(draw, noise=own, scene=Text("a"), pair=Dropdown(options=[1, 2]))
    controls = explorer.children[:-1]
    assert [control.description for control in controls] == ["noise of the sensor", "scene", "pair"]
    assert [control.continuous_update for control in controls[:2]] == [False, False]
    assert len({(control.style.description_width, control.layout.width) for control in controls}) == 1
    assert repr(explorer) == "[explorer of noise of the sensor, scene, pair: run to move it]"


def test_labels_have_units_and_replace_names(draw):
    explorer = explore(draw, {"noise": "noise, variance"}, noise=(0.0, 1.0), scene=[1, 2], pair=fixed("any"))
    assert [control.description for control in explorer.children[:-1]] == ["noise, variance", "scene"]
    assert repr(explorer) == "[explorer of noise, scene: run to move it]"


@pytest.mark.parametrize(
    ("start", "slider", "shown"),
    [(0.008, (0.0, 0.04, 0.004), ".3f"), (2.0, (0.0, 4.0, 0.25), ".2f"), (2.0, (0.0, 4.0, 1.0), ".0f")],
)
def test_numbers_have_the_decimals_of_the_step(start, slider, shown):
    (control, _) = explore(lambda noise=start: Figure(), noise=slider).children
    assert control.readout_format == shown


def test_ranges_of_numbers_are_exact_too():
    seen = []
    control = FloatRangeSlider(value=(-0.3, 0.3), min=-0.6, max=0.6, step=0.15)
    explore(lambda part: seen.append(str(part)) or Figure(), part=control)
    control.value = (-2.8e-17, 0.1 + 0.2)
    assert control.readout_format == ".2f"
    assert seen == ["(-0.3, 0.3)", "(0.0, 0.3)"]


@pytest.mark.parametrize("make", [lambda: FloatSlider(0.2, step=None), lambda: FloatLogSlider(0.2)])
def test_other_sliders_keep_their_format(make):
    before = make().readout_format
    (control, _) = explore(lambda n: Figure(), n=make()).children
    assert control.readout_format == before


@pytest.mark.parametrize(("moved", "expected"), [(-2.8e-17, "0.0"), (-0.0, "0.0"), (0.1 + 0.2, "0.3")])
def test_values_have_no_rounding_errors_and_zero_has_no_sign(moved, expected):
    seen = []
    control = FloatSlider(0.2, min=-0.5, max=0.5, step=0.1)
    explore(lambda noise: seen.append(str(noise)) or Figure(), noise=control)
    control.value = moved
    assert seen == ["0.2", expected]


def test_the_explorer_is_busy_while_a_figure_is_drawn(capfd):
    busy, made = [], []

    def draw(n=1):
        busy.append(made[0]._page.busy if made else None)
        if n == 2:
            raise ZeroDivisionError
        return Figure()

    made.append(explore(draw, n=(1, 3)))
    for value in (2, 3):
        made[0].children[0].value = value
        assert made[0]._page.busy is False
    assert busy == [None, True, True]


def test_figures_of_pyplot_are_closed():
    plt.figure(7)  # of the notebook
    explore(lambda n: plt.figure(), n=(1, 3))
    explore(lambda n: (plt.figure(), Figure())[1], n=(1, 3))  # another one is returned

    def fails(n):
        plt.figure()
        raise ValueError

    explore(fails, n=(1, 3))
    assert plt.get_fignums() == [7]
    plt.close(7)


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


def test_controls_are_beside_the_image():
    place = ClickImage(torch.rand(3, 40, 60), description="noise", cell=(20, 30))
    explorer = explore(lambda place, layer: Figure(), {"layer": "layer, from 0"}, layer=(0, 9), place=place)
    explore(lambda place: Figure(), place=place)  # an image of two explorers
    image, column = explorer.children[0].children
    assert image is place.children[0]
    assert image.cell == (20, 30)
    assert [control.description for control in column.children] == ["row, pixels", "column, pixels", "layer, from 0"]
    assert len({(control.style.description_width, control.layout.width) for control in column.children}) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_image_is_shown_without_changes(dtype):
    pixels = torch.rand(3, 4, 6).to(dtype).requires_grad_()
    place = ClickImage(pixels * 2 - 0.5, description="noise")  # beyond [0, 1] is clipped
    assert (place.row.max, place.column.max) == (3, 5)
    assert place.value == (2, 3)
    assert place.children[0].description == "noise"
    shown = np.asarray(Image.open(BytesIO(place.children[0].png)).convert("RGB"))
    expected = (pixels.detach() * 2 - 0.5).clamp(0, 1).permute(1, 2, 0).float().numpy()
    assert np.abs(shown / 255 - expected).max() < 1 / 255


def test_an_image_of_any_floating_type_can_be_clicked_on():
    image = torch.rand(3, 4, 6)
    expected = ClickImage(image.bfloat16().float()).children[0].png
    assert ClickImage(image.bfloat16().requires_grad_()).children[0].png == expected
    assert ClickImage(image.bfloat16().double().numpy()).children[0].png == expected


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


@pytest.mark.parametrize(
    "arguments", [dict(row=3.5, column=4.0), dict(row="3"), dict(column=[1]), dict(cell=8), dict(cell=(-1, 4))]
)
def test_numbers_of_an_image_to_click_on_are_whole(arguments):
    with pytest.raises(NDICError, match=r"^(row|column|cell)=.* must be .*whole number"):
        ClickImage(torch.rand(3, 4, 6), **arguments)


@pytest.mark.parametrize("kind", [np.int64, torch.tensor])
def test_numbers_of_an_image_may_be_those_of_numpy_and_pytorch(kind):
    place = ClickImage(torch.rand(3, 4, 6), kind(1), kind(2), cell=[kind(2), kind(3)])
    assert (place.value, place.children[0].cell) == ((1, 2), (2, 3))


@pytest.mark.parametrize("control", [(3, 1), (1, 3, 0), (1, "b"), (1, 2, 3, 4), object(), None])
def test_what_makes_no_control_is_named(control):
    with pytest.raises(NDICError, match=r"^n=.* is no control: give \(low, high, step\)"):
        explore(lambda n=2: Figure(), n=control)


@pytest.mark.parametrize(
    ("draw", "controls", "reason"),
    [
        (lambda n: Figure(), dict(), "missing a required argument: 'n'"),
        (lambda n: Figure(), dict(n=(1, 3), m=(1, 3)), "unexpected keyword argument 'm'"),
        (Figure(), dict(n=(1, 3)), "not a callable object"),
    ],
)
def test_controls_have_the_names_of_the_arguments(draw, controls, reason):
    with pytest.raises(NDICError, match=f"controls are not those of this figure .*{reason}"):
        explore(draw, **controls)


def test_a_function_may_accept_any_control_and_explorers_may_share_labels():
    explorer = explore(lambda **values: Figure(), {"n": "number", "m": "of another explorer"}, n=(1, 3))
    assert [control.description for control in explorer.children[:-1]] == ["number"]

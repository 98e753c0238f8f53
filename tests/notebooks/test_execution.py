"""Every lesson runs, and nothing in it breaks when its widgets are moved."""

import nbformat
import numpy as np
import pytest
from ipywidgets import Checkbox, Dropdown, FloatRangeSlider, IntSlider, SelectMultiple, Widget
from nbformat.v4 import new_code_cell, new_notebook
from notebook_poke import poke
from notebook_runs import validate

from build import HERE
from ndic_core.notebook.widgets import ClickImage

LESSONS = sorted(HERE.glob("[0-9_]*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_runs_and_every_widget_moves(path, tmp_path):
    result = validate(tmp_path, copy=nbformat.read(path, as_version=4))
    assert result.returncode == 0, result.stdout + result.stderr


def small(*lines: str):
    """A notebook of one cell that needn't wait for PyTorch to load."""
    imports = ["from ipywidgets import Button", "from matplotlib.figure import Figure"]
    return new_notebook(cells=[new_code_cell("\n".join([*imports, *lines]), execution_count=1)])


def test_exceptions_in_callbacks_are_found(tmp_path):
    wired = "from ndic_core.notebook.widgets import explore; explore(draw, n=(1, 3))"
    result = validate(
        tmp_path,
        at_the_end=small("def draw(n=2): return Figure(figsize=(1 / (3 - n), 1))", wired),
        at_once=small("def draw(n=2): return 1 / 0", wired),
        button=small("b = Button(); b.on_click(lambda _: 1 / 0); b"),
    )
    failed = [line.split(" - ")[0] for line in result.stdout.splitlines() if line.startswith("FAILED")]
    # Cell 1 is the one that moves the widgets.
    expected = ["at_once.ipynb::Cell 0", "at_once.ipynb::Cell 1", "at_the_end.ipynb::Cell 1", "button.ipynb::Cell 1"]
    assert failed == [f"FAILED {name}" for name in expected], result.stdout


@pytest.mark.parametrize(
    ("make", "visited"),
    [
        (lambda: IntSlider(4, 1, 9), [1, 9, 4]),
        (lambda: FloatRangeSlider(value=(2, 3), min=1, max=9), [(1, 1), (1, 9), (9, 9), (2, 3)]),
        (lambda: Dropdown(options=[("a", 1), ("b", 2), ("c", 3)], value=2), [1, 3, 2]),
        (lambda: SelectMultiple(options="abc", index=(1,)), [("a",), ("c",), ("b",)]),
        (lambda: Checkbox(False), [True, False]),
        (lambda: IntSlider(4, 1, 9, disabled=True), []),
        (lambda: ClickImage(np.zeros((3, 5, 7))), [(0, 3), (4, 3), (2, 3), (2, 0), (2, 6), (2, 3)]),
    ],
    ids=["slider", "range", "choice", "choice of several", "box", "disabled", "picture"],
)
def test_every_kind_of_widget_is_moved(make, visited):
    seen = []
    widget = make()
    widget.observe(lambda change: seen.append(change.new), "value")
    poke()
    Widget.close_all()
    assert seen == visited

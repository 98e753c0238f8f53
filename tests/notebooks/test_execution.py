"""Every notebook is executed once, and every widget in it moves without an error."""

from pathlib import Path

import nbformat
import notebook_poke
import numpy as np
import pytest
from build import HERE, execute, text_of
from ipywidgets import Checkbox, Dropdown, FloatRangeSlider, IntSlider, SelectMultiple, Widget
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook

from ndic_core.notebook.widgets import ClickImage, explore

LESSONS = sorted(HERE.glob("[0-9_]*.ipynb"))  # also the template
POKE = Path(notebook_poke.__file__).read_text(encoding="utf-8") + "\n\npoke()"


RESET = "%reset -f"  # forgets every name: solutions must import and define what they use


@pytest.fixture
def execute_and_poke(tmp_path, monkeypatch):
    """Execute a notebook, move every widget, then execute further cells; returns what must not be committed."""
    # Another test process runs at the same time, and two threads that wait for each other on one core are slow.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def execute_and_poke(notebook, further=()):
        notebook.cells += [new_code_cell(POKE), *further]
        return execute(notebook, tmp_path)

    return execute_and_poke


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_and_solutions_run_and_every_widget_moves(path, execute_and_poke):
    """One kernel executes both, which saves a start. Cells tagged `nbval-check-output` print what is committed."""
    committed, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    solutions = path.parent / "solutions" / path.name
    further = nbformat.read(solutions, as_version=4).cells if solutions.exists() else []
    assert execute_and_poke(notebook, [new_code_cell(RESET), *further]) == []
    for before, now in zip(committed.cells, notebook.cells, strict=False):
        if "nbval-check-output" in before.metadata.get("tags", []):
            assert [*map(text_of, now.outputs)] == [*map(text_of, before.outputs)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("explore(lambda n=2: Figure(figsize=(1 / (3 - n), 1)), n=(1, 3))", ["a widget"]),
        ("explore(lambda n=2: Figure(figsize=(1 / 0, 1)), n=(1, 3))", ["a widget"] * 4),
        ("button = Button(); button.on_click(lambda _: 1 / 0)", ["cell 2"]),
    ],
    ids=["at one end", "everywhere", "button"],
)
def test_exceptions_in_callbacks_are_found(cell, found, execute_and_poke):
    imports = "from ipywidgets import Button; from matplotlib.figure import Figure\n"
    imports += "from ndic_core.notebook.widgets import explore\n"
    problems = execute_and_poke(new_notebook(cells=[new_code_cell(imports + cell)]))
    assert problems == [f"{place} ends in ZeroDivisionError: division by zero" for place in found]


@pytest.mark.parametrize(("inches", "reported"), [(7, ""), (8, "[explorer of n: run to move it] is 672 pixels tall\n")])
def test_explorers_too_tall_for_a_laptop_are_reported(inches, reported, capsys):
    """Also those that are too tall only at the end of a slider."""
    explore(lambda n: Figure((4, inches if n == 3 else 1), dpi=80), n=(1, 3))
    notebook_poke.poke()
    Widget.close_all()
    assert capsys.readouterr().err == reported


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
    ids=["slider", "range", "choice", "multiple choice", "checkbox", "disabled", "image"],
)
def test_every_kind_of_widget_is_moved(make, visited):
    seen = []
    widget = make()
    widget.observe(lambda change: seen.append(change.new), "value")
    notebook_poke.poke()
    Widget.close_all()
    assert seen == visited

"""Every notebook has the parts that a reader expects, and nothing that should not be committed."""

import ast
import itertools
import re
from functools import cache
from hashlib import sha256

import nbformat
import pytest
from build import (
    EXERCISES,
    HERE,
    LESSONS,
    NOTEBOOKS,
    exercise_index,
    figures_of,
    repository,
    text_of,
    thumbnail_figure,
    thumbnail_path,
    thumbnail_source,
    unwanted,
)

TEMPLATE = HERE / "_template.ipynb"
LARGEST = 1_500_000  # bytes that web viewers open without a pause

read = cache(lambda path: nbformat.read(path, as_version=4))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
every_lesson = pytest.mark.parametrize("path", [TEMPLATE, *LESSONS], ids=lambda path: path.stem)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def text(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


@every_notebook
def test_saved_by_make_notebooks(path):
    """Valid, with unique ids and bare metadata, executed in order, and not too large."""
    notebook = read(path)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata == read(TEMPLATE).metadata
    assert [cell.id for cell in notebook.cells if set(cell.metadata) - {"tags"}] == []
    assert [cell.execution_count for cell in code(path)] == list(range(1, len(code(path)) + 1))
    assert path.stat().st_size <= LARGEST, "use fewer or smaller figures"


@every_notebook
def test_outputs_have_no_errors_warnings_paths_or_addresses(path):
    assert list(unwanted(read(path))) == []


@every_notebook
def test_setup_cell_is_the_templates_and_shows_versions(path):
    assert code(path)[0].source == code(TEMPLATE)[0].source
    assert code(path)[0].outputs


@every_notebook
def test_code_cells_have_at_most_25_lines(path):
    assert [cell.execution_count for cell in code(path) if cell.source.count("\n") >= 25] == []


@every_notebook
def test_images_have_alt_text_and_figures_have_captions(path):
    outputs = [output for cell in code(path) for output in cell.outputs]
    assert [output for output in outputs if "image/png" in output.get("data", {})] == [], "use show(figure, alt)"
    alts = re.findall(r'<img [^>]*alt="([^"]*)"', str([output.get("data") for output in outputs]))
    assert [alt for alt in alts if len(alt) < 40] == []
    assert not re.search(r"!\[\s*\]|<img(?![^>]*\balt=)", text(path))
    cells = read(path).cells
    followed = zip(cells, [*cells[1:], None], strict=True)
    bare = [cell for cell, after in followed if figures_of(cell) and (after is None or after.cell_type != "markdown")]
    assert [cell.execution_count for cell in bare] == []


@every_lesson
def test_lesson_begins_with_title_duration_badge_goals_and_setup(path):
    first, second, third = read(path).cells[:3]
    badge = f"(https://colab.research.google.com/github/{repository()}/blob/main/notebooks/{path.name})"
    assert first.source.startswith("# ")
    assert re.search(r"\d+ (minutes?|hours?)\b", first.source)
    assert badge in first.source
    assert "After this notebook you can" in second.source
    assert len(re.findall(r"^- \*\*\w+\*\*", second.source, re.MULTILINE)) == 3
    assert third is code(path)[0]
    assert f"https://github.com/{repository()} " in third.source


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_main_path_is_short(path):
    """An appendix, after the references, has no limit."""
    cells = list(itertools.takewhile(lambda cell: not cell.source.startswith("## Appendix"), read(path).cells))
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    assert len(cells) <= 35
    assert words <= 2_600


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_language_is_plain(path):
    outputs = [text_of(output) for cell in code(path) for output in cell.outputs]
    found = re.findall(
        r"\b(?:pictures?|learnt|dear(?:er|est)?|knobs?|whoever|\w+n't)\b", "\n".join([text(path), *outputs])
    )
    assert found == []


def test_the_map_states_the_minutes_of_the_headers():
    rows = re.findall(r"^\| (\d\d) \|.*\| (\d+) \|$", text(LESSONS[0]), re.MULTILINE)
    headers = {path.name[:2]: re.search(r"\*\*Time:\*\*.*?(\d+) minutes?", text(path))[1] for path in LESSONS}
    assert dict(rows) == headers


@every_lesson
def test_lesson_asks_asserts_and_ends_with_summary(path):
    predictions = [cell.source for cell in read(path).cells if re.match(r"#+ Predict", cell.source)]
    assert any("?" in source for source in predictions)
    assert any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in code(path))
    wanted = ["What you should have seen", "Exercises", "Summary", "References"]
    assert [heading for heading in re.findall(r"^#+ (.+)$", text(path), re.MULTILINE) if heading in wanted] == wanted


@every_lesson
def test_explorers_follow_a_strip(path):
    """A reader on the web, who cannot move an explorer, sees what it shows.

    A cell tagged "strip" shows several settings of the explorer that follows.
    """
    missing, strip = [], False
    for cell in code(path)[1:]:
        strip |= "strip" in cell.metadata.get("tags", []) and len(figures_of(cell)) > 0
        last = getattr(ast.parse(cell.source).body[-1], "value", None)
        if isinstance(last, ast.Call) and ast.unparse(last.func) == "explore":
            if not strip:
                missing.append(f"cell {cell.execution_count} explores {ast.unparse(last.args[0])}")
            strip = False
    assert missing == []


@every_lesson
def test_lesson_has_a_thumbnail_and_solutions(path):
    figure = thumbnail_figure(read(path))
    assert figure is not None, "tag one cell with one figure as thumbnail"
    if path in LESSONS:
        assert thumbnail_source(thumbnail_path(path)) == sha256(figure).hexdigest(), "run `make notebooks`"
        assert (HERE / "solutions" / path.name).exists()


def test_the_index_of_exercises_is_current():
    assert EXERCISES.read_text(encoding="utf-8") == exercise_index(LESSONS)


def test_the_readme_shows_every_lesson():
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    for path in LESSONS:
        assert f"](notebooks/{path.name})" in readme
        assert re.search(rf'<img src="notebooks/thumbnails/{path.stem}.png" [^>]*alt="[^"]{{20,}}"', readme)


@pytest.mark.parametrize(
    "output",
    [
        dict(name="stderr", text="loading"),
        dict(text="saved in /home/somebody/image.png"),
        dict(text="a.py:3: FutureWarning: soon"),
        dict(text="<function draw at 0x7f0123456789>"),
        dict(output_type="error", ename="ValueError", evalue="no", traceback=[]),
    ],
    ids=lambda output: output.get("text", "error"),
)
def test_unwanted_outputs_are_found(output):
    cell = {"outputs": [{"output_type": "stream", "name": "stdout", "text": ""} | output]}
    assert len(list(unwanted(nbformat.from_dict({"cells": [cell]})))) == 1

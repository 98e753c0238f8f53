"""Every notebook has the parts that a reader expects, and nothing in it that shouldn't be committed.

A check takes a notebook and its path and tells what is wrong; each is also seen to find what it looks for.
"""

import ast
import re
from collections import Counter
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import nbformat
import pytest

from build import (
    EXERCISES,
    HERE,
    LESSONS,
    NOTEBOOKS,
    exercise_index,
    repository,
    thumbnail_figure,
    thumbnail_path,
    thumbnail_source,
    unwanted,
)

TEMPLATE = HERE / "_template.ipynb"
LARGEST = 1_500_000  # bytes: what the viewers on the web open without a pause


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def pictures(cell):
    return [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


# What holds for solutions, too.


def ids_are_unique(notebook, path):
    for name, count in Counter(cell.id for cell in notebook.cells).items():
        if count > 1:
            yield f"{count} cells have the id {name}"


def metadata_is_bare(notebook, path):
    if notebook.metadata != read(TEMPLATE).metadata:
        yield f"metadata other than the template's: {dict(notebook.metadata)}; `make notebooks` sets them"
    for cell in notebook.cells:
        if set(cell.metadata) - {"tags"}:
            yield f"cell {cell.id} has metadata {dict(cell.metadata)}; `make notebooks` removes them"


def setup_is_the_same(notebook, path):
    if code(notebook)[0].source != code(read(TEMPLATE))[0].source:
        yield "the first code cell is not the template's setup cell"


def was_run_in_order(notebook, path):
    counts = [cell.execution_count for cell in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"cells were run as {counts}; `make notebooks` runs them all in order"
    if not code(notebook)[0].outputs:
        yield "the setup cell shows no versions"


def outputs_are_clean(notebook, path):
    yield from unwanted(notebook)


def cells_are_short(notebook, path):
    for cell in code(notebook):
        if (lines := cell.source.count("\n") + 1) > 25:
            yield f"code cell {cell.execution_count} has {lines} lines, 25 at most"


def file_is_light(notebook, path):
    if (size := len(nbformat.writes(notebook).encode())) > LARGEST:
        yield f"{size / 1e6:.1f} MB, {LARGEST / 1e6:g} at most: fewer or smaller figures"


def links_resolve(notebook, path):
    for target in re.findall(r"\]\(([^)\s]+)", "\n".join(text(notebook))):
        if not re.match(r"https?://|mailto:|#", target) and not (path.parent / target.split("#")[0]).exists():
            yield f"the link {target} leads nowhere"


def pictures_are_described(notebook, path):
    if re.search(r"!\[\s*\]|<img(?![^>]*\balt=)", "\n".join(text(notebook))):
        yield "a picture in the text has no alt text"
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if pictures(cell) and (following is None or following.cell_type != "markdown"):
            yield f"no words after the figure of cell {cell.execution_count}"


# What makes a lesson.


def begins_with_title(notebook, path):
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell is not a title"
    if not re.search(r"\d+ (minutes?|hours?)\b", first.source):
        yield "the first cell doesn't tell how long it takes"


def badge_leads_here(notebook, path):
    target = f"https://colab.research.google.com/github/{repository()}/blob/main/notebooks/{path.name}"
    if f"({target})" not in notebook.cells[0].source:
        yield f"the first cell has no badge that leads to {target}"
    if f"https://github.com/{repository()} " not in code(notebook)[0].source:
        yield f"the setup cell doesn't clone {repository()}"


def promises_three_verbs(notebook, path):
    second = notebook.cells[1].source
    if "After this notebook you can" not in second or len(re.findall(r"^- \*\*\w+\*\*", second, re.MULTILINE)) != 3:
        yield "the second cell is not 'After this notebook you can' with three points, each '- **verb** …'"


def sets_up_early(notebook, path):
    if notebook.cells[2].cell_type != "code":
        yield "the third cell is not the setup cell"


def asks_to_predict(notebook, path):
    if not any(re.match(r"#+ Predict", source) and "?" in source for source in text(notebook)):
        yield "no cell '## Predict' with a question"


def asserts(notebook, path):
    if not any(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in code(notebook)):
        yield "nothing is asserted"


def shows_a_figure(notebook, path):
    if not any(pictures(cell) for cell in notebook.cells):
        yield "no static figure: who can't run it sees nothing"


def explorers_have_a_still_twin(notebook, path):
    """Who reads on the web loses the movement, not the insight: what an explorer draws was drawn before, and kept."""
    drawn, calls = set(), {}
    for cell in code(notebook)[1:]:
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                calls[node.name] = {ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
        last = getattr(tree.body[-1], "value", None)
        if not isinstance(last, ast.Call):
            continue
        name = ast.unparse(last.func)
        if name == "explore":
            explored = ast.unparse(last.args[0])
            if not drawn & {explored, *calls.get(explored, ())}:
                yield f"cell {cell.execution_count} explores {explored}, of which no figure was shown before"
        elif pictures(cell):
            drawn.add(name)


def has_a_thumbnail(notebook, path):
    figure = thumbnail_figure(notebook)
    if figure is None:
        yield "not one cell with one figure has the tag thumbnail"
    elif path in LESSONS and thumbnail_source(thumbnail_path(path)) != sha256(figure).hexdigest():
        yield f"thumbnails/{path.stem}.png was not made of its figure: run `make notebooks`"


def ends_as_promised(notebook, path):
    headings = re.findall(r"^#+ (.+)$", "\n".join(text(notebook)), re.MULTILINE)
    wanted = ["What you should have seen", "Exercises", "Summary", "References"]
    if [heading for heading in headings if heading in wanted] != wanted:
        yield f"the headings {', '.join(wanted)} are not all there, in this order"


def has_solutions(notebook, path):
    number = path.name.split("_")[0]
    if number and not list((HERE / "solutions").glob(f"{number}_*.ipynb")):
        yield f"solutions/ has no notebook {number}"


GENERAL = [
    ids_are_unique,
    metadata_is_bare,
    setup_is_the_same,
    was_run_in_order,
    outputs_are_clean,
    cells_are_short,
    file_is_light,
    links_resolve,
    pictures_are_described,
]
LESSON = [
    begins_with_title,
    badge_leads_here,
    promises_three_verbs,
    sets_up_early,
    asks_to_predict,
    asserts,
    shows_a_figure,
    explorers_have_a_still_twin,
    has_a_thumbnail,
    ends_as_promised,
    has_solutions,
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_notebook_is_in_order(path):
    notebook = read(path)
    nbformat.validate(notebook)
    checks = GENERAL + LESSON if path.parent == HERE else GENERAL
    assert [problem for check in checks for problem in check(notebook, path)] == []


def output(**content):
    return nbformat.from_dict([{"output_type": "stream", "name": "stdout", "text": ""} | content])


def with_output(**content):
    return lambda notebook: code(notebook)[1].update(outputs=output(**content))


def without(pattern, count=0):
    """Take words out of every text and every line of code."""

    def change(notebook):
        for cell in notebook.cells:
            cell.source = re.sub(pattern, "", cell.source, count=count)

    return change


FLAWS = [
    (ids_are_unique, lambda n: n.cells[3].update(id=n.cells[4].id)),
    (metadata_is_bare, lambda n: n.metadata.update(widgets={})),
    (metadata_is_bare, lambda n: n.metadata.language_info.update(version="3.11.7")),
    (metadata_is_bare, lambda n: n.cells[2].metadata.update(execution={})),
    (setup_is_the_same, lambda n: code(n)[0].update(source="from ndic_core.notebook.setup import start\nstart()")),
    (was_run_in_order, lambda n: code(n)[1].update(execution_count=7)),
    (was_run_in_order, lambda n: code(n)[-1].update(execution_count=None)),
    (was_run_in_order, lambda n: code(n)[0].update(outputs=[])),
    (outputs_are_clean, with_output(name="stderr", text="loading")),
    (outputs_are_clean, with_output(text="saved in /home/somebody/picture.png")),
    (outputs_are_clean, with_output(text="saved in C:\\pictures")),
    (outputs_are_clean, with_output(text="a.py:3: FutureWarning: soon")),
    (outputs_are_clean, with_output(text="Traceback (most recent call last):")),
    (outputs_are_clean, with_output(text="<function draw at 0x7f0123456789>")),
    (outputs_are_clean, with_output(output_type="error", ename="ValueError", evalue="no", traceback=[])),
    (cells_are_short, lambda n: code(n)[1].update(source="x = 1\n" * 26)),
    (file_is_light, with_output(text="x" * LARGEST)),
    (links_resolve, lambda n: n.cells[1].update(source="[there](../nowhere.md#part)")),
    (pictures_are_described, lambda n: n.cells[1].update(source="![](https://example.org/a.png)")),
    (pictures_are_described, lambda n: n.cells[1].update(source='<img src="a.png">')),
    (pictures_are_described, lambda n: n.cells.remove(next(c for c in n.cells if c.source.startswith("*Four")))),
    (begins_with_title, without("^# ")),
    (begins_with_title, without("minutes")),
    (begins_with_title, lambda n: n.cells.pop(0)),
    (badge_leads_here, without("_template.ipynb")),
    (badge_leads_here, without(re.escape(repository()), count=1)),
    (badge_leads_here, without(f"github.com/{re.escape(repository())}")),
    (promises_three_verbs, without("you can")),
    (promises_three_verbs, lambda n: n.cells[1].update(source=n.cells[1].source + "\n- **see** more")),
    (sets_up_early, lambda n: n.cells.insert(2, n.cells[3])),
    (asks_to_predict, without("Predict")),
    (asks_to_predict, without(r"\?")),
    (asserts, without("assert ")),
    (shows_a_figure, lambda n: [cell.update(outputs=[]) for cell in code(n)]),
    (explorers_have_a_still_twin, lambda n: [cell.update(outputs=[]) for cell in code(n)]),
    (explorers_have_a_still_twin, without(r"(?<=explore\()dr")),
    (has_a_thumbnail, lambda n: [cell.metadata.update(tags=[]) for cell in n.cells]),
    (has_a_thumbnail, lambda n: [cell.metadata.update(tags=["thumbnail"]) for cell in n.cells]),
    (has_a_thumbnail, lambda n: [cell.update(outputs=[]) for cell in code(n)]),
    (ends_as_promised, without("What you should have seen")),
    (ends_as_promised, without("Exercises")),
    (ends_as_promised, lambda n: n.cells.reverse()),
]


@pytest.mark.parametrize(("check", "change"), FLAWS, ids=lambda value: getattr(value, "__name__", ""))
def test_flaws_are_found(check, change):
    notebook = read(TEMPLATE)
    assert list(check(notebook, TEMPLATE)) == []
    broken = deepcopy(notebook)
    change(broken)
    assert list(check(broken, TEMPLATE)) != []


def test_a_thumbnail_of_another_figure_is_found(tmp_path):
    lesson = LESSONS[0]
    assert list(has_a_thumbnail(read(lesson), lesson)) == []
    assert list(has_a_thumbnail(read(LESSONS[1]), lesson)) != []


def test_the_index_of_exercises_is_current():
    assert EXERCISES.read_text(encoding="utf-8") == exercise_index(LESSONS)


def test_the_readme_shows_every_lesson():
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    for path in LESSONS:
        assert f"](notebooks/{path.name})" in readme
        assert re.search(rf'<img src="notebooks/thumbnails/{path.stem}.png" [^>]*alt="[^"]{{20,}}"', readme)


def test_missing_solutions_are_found():
    assert list(has_solutions(read(TEMPLATE), Path("99_topic.ipynb"))) != []


def test_every_check_is_seen_to_find_something():
    assert {check for check, _ in FLAWS} == {*GENERAL, *LESSON} - {has_solutions}

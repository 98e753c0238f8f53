"""The editions for a course: students get no answers and no missing names, instructors get every solution."""

import ast
import builtins
from pathlib import Path

import nbformat
import pytest
from build import LESSONS
from editions import SEEN, instructor, student, write_editions


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param


def undefined(cells):
    """Names that code cells read and none of them defines."""
    read, defined = set(), {"sys"}  # imported by the set-up cell
    for cell in cells:
        code = "" if "google.colab" in cell.source else cell.source
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else defined).add(node.id)
            elif isinstance(node, ast.alias):
                defined.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.ExceptHandler):
                defined.add(node.name)
    return read - defined - {"start", "device"} - set(dir(builtins))


def test_students_get_no_answers(lesson):
    whole, edition = nbformat.read(lesson, as_version=4), student(nbformat.read(lesson, as_version=4))
    nbformat.validate(edition)
    text = "\n".join(cell.source for cell in edition.cells)
    assert "](solutions/" not in text
    assert SEEN not in text
    assert "## Exercises" in text
    assert "## Summary" in text
    code = [cell for cell in edition.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert undefined(code) == set()
    to_write = [
        cell for cell in whole.cells if "NotImplementedError" in cell.source or "answer_2 = None" in cell.source
    ]
    assert {cell.id for cell in to_write} <= {cell.id for cell in code if "nbgrader" in cell.metadata}


def test_undefined_names_are_found():
    cells = [nbformat.v4.new_code_cell(source) for source in ("import a.b\nc = a.b", "print(c, d)")]
    assert undefined(cells) == {"d"}


def test_instructors_get_every_solution(lesson):
    solutions = nbformat.read(lesson.parent / "solutions" / lesson.name, as_version=4)
    whole = nbformat.read(lesson, as_version=4)
    edition = instructor(nbformat.read(lesson, as_version=4), solutions)
    nbformat.validate(edition)
    sources = [cell.source for cell in edition.cells]
    assert [cell.source for cell in solutions.cells[2:] if cell.source not in sources] == []
    assert len(edition.cells) == len(whole.cells) + len(solutions.cells) - 1  # a heading for title and set-up cell
    assert len({cell.id for cell in edition.cells}) == len(edition.cells)
    heads = [
        i
        for i, source in enumerate(sources)
        for name in ("Exercises", "Solutions", "Summary")
        if f"## {name}" in source
    ]
    assert heads == sorted(heads)


def test_both_editions_are_written(tmp_path):
    write_editions(tmp_path)
    names = {path.name for path in LESSONS}
    assert {path.name for path in (tmp_path / "student").iterdir()} == names
    assert {path.name for path in Path(tmp_path / "instructor").iterdir()} == names

"""Two editions of every lesson for a course, from the lesson and its solutions: `make editions`.

    python notebooks/editions.py            # writes build/editions/student and build/editions/instructor
    python notebooks/editions.py FOLDER

*Student*: without outputs, without the answers of "What you should have seen" and without links to the solutions; the
cells in which students write are marked as nbgrader's manually graded solutions. *Instructor*: the lesson with its
outputs, and the solutions below the exercises. The files run beside `notebooks/` in a clone, or with the package
installed.
"""

import argparse
import re
from pathlib import Path

import nbformat
from build import HERE, LESSONS
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from ndic_core.files import make_folder, write_whole

SEEN = "What you should have seen"
_TO_WRITE = re.compile(r"^answer_\d+ = None|raise NotImplementedError", re.MULTILINE)
_SECTION = re.compile(r"^(?=## )", re.MULTILINE)
_TO_SOLUTIONS = re.compile(r"^.*\]\(solutions/.*\n?", re.MULTILINE)


def student(lesson: NotebookNode) -> NotebookNode:
    """The lesson without outputs, answers and links to solutions."""
    cells, answers = [], False
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            sections = _SECTION.split(_TO_SOLUTIONS.sub("", cell.source))
            kept = [part for part in sections if not part.startswith(f"## {SEEN}")]
            if len(kept) == len(sections) == 1 and not sections[0].startswith("## "):
                kept = [] if answers else kept  # prose that goes on below the heading
            answers = sections[-1].startswith(f"## {SEEN}") or (answers and not kept)
            if "".join(kept).strip():
                cells.append(NotebookNode(cell, source="".join(kept).strip()))
        elif not answers:
            cells.append(NotebookNode(cell, outputs=[], execution_count=None, metadata=_graded(cell)))
    return NotebookNode(lesson, cells=cells)


def _graded(cell: NotebookNode) -> NotebookNode:
    """nbgrader's metadata of a cell in which students write; the cell's own for others."""
    if not _TO_WRITE.search(cell.source):
        return cell.metadata
    kind = {"grade": True, "solution": True, "locked": False, "task": False, "points": 1}
    return NotebookNode(cell.metadata, nbgrader={**kind, "grade_id": cell.id, "schema_version": 3})


def instructor(lesson: NotebookNode, solutions: NotebookNode) -> NotebookNode:
    """The lesson with the solutions before its summary."""
    end = next(i for i, cell in enumerate(lesson.cells) if "\n## Summary" in f"\n{cell.source}")
    answers = [cell for cell in solutions.cells[1:] if "google.colab" not in cell.source]
    head = new_markdown_cell("## Solutions", id="solutions")
    lesson.cells[end].source = _TO_SOLUTIONS.sub("", lesson.cells[end].source).lstrip()
    return NotebookNode(lesson, cells=[*lesson.cells[:end], head, *answers, *lesson.cells[end:]])


def write_editions(folder: Path) -> None:
    for path in LESSONS:
        solutions = nbformat.read(path.parent / "solutions" / path.name, as_version=4)
        editions = {
            "student": student(nbformat.read(path, as_version=4)),
            "instructor": instructor(nbformat.read(path, as_version=4), solutions),
        }
        for name, notebook in editions.items():
            nbformat.validate(notebook)
            make_folder(folder / name)
            write_whole(folder / name / path.name, nbformat.writes(notebook).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE.parent / "build" / "editions")
    folder = parser.parse_args().folder
    write_editions(folder)
    print(f"student and instructor editions of {len(LESSONS)} notebooks in {folder}")


if __name__ == "__main__":
    main()

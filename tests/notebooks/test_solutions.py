"""Every notebook of solutions runs (in a file of its own, so that another process can run them beside the lessons)."""

import nbformat
import pytest
from build import HERE
from notebook_runs import validate

SOLUTIONS = sorted((HERE / "solutions").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_solutions_run(path, tmp_path):
    result = validate(tmp_path, copy=nbformat.read(path, as_version=4))
    assert result.returncode == 0, result.stdout + result.stderr

"""Notebooks run by nbval, each with a last cell that moves every widget."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import notebook_poke
from nbformat.v4 import new_code_cell

POKE = Path(notebook_poke.__file__).read_text(encoding="utf-8") + "\n\npoke()"


def validate(folder: Path, **notebooks) -> subprocess.CompletedProcess:
    """Run nbval over copies of the notebooks, each with a last cell that moves every widget.

    A process of its own: the tests' options (several processes, doctests, warnings as errors) are not for notebooks.
    """
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, notebook in notebooks.items():
        notebook.cells.append(new_code_cell(POKE, id="poke"))
        nbformat.write(notebook, folder / f"{name}.ipynb")
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "-rf", "--color=no"]
    command = [sys.executable, "-m", "pytest", *options, "."]
    # Other tests run beside it: two threads that wait for each other on one core are many times as slow as one.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

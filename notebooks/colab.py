"""Execute the notebooks in an imitated Colab runtime: `make colab PYTHON=python3.12`. Downloads about 3 GB.

    a runtime with Colab's packages ─▶ one notebook ─▶ its setup cell ─▶ the other cells ─▶ has a package changed?

Uses the last commit, not the working tree. Colab is imitated by its packages, its module and an empty working folder.
`--system` and the URL to clone are replaced in the setup cell; all else is executed unchanged.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from build import HERE, client, repository
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

RUNTIME = Path(__file__).with_name("colab_runtime.txt")
PAGE = (
    "ipykernel",
    "ipython",
    "ipywidgets",
    "jupyter_client",
    "tornado",
    "traitlets",
)  # fixed by Colab's page

# Packages that are already imported, and the part of Colab's module for widgets: it marks those that are shown.
COLAB = """
import sys, types
import numpy, torch

def mark(message):
    if "application/vnd.jupyter.widget-view+json" in message["content"].get("data", {}):
        message["content"]["metadata"]["custom widgets"] = True
    return message

output = types.ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda: get_ipython().display_pub.register_hook(mark)
sys.modules |= {"google.colab": types.ModuleType("google.colab"), "google.colab.output": output}
"""
SAME = "assert sys.modules['numpy'] is numpy and sys.modules['torch'] is torch"

BIN = Path(sys.executable).parent  # the Makefile installs uv there


def uv(*arguments: str) -> str:
    """Output of uv, without this project's settings."""
    return subprocess.run([BIN / "uv", "--no-config", *arguments], check=True, text=True, stdout=subprocess.PIPE).stdout


def packages(python: Path) -> dict[str, str]:
    """Names and versions of the installed packages."""
    listed = json.loads(uv("pip", "list", "--quiet", "--format=json", "--python", str(python)))
    return {package["name"]: package["version"] for package in listed}


def make_runtime(folder: Path, version: str) -> Path:
    """Make an environment like Colab's with a kernel; returns its Python."""
    uv("venv", "--quiet", "--python", version, str(folder / "runtime"))
    python = folder / "runtime" / "bin" / "python"
    wanted = [line for line in RUNTIME.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    if subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 12))"]).returncode:
        # Not every package has these versions for another Python: use the newest.
        wanted = [line if line.startswith(PAGE) else line.partition("==")[0] for line in wanted]
    uv("pip", "install", "--quiet", "--python", str(python), *wanted)
    kernel = folder / "kernels" / "colab"
    kernel.mkdir(parents=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.joinpath("kernel.json").write_text(json.dumps(dict(argv=start, display_name="Colab", language="python")))
    return python


def prepared(path: Path, python: Path) -> NotebookNode:
    """A notebook as Colab runs it, with its setup cell twice."""
    notebook = nbformat.read(path, as_version=4)
    first = next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    setup = notebook.cells[first].source
    here = HERE.parent.as_uri()
    for theirs, ours in (("--system", f"--python {python}"), (f"https://github.com/{repository()}", here)):
        assert theirs in setup, f"no {theirs} in the setup cell"
        setup = setup.replace(theirs, ours)
    notebook.cells[first : first + 1] = [new_code_cell(source) for source in (COLAB, setup, setup, SAME)]
    return notebook


def run(path: Path, python: Path, content: Path) -> None:
    """Execute a notebook, and check the mark on its ClickImage without which Colab shows nothing."""
    notebook = prepared(path, python)
    client(notebook, content, kernel_name="colab").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    if "ClickImage(" in path.read_text(encoding="utf-8"):
        assert any("custom widgets" in output.metadata for output in shown), f"{path.name}: Colab shows no ClickImage"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the runtime: a version, a command or a path")
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("[0-9_]*.ipynb"), reverse=True))
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="colab-") as place:
        folder = Path(place)
        python = make_runtime(folder, arguments.python)
        os.environ |= {"JUPYTER_PATH": place, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        before = packages(python)
        print(*(f"{package}=={version}" for package, version in before.items()))
        (folder / "content").mkdir()
        try:
            for path in arguments.notebooks:
                run(path, python, folder / "content")
                print("ran", path.name, flush=True)
        finally:  # a changed package may be the reason of a failure
            after = packages(python)
            print("added:", *(f"{package}=={after[package]}" for package in after if package not in before))
            changed = [
                f"{name} from {before[name]} to {after.get(name)}" for name in before if after.get(name) != before[name]
            ]
            print("changed:", ", ".join(changed) or "nothing")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()

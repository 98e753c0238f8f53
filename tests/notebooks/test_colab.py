"""The setup cell on Colab. Nothing is installed here; `make colab` does that."""

import importlib.util
import subprocess
import sys
from types import ModuleType

import matplotlib
import nbformat
import pytest
import torch
from build import HERE, repository
from IPython.core.inputtransformer2 import TransformerManager

INSTALL = [
    f"!git clone --quiet --depth 1 https://github.com/{repository()} ndic",
    "%cd -q ndic",  # uv reads the override for numpy 2 there
    "!uv pip install --system --quiet -e . anywidget",
]


class Shell:
    """Records the commands of a cell without running them."""

    def __init__(self):
        self.commands = []

    def system(self, command):
        self.commands.append(f"!{command}")

    def run_line_magic(self, name, arguments):
        self.commands.append(f"%{name} {arguments}")


@pytest.fixture
def set_up(monkeypatch):
    """Run the setup cell, the same in all notebooks; returns its IPython commands."""
    cells = nbformat.read(HERE / "_template.ipynb", as_version=4).cells
    source = next(cell.source for cell in cells if cell.cell_type == "code")
    find, threads = importlib.util.find_spec, torch.get_num_threads()

    def set_up(colab, installed):
        absent = [] if installed else ["ndic_core"]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else find(name))
        if colab:
            monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        shell = Shell()
        exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
        return shell.commands

    with matplotlib.rc_context():
        yield set_up
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("colab", "installed", "commands"),
    [(True, False, INSTALL), (True, True, []), (False, True, []), (False, False, [])],
)
def test_only_colab_installs_and_only_once(set_up, colab, installed, commands):
    assert set_up(colab, installed) == commands


def test_colab_enables_custom_widgets():
    # anywidget does so once per process.
    colab = "import sys, types; output = sys.modules['google.colab.output'] = types.ModuleType('output')"
    enable = "output.enable_custom_widget_manager = lambda: print('enabled')"
    shown = "from ndic_core.notebook.widgets import ClickImage; ClickImage([[[0.5]]] * 3)"
    result = subprocess.run(
        [sys.executable, "-c", f"{colab}\n{enable}\n{shown}"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "enabled\n"

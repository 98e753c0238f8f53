"""Fixtures that run the commands of `data_prep` as a user does."""

import sys
from pathlib import Path

import pytest
from zips import kitti_images, make_zip

from data_prep import common


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command: its exit status, what it printed, its errors."""

    def run(module, *arguments) -> tuple[int, str, str]:
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            common.run(module.app, name)
        output = capsys.readouterr()
        return end.value.code, output.out, output.err

    return run


@pytest.fixture
def succeed(command):
    """Run a command without errors: what it printed."""

    def run(module, *arguments) -> str:
        status, said, errors = command(module, *arguments)
        assert (status, errors) == (0, "")
        return said

    return run


@pytest.fixture
def fail(command):
    """Run a command that ends with an error: its message, one line."""

    def run(module, *arguments) -> str:
        status, _, errors = command(module, *arguments)
        assert (status, errors.count("\n")) == (1, 1)
        assert errors.startswith(module.__name__.rpartition(".")[2] + ": ")
        return errors

    return run


@pytest.fixture
def both(tmp_path) -> list[Path]:
    """Both KITTI archives under unofficial names; 2012 with grey images, as in the official one."""
    old = kitti_images(("image_0", "image_1", "colored_0", "colored_1")) | {"testing/calib/000000.txt": b"P0"}
    return [
        make_zip(tmp_path / "a.zip", old),
        make_zip(tmp_path / "b.zip", kitti_images(training=(0, 199), testing=(29, 30))),
    ]

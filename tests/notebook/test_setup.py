"""Set-up of a notebook."""

import os
import random
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch

from ndic_core.notebook.setup import start


@pytest.fixture(autouse=True)
def restored():
    threads = torch.get_num_threads()
    with matplotlib.rc_context():
        yield
    torch.set_num_threads(threads)


def test_numbers_are_reproducible():
    found = []
    for seed in (0, 0, 1):
        start(seed)
        found.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(*found[1:], strict=True))


def test_one_line_of_versions_and_device_is_printed(capsys):
    device = start()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert torch.__version__ in printed.out
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert matplotlib.rcParams["image.interpolation"] == "none"


def test_the_number_of_threads_is_limited():
    for given, limited in ((32, 8), (2, 2)):
        torch.set_num_threads(given)
        start()
        assert torch.get_num_threads() == limited


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_told_otherwise(given, expected):
    """OpenMP reads the variable when PyTorch is imported: it must be set by then."""
    code = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ["OMP_WAIT_POLICY"])
            sys.exit()
sys.meta_path.insert(0, Watch())
import ndic_core.notebook.setup
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == expected

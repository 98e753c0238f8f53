"""What the setup cell of every notebook calls."""

import random

import matplotlib
import numpy as np
import pytest
import torch

from ndic_core.notebook.setup import start


@pytest.fixture(autouse=True)
def as_before():
    threads = torch.get_num_threads()
    with matplotlib.rc_context():
        yield
    torch.set_num_threads(threads)


def numbers():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_numbers_are_the_same_whenever_started():
    start()
    first = numbers()
    assert numbers() != first
    start()
    assert numbers() == first
    start(seed=1)
    assert all(a != b for a, b in zip(numbers(), first, strict=True))


def test_one_line_says_on_what_it_runs(capsys):
    device = start()
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    assert torch.__version__ in said.out
    assert np.__version__ in said.out
    assert "/" not in said.out
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_large_machine_is_not_taken_whole():
    torch.set_num_threads(32)
    start()
    assert torch.get_num_threads() == 8
    torch.set_num_threads(2)
    start()
    assert torch.get_num_threads() == 2


def test_figures_have_one_style():
    start()
    assert matplotlib.rcParams["image.interpolation"] == "none"
    assert len({entry["color"] for entry in matplotlib.rcParams["axes.prop_cycle"]}) == 7

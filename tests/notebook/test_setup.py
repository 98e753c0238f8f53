"""Set-up of a notebook."""

import random

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


def numbers():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_numbers_are_reproducible():
    start()
    first = numbers()
    assert numbers() != first
    start()
    assert numbers() == first
    start(seed=1)
    assert all(a != b for a, b in zip(numbers(), first, strict=True))


def test_one_line_of_versions_and_device_is_printed(capsys):
    device = start()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert torch.__version__ in printed.out
    assert np.__version__ in printed.out
    assert "/" not in printed.out
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_number_of_threads_is_limited():
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

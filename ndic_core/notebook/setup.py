"""Set-up of a notebook: seed, threads, device, figure style, versions."""

import os
import platform
import random

# Threads that wait for each other must sleep. By default they spin, and occupy the cores that other threads need when
# other programs run as well: on two busy cores, 20 training steps took 8 to 91 s with two spinning threads, 0.5 to 2 s
# with two sleeping ones, and 0.4 to 2 s with one. One thread would be as safe, but leaves the cores of a quiet machine
# idle, and changes the last digits of results. OpenMP reads this once, when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython

from ndic_core import __version__
from ndic_core.plots.style import RC_PARAMS

_MAX_THREADS = 8  # small models on small batches are slower with more, and servers are shared


def start(seed: int = 0) -> torch.device:
    """Make the numbers and figures of a notebook reproducible, and print the versions and the device.

    Seeds Python, NumPy and PyTorch, limits the threads, shows figures below their cells in one style, and prints one
    line: the versions, the device and the number of threads.

    Args:
        seed: 0 or more.

    Returns:
        The first CUDA device, otherwise the CPU.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(min(torch.get_num_threads(), _MAX_THREADS))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    if (shell := get_ipython()) is not None:
        shell.run_line_magic("matplotlib", "inline")  # required to show figures that pyplot does not manage
    plt.rcParams.update(RC_PARAMS)

    versions = f"ndic_core {__version__}, Python {platform.python_version()}, PyTorch {torch.__version__}"
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    print(f"{versions}, NumPy {np.__version__} on {where}")
    return device

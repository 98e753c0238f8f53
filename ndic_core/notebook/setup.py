"""What every notebook's setup cell calls: one seed, one device, one look of the figures, one line of versions."""

import platform
import random

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython

from ndic_core import __version__

_MOST_THREADS = 8  # small models on small batches only get slower with more, and a shared server has other users

# Okabe–Ito, without its yellow, which is hard to see on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_STYLE = {
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 80,  # sharp enough to read; figures are committed inside the notebooks, and these must stay light
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.prop_cycle": matplotlib.cycler(color=_COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.interpolation": "none",  # a pixel shown is a pixel there was
    "lines.linewidth": 1.8,
}


def start(seed: int = 0) -> torch.device:
    """Make a notebook's numbers and figures the same wherever it runs, and say on what it runs.

    Seeds Python, NumPy and PyTorch, limits the threads, lets figures appear below their cells in one style, and
    prints one line: the versions, the device and the number of threads.

    Args:
        seed: 0 or more.

    Returns:
        The first GPU that CUDA finds, else the CPU.

    Example:
        >>> device = start(seed=7)  # doctest: +ELLIPSIS
        ndic_core ... on ...
        >>> torch.rand(2).tolist() == torch.rand(2, generator=torch.Generator().manual_seed(7)).tolist()
        True
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(min(torch.get_num_threads(), _MOST_THREADS))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    if (shell := get_ipython()) is not None:
        shell.run_line_magic("matplotlib", "inline")  # figures that pyplot doesn't know need it to be shown
    plt.rcParams.update(_STYLE)

    versions = f"ndic_core {__version__}, Python {platform.python_version()}, PyTorch {torch.__version__}"
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    print(f"{versions}, NumPy {np.__version__} on {where}")
    return device

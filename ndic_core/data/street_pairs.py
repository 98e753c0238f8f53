"""The generated street as a data set: rendered once, then from the cache."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ndic_core.data.cache import cached_images
from ndic_core.data.pairs import Pairs
from ndic_core.data.street import Street

FIRST_INDEX = {"train": 0, "val": 10_000_000, "test": 20_000_000}  # splits never share a scene


def load_street(street: Street, split: str, count: int, progress: bool = True) -> Pairs:
    """`count` pairs of a street's split, 8-bit as a camera stores them.

    Args:
        street: size, seed and knobs.
        split: "train", "val" or "test"; they never share a scene.
        count: how many pairs, 1 or more; fewer are the first of more.
        progress: show a bar on stderr while they are rendered for the first time.

    Returns:
        The pairs; x is the left view. Disparity and occlusion of pair i are
        `street.pair(FIRST_INDEX[split] + i)`'s.

    Raises:
        NDICError: the disk is full.
    """
    first = FIRST_INDEX[split]

    def rendered() -> Iterable[np.ndarray]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for pair in pool.map(street.pair, range(first, first + count)):
                for image in (pair.x, pair.y):
                    yield (image.permute(1, 2, 0) * 255).round().byte().numpy()

    depends_on = ["street", _renderer(), first, asdict(street)]
    images = cached_images(depends_on, (2 * count, *street.size, 3), rendered, "render the street", progress)
    index = np.arange(2 * count).reshape(count, 2)
    return Pairs(images, index, [f"street_{street.seed}_{first + i}" for i in range(count)])


def _renderer() -> str:
    """A hash of the renderer's source: another one draws other pictures."""
    sources = sorted(Path(__file__).parent.glob("street*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()

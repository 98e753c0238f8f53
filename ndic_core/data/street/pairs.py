"""The data set Street: pairs of the generated street, rendered once and cached."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import torch

from ndic_core.data.cache import cached_arrays, short_digest
from ndic_core.data.pairs import Pairs
from ndic_core.data.street.generate import Street

RENDERER = 1  # part of the cache's key: increment it whenever the rendered images change
FIRST_INDEX = {"train": 0, "val": 10_000_000, "test": 20_000_000}  # splits share no scene


def load_street(street: Street, split: str, count: int, progress: bool = True, with_disparity: bool = False) -> Pairs:
    """`count` pairs of a split of a street, 8-bit as a camera stores them.

    Args:
        street: size, seed and camera parameters.
        split: "train", "val" or "test".
        count: number of pairs, 1 or more; a smaller set is the beginning of a larger one.
        progress: show a bar on stderr while the pairs are rendered for the first time.
        with_disparity: the pairs have their ground-truth disparity, NaN where occluded.

    Returns:
        The pairs; x is the left view. Pair i is `street.pair(FIRST_INDEX[split] + i)`.

    Raises:
        NDICError: the disk is full.
    """
    first = FIRST_INDEX[split]

    def rendered() -> Iterable[tuple[np.ndarray, np.ndarray]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for pair in pool.map(street.pair, range(first, first + count)):
                views = torch.stack([pair.x, pair.y]).permute(0, 2, 3, 1)
                disparity = pair.disparity.masked_fill(pair.occluded, torch.nan)
                yield (views * 255).round().byte().numpy(), disparity.numpy()

    layouts = [((count, 2, *street.size, 3), "uint8"), ((count, *street.size), "float16")]
    depends_on = ["street", RENDERER, first, asdict(street)]
    images, *disparity = cached_arrays(
        depends_on, layouts[: 1 + with_disparity], rendered, "render the street", progress
    )
    index = np.arange(2 * count).reshape(count, 2)
    names = [f"street_{street.seed}_{first + i}" for i in range(count)]
    truth = disparity[0] if with_disparity else None
    street_digest = short_digest(depends_on)
    digests = [f"{street_digest} {i}" for i in range(count)]
    images, cameras = images.reshape(-1, *street.size, 3), ["left"] * count
    return Pairs(images, index, names, disparity=truth, cameras=cameras, digests=digests)

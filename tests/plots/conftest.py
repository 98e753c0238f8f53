"""A street with its true matches, shared by the figures of the row search."""

import pytest

from ndic_core.data.disparity import true_offsets
from ndic_core.data.street import Street


@pytest.fixture(scope="module")
def scene():
    return Street().pair(7)


@pytest.fixture(scope="module")
def truth(scene):
    return [true_offsets(scene.disparity, scene.occluded, stride)[0] for stride in (8, 4, 2)]

"""Block matching finds where a patch has moved, and the search in the row stays there."""

import pytest
import torch

from ndic_core.data.street import StreetPair
from ndic_core.errors import NDICError
from ndic_core.evaluation.block_matching import most_similar_patch


def moved(down: int, right: int) -> StreetPair:
    x = torch.rand(3, 40, 80)
    return StreetPair(x, x.roll((down, right), (1, 2)), torch.zeros(40, 80), torch.zeros(40, 80, dtype=torch.bool))


def test_a_patch_is_found_where_it_moved():
    assert most_similar_patch(moved(0, -6), 20, 30) == ((20, 24), (20, 24))
    assert most_similar_patch(moved(0, -6), 4, 75) == ((4, 69), (4, 69))
    anywhere, in_row = most_similar_patch(moved(5, -6), 20, 30)
    assert anywhere == (25, 24)
    assert in_row[0] == 20


def test_the_row_is_searched_within_reach():
    _, (_, column) = most_similar_patch(moved(0, -20), 20, 40, reach=10)
    assert 30 <= column <= 50
    assert most_similar_patch(moved(0, -20), 20, 40, reach=20)[1] == (20, 20)


def test_the_patch_is_within_the_image():
    with pytest.raises(NDICError, match="within the image"):
        most_similar_patch(moved(0, 0), 3, 30)

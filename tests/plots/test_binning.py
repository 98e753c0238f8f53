"""The figure of learned bins shows the intervals of each index in one colour, and one point for each encoder."""

import pytest
from matplotlib.colors import to_hex

from ndic_core.errors import NDICError
from ndic_core.plots.binning import learned_bins

TWO = {"a": [(5, -3, -1), (2, -1, 1), (5, 1, 3)], "b": [(0, -3, 3)]}


def test_an_index_has_one_number_and_one_colour():
    cells, rates = learned_bins(TWO, [(0.05, 1.0), (0.09, 0.0)], noise=0.1).axes
    first, second, third, alone = (to_hex(patch.get_facecolor()) for patch in cells.patches)
    assert first == third == alone != second
    assert [text.get_text() for text in cells.texts] == ["0", "1", "0", "0"]
    assert [label.get_text() for label in cells.get_yticklabels()] == ["a", "b"]
    bound, quantiser, wyner_ziv, learned = (line.get_xydata() for line in rates.lines)
    assert learned.tolist() == [[0.05, 1.0], [0.09, 0.0]]
    assert (bound[:, 1] >= wyner_ziv[:, 1]).all()
    assert quantiser[:, 0].max() < 0.1 / 1.1 < bound[:, 0].max()  # errors of a decoder with y


@pytest.mark.parametrize(("encoders", "points"), [({}, []), (TWO, [(0.05, 1.0)])])
def test_encoders_without_a_point_each_are_refused(encoders, points):
    with pytest.raises(NDICError):
        learned_bins(encoders, points, noise=0.1)

"""The drawing of two cameras has the proportions that it explains."""

import pytest

from ndic_core.plots.stereo_geometry import two_cameras_from_above


def test_the_triangles_are_similar_and_the_hidden_part_is_between_the_rays():
    disparity, hidden = two_cameras_from_above().axes
    large, small = (patch.get_xy() for patch in disparity.patches[:2])
    baseline, depth = large[1, 0] - large[0, 0], large[2, 1]
    width, focal = small[1, 0] - small[2, 0], small[1, 1]
    assert width / focal == pytest.approx(baseline / depth)
    lines = {tuple(line.get_xdata()) for line in hidden.lines}
    left = next(
        line.get_xdata()[1] for line in hidden.lines if line.get_linestyle() == "-" and line.get_xdata()[0] == 0
    )
    right = next(line.get_xdata()[1] for line in hidden.lines if line.get_linestyle() == "--")
    assert (right, left) in lines

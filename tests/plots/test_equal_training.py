"""The figure of variants after equal training shows every seed."""

import pytest
from matplotlib.colors import to_rgb

from ndic_core.errors import NDICError
from ndic_core.plots.equal_training import seed_differences
from ndic_core.plots.style import MODEL_STYLE

RATES = {"without a part": [10.0, 20.0, 60.0], "cross_attention": [150.0]}


def test_each_seed_is_a_dot_and_the_bar_ends_at_their_mean():
    whole, windows = seed_differences({"whole": RATES, "windows": RATES}, "parallax_attention").axes
    for axis in (whole, windows):
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        assert [list(line.get_xdata()) for line in dots] == list(RATES.values())
        assert [bar.get_width() for bar in axis.patches] == [30, 150]
        assert to_rgb(axis.patches[1].get_facecolor()) == to_rgb(MODEL_STYLE["cross_attention"][0])
    assert [label.get_text() for label in whole.get_yticklabels()] == list(RATES)
    assert "against parallax_attention" in whole.get_xlabel()


def test_panels_need_the_same_variants_with_seeds():
    with pytest.raises(NDICError, match="different variants"):
        seed_differences({"whole": RATES, "windows": {"cross_attention": [1.0]}}, "parallax_attention")
    with pytest.raises(NDICError, match="variant"):
        seed_differences({"whole": {}}, "parallax_attention")
    with pytest.raises(NDICError, match="seed of without"):
        seed_differences({"whole": {"without": []}}, "parallax_attention")

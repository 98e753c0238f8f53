"""Entropies of any distribution, invalid arguments, and the figures at the ends of their sliders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy as scipy_entropy

from ndic_core.errors import NDICError
from ndic_core.plots import binning
from ndic_core.plots import theory as plots
from ndic_core.theory.common_information import (
    explains,
    explains_gaussian,
    gacs_korner,
    gaussian_mutual,
    wyner_gaussian,
    wyner_variable,
)
from ndic_core.theory.entropy import binary_entropy, entropies, entropy, flipped_bit
from ndic_core.theory.wyner_ziv import (
    binary_rate,
    cells,
    conditional_variance,
    critical_distortion,
    gaussian_rate,
    gaussian_scheme,
)

LAWS = arrays(float, (3, 4), elements=st.floats(0, 1)).filter(lambda a: a.sum() > 0.1).map(lambda a: a / a.sum())


@given(LAWS)
def test_entropies_of_any_pair(law):
    both = entropies(law)
    assert both.pair == pytest.approx(scipy_entropy(law.ravel(), base=2), abs=1e-9)
    assert -1e-9 <= both.x_given_y <= both.x + 1e-9
    common, _, _ = gacs_korner(law)
    assert common <= both.mutual + 1e-9
    # x itself, as w, explains everything and tells H(X): Wyner's least can only be smaller.
    told, left = explains(np.stack([np.where(np.arange(3)[:, None] == i, law, 0) for i in range(3)]))
    assert (told, left) == pytest.approx((both.x, 0), abs=1e-9)


def test_region_has_three_sides():
    both = entropies(flipped_bit(0.1))
    assert both.allows(both.x, both.y_given_x)
    assert both.allows(both.x_given_y, both.y)
    for short in ((2, both.y_given_x - 0.01), (both.x_given_y - 0.01, 2), (0.73, 0.73)):  # H(X, Y) = 1.469
        assert not both.allows(*short)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.49, 0.5])
def test_region_is_drawn_with_its_corner(p):
    for axis in plots.slepian_wolf_regions({"one": flipped_bit(p), "two": flipped_bit(p)}).axes:
        ((rate_x, rate_y),) = axis.lines[1].get_xydata()
        assert (rate_x, rate_y) == pytest.approx((binary_entropy(p), 1))
        assert f"H(X|Y) = {binary_entropy(p):.3f}" in axis.get_title()
        marked = {text.get_text(): text.xy for text in axis.texts}
        assert marked["H(X|Y)"][0] == pytest.approx(rate_x)
        assert marked["H(Y|X)"][1] == pytest.approx(rate_x)


@pytest.mark.parametrize("y", [-1.5, 1.5])
def test_more_bins_are_surer(y):
    titles = [axis.get_title() for axis in binning.nested_quantiser(0.35, (1, 2, 4, 8), 0.1, y).axes]
    surest = [float(title.split()[-1].strip("%")) for title in titles]
    assert surest == sorted(surest)
    assert [title for title in titles if "more than 99.9%" in title] == titles[-1:]


def test_the_cell_of_x_is_framed_and_the_title_says_whether_it_is_the_likeliest():
    axes = binning.nested_quantiser(0.35, (2, 4, 8), 0.1, 1.4).axes
    assert ["not that of x" in axis.get_title() for axis in axes] == [True, False, False]
    for axis in axes:
        frame = next(patch for patch in axis.patches if patch.get_label() == "the cell of x")
        assert [frame.get_x(), frame.get_width()] == pytest.approx([4.5 * 0.35, 0.35])  # cell 5; E[x | y] is in cell 4


def test_the_peak_is_between_zero_and_y():
    (axis,) = binning.nested_quantiser(0.35, [4], 0.5, 1.5).axes
    density = next(line for line in axis.lines if line.get_label() == "density of x given y")
    assert density.get_xdata()[density.get_ydata().argmax()] == pytest.approx(1.0, abs=5e-3)


def test_random_bins_are_coloured_by_their_candidates():
    cases = {"two bits": (2, [3, 3, 0]), "four bits": (4, [1, 15])}
    shown = [axis.images[0].get_array().tolist() for axis in binning.random_bins(cases).axes]
    assert shown[0] == [[1, 0], [0, 2]]
    assert [len(shown[1]), sum(map(sum, shown[1]))] == [4, 2]


def test_reconstructions_show_their_error():
    x = np.linspace(-2, 2, 50)
    figure = binning.reconstructions(x, {"right": x, "shifted": x + 0.5}, samples=10)
    assert [axis.get_title().split()[-1] for axis in figure.axes] == ["0.000", "0.250"]
    assert len(figure.axes[0].lines[1].get_xdata()) == 10


@pytest.mark.parametrize(("noise", "measured"), [(0.01, [(0.01, 2.0)]), (1.0, [])])
def test_gaussian_rates_are_drawn(noise, measured):
    axis = plots.gaussian_rates(noise, measured).axes[0]
    assert len(axis.get_legend().get_texts()) == 4 + len(measured)


def test_binary_rates_mark_the_critical_distortion():
    for axis, p in zip(plots.binary_rates((0.01, 0.25, 0.49)).axes, (0.01, 0.25, 0.49), strict=True):
        without_y, with_y, critical = (line.get_xydata() for line in axis.lines[:3])
        assert (without_y[:, 1] >= with_y[:, 1] - 1e-9).all()
        assert critical[0, 0] == pytest.approx(critical_distortion(p))


def test_the_three_commons_are_drawn_in_their_order():
    bits, gaussian = plots.common_informations(0.1, 0.9).axes
    for axis, known in ((bits, (0.8728, 0.5310, 0)), (gaussian, (2.124, 1.198, 0))):  # the published numbers
        wyner, mutual, both, marked = axis.lines[:4]
        assert (wyner.get_ydata() >= mutual.get_ydata() - 1e-9).all()
        assert (mutual.get_ydata() >= both.get_ydata()).all()
        assert np.allclose(marked.get_ydata(), known, atol=5e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: entropy([0.5, 0.6]),
        lambda: plots.slepian_wolf_regions({}),
        lambda: plots.binary_rates([]),
        lambda: binning.random_bins({"odd": (3, [0])}),
        lambda: binning.nested_quantiser(0.35, [], 0.1, 0),
        lambda: binning.reconstructions(np.zeros(3), {"short": np.zeros(2)}),
        lambda: gacs_korner([[1.0, 1.0]]),
        lambda: flipped_bit(1.1),
        lambda: wyner_variable(0.6),
        lambda: gaussian_scheme(0, 0.1),
        lambda: cells(0),
        lambda: entropies([0.5, 0.5]),
        lambda: explains(flipped_bit(0.1)),
        lambda: explains_gaussian(np.ones((3, 3))),
        lambda: gaussian_mutual(1.0),
        lambda: wyner_gaussian(1.0),
        lambda: binary_entropy(-0.1),
        lambda: gaussian_rate(0.0),
        lambda: conditional_variance(0),
        lambda: binary_rate(-0.1, p=0.25),
        lambda: critical_distortion(0.5 - 1e-9),
    ],
)
def test_invalid_arguments_are_refused(wrong):
    with pytest.raises(NDICError):
        wrong()

"""Joint histograms of GDN and densities of the factorised entropy model."""

import pytest
import torch
from conftest import lively
from matplotlib.colors import to_hex

from ndic_core.errors import NDICError
from ndic_core.metrics import bits
from ndic_core.plots.layers import bow_ties, channels_by_rank, latent_density, rounding_and_noise


def test_dependent_channels_have_a_bow_tie_and_independent_ones_not():
    torch.manual_seed(0)
    independent = torch.randn(2, 40_000)
    before, after = bow_ties(independent * torch.randn(40_000).exp(), independent).axes
    dependent_spread, spread = (float(axis.get_title().split("×")[1].split()[0]) for axis in (before, after))
    assert dependent_spread > 2
    assert spread == pytest.approx(1, abs=0.1)
    deviations = before.lines[0].get_ydata()
    middle = len(deviations) // 2
    assert (deviations[[middle - 6, middle + 6]] > 1.5 * deviations[middle]).all()
    shown = before.get_images()[0].get_array()
    assert shown.max(axis=0).min() == shown.max() == 1  # every column is scaled to its own largest count
    assert shown[middle, middle] == 1


def test_columns_with_few_responses_are_left_grey():
    torch.manual_seed(0)
    first, second = torch.rand(2, 20_000)
    first[:50] = 30.0  # beyond the range, and in no column
    shown = bow_ties(torch.stack([first, second]), torch.stack([second, first])).axes[0].get_images()[0].get_array()
    assert shown.mask.all(axis=0)[[0, -1]].all()
    assert not shown.mask[:, shown.shape[1] // 2].any()


def test_the_first_channel_is_the_horizontal_axis():
    pair = torch.stack([torch.linspace(-3, 3, 50_001), 0.1 * torch.ones(50_001).cumsum(0) ** 2])
    shown = torch.as_tensor(bow_ties(pair, pair).axes[0].get_images()[0].get_array().filled(0))
    peaks = shown.argmax(0)[shown.sum(0) > 0]
    assert (peaks.diff() >= 0).all()  # the second is a rising function of the first


def test_a_constant_channel_is_rejected():
    with pytest.raises(NDICError, match="choose another channel"):
        bow_ties(torch.ones(2, 50), torch.randn(2, 50))


@pytest.fixture(scope="module")
def coded(pair):
    """A small variable-rate model, its rounded latent of an image, the gain and the likelihoods."""
    model = lively("bls17", num_filters=6, lmbda=(0.001, 0.01))
    with torch.no_grad():
        gain, _ = model.gains(0.002, 1)
        h_hat, (p,) = model.prior_x(model.analyse(pair[0][None], gain), gain)
    return model, h_hat, gain[0], p


def test_probabilities_are_those_that_the_model_reports(coded):
    model, h_hat, gain, p = coded
    for channel in range(6):
        values, places = h_hat[0, channel].unique(return_inverse=True)
        assert torch.allclose(model.prior_x.probabilities(values, gain)[channel][places], p[0, channel], rtol=1e-4)
    # the density with noise sums to one at any resolution
    fine = model.prior_x.probabilities(torch.arange(-400, 401) / 4, gain)
    assert torch.allclose(fine.sum(1), torch.full((6,), 4.0), atol=0.02)


def test_chosen_ranks_are_coloured_and_have_a_panel_each(coded):
    model, h_hat, gain, p = coded
    each = -p.log2().sum((0, 2, 3))
    figure = channels_by_rank(model.prior_x, h_hat, each, [1, 3, 6], gain)
    bars, *panels = figure.axes
    heights = torch.tensor([bar.get_height() for bar in bars.patches], dtype=torch.float32)
    assert torch.allclose(heights, each.sort(descending=True).values)
    colours = [to_hex(bar.get_facecolor()) for bar in bars.patches]
    assert colours[1] == colours[3] == colours[4]
    assert len({colours[0], colours[1], colours[2], colours[5]}) == 4
    for rank, panel in zip((1, 3, 6), panels, strict=True):
        assert panel.get_title() == f"rank {rank}: {heights[rank - 1]:.0f} bits"
        assert to_hex(panel.title.get_color()) == colours[rank - 1]
        assert sum(bar.get_height() for bar in panel.patches) == pytest.approx(1)
        assert panel.get_ylabel() == "share"
    assert [text.get_text() for text in panels[0].get_legend().texts] == ["learned density", "rounded latents, share"]


@pytest.mark.parametrize(("ranks", "sentence"), [([1, 2], "three ranks, not 2"), ([1, 2, 7], "rank=7 must be")])
def test_other_ranks_are_refused(coded, ranks, sentence):
    model, h_hat, gain, p = coded
    with pytest.raises(NDICError, match=sentence):
        channels_by_rank(model.prior_x, h_hat, -p.log2().sum((0, 2, 3)), ranks, gain)


def test_density_shows_histogram_probability_and_bits(coded):
    model, h_hat, gain, p = coded
    figure = latent_density(model.prior_x, h_hat, 2, gain)
    linear, _ = figure.axes
    assert sum(bar.get_height() for bar in linear.patches) == pytest.approx(1)
    integers, dots = (torch.as_tensor(v) for v in linear.lines[1].get_data())
    assert torch.allclose(dots, model.prior_x.probabilities(integers, gain)[2])
    estimated, entropy = (int(figure.get_suptitle().split(mark)[1].split()[0]) for mark in (": ", ", "))
    assert estimated == pytest.approx(bits(p[:, 2]).item(), abs=1)
    assert entropy <= estimated + 1  # no prior codes a histogram in fewer bits than its entropy


def test_a_silent_channel_has_no_negative_bits(coded):
    model, h_hat, gain, _ = coded
    title = latent_density(model.prior_x, torch.zeros_like(h_hat), 2, gain).get_suptitle()
    assert title.endswith(" 0 by the histogram's entropy")


def test_rounding_is_a_staircase_and_noise_is_smooth(coded):
    model, _, gain, _ = coded
    bit, error = rounding_and_noise(model.prior_x, 1, gain).axes
    for axis in (bit, error):
        rounded, mean = (torch.as_tensor(axis.lines[i].get_ydata()) for i in (1, 2))
        assert mean.diff().abs().max() < rounded.diff().abs().max() / 3
    assert torch.as_tensor(error.lines[2].get_ydata()).mean() == pytest.approx(1 / 12, abs=1e-4)
    h, rounded = (torch.as_tensor(v) for v in error.lines[1].get_data())
    assert torch.equal(rounded, (h.round() - h) ** 2)

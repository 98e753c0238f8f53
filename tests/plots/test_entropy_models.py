"""What the figures of a factorised prior show."""

import pytest
import torch
from conftest import lively

from ndic_core.errors import NDICError
from ndic_core.metrics import bits
from ndic_core.plots.entropy_models import bits_per_channel, latent_density, probabilities, rounding_and_noise


@pytest.fixture(scope="module")
def coded(pair):
    """A small variable-rate model, its rounded latent of a picture, the gain and the likelihoods."""
    model = lively("bls17", num_filters=6, lmbda=(0.001, 0.01))
    with torch.no_grad():
        gain, _ = model.gains(0.002, 1)
        h_hat, (p,) = model.prior_x(model.analyse(pair[0][None], gain), gain)
    return model, h_hat, gain[0], p


def test_probabilities_are_those_that_the_model_reports(coded):
    model, h_hat, gain, p = coded
    for channel in range(6):
        values, places = h_hat[0, channel].unique(return_inverse=True)
        assert torch.allclose(probabilities(model.prior_x, values, gain)[channel][places], p[0, channel], rtol=1e-4)
    assert model.prior_x.transmitted


def test_the_density_with_noise_is_the_mean_of_what_it_spans(coded):
    model, _, gain, _ = coded
    fine = probabilities(model.prior_x, torch.arange(-400, 401) / 4, gain)
    assert torch.allclose(fine.sum(1), torch.full((6,), 4.0), atol=0.02)


def test_bars_fall_and_shares_rise_to_all():
    bars, shares = bits_per_channel(torch.tensor([1.0, 6.0, 0.0, 3.0])).axes
    assert [bar.get_height() for bar in bars.patches] == [6, 3, 1, 0]
    assert shares.lines[0].get_ydata().tolist() == pytest.approx([60, 90, 100, 100])


def test_density_shows_histogram_probability_and_bits(coded):
    model, h_hat, gain, p = coded
    figure = latent_density(model.prior_x, h_hat, 2, gain)
    linear, logarithmic = figure.axes
    assert sum(bar.get_height() for bar in linear.patches) == pytest.approx(1)
    assert logarithmic.get_yscale() == "log"
    integers, dots = (torch.as_tensor(v) for v in linear.lines[1].get_data())
    assert torch.allclose(dots, probabilities(model.prior_x, integers, gain)[2])
    said = int(figure.get_suptitle().split(": ")[1].split()[0])
    assert said == pytest.approx(bits(p[:, 2]).item(), abs=1)
    own = int(figure.get_suptitle().split(", ")[1].split()[0])
    assert own <= said + 1  # no prior codes a histogram in fewer bits than its entropy


def test_rounding_is_a_staircase_and_noise_is_smooth(coded):
    model, _, gain, _ = coded
    bit, error = rounding_and_noise(model.prior_x, 1, gain).axes
    for axis in (bit, error):
        rounded, mean = (torch.as_tensor(axis.lines[i].get_ydata()) for i in (1, 2))
        assert mean.diff().abs().max() < rounded.diff().abs().max() / 3
    assert torch.as_tensor(error.lines[2].get_ydata()).mean() == pytest.approx(1 / 12, abs=1e-4)
    h, rounded = (torch.as_tensor(v) for v in error.lines[1].get_data())
    assert torch.equal(rounded, (h.round() - h) ** 2)


def test_what_cannot_be_shown_is_refused(coded):
    model, h_hat, _, _ = coded
    with pytest.raises(NDICError, match="channels 0 to 5, none is 6"):
        latent_density(model.prior_x, h_hat, 6)
    with pytest.raises(NDICError, match="not all of them 0"):
        bits_per_channel(torch.zeros(4))

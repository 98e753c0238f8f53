"""What the figure of divisive normalisation shows."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.gdn import bow_ties


def scaled_together(n: int = 40_000) -> torch.Tensor:
    """Two uncorrelated channels with one amplitude: the bow tie of natural images."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n, generator=generator) * torch.randn(n, generator=generator).exp()


def spread(title: str) -> float:
    return float(title.split("×")[1].split()[0])


def test_a_bow_tie_is_told_from_independent_channels():
    dependent = scaled_together()
    independent = torch.randn(2, 40_000, generator=torch.Generator().manual_seed(1))
    figure = bow_ties(dependent, independent)
    before, after, tails = figure.axes
    assert spread(before.get_title()) > 2
    assert spread(after.get_title()) == pytest.approx(1, abs=0.1)
    sides, middle = before.lines[0].get_ydata()[[10, 22]], before.lines[0].get_ydata()[16]
    assert (sides > 1.5 * middle).all()
    assert [text.get_text() for text in tails.get_legend().get_texts()] == ["before GDN", "after GDN", "Gaussian"]


def test_every_column_is_scaled_to_its_own_largest_count():
    shown = bow_ties(scaled_together(), scaled_together()).axes[0].get_images()[0].get_array()
    assert shown.max(axis=0).min() == shown.max() == 1
    assert shown[16, 16] == 1  # uncorrelated: the middle row is the likeliest everywhere


def test_the_first_channel_runs_across():
    pair = torch.stack([torch.linspace(-3, 3, 50_001), 0.1 * torch.ones(50_001).cumsum(0) ** 2])
    shown = torch.as_tensor(bow_ties(pair, pair).axes[0].get_images()[0].get_array())
    peaks = shown.argmax(0)[shown.sum(0) > 0]
    assert (peaks.diff() >= 0).all()  # rising: the second is a rising function of the first


@pytest.mark.parametrize("pair", [torch.rand(3, 50), torch.rand(50), torch.ones(2, 50)])
def test_what_is_no_pair_of_channels_is_refused(pair):
    with pytest.raises(NDICError):
        bow_ties(pair, scaled_together(100))

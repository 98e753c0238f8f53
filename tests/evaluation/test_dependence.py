"""Statistics of channels that depend on each other in a known way."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.evaluation.dependence import dependence, most_changed_pair


@pytest.fixture(scope="module")
def stages():
    """Three channels of Gaussians, before: the first two times one strength, the third times another."""
    torch.manual_seed(0)
    gaussians = torch.randn(2, 3, 100, 150)
    shared, own = torch.randn(2, 2, 1, 100, 150).mul(0.7).exp()
    return dependence(gaussians * torch.cat([shared, shared, own], 1)), dependence(gaussians)


def test_a_common_strength_correlates_the_magnitudes_only(stages):
    before, after = stages
    assert before.correlation[0, 1].abs() < 0.05
    assert before.magnitudes[0, 1] > 0.2 > 0.05 > before.magnitudes[0, 2].abs()
    assert before.mean_of_magnitudes == pytest.approx(before.magnitudes[0, 1].item() / 3, abs=0.02)
    assert after.mean_of_magnitudes == pytest.approx(0, abs=0.02)
    assert before.centred.mean(1).abs().max() < 1e-6


def test_the_pair_with_a_common_strength_changes_most(stages):
    uniform = dependence(torch.rand(1, 3, 100, 150))  # no heavy tails
    assert most_changed_pair(stages[0], uniform) == [0, 1]


def test_uncorrelated_and_heavy_tailed_pairs_are_preferred(stages):
    before, _ = stages
    tailed = dependence(torch.cat([torch.randn(1, 1, 100, 100), torch.randn(1, 2, 100, 100) ** 3], 1))
    assert most_changed_pair(before, tailed) == [1, 2]
    same = torch.randn(1, 1, 100, 100) ** 3
    correlated = dependence(torch.cat([same, torch.randn(1, 1, 100, 100), same], 1))
    assert most_changed_pair(correlated, dependence(torch.randn(1, 3, 100, 100) ** 3)) != [0, 2]


def test_constant_channels_do_not_count():
    torch.manual_seed(0)
    features = torch.rand(1, 3, 50, 50)
    features[:, 0] = 1
    found = dependence(features)
    assert found.mean_of_magnitudes == pytest.approx(0, abs=0.1)
    assert most_changed_pair(found, found) == [1, 2]


def test_one_channel_is_refused():
    with pytest.raises(NDICError, match=r"two channels or more, not \(1, 1, 4, 4\)"):
        dependence(torch.zeros(1, 1, 4, 4))

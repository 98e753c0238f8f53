"""Networks that learn to code single samples: what they send, what it costs, and the bins that they discover."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.theory.learned_binning import LearnedCode, intervals, measure, pairs, reused, train
from ndic_core.theory.wyner_ziv import conditional_variance, gaussian_rate

NOISE = 0.1


@pytest.fixture
def code():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedCode()


def test_training_discovers_bins_between_the_bounds():
    before = torch.get_rng_state()
    code = train(lmbda=45, noise=NOISE, steps=500)
    assert torch.equal(torch.get_rng_state(), before)
    rate, distortion = measure(code, NOISE, samples=20_000)
    assert reused(intervals(code)) >= 1
    assert gaussian_rate(distortion, conditional_variance(NOISE)) < rate < gaussian_rate(distortion) - 0.2


def test_a_certain_encoder_pays_for_what_it_sends(code):
    x, y = pairs(100, NOISE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        code.encoder[-1].weight.mul_(1e5)
        code.prior.copy_(torch.arange(8.0))
        index = code.encode(x)
        assert len(index.unique()) > 1
        bits = -code.prior.softmax(0).log2()[index]
        errors = (x - code.decode(index, y))[:, 0] ** 2
        expected = (bits + 45 * errors).mean().item()
        assert code.loss(x, y, lmbda=45, temperature=0.0).item() == pytest.approx(expected, rel=1e-3)


def test_a_temperature_rewards_the_entropy_of_the_index(code):
    x, y = pairs(100, NOISE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        code.encoder[-1].weight.zero_()
        code.encoder[-1].bias.zero_()  # all 8 indexes are equally likely
        cold, warm = (code.loss(x, y, 45, temperature).item() for temperature in (0.0, 0.1))
    assert cold - warm == pytest.approx(45 * 0.1 * torch.tensor(8.0).log().item(), rel=1e-4)


def test_intervals_cover_the_axis_and_an_encoder_with_one_index_sends_nothing(code):
    cells = intervals(code)
    assert len(cells) > 1
    ends = [-3.0, *(right for _, _, right in cells)]
    assert [left for _, left, _ in cells] == pytest.approx(ends[:-1], abs=1e-5)
    assert ends[-1] == 3
    centres = torch.tensor([[(left + right) / 2] for _, left, right in cells])
    assert code.encode(centres).tolist() == [index for index, _, _ in cells]
    with torch.no_grad():
        code.encoder[-1].bias[3] = 1e6
    assert intervals(code) == [(3, -3, 3)]
    assert measure(code, NOISE, samples=100)[0] == 0


@pytest.mark.parametrize(
    "wrong", [lambda: train(0, NOISE), lambda: train(45, float("inf")), lambda: train(45, NOISE, indexes=0)]
)
def test_invalid_arguments_are_refused(wrong):
    with pytest.raises(NDICError):
        wrong()

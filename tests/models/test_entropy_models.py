"""The learned distribution function of the factorised entropy model."""

import torch
from conftest import lively


def test_differences_of_the_cumulative_are_the_likelihoods(pair):
    model = lively("bls17", num_filters=6, lmbda=(0.001, 0.01))
    with torch.no_grad():
        gain, _ = model.gains(0.002, 1)
        h_hat, (p,) = model.prior_x(model.analyse(pair[0][None], gain), gain)
    lower, upper = (model.prior_x.cumulative(h_hat + edge, gain) for edge in (-0.5, 0.5))
    assert lower.shape == h_hat.shape
    assert torch.allclose(upper - lower, p, atol=1e-6)
    assert (upper >= lower).all()
    assert lower.min() >= 0
    assert upper.max() <= 1

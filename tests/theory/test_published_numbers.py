"""The numbers of the literature, computed independently."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.spatial import ConvexHull

from ndic_core.theory.common_information import (
    explains,
    explains_gaussian,
    gacs_korner,
    gaussian_mutual,
    wyner_flipped_bit,
    wyner_gaussian,
    wyner_variable,
)
from ndic_core.theory.density_evolution import flip_threshold
from ndic_core.theory.entropy import binary_entropy, entropies, entropy, flipped_bit
from ndic_core.theory.ldpc import LDPC, wrong_bits
from ndic_core.theory.syndromes import DISCUS, HAMMING, nearby
from ndic_core.theory.wyner_ziv import (
    binary_conditional_rate,
    binary_rate,
    cell_statistics,
    conditional_variance,
    critical_distortion,
    gaussian_rate,
    gaussian_scheme,
    ideal_quantiser,
)


@pytest.mark.parametrize(
    ("code", "bits", "sent", "pairs"), [(DISCUS, 3, 2, 32), (HAMMING, 7, 3, 1024)], ids=["DISCUS", "7, 4"]
)
def test_every_pair_within_one_flip_is_decoded(code, bits, sent, pairs):
    near = [(x, y) for x, y in product(code.words, repeat=2) if (x != y).sum() <= 1]
    assert len(near) == pairs
    assert all((code.decode(code.syndrome(x), y) == x).all() for x, y in near)
    assert (len(code.bins), *code.parities.shape) == (2**sent, sent, bits)
    both = entropies(nearby(code, flips=1))
    assert (both.x_given_y, both.pair) == pytest.approx((sent, bits + sent))


def test_threshold_and_limit_of_half_a_bit_per_bit():
    assert flip_threshold(rate=0.5, population=50_000) == pytest.approx(0.084, abs=1e-3)
    assert brentq(lambda p: binary_entropy(p) - 0.5, 0.01, 0.4) == pytest.approx(0.110, abs=5e-4)


def test_blocks_fail_above_the_threshold_only():
    regular = LDPC(bits=4000, checks=2000)
    assert wrong_bits(regular, 0.075, blocks=60, seed=2)[:, -1].max() == 0
    assert (wrong_bits(regular, 0.09, blocks=30, seed=2)[:, -1] > 0).mean() > 0.9


def test_closed_forms():
    assert binary_entropy(0.11) == pytest.approx(0.4999, abs=5e-5)
    variance = conditional_variance(0.1)
    assert variance == pytest.approx(0.0909, abs=5e-5)
    assert gaussian_rate(0.01, variance) == pytest.approx(1.592, abs=5e-4)
    assert binary_rate(0.05, p=0.25) == pytest.approx(0.5622, abs=5e-5)
    assert binary_conditional_rate(0.05, p=0.25) == pytest.approx(0.5249, abs=5e-5)
    critical = critical_distortion(0.25)
    assert (critical, binary_rate(critical, p=0.25)) == pytest.approx((0.088, 0.444), abs=5e-4)


@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("blur", [0.001, 0.1, 5.0])
def test_gaussian_sources_have_no_rate_loss(blur, noise):
    rate, distortion = gaussian_scheme(blur, noise)
    assert rate == pytest.approx(gaussian_rate(distortion, conditional_variance(noise)))


@pytest.mark.parametrize("p", [1e-12, 1e-9, 1e-6])
def test_rare_flips_touch_at_their_square_over_e(p):
    assert critical_distortion(p) == pytest.approx(p**2 / np.e, rel=2e-3)


def test_binary_rate_is_what_a_noisy_description_costs_less_what_y_tells():
    p, d = 0.25, 0.05  # u is x flipped with probability d; y another flip of x
    of_x, of_y = flipped_bit(d), flipped_bit(d) @ flipped_bit(p) * 2
    assert entropies(of_x).mutual - entropies(of_y).mutual == pytest.approx(binary_rate(d, p))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.25, 0.4, 0.49])
def test_binary_rate_is_the_lower_hull_of_the_curve_and_of_sending_nothing(p):
    d = np.linspace(0, p, 2001)
    curve = binary_entropy(p + d - 2 * p * d) - binary_entropy(d)
    points = np.column_stack([np.append(d, p), np.append(curve, 0.0)])
    corners = points[np.sort(ConvexHull(points / points.max(0)).vertices)]
    lower = corners[np.argsort(corners[:, 0], kind="stable")]
    lower = lower[~((lower[:, 0] == p) & (lower[:, 1] > 0))]  # the curve's own end lies above
    assert np.allclose(np.interp(d, *lower.T), binary_rate(d, p), atol=1e-5 * binary_entropy(p))
    assert (binary_rate(d, p) >= binary_conditional_rate(d, p) - 1e-12).all()


@pytest.mark.parametrize("noise", [0.1, np.inf], ids=["y at the decoder", "no y"])
def test_a_scalar_quantiser_is_a_quarter_of_a_bit_above_the_bound(noise):
    rate, distortion = ideal_quantiser(step=0.05, noise=noise)
    gap = rate - gaussian_rate(distortion, 1 if np.isinf(noise) else conditional_variance(noise))
    assert gap == pytest.approx(0.2546, abs=5e-5)
    assert 20 * np.log10(2) * gap == pytest.approx(1.53, abs=5e-3)


@pytest.mark.parametrize(("step", "noise"), [(0.7, 0.1), (1.0, 0.01), (3.0, 1.0)])
def test_ideal_quantiser_agrees_with_a_simulation_with_y(step, noise):
    rng, variance = np.random.default_rng(1), conditional_variance(noise)
    means = rng.normal(scale=np.sqrt(1 - variance), size=20_000)
    share, _, spread = cell_statistics(np.arange(-40, 41), means[:, None], variance, step)
    rate, distortion = ideal_quantiser(step, noise)
    assert np.mean([entropy(row / row.sum()) for row in share]) == pytest.approx(rate, rel=0.03)
    assert (share * spread).sum(1).mean() == pytest.approx(distortion, rel=0.03)


@pytest.mark.parametrize(("p", "mutual", "wyner"), [(0.1, 0.5310, 0.8728), (0.25, 0.1887, 0.6095)])
def test_common_information_of_a_flipped_bit(p, mutual, wyner):
    told, left = explains(wyner_variable(p))
    assert wyner_variable(p).sum(0) == pytest.approx(flipped_bit(p))
    assert (told, left) == pytest.approx((wyner, 0), abs=5e-5)
    assert wyner_flipped_bit(p) == pytest.approx(told)
    assert entropies(flipped_bit(p)).mutual == pytest.approx(mutual, abs=5e-5)
    assert gacs_korner(flipped_bit(p))[0] == 0


@pytest.mark.parametrize(("rho", "mutual", "wyner"), [(0.5, 0.2075, 0.7925), (0.9, 1.198, 2.124)])
def test_common_information_of_gaussians(rho, mutual, wyner):
    a = rho**0.5
    told, left = explains_gaussian([[1, a, a], [a, 1, rho], [a, rho, 1]])
    assert (told, left) == pytest.approx((wyner, 0), abs=5e-4)
    assert wyner_gaussian(rho) == pytest.approx(told)
    assert gaussian_mutual(rho) == pytest.approx(mutual, abs=5e-4)


def test_gacs_korner_sees_blocks_only():
    blocks = np.kron(np.diag([0.5, 0.25, 0.25]), np.full((2, 2), 0.25))
    shuffled = blocks[np.random.default_rng(0).permutation(6)]
    bits, of_x, of_y = gacs_korner(shuffled)
    assert bits == pytest.approx(1.5)
    assert all(of_x[i] == of_y[j] for i, j in np.argwhere(shuffled > 0))
    assert gacs_korner(0.999999 * blocks + 0.000001 / 36)[0] == pytest.approx(0, abs=1e-12)

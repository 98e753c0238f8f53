"""LDPC syndromes, belief propagation, density evolution and the Wyner–Ziv codec."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndic_core.errors import NDICError
from ndic_core.theory.density_evolution import evolve, flip_ratios, flip_threshold, needed_rate, succeeds
from ndic_core.theory.ldpc import LDPC, wrong_bits
from ndic_core.theory.quantiser_codec import QuantiserCodec
from ndic_core.theory.syndromes import HAMMING, nearby
from ndic_core.theory.wyner_ziv import cell_statistics, conditional_variance, gaussian_rate, ideal_quantiser

SHORT = QuantiserCodec(2.0, 0.1, length=100, margin=0.3)


@pytest.mark.parametrize(("bits", "checks"), [(4000, 2000), (1000, 750), (999, 250), (200, 12), (50, 50)])
def test_every_bit_is_in_three_checks_of_nearly_one_size(bits, checks):
    code = LDPC(bits, checks, seed=3)
    assert set(code.matrix.data) == {1}  # no bit twice in one check
    assert set(np.bincount(code.bit)) == {3}
    sizes = np.bincount(code.check)
    assert len(sizes) == checks
    assert np.ptp(sizes) <= 1
    if (bits, checks) in {(4000, 2000), (1000, 750)}:
        assert code.short_cycles == 0


@pytest.mark.parametrize("ratios", [[0.0], flip_ratios(0.5)])
def test_without_side_information_half_the_bits_are_wrong(ratios):
    assert set(evolve(ratios, rate=0.5, iterations=3)) == {0.5}
    assert not succeeds(ratios, rate=0.5, iterations=3)


def test_blocks_are_decoded_independently():
    code, rng = LDPC(600, 300), np.random.default_rng(5)
    x = rng.integers(0, 2, size=(6, 600), dtype=np.uint8)
    prior = (1 - 2.0 * (x ^ (rng.random(x.shape) < 0.07))) * np.log(0.93 / 0.07)
    together, solved = code.decode(code.syndrome(x), prior)
    alone = np.concatenate([code.decode(code.syndrome(x[i : i + 1]), prior[i : i + 1])[0] for i in range(6)])
    assert np.array_equal(together, alone)
    assert np.array_equal(solved, (code.syndrome(together) == code.syndrome(x)).all(1))


def test_exact_and_independent_flips():
    code = LDPC(1000, 500)
    assert set(wrong_bits(code, 0.03, blocks=8)[:, 0]) == {30}
    assert len(set(wrong_bits(code, 0.03, blocks=8, exact=False)[:, 0])) > 1


def test_the_threshold_of_another_rate():
    assert flip_threshold(rate=0.75, precision=1e-3) == pytest.approx(0.167, abs=2.5e-3)  # of (3, 4)-regular codes


def test_needed_rate_inverts_the_threshold():
    rate = needed_rate(flip_ratios(0.0845))
    assert rate == pytest.approx(0.5, abs=0.012)
    shares = list(evolve(flip_ratios(0.05), rate=0.5))
    assert shares[0] == pytest.approx(0.05, abs=5e-3)
    assert shares[-1] == 0


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-3, 3), step=st.floats(0.1, 4), variance=st.floats(0.01, 1))
def test_cells_have_the_moments_of_the_whole(mean, step, variance):
    index = np.arange(-150, 151)
    share, within, spread = cell_statistics(index, mean, variance, step)
    assert share.sum() == pytest.approx(1)
    assert (share * within).sum() == pytest.approx(mean, abs=1e-6)
    assert (share * (spread + (within - mean) ** 2)).sum() == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize(("step", "noise"), [(0.25, 0.1), (1.2, 0.3)])
def test_codec_decodes_exactly_and_costs_little_more_than_the_bound(step, noise):
    rng = np.random.default_rng(11)
    x = rng.normal(size=(3, 10_000))
    y = x + rng.normal(scale=noise**0.5, size=x.shape)
    codec = QuantiserCodec(step, noise)
    stream = codec.encode(x)
    index, solved = codec.decode_index(stream, y)
    assert solved.all()
    assert np.array_equal(index, codec.index(x))

    x_hat, _ = codec.decode(stream, y)
    rate, error = 8 * len(stream) / x.size, np.mean((x - x_hat) ** 2)
    ideal_rate, ideal_error = ideal_quantiser(step, noise)
    assert rate == pytest.approx(sum(codec.rates), abs=1e-3)
    assert error == pytest.approx(ideal_error, rel=0.05)
    assert ideal_rate < rate < gaussian_rate(error, conditional_variance(noise)) + 0.55 < gaussian_rate(error)


def test_a_wrong_y_is_detected():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(2, 4000))
    codec = QuantiserCodec(step=0.5, noise=0.1, length=4000, margin=0.06)
    _, solved = codec.decode(codec.encode(x), x[::-1])
    assert not solved.any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: LDPC(100, 101), "from 12 checks to as many as there are bits"),
        (lambda: LDPC(100, 50).decode(np.zeros((1, 50)), np.zeros((2, 100))), "must have shape"),
        (lambda: wrong_bits(LDPC(100, 50), 0.5, blocks=1), "below 1/2"),
        (lambda: LDPC(100, 50).syndrome(np.zeros((2, 99))), r"have shape \(B, 100\)"),
        (lambda: next(evolve(flip_ratios(0.1), rate=0)), "above 0"),
        (lambda: next(evolve([], rate=0.5)), "K at least 1"),
        (lambda: flip_ratios(0), "above 0"),
        (lambda: QuantiserCodec(step=np.inf, noise=1), "finite"),
        (lambda: SHORT.decode(bytes(5), np.zeros((1, 99))), "y must have shape"),
        (lambda: SHORT.encode(np.zeros((1, 99))), "x must have shape"),
        (lambda: SHORT.decode(b"?", np.zeros((1, 100))), "not a stream"),
        (lambda: HAMMING.syndrome([0, 1]), "7 bits"),
        (lambda: HAMMING.decode([2, 0, 0], np.zeros(7)), "no word"),
        (lambda: HAMMING.syndrome([0, 0, 0, 2, 0, 0, 0]), "each 0 or 1"),
        (lambda: type(HAMMING)([[0, 2]]), "0 and 1"),
        (lambda: nearby(HAMMING, -1), "0 or more"),
    ],
)
def test_invalid_arguments_are_refused(wrong, says):
    with pytest.raises(NDICError, match=says):
        wrong()

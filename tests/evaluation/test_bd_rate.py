"""BD-rate: known values, the published numbers, and a reason for each kind of unusable curve."""

import numpy as np
import pytest

from ndic_core.config import load_config
from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import BDRateError, bd_rate, rates_in_common
from ndic_core.evaluation.published_points import LAMBDAS, POINTS, published_rows


def points(rates, qualities):
    return [{"bpp": rate, "psnr": db} for rate, db in zip(rates, qualities, strict=True)]


def published(model):
    return [row for row in published_rows("ms_ssim_db") if row["model"] == model]


CURVE = points((0.1, 0.2, 0.4, 0.8, 1.0), (25.0, 27.5, 31.0, 33.0, 33.4))


@pytest.mark.parametrize(("factor", "percent"), [(1, 0), (0.5, -50), (2, 100), (0.9, -10)])
def test_rates_in_a_fixed_ratio(factor, percent):
    test = [row | {"bpp": factor * row["bpp"]} for row in CURVE]
    assert bd_rate(CURVE, test) == pytest.approx(percent, abs=1e-9)
    assert bd_rate(CURVE, test[::-1]) == pytest.approx(percent, abs=1e-9)  # in any order


@pytest.mark.parametrize(("anchor", "percent"), [("ndic_bls17", -35.6), ("ndic_bmshj18", -41.6)])
def test_published_figures(anchor, percent):
    assert bd_rate(published(anchor), published("cross_attention"), "ms_ssim_db") == pytest.approx(percent, abs=0.2)


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        (CURVE[:3], "too few points", "test curve has 3 points; .* at least 4"),
        (points((0.1, 0.2, 0.3, 0.4), (33.4, 41, 42, 43)), "no quality in common", r"\(25.00 to 33.40 dB and 33.40"),
        (points((0.1, 0.2, 0.15, 0.4), (25, 27, 29, 31)), "does not rise", "0.2000 bpp give 27.00 dB but 0.1500 bpp"),
        (points((0.1, 0.2, 0.3, 0.4), (25, 29, 27, 31)), "does not rise", "0.3000 bpp give 27.00 dB but 0.2000 bpp"),
        (points((0.1, 0.2, 0.3, float("nan")), (25, 27, 29, 31)), "not finite", "not finite"),
        (points((-0.01, 0.2, 0.3, 0.4), (25, 27, 29, 31)), "not above 0", "-0.0100 bpp: rates must be above 0"),
    ],
)
def test_bad_curves(bad, reason, said):
    with pytest.raises(BDRateError, match=said) as refused:
        bd_rate(CURVE, bad)
    assert reason in refused.value.reason
    with pytest.raises(BDRateError):
        bd_rate(bad, CURVE)


def test_points_without_numbers_and_unknown_metrics():
    with pytest.raises(NDICError, match="numbers as bpp and psnr"):
        bd_rate(CURVE, points((1, 2, 3, None), (1, 2, 3, 4)))
    with pytest.raises(NDICError, match="psnr or ms_ssim_db, not 'vmaf'"):
        bd_rate(CURVE, CURVE, "vmaf")


def test_published_points_are_curves():
    for curve in (curve for models in POINTS.values() for curve in models.values()):
        for values in zip(*curve, strict=True):
            assert list(values) == sorted(set(values))


@pytest.mark.parametrize("dataset", LAMBDAS)
def test_published_lambdas_belong_to_data_sets_of_the_configuration(dataset):
    assert load_config("teaching", dataset_name=dataset).dataset_name == dataset
    assert list(LAMBDAS[dataset]) == sorted(set(LAMBDAS[dataset]))


def test_rates_in_common_average_to_the_bd_rate():
    anchor, test = published("ndic_bls17"), published("cross_attention")
    _, before, after = rates_in_common(anchor, test, "ms_ssim_db")
    mean = 100 * np.expm1(np.log(after / before).mean())
    assert mean == pytest.approx(bd_rate(anchor, test, "ms_ssim_db"), abs=0.02)


def test_rates_in_common_go_through_the_points():
    half = [row | {"bpp": row["bpp"] / 2} for row in CURVE]
    for values, expected in zip(rates_in_common(CURVE, half, part=(1.0, 1.0)), (33.4, 1.0, 0.5), strict=True):
        assert values == pytest.approx(expected)
    low = rates_in_common(CURVE, half, part=(0.0, 0.25))[0]
    assert (low.min(), low.max()) == pytest.approx((25.0, 27.1), abs=0.01)
    for part in ((0.5, 0.4), "ab", 0.5, (0.5,), None):
        with pytest.raises(NDICError, match="part must be within 0 and 1"):
            rates_in_common(CURVE, CURVE, part=part)

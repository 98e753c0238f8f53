"""Rate savings at equal quality."""

import math

import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.rate_savings import rate_savings

CURVE = [(0.1, 10.0), (0.2, 11.0), (0.4, 12.0)]


@pytest.mark.parametrize(
    ("test", "quality", "rate"),
    [
        (CURVE, 11.5, math.sqrt(0.2 * 0.4)),  # the mean of logarithms
        (CURVE[::-1], 11.5, math.sqrt(0.2 * 0.4)),  # in any order
        (CURVE, 12.0, 0.4),
        (CURVE, 9.9, math.nan),  # out of reach
        ([(0.1, 11.0), (0.2, 11.0), (0.4, 13.0)], 11.0, 0.1),  # tied: the cheaper one
        ([(0.1, 11.0), (0.2, 12.0), (0.4, 11.4)], 11.5, math.sqrt(0.1 * 0.2)),  # the third point is dominated
    ],
)
def test_the_share_is_read_off_at_equal_quality(test, quality, rate):
    points = [dict(bpp=bpp, ms_ssim_db=db) for bpp, db in test]
    share = rate_savings(dict(bpp=0.25, ms_ssim_db=quality), points)
    assert share == pytest.approx(1 - rate / 0.25, nan_ok=True)


def test_small_images_have_no_savings():
    with pytest.raises(NDICError, match="needs sides above 96 pixels"):
        rate_savings(dict(bpp=0.25, ms_ssim_db=9.0), [dict(bpp=0.2, ms_ssim_db=None)])

"""Rate savings of one image: the share of its bits that another model, or another y, does without at equal quality."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from ndic_core.errors import NDICError


def rate_savings(anchor: Mapping, test: Iterable[Mapping]) -> float:
    """The share of the anchor's bits that `test` saves at the anchor's MS-SSIM, read off its curve.

    The logarithm of the rate is interpolated linearly over the quality. A point that another one dominates (no more
    bits, no less quality) is left out: it would not be used, and a line through it would underestimate the other one.

    Args:
        anchor: one measured point, such as a row of `roundtrip`: bpp, and ms_ssim_db in dB.
        test: points of the same image at several rates, in any order.

    Returns:
        0.1 where 10 % of the bits are saved, negative where more are needed; NaN where the anchor's quality is outside
        the range of the points.

    Raises:
        NDICError: a point has no MS-SSIM.
    """
    test = list(test)
    if any(point.get("ms_ssim_db") is None for point in (anchor, *test)):
        raise NDICError("rate savings are at equal MS-SSIM, which needs sides above 96 pixels: use larger images")
    rates, qualities = [], []
    for point in sorted(test, key=lambda point: (point["bpp"], -point["ms_ssim_db"])):
        if not qualities or point["ms_ssim_db"] > qualities[-1]:
            rates.append(point["bpp"])
            qualities.append(point["ms_ssim_db"])
    log_rate = np.interp(anchor["ms_ssim_db"], qualities, np.log(rates), left=np.nan, right=np.nan)
    return 1 - math.exp(log_rate) / anchor["bpp"]

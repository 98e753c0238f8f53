"""Bjøntegaard's rate difference: how many bits one codec saves against another, in one number."""

from collections.abc import Iterable, Mapping

import numpy as np

from ndic_core.errors import NDICError

METRICS = ("psnr", "ms_ssim_db")
FEWEST = 4  # points a curve, as in Bjøntegaard's definition; fewer say more about the interpolation than the codec


def bd_rate(anchor: Iterable[Mapping], test: Iterable[Mapping], metric: str = "psnr") -> float:
    """Average rate difference at equal quality, over the qualities that both curves reach.

    Bjøntegaard (VCEG-M33, 2001): the logarithm of the rate is interpolated over quality, here piecewise by monotone
    cubics (PCHIP, as in the common test conditions of HEVC and VVC), and the gap between the curves is averaged over
    their common interval of quality. It says nothing about qualities outside; look at the curves as well.

    Args:
        anchor: points of the codec compared against, in any order: mappings with `bpp` (above 0) and the metric (dB).
        test: points of the codec in question, likewise.
        metric: "psnr" or "ms_ssim_db".

    Returns:
        Percent; negative where `test` needs fewer bits for the same quality.

    Raises:
        NDICError: a curve has fewer than four points, values that are missing or not finite, or a rate that does not
            rise with quality; or the two have no quality in common.

    Example:
        >>> anchor = [dict(bpp=2.0**n, psnr=30.0 + 3 * n) for n in range(4)]
        >>> round(bd_rate(anchor, [dict(bpp=row["bpp"] / 2, psnr=row["psnr"]) for row in anchor]), 6)
        -50.0
    """
    from bjontegaard import bd_rate as library_bd_rate  # imports pyplot, which takes a while

    if metric not in METRICS:
        raise NDICError(f"rates can be compared at equal {' or '.join(METRICS)}, not {metric!r}")
    anchor_rates, anchor_db = _curve(anchor, metric, "anchor")
    test_rates, test_db = _curve(test, metric, "test")
    if max(anchor_db[0], test_db[0]) >= min(anchor_db[-1], test_db[-1]):
        spans = " and ".join(f"{db[0]:.2f} to {db[-1]:.2f} dB" for db in (anchor_db, test_db))
        raise NDICError(
            f"anchor and test have no {metric} in common ({spans}): measure both over overlapping qualities"
        )
    # any overlap will do: the library would only warn where it is below a share of its choice
    curves = (anchor_rates, anchor_db, test_rates, test_db)
    return float(library_bd_rate(*curves, method="pchip", require_matching_points=False, min_overlap=0))


def _curve(rows: Iterable[Mapping], metric: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates and qualities of a curve in rising order, checked."""
    try:
        points = np.array(sorted((float(row[metric]), float(row["bpp"])) for row in rows))
    except (KeyError, TypeError, ValueError) as error:
        raise NDICError(f"every point of the {name} curve needs numbers as bpp and {metric}") from error
    if len(points) < FEWEST:
        raise NDICError(f"the {name} curve has {len(points)} points; a rate difference needs at least {FEWEST}")
    qualities, rates = points.T
    if not np.isfinite(points).all() or (rates <= 0).any():
        raise NDICError(f"the {name} curve holds a bpp or {metric} that is not finite, or a bpp that is not above 0")
    if (np.diff(qualities) <= 0).any() or (np.diff(rates) <= 0).any():
        worst = int(np.flatnonzero((np.diff(qualities) <= 0) | (np.diff(rates) <= 0))[0])
        raise NDICError(
            f"the {name} curve does not rise: {rates[worst]:.4f} bpp give {qualities[worst]:.2f} dB but "
            f"{rates[worst + 1]:.4f} bpp give {qualities[worst + 1]:.2f} dB; leave out the point that others beat"
        )
    return rates, qualities

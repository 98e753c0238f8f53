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

    curves = [values for curve in _overlapping(anchor, test, metric) for values in curve]
    # any overlap will do: the library would only warn where it is below a share of its choice
    return float(library_bd_rate(*curves, method="pchip", require_matching_points=False, min_overlap=0))


def rates_in_common(
    anchor: Iterable[Mapping],
    test: Iterable[Mapping],
    metric: str = "psnr",
    part: tuple[float, float] = (0.0, 1.0),
    count: int = 400,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both curves read at equal quality: what `bd_rate` averages, before it is averaged.

    The mean of `log(test) - log(anchor)` over the whole interval is the logarithm of one plus the BD-rate.

    Args:
        anchor, test, metric: see `bd_rate`.
        part: of the qualities that both reach, from 0 (the lowest) to 1 (the highest); may be a single place.
        count: how many qualities, 1 or more: the middles of as many equal steps.

    Returns:
        Qualities (dB), and the rates in bits per pixel of anchor and test there, on the curves that `bd_rate` draws.

    Raises:
        NDICError: see `bd_rate`; or a part that is none.

    Example:
        >>> anchor = [dict(bpp=2.0**n, psnr=30.0 + 3 * n) for n in range(4)]
        >>> test = [dict(bpp=row["bpp"] / 2, psnr=row["psnr"]) for row in anchor]
        >>> qualities, before, after = rates_in_common(anchor, test, count=3)
        >>> qualities.round(6).tolist(), (after / before).round(6).tolist()
        ([31.5, 34.5, 37.5], [0.5, 0.5, 0.5])
    """
    from scipy.interpolate import PchipInterpolator

    if not 0 <= part[0] <= part[1] <= 1 or count < 1:
        raise NDICError(f"a part lies between 0 and 1 and has 1 or more places, not {part} and {count}")
    curves = _overlapping(anchor, test, metric)
    low, high = max(db[0] for _, db in curves), min(db[-1] for _, db in curves)
    places = part[0] + (part[1] - part[0]) * (np.arange(count) + 0.5) / count
    qualities = low + (high - low) * places
    before, after = (np.exp(PchipInterpolator(db, np.log(rates))(qualities)) for rates, db in curves)
    return qualities, before, after


def _overlapping(anchor: Iterable[Mapping], test: Iterable[Mapping], metric: str) -> list[tuple[np.ndarray, ...]]:
    """Rates and qualities of both curves, checked."""
    if metric not in METRICS:
        raise NDICError(f"rates can be compared at equal {' or '.join(METRICS)}, not {metric!r}")
    curves = [_curve(anchor, metric, "anchor"), _curve(test, metric, "test")]
    if max(db[0] for _, db in curves) >= min(db[-1] for _, db in curves):
        spans = " and ".join(f"{db[0]:.2f} to {db[-1]:.2f} dB" for _, db in curves)
        raise NDICError(
            f"anchor and test have no {metric} in common ({spans}): measure both over overlapping qualities"
        )
    return curves


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

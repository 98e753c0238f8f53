"""Bjøntegaard delta rate (BD-rate): the average rate difference of two codecs at equal quality."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real

import numpy as np

from ndic_core.errors import NDICError

METRICS = ("psnr", "ms_ssim_db")
FEWEST = 4  # points per curve, as in Bjøntegaard's definition


class BDRateError(NDICError):
    """Two curves have no BD-rate; `reason` says why in a few words, for the cell of a table."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def bd_rate(anchor: Iterable[Mapping], test: Iterable[Mapping], metric: str = "psnr") -> float:
    """Average rate difference at equal quality, over the range of quality that both curves share.

    Bjøntegaard (VCEG-M33, 2001): the logarithm of the rate is interpolated over quality, here by monotone piecewise
    cubics (PCHIP, as in the common test conditions of HEVC and VVC), and the difference is averaged over the common
    interval of quality. It does not describe qualities outside.

    Args:
        anchor: points of the reference codec in any order: mappings with `bpp` (above 0) and the metric (dB).
        test: points of the codec to compare, likewise.
        metric: "psnr" or "ms_ssim_db".

    Returns:
        Percent; negative where `test` needs fewer bits for the same quality.

    Raises:
        NDICError: another metric, or points without numbers as `bpp` and the metric.
        BDRateError: a curve has fewer than four points, a value that is not finite, a rate that is not above 0 or does
            not rise with quality; or the two have no quality in common.
    """
    from bjontegaard import bd_rate as library_bd_rate  # imports pyplot, which takes a while

    curves = [values for curve in _overlapping(anchor, test, metric) for values in curve]
    # without min_overlap=0 the library warns below an overlap of its own choice
    return float(library_bd_rate(*curves, method="pchip", require_matching_points=False, min_overlap=0))


def rates_in_common(
    anchor: Iterable[Mapping],
    test: Iterable[Mapping],
    metric: str = "psnr",
    part: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rates of both curves at equal quality: what `bd_rate` averages.

    The mean of `log(test) - log(anchor)` over the whole interval is the logarithm of one plus the BD-rate.

    Args:
        anchor, test, metric: see `bd_rate`.
        part: start and end within the common interval of quality, from 0 (its lowest) to 1 (its highest).

    Returns:
        400 qualities (dB), the midpoints of equal steps, and the rates of anchor and test there, in bits per pixel,
        interpolated as in `bd_rate`.

    Raises:
        NDICError: see `bd_rate`; or `part` is out of range.
    """
    from scipy.interpolate import PchipInterpolator

    numbers = isinstance(part, Sequence) and len(part) == 2 and all(isinstance(end, Real) for end in part)
    if not numbers or not 0 <= part[0] <= part[1] <= 1:
        raise NDICError(f"part must be within 0 and 1, a start and an end, not {part!r}")
    curves = _overlapping(anchor, test, metric)
    low, high = max(db[0] for _, db in curves), min(db[-1] for _, db in curves)
    places = part[0] + (part[1] - part[0]) * (np.arange(400) + 0.5) / 400
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
        raise BDRateError(
            "no quality in common",
            f"anchor and test have no {metric} in common ({spans}): measure both over overlapping qualities",
        )
    return curves


def _curve(rows: Iterable[Mapping], metric: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates and qualities of a curve in rising order, checked."""
    try:
        points = np.array(sorted((float(row[metric]), float(row["bpp"])) for row in rows))
    except (KeyError, TypeError, ValueError) as error:
        raise NDICError(f"every point of the {name} curve needs numbers as bpp and {metric}") from error
    if len(points) < FEWEST:
        message = f"the {name} curve has {len(points)} points; a BD-rate needs at least {FEWEST}: measure at more rates"
        raise BDRateError("too few points", message)
    qualities, rates = points.T
    if not np.isfinite(points).all():
        raise BDRateError("a value that is not finite", f"the {name} curve has a bpp or {metric} that is not finite")
    if rates.min() <= 0:
        message = f"the {name} curve has a rate of {rates.min():.4f} bpp: rates must be above 0, leave out that point"
        raise BDRateError("a rate that is not above 0", message)
    falls = np.flatnonzero((np.diff(qualities) <= 0) | (np.diff(rates) <= 0))
    if len(falls):
        first, second = (f"{rates[i]:.4f} bpp give {qualities[i]:.2f} dB" for i in (falls[0], falls[0] + 1))
        message = f"the {name} curve does not rise: {first} but {second}; leave out the dominated point"
        raise BDRateError("a curve that does not rise", message)
    return rates, qualities

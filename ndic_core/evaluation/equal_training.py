"""Comparison of variants that were trained alike, seed by seed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ndic_core.errors import NDICError
from ndic_core.evaluation.bd_rate import bd_rate


def rate_differences(rows: Iterable[Mapping], base: str, metric: str = "psnr") -> dict[str, dict[str, list[float]]]:
    """BD-rates of variants against one of them, for the same seed and the same part of the test images.

    Args:
        rows: measured points, such as those of `benchmarks/results/equal_steps.csv`: mappings with `variant`, `seed`,
            `part`, `side_info`, `bpp` and the metric. Only points with matching y count.
        base: the variant that the others are compared with.
        metric: "psnr" or "ms_ssim_db".

    Returns:
        By part, then by variant: percent of bits, in the order of the seeds of `base`; positive means more bits. Seeds
        that one of both lacks are left out, and variants without any.

    Raises:
        NDICError: the base variant has no point; see also `bd_rate`.
    """
    curves = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        if row["side_info"] == "matching_y":
            curves[row["part"]][row["variant"]][row["seed"]].append(row)
    found = {}
    for part, variants in curves.items():
        if base not in variants:
            raise NDICError(f"{base!r} has no point of {part!r}: choose one of {', '.join(variants)}")
        anchors = variants.pop(base)
        rates = {
            name: [bd_rate(anchors[seed], points[seed], metric) for seed in anchors if seed in points]
            for name, points in variants.items()
        }
        found[part] = {name: values for name, values in rates.items() if values}
    return found

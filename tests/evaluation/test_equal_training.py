"""BD-rates of variants are computed seed by seed."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.equal_training import rate_differences


def points(variant: str, seed: int, times: float, part: str = "whole", side_info: str = "matching_y") -> list[dict]:
    """A curve that needs `times` the bits."""
    row = dict(variant=variant, seed=seed, part=part, side_info=side_info)
    return [row | dict(bpp=times * 0.1 * 2**i, psnr=20.0 + 3 * i) for i in range(4)]


def test_a_variant_is_compared_with_the_same_seed_and_part():
    rows = [*points("base", 0, 1.0), *points("base", 1, 2.0), *points("base", 0, 1.0, "window")]
    rows += [*points("more", 0, 1.5), *points("more", 1, 2.0), *points("more", 0, 0.5, "window")]
    rows += points("more", 0, 9.0, side_info="no_y")
    found = rate_differences(rows, "base")
    assert found["whole"]["more"] == pytest.approx([50, 0], abs=1e-6)
    assert found["window"]["more"] == pytest.approx([-50])


def test_seeds_and_variants_without_a_partner_are_left_out():
    rows = [*points("base", 0, 1.0), *points("more", 0, 2.0), *points("more", 5, 7.0), *points("other", 5, 7.0)]
    assert rate_differences(rows, "base")["whole"] == {"more": pytest.approx([100])}


def test_the_base_must_be_there():
    with pytest.raises(NDICError, match="'base' has no point of 'whole'"):
        rate_differences(points("more", 0, 1.0), "base")

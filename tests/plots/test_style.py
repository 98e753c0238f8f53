"""Helpers that all figures share."""

import pytest

from ndic_core.plots import style


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (-0.0, ".1f", "0.0"),
        (-0.04, ".1f", "0.0"),
        (-0.04, "+.1f", "+0.0"),
        (-2.8e-17, ".4f", "0.0000"),
        (-0.06, ".1f", "-0.1"),
        (1234.5, ",.1f", "1,234.5"),
    ],
)
def test_zero_has_no_sign(value, spec, expected):
    assert style.number(value, spec) == expected

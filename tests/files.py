"""Empty files, and the messages of refusals, for the tests of data sets."""

from pathlib import Path

import pytest

from ndic_core import NDICError


def plant(root: Path, *names: str) -> Path:
    """Empty files below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def refusal(function, *arguments) -> str:
    """The message of the error that a call raises, one line."""
    with pytest.raises(NDICError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)

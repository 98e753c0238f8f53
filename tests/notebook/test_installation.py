"""What is missing is named, with what to do."""

import importlib.metadata

import pytest

from ndic_core import MODELS
from ndic_core.io import shipped_weights
from ndic_core.notebook import installation
from ndic_core.notebook.installation import installed_parts


def test_all_is_found_here():
    parts = {part.name: part for part in installed_parts()}
    assert set(MODELS) < set(parts)
    assert all(part.found for part in parts.values())
    assert parts["torch"].found == importlib.metadata.version("torch")
    megabytes = shipped_weights("bls17").stat().st_size / 1e6
    assert str(parts["bls17"]).split() == ["bls17", "weights,", f"{megabytes:.1f}", "MB"]


def test_a_missing_package_comes_with_its_remedy(monkeypatch):
    monkeypatch.setattr(installation, "_NEEDED_FOR", {"no-such-package": "sliders"})
    (part,) = (part for part in installed_parts() if part.found is None)
    assert part.name == "no-such-package"
    assert "MISSING: needed for sliders; run `pip install no-such-package`" in str(part)


@pytest.mark.parametrize("name", MODELS)
def test_missing_weights_come_with_a_remedy(monkeypatch, name):
    monkeypatch.setattr(installation, "shipped_weights", lambda n: None if n == name else shipped_weights(n))
    (part,) = (part for part in installed_parts() if part.found is None)
    assert part.name == name
    assert "get this repository anew" in str(part)

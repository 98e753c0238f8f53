"""Missing packages and weights are reported with a remedy."""

import importlib.metadata

from ndic_core import MODELS
from ndic_core.files import shipped_weights
from ndic_core.notebook import installation
from ndic_core.notebook.installation import installed_parts


def test_everything_is_installed_here():
    parts = {part.name: part for part in installed_parts()}
    assert set(MODELS) < set(parts)
    assert all(part.found for part in parts.values())
    assert parts["torch"].found == importlib.metadata.version("torch")
    megabytes = shipped_weights("bls17").stat().st_size / 1e6
    assert str(parts["bls17"]).split() == ["bls17", "weights,", f"{megabytes:.1f}", "MB"]


def test_a_missing_package_has_a_remedy(monkeypatch):
    monkeypatch.setattr(installation, "_REQUIRED_FOR", {"no-such-package": "sliders"})
    (part,) = (part for part in installed_parts() if part.found is None)
    assert part.name == "no-such-package"
    assert "MISSING: required for sliders; run `pip install no-such-package`" in str(part)


def test_missing_weights_have_a_remedy(monkeypatch):
    monkeypatch.setattr(installation, "shipped_weights", lambda name: None)
    missing = [part for part in installed_parts() if part.found is None]
    assert [part.name for part in missing] == list(MODELS)
    assert all("clone this repository again" in str(part) for part in missing)

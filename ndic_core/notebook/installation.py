"""Check that the packages and weights that the notebooks need are installed."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ndic_core.catalogue import MODELS
from ndic_core.files import shipped_weights

_REQUIRED_FOR = {
    "torch": "all models",
    "compressai": "the range coder",
    "pytorch-msssim": "MS-SSIM",
    "matplotlib": "the figures",
    "scikit-image": "a real pair of photographs",
    "ipywidgets": "sliders",
    "anywidget": "clickable images",
}


@dataclass(frozen=True)
class Part:
    """A package, or the weights of a model.

    Attributes:
        name: of the package or the model.
        found: its version or size; None where it is missing.
        remedy: a sentence: what it is required for, and what to do if it is missing.
    """

    name: str
    found: str | None
    remedy: str

    def __str__(self):
        return f"{self.name:<20} {self.found}" if self.found else f"{self.name:<20} MISSING: {self.remedy}"


def installed_parts() -> list[Part]:
    """The packages and the shipped weights that the notebooks need, installed or missing."""
    return [*map(_package, _REQUIRED_FOR), *map(_weights, MODELS)]


def _package(name: str) -> Part:
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    return Part(name, found, f"required for {_REQUIRED_FOR[name]}; run `pip install {name}`, then restart the kernel")


def _weights(name: str) -> Part:
    file = shipped_weights(name)
    found = None if file is None else f"weights, {file.stat().st_size / 1e6:.1f} MB"
    return Part(name, found, f"the weights of {name} ship with the package; clone this repository again")

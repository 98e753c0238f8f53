"""Is everything here that the notebooks need? What is found, and what to do about what is missing."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ndic_core.catalogue import MODELS
from ndic_core.io import shipped_weights

_NEEDED_FOR = {
    "torch": "all models",
    "compressai": "the range coder",
    "pytorch-msssim": "measuring MS-SSIM",
    "matplotlib": "the figures",
    "scikit-image": "a real pair of photographs",
    "ipywidgets": "sliders",
    "anywidget": "pictures to click on",
}


@dataclass(frozen=True)
class Part:
    """Something the notebooks need.

    Attributes:
        name: of the package, or of the model whose weights it is.
        found: its version or size; None where it is missing.
        remedy: a sentence: what it is for, and what to do if it is missing.
    """

    name: str
    found: str | None
    remedy: str

    def __str__(self):
        return f"{self.name:<20} {self.found}" if self.found else f"{self.name:<20} MISSING: {self.remedy}"


def installed_parts() -> list[Part]:
    """The packages and the shipped weights that the notebooks need, found or missing.

    Example:
        >>> missing = [part for part in installed_parts() if part.found is None]
        >>> missing
        []
    """
    return [*map(_package, _NEEDED_FOR), *map(_weights, MODELS)]


def _package(name: str) -> Part:
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    return Part(name, found, f"needed for {_NEEDED_FOR[name]}; run `pip install {name}`, then restart the kernel")


def _weights(name: str) -> Part:
    file = shipped_weights(name)
    found = None if file is None else f"weights, {file.stat().st_size / 1e6:.1f} MB"
    return Part(name, found, f"the weights of {name} ship with the package; get this repository anew")

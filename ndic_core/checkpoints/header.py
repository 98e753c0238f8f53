"""What a checkpoint of this package states in its header: read without PyTorch, for checks before it is loaded."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ndic_core.catalogue import CATALOGUE, ModelInfo
from ndic_core.files import weights_file

_LARGEST = 2**20  # bytes of a header; ours have some thousand


@dataclass(frozen=True)
class StoredModel:
    """The model in a checkpoint.

    Attributes:
        info: its entry in the catalogue.
        lambdas: lowest and highest lambda of variable-rate weights, or one value twice.
        y_optional: whether it also decodes without a side image.
    """

    info: ModelInfo
    lambdas: tuple[float, float]
    y_optional: bool

    def offers(self, lmbda: float) -> bool:
        """Whether the weights have this rate, as `VariableRate.gains` decides it."""
        low, high = self.lambdas
        return low * (1 - 1e-6) < lmbda < high * (1 + 1e-6)


def stored_model(path: Path) -> StoredModel | None:
    """The model in a checkpoint of this package; None for any other file, which `load_checkpoint` reads or refuses."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LARGEST:
                return None
            metadata = json.loads(file.read(length))["__metadata__"]
        config = dict(json.loads(metadata["ndic"])["config"])
        info = CATALOGUE[config.pop("model")]
        config.pop("image_size", None)
        options = info.options.model_validate({"lambda": config.pop("lmbda"), **config})
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return None
    lmbda = options.lmbda
    low, high = lmbda if isinstance(lmbda, list) else (lmbda, lmbda)
    return StoredModel(info, (low, high), not info.side_info or getattr(options, "robust", False))


def shipped_model(name: str, metric: str) -> StoredModel | None:
    """The model in the shipped weights for one of `METRICS`; None if there are none."""
    return stored_model(weights_file(name, metric))

"""What real coding needs of given weights: tables, and a fingerprint by which a stream knows them again."""

import copy
import hashlib
import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import FINGERPRINT_BYTES
from ndic_core.models.entropy_models import FactorizedTables, HyperpriorTables

LEVELS = 255  # the highest rate level that a file can name


@dataclass(frozen=True)
class Coding:
    """What `encode` and `decode` need of given weights.

    Attributes:
        checksum: tells these weights from changed ones, and from the same on another device or in another precision.
        gain, inverse: (1, N) at this rate level; None for weights of one rate.
        tables: writes and reads the latent.
        fingerprint: first bytes of the SHA-256 of weights and tables, as a stream carries it.
    """

    checksum: tuple[tuple, ...]
    gain: Tensor | None
    inverse: Tensor | None
    tables: FactorizedTables | HyperpriorTables
    fingerprint: bytes

    @classmethod
    @torch.no_grad()
    def build(cls, model: nn.Module, checksum: tuple[tuple, ...], level: int | None) -> "Coding":
        if not all(bool(p.isfinite().all()) for p in model.parameters()):
            raise NDICError(f"the weights of this {model.name} hold NaN or infinity; they cannot code an image")
        gain = inverse = exact_gain = None
        if level is not None:
            exact = copy.deepcopy(model.gain).to("cpu", torch.float64)  # as the tables: every machine rounds alike
            gain, inverse = exact(torch.tensor([level / LEVELS], dtype=torch.float64))
            exact_gain, gain, inverse = gain[0], model.to_model(gain), model.to_model(inverse)
        tables = model.prior_x.coding_tables(exact_gain)
        # lambda and dropout shape the training, not the stream
        architecture = {key: value for key, value in model.config.items() if key not in ("lmbda", "dropout")}
        digest = hashlib.sha256(fingerprint(architecture, dict(model.named_parameters())).encode())
        for part in tables.parts:
            digest.update(json.dumps([part.cdfs, part.offsets]).encode())
        return cls(checksum, gain, inverse, tables, digest.digest()[:FINGERPRINT_BYTES])


def fingerprint(config: dict, weights: dict[str, Tensor]) -> str:
    """SHA-256 of a configuration and its weights, 64 hexadecimal digits, the same on every machine."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weight_bytes(weights[name]))
    return digest.hexdigest()


def weight_bytes(weight: Tensor):
    """A weight's values as little-endian 32-bit floats."""
    return weight.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False)

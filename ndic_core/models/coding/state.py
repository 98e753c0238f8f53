"""Coding state of given weights: coding tables, gains and the fingerprint that a stream carries."""

import copy
import hashlib
import json
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import FINGERPRINT_BYTES
from ndic_core.models.entropy_models import FactorizedTables, HyperpriorTables
from ndic_core.models.wrappers import plain_weights

LEVELS = 255  # the highest rate level that a file can name
LEVELS_KEPT = 8  # rate levels whose tables are kept in memory; each may take 20 MB


@dataclass(frozen=True)
class Coding:
    """What `encode` and `decode` need of given weights at one rate level.

    Attributes:
        gain, inverse: (1, N); None for single-rate weights.
        tables: writes and reads the latent.
        fingerprint: first bytes of the SHA-256 of weights and tables.
    """

    gain: Tensor | None
    inverse: Tensor | None
    tables: FactorizedTables | HyperpriorTables
    fingerprint: bytes

    @classmethod
    @torch.no_grad()
    def build(cls, model: nn.Module, weights: str, level: int | None) -> "Coding":
        """`weights` is the fingerprint of the architecture and its weights."""
        gain = inverse = exact_gain = None
        if level is not None:
            exact = copy.deepcopy(model.gain).to("cpu", torch.float64)  # as the tables: the same rounding everywhere
            gain, inverse = exact(torch.tensor([level / LEVELS], dtype=torch.float64))
            exact_gain, gain, inverse = gain[0], model.to_model(gain), model.to_model(inverse)
        tables = model.prior_x.coding_tables(exact_gain)
        digest = hashlib.sha256(weights.encode())
        for part in tables.parts:
            digest.update(json.dumps([part.cdfs, part.offsets]).encode())
        return cls(gain, inverse, tables, digest.digest()[:FINGERPRINT_BYTES])


class CodingCache:
    """The `Coding` of each rate level, computed once for given weights. A copy of the cache starts empty."""

    def __init__(self):
        self._state: tuple | None = None
        self._weights = ""
        self._levels: dict[int | None, Coding] = {}

    def __reduce__(self):
        return CodingCache, ()

    def get(self, model: nn.Module, level: int | None) -> Coding:
        """The coding state at a rate level; computed anew if a weight was changed, replaced or moved.

        Raises:
            NDICError: a weight is not finite.
        """
        state = _weights_state(model)
        if state != self._state:
            if not all(bool(p.isfinite().all()) for p in model.parameters()):
                raise NDICError(f"the weights of this {model.name} hold NaN or infinity; they cannot code an image")
            # lambda and dropout shape the training, not the stream
            architecture = {key: value for key, value in model.config.items() if key not in ("lmbda", "dropout")}
            self._weights = fingerprint(architecture, plain_weights(model))
            self._levels.clear()
            self._state = state
        if level not in self._levels:
            while len(self._levels) >= LEVELS_KEPT:
                del self._levels[next(iter(self._levels))]
            self._levels[level] = Coding.build(model, self._weights, level)
        return self._levels[level]


_optimizer_steps = 0  # fused optimizers change weights without raising their version counters


def _count_step(*_) -> None:
    global _optimizer_steps
    _optimizer_steps += 1


register_optimizer_step_post_hook(_count_step)


def _weights_state(model: nn.Module) -> tuple:
    """Differs after a weight was replaced, moved, or changed in place.

    Values that are overwritten in place through `.data` or a NumPy view raise no version counter, as with autograd.
    Those that the coding tables depend on are therefore compared by content; elsewhere such a change is not noticed.
    """
    derived = (
        buffer for name, buffer in model.named_buffers() if name.endswith(("_mask", "_u", "_v"))
    )  # pruned, normed
    weights = (*model.parameters(), *derived)
    versions = ((id(p), p.data_ptr(), 0 if p.is_inference() else p._version, p.device, p.dtype) for p in weights)
    content = 0
    for part in filter(None, (model.prior_x, model.gain)):
        for p in part.parameters():
            content = zlib.crc32(p.detach().cpu().reshape(-1).view(torch.uint8).numpy(), content)
    return (_optimizer_steps, content, *versions)


def fingerprint(config: dict, weights: dict[str, Tensor]) -> str:
    """SHA-256 of a configuration and its weights, 64 hexadecimal digits, the same on every machine."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        values = weights[name].detach().to("cpu", torch.float32).contiguous().numpy()
        digest.update(values.astype("<f4", copy=False))
    return digest.hexdigest()

"""Fingerprints of data: which pairs an experiment was trained or tested on, stored beside its files."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ndic_core.config import Config
from ndic_core.data.cache import short_digest
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.files import write_whole


@dataclass(frozen=True)
class Fingerprint:
    """The pairs of an experiment. Two are the same data if the contents of all pairs agree, in their order.

    Attributes:
        path: where the data set is, for messages.
        pairs: name and digest of every pair by split.
        weights: a digest of the file at `weight_path`, where a test loads it.
    """

    path: str
    pairs: dict[str, list[tuple[str, str]]]
    weights: str = ""

    @classmethod
    def of(cls, config: Config, **splits: Pairs | MixedPairs) -> "Fingerprint":
        """The fingerprint of loaded splits, by their names."""
        paths = config.dataset_path if isinstance(config.dataset_path, list) else [config.dataset_path]
        path = "the generated street" if config.dataset_name == "Street" else " and ".join(paths)
        return cls(path, {split: pairs.contents for split, pairs in splits.items()})

    @classmethod
    def read(cls, file: Path) -> "Fingerprint | None":
        """The fingerprint in a file; None where it is missing or damaged."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            content = json.loads(file.read_bytes())
            splits = {split: [(name, digest) for name, digest in pairs] for split, pairs in content["pairs"].items()}
            return cls(content["path"], splits, content["weights"])
        return None

    def write(self, file: Path) -> None:
        """Write it as JSON; raises `NDICError` if the file cannot be written."""
        write_whole(file, json.dumps(asdict(self), indent=0).encode())

    @cached_property
    def digest(self) -> str:
        """A hash of the data, without names."""
        return short_digest({split: [digest for _, digest in pairs] for split, pairs in self.pairs.items()})

    def differences(self, now: "Fingerprint") -> str:
        """In which splits, and from which pair on, the data is another one now, in words; "" for the same data."""
        found = []
        for split, after in now.pairs.items():
            before = self.pairs.get(split, [])
            digests = [[digest for _, digest in pairs] for pairs in (before, after)]
            if digests[0] == digests[1]:
                continue
            moved = self.path != now.path
            then, later = (f" of {where}" if moved else "" for where in (self.path, now.path))
            count = f"{len(before)} pair{'s' * (len(before) != 1)}{then} then, {len(after)}{later} now"
            found.append(f"{split}: {count}, first difference: {_first_difference(before, after)}")
        return "; ".join(found)


def _first_difference(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a[1] != b[1]), None)
    if at is None:  # one begins with the other
        longer, word = (before, "is missing") if len(before) > len(after) else (after, "is new")
        return f"{longer[min(len(before), len(after))][0]} {word}"
    name, other = before[at][0], after[at][0]
    if name == other:
        return f"{name} has changed"
    if name in dict(after):
        return f"{other} is new"
    return f"{name} is missing"

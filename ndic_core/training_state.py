"""How far a training has come, and the file from which it goes on."""

import json
import math
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

import torch

from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.experiment import identity
from ndic_core.files import write_whole


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: epochs completed, validation included.
        step: steps completed within the next one.
        loss_sum: of these steps.
        best: lowest validation loss so far.
        history: a dict per validation: epoch, lr, loss (mean over the epoch's steps, without guidance) and what
            `validate` returns.
        images: seen so far, by all processes.
        seconds: that training has taken, validation included, up to the last saving.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float = math.inf
    history: list[dict] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0


def save_state(file: Path, config: Config, parts: dict, progress: Progress) -> None:
    """Write everything that training needs to go on, whole or not at all.

    Args:
        file: to write.
        config: of the experiment.
        parts: model, optimizer and schedule, by name: what has a `state_dict`.
        progress: how far it has come.

    Raises:
        NDICError: the file cannot be written.
    """
    state = {name: part.state_dict() for name, part in parts.items()}
    buffer = BytesIO()
    torch.save({"identity": json.dumps(identity(config)), "progress": json.dumps(asdict(progress)), **state}, buffer)
    write_whole(file, buffer.getvalue())


def read_progress(file: Path) -> Progress:
    """How far the training that wrote `file` had come; runs no code from it.

    Raises:
        NDICError: the file is damaged.
    """
    return _read(file, mmap=True)[2]


def _read(file: Path, mmap: bool = False) -> tuple[dict, dict, Progress]:
    """All of a state, and its identity and progress decoded; `mmap` spares memory where the tensors are not wanted."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
        return state, json.loads(state["identity"]), Progress(**json.loads(state["progress"]))
    except Exception as error:  # a damaged file fails in many ways, none of which runs code
        raise NDICError(f"{file} is damaged: delete it to train anew") from error


def load_state(file: Path, config: Config, parts: dict) -> Progress:
    """Bring `parts` to where the training that wrote `file` was; runs no code from it.

    Returns:
        How far that training had come.

    Raises:
        NDICError: the file is damaged, or the configuration differs from the one of that training.
    """
    state, earlier, progress = _read(file)
    now = json.loads(json.dumps(identity(config)))
    earlier = identity(Config()) | earlier  # keys that came later: their defaults keep the meaning there was
    differs = {key: f"{key} {earlier.get(key)} then, {now[key]} now" for key in now if earlier.get(key) != now[key]}
    if [*differs] == ["epochs"]:
        raise NDICError(
            f"{file} holds a training whose schedule was planned with epochs: {earlier.get('epochs')}, the "
            f"configuration says {now['epochs']}; to train further, start another experiment_name from its weights "
            f"(load_weight: True and weight_path)"
        )
    if differs:
        raise NDICError(
            f"{file} holds a training with other settings ({'; '.join(differs.values())}): choose another "
            f"experiment_name, or delete it"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except Exception as error:
        raise NDICError(f"{file} is damaged: delete it to train anew") from error
    return progress

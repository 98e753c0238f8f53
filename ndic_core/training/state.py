"""How far a training has come, and the file from which it goes on."""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

import torch

from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.io import write_whole
from ndic_core.training.output_paths import identity

_MAY_MOVE = ("train_batch_size", "lr", "precision", "warmup_steps", "ema_decay")
# Parts of a state. A training that goes on without its moments loses some dozen steps; one without its model, too, goes
# on from its best weights.
MOMENTS = ("optimizer", "average")
MAY_BE_MISSING = (*MOMENTS, "model")


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
        validation_seconds: of these, what validation took.
        by_device: images and seconds by the device's name.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float = math.inf
    history: list[dict] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    by_device: dict[str, dict[str, float]] = field(default_factory=dict)

    def took(self, device: str, images: int, seconds: float) -> None:
        """Count what a device has done."""
        self.images += images
        self.seconds += seconds
        own = self.by_device.setdefault(device, {"images": 0, "seconds": 0.0})
        own["images"] += images
        own["seconds"] += seconds


def save_state(file: Path, config: Config, parts: dict, progress: Progress) -> None:
    """Write everything that training needs to go on, whole or not at all.

    Args:
        file: to write.
        config: of the experiment.
        parts: model, optimizer and so on, by name: what has a `state_dict`.
        progress: how far it has come.

    Raises:
        NDICError: the file cannot be written.
    """
    _write(file, config, {name: part.state_dict() for name, part in parts.items()}, progress)


def _write(file: Path, config: Config, state: dict, progress: Progress) -> None:
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
        progress = Progress(**json.loads(state["progress"]))
        if not progress.by_device:  # written before devices were noted, when there were only CPUs
            progress.by_device = {"CPU": {"images": progress.images, "seconds": progress.seconds}}
        return state, json.loads(state["identity"]), progress
    except Exception as error:  # a damaged file fails in many ways, none of which runs code
        raise NDICError(f"{file} is damaged: delete it to train anew") from error


def load_state(file: Path, config: Config, parts: dict) -> tuple[Progress, set[str]]:
    """Bring `parts` to where the training that wrote `file` was; runs no code from it.

    Returns:
        How far that training had come, and the parts that `move_state` left out, which stay as they are.

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
        missing = set(MAY_BE_MISSING) - set(state)
        for name in set(parts) - missing:
            parts[name].load_state_dict(state[name])
    except Exception as error:
        raise NDICError(f"{file} is damaged: delete it to train anew") from error
    return progress, missing


def move_state(
    file: Path,
    to: Path,
    config: Config,
    exclude: Collection[str] = (),
    may_differ: Collection[str] = (),
    change: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Rewrite a state so that the training goes on under another batch size, learning rate or precision, from the image
    of the epoch where it was; what does not divide into the new batches is seen again.

    Args:
        file: of the state.
        to: the file to write.
        config: to go on under, with the cosine schedule.
        exclude: parts, of `MAY_BE_MISSING`, that the file is to be without.
        may_differ: further keys of the configuration that need not be the same.
        change: called with the progress before it is written.

    Returns:
        How far that training had come.

    Raises:
        NDICError: the file is damaged, the schedule is another one, or the training is of another data set or model.
    """
    state, earlier, progress = _read(file)
    now = identity(config)
    if config.lr_scheduler != "cosine":
        raise NDICError("lr_scheduler: only a cosine's learning rate follows from the images that were seen")
    differs = [key for key in now if key not in (*_MAY_MOVE, *may_differ) and earlier.get(key, now[key]) != now[key]]
    if differs:
        raise NDICError(
            f"{file} holds a training with another {', '.join(differs)}: it cannot go on under these settings"
        )
    before, images = progress.step, progress.step * earlier["train_batch_size"]
    progress.step = images // config.train_batch_size
    progress.images -= images - progress.step * config.train_batch_size
    progress.loss_sum *= progress.step / before if before else 0
    parts = {name: part for name, part in state.items() if name not in (*exclude, "identity", "progress")}
    change(progress)
    _write(to, config, parts, progress)
    return progress

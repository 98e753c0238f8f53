"""Training state: the progress of a training, and the file from which it resumes."""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import torch

from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.files import write_whole
from ndic_core.training.output_paths import differences, identity

_MAY_MOVE = ("train_batch_size", "lr", "precision", "warmup_steps", "ema_decay")
# Parts of a state file that may be missing. Without its moments, a training loses some dozen steps; without the model,
# too, it resumes from its best weights.
MOMENTS = ("optimizer", "average")
MAY_BE_MISSING = (*MOMENTS, "model")
_ABOUT = ("identity", "progress", "data")  # of a state file, besides its parts


@dataclass
class TrainingState:
    """The progress of a training.

    Attributes:
        epoch: epochs completed, validation included.
        step: steps completed within the next epoch.
        loss_sum: of these steps.
        best: lowest validation loss so far.
        history: a dict per validation: epoch, lr, loss (mean over the epoch's steps, without the matching loss) and
            the result of `validate`.
        images: trained on so far, by all processes.
        seconds: of training until the last save, validation included.
        validation_seconds: the part of them spent on validation.
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

    def count(self, device: str, images: int, seconds: float) -> None:
        """Add images and seconds of training on a device."""
        self.images += images
        self.seconds += seconds
        own = self.by_device.setdefault(device, {"images": 0, "seconds": 0.0})
        own["images"] += images
        own["seconds"] += seconds


def save_state(file: Path, config: Config, parts: dict, state: TrainingState, data: str | None = None) -> None:
    """Write everything that training needs to resume. The file is replaced as a whole or not at all.

    Args:
        parts: model, optimizer and so on, by name: objects with a `state_dict`, or these dicts.
        data: digest of the `Fingerprint`; None lets the training resume with the data that it then finds.

    Raises:
        NDICError: the file cannot be written.
    """
    content = {"identity": json.dumps(identity(config)), "progress": json.dumps(asdict(state))}
    content["data"] = data
    content |= {name: part if isinstance(part, dict) else part.state_dict() for name, part in parts.items()}
    buffer = BytesIO()
    torch.save(content, buffer)
    write_whole(file, buffer.getvalue())


def read_state(file: Path) -> TrainingState:
    """The progress stored in a state file. No code from the file is executed.

    Raises:
        NDICError: the file is damaged.
    """
    return _read(file, mmap=True)[2]


def _read(file: Path, mmap: bool = False) -> tuple[dict, dict, TrainingState]:
    """The content of a state file, its identity and its progress; `mmap` saves memory if tensors are not needed."""
    try:
        if not mmap and (damaged := ZipFile(file).testzip()):  # PyTorch does not compare checksums
            raise ValueError(damaged)
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
        state = TrainingState(**json.loads(content["progress"]))
        if not state.by_device:  # files of an earlier version, which trained on CPUs only
            state.by_device = {"CPU": {"images": state.images, "seconds": state.seconds}}
        return content, json.loads(content["identity"]), state
    except Exception as error:  # a damaged file fails in many ways, none of which runs code
        raise NDICError(f"{file} is damaged: delete it to train anew") from error


def load_state(file: Path, config: Config, parts: dict) -> tuple[TrainingState, set[str], str | None]:
    """Load a state file into `parts`. No code from the file is executed.

    Returns:
        The progress; the parts that `move_state` excluded, which stay unchanged; and `data` of `save_state`, "" where a
        file of an earlier version does not have it.

    Raises:
        NDICError: the file is damaged, or the configuration differs from that of the training that wrote it.
    """
    content, earlier, state = _read(file)
    earlier = identity(Config()) | earlier  # the defaults of keys that were added later keep the earlier behaviour
    different = differences(earlier, config)
    if [*different] == ["epochs"]:
        raise NDICError(
            f"{file} holds a training whose schedule was planned with epochs: {earlier.get('epochs')}, the "
            f"configuration says {config.epochs}; to train further, start another experiment_name from its weights "
            f"(load_weight: True and weight_path)"
        )
    if different:
        raise NDICError(
            f"{file} holds a training with other settings ({'; '.join(different.values())}): choose another "
            f"experiment_name, or delete it and the weights beside it"
        )
    try:
        missing = set(MAY_BE_MISSING) - set(content)
        for name in set(parts) - missing:
            parts[name].load_state_dict(content[name])
    except Exception as error:
        raise NDICError(f"{file} is damaged: delete it to train anew") from error
    return state, missing, content.get("data", "")


def move_state(
    file: Path,
    to: Path,
    config: Config,
    exclude: Collection[str] = (),
    may_differ: Collection[str] = (),
    change: Callable[[TrainingState], None] = lambda state: None,
) -> TrainingState:
    """Rewrite a state file so that the training resumes with another batch size, learning rate or precision.

    It resumes at the same image of the epoch; images that do not fill a batch of the new size are repeated. The data
    may be stored anew, for example compressed for another machine: it is not compared with the earlier one.

    Args:
        config: to resume with; its schedule is the cosine.
        exclude: parts, of `MAY_BE_MISSING`, to leave out.
        may_differ: further keys of the configuration that need not be equal.
        change: called with the progress before it is written.

    Returns:
        The progress.

    Raises:
        NDICError: the file is damaged, the schedule is not the cosine, or the training has another data set or model.
    """
    content, earlier, state = _read(file)
    if config.lr_scheduler != "cosine":
        raise NDICError("lr_scheduler: only a cosine's learning rate follows from the number of images")
    now = identity(config)
    different = [key for key in differences(now | earlier, config) if key not in (*_MAY_MOVE, *may_differ)]
    if different:
        raise NDICError(
            f"{file} holds a training with another {', '.join(different)}: it cannot resume with these settings"
        )
    before, images = state.step, state.step * earlier["train_batch_size"]
    state.step = images // config.train_batch_size
    state.images -= images - state.step * config.train_batch_size
    state.loss_sum *= state.step / before if before else 0
    parts = {name: part for name, part in content.items() if name not in (*exclude, *_ABOUT)}
    change(state)
    save_state(to, config, parts, state)
    return state

"""Training, by the published recipe: on one device or several, to be interrupted and resumed at will.

One process trains on one device; `torchrun --nproc_per_node=N -m ndic_core train ...` makes N of them share every
batch. All randomness of a step follows from the seed and the step's number, so a run that was interrupted goes on as
if nothing had happened.
"""

import glob
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from ndic_core.config import Config
from ndic_core.errors import NDICError
from ndic_core.io import make_folder
from ndic_core.models.codec import Codec
from ndic_core.training.devices import launch
from ndic_core.training.loop import Training
from ndic_core.training.output_paths import Outputs
from ndic_core.training.signals import interrupts


@dataclass(frozen=True)
class Trained:
    """What `train` returns.

    Attributes:
        model: with the best weights, on the CPU, in evaluation mode.
        history: a dict per validation, see `Progress`.
        stopped: why it ended: "epochs", "max_minutes" or "interrupted".
    """

    model: Codec
    history: list[dict]
    stopped: str


def train(
    config: Config, progress: bool = True, report: Callable[[str], None] = print, model: Codec | None = None
) -> Trained:
    """Train a model as a configuration says; go on where an earlier run of the same experiment ended.

    Args:
        config: of the experiment.
        progress: show bars on stderr.
        report: takes the lines that tell how it goes.
        model: one of your own to train, changed where it stands, in place of the one that `config` describes. Needs
            `save_weights: False`: a file could not tell how to build it again.

    Returns:
        The trained model and its history. With `save_weights`, the best weights are also in `Outputs(config).weights`,
        what is needed to go on in `.state`, and curves for TensorBoard in `.logs`.

    Raises:
        NDICError: a model of your own would be saved, data, weights or an earlier state do not fit the configuration,
            the disk is full, or the loss is no longer finite; what was saved before stays.

    Example:
        >>> from ndic_core.config import load_config
        >>> small = dict(num_filters=4, resize=[32, 64], epochs=2, street_pairs=[2, 1, 1])
        >>> config = load_config("teaching", model="bls17", save_weights=False, **small)
        >>> trained = train(config, progress=False, report=lambda line: None)
        >>> trained.stopped, [row["epoch"] for row in trained.history]
        ('epochs', [1, 2])
    """
    start = time.monotonic()
    outputs = Outputs(config)
    if model is not None and config.save_weights:
        raise NDICError("train takes a model of your own only with save_weights: False; save its state_dict yourself")
    if config.save_weights and outputs.state.exists() and not config.resume:
        raise NDICError(
            f"{outputs.state} holds an earlier training of this name: set resume: True to go on with it, choose "
            f"another experiment_name, or delete it"
        )
    if config.save_weights:
        make_folder(outputs.weights.parent)
    fabric = launch(config)
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    deadline = math.inf if config.max_minutes is None else start + 60 * config.max_minutes
    with torch.random.fork_rng(devices=cuda), _sole_use(config, fabric, outputs):
        training = Training(config, fabric, outputs, progress, report, model)
        with interrupts() as interrupted, closing(training):
            stopped = training.run(
                lambda: "interrupted" if interrupted() else "max_minutes" if time.monotonic() > deadline else ""
            )
        return Trained(training.best_model(), training.progress.history, stopped)


@contextmanager
def _sole_use(config: Config, fabric: Fabric, outputs: Outputs) -> Iterator[None]:
    """No other run writes this experiment's files meanwhile; what one that was killed left half-written is removed."""
    if not config.save_weights or not fabric.is_global_zero:
        yield
        return
    folder = outputs.weights.parent
    try:
        with FileLock(folder / f".{outputs.name}.lock", timeout=0):
            for stale in folder.glob(f".{glob.escape(outputs.name)}.s*.????????"):
                stale.unlink(missing_ok=True)
            yield
    except Timeout:
        raise NDICError(
            f"another run is training {outputs.name} in {folder}: wait for it, or choose another experiment_name"
        ) from None

"""Trainings of the recipe on a GPU, several side by side, from the pack of `gpu_pack.py` to the archive for merging."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import torch
from optimizers import learning_rate_factor
from pretrain import LEAST_MINUTES, complete, progress_of

from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.street import pairs as street_pairs
from ndic_core.files import make_folder, write_whole
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import MAY_BE_MISSING, TrainingState, move_state

BENCHMARKS = Path(__file__).parent
MIB = 2**20
BATCH = 16  # images per step, which take a GPU hardly longer than 4
PIECE = 16 * MIB  # of the archive of the trainings
GRACE = 10.0  # seconds between the request to end and the kill
# Seconds of a training besides its steps: imports before, validation after.
BESIDE = {"cuda": 15.0, "cpu": 25.0}
THREADS = {"cuda": ["--threads", "2"], "cpu": ["--threads", "1"]}  # CPU threads


def start(command: Sequence[str], out, nice: bool = False) -> subprocess.Popen:
    """Start Python in a new process group, at the lowest priority if `nice`."""
    return subprocess.Popen(
        [*["nice", "-n", "19"] * nice, sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait(process: subprocess.Popen, deadline: float) -> None:
    """Wait for a process, at most until a time of the monotonic clock."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))


def stop(processes: Iterable[subprocess.Popen]) -> None:
    """Interrupt processes; kill those that do not end, with their children."""
    processes = list(processes)
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Trainings:
    """Stages of the recipe that are trained in a folder of outputs.

    Args:
        recipe: a preset or a YAML file.
        pack: folder of the pack.
        outputs: folder for the trainings.
        device: "cuda" or "cpu".
        changes: keys to set differently.
    """

    def __init__(self, recipe: str, pack: Path, outputs: Path, device: str, changes: dict):
        self.recipe, self.outputs, self.device = recipe, outputs, device
        paths = {"dataset_path": str(pack / "data" / "real"), "native_path": str(pack / "data" / "native")}
        common = dict(changes, save_output_path=str(outputs), cuda=device == "cuda", train_batch_size=BATCH, **paths)
        self.changes = {str(stage): dict(common, lr=large_batch_rate(stage)) for stage in load_recipe(recipe).values()}
        self.stages = {}
        for name, own in self.changes.items():
            self.stages[name] = {str(stage): stage for stage in load_recipe(recipe, **own).values()}[name]
        make_folder(outputs / "weight")
        for stage in self.stages.values():
            files, packed = Outputs(stage.config), pack / "outputs" / "weight"
            if (packed / files.state.name).exists():
                different = dict(may_differ=["street_pairs"], change=_no_best)
                move_state(packed / files.state.name, files.state, stage.config, **different)
            if (packed / files.weights.name).exists():
                shutil.copyfile(packed / files.weights.name, files.weights)
        self.brought = {name: progress_of(stage) for name, stage in self.stages.items()}

    def ready(self) -> list[str]:
        """Trainings that can continue, sorted by stage of the recipe, then by progress."""
        order = {stage.name: i for i, stage in reversed(list(enumerate(self.stages.values())))}
        found = [
            name
            for name, stage in self.stages.items()
            if not complete(stage) and (stage.start is None or complete(self.stages[str(stage.start)]))
        ]
        done = {name: progress_of(self.stages[name]).epoch / self.stages[name].config.epochs for name in found}
        return sorted(found, key=lambda name: (order[self.stages[name].name], done[name]))

    def data(self) -> list[Config]:
        """A configuration with all data of the trainings (the disparity if one needs it); empty if all are complete."""
        configs = [self.stages[name].config for name in self.ready()]
        return [config for config in configs if config.matching_loss_weight][:1] or configs[:1]

    def command(self, name: str, minutes: float) -> list[str]:
        sets = [f"--set={key}={json.dumps(value)}" for key, value in self.changes[name].items()]
        command = [str(BENCHMARKS / "pretrain.py"), "--recipe", self.recipe, "--only", name, *THREADS[self.device]]
        return [*command, "--out", str(self.outputs), "--minutes", f"{minutes:.2f}", *sets]

    def run(self, end: float, at_once: int, logs: Path, note: Callable[[str], None]) -> None:
        """Train until `end`, `at_once` of them side by side; each is started once."""
        running: dict[str, subprocess.Popen] = {}
        begun: set[str] = set()
        try:
            while True:
                for name, process in list(running.items()):
                    if process.poll() is not None:
                        del running[name]
                        if process.returncode:
                            note(f"{name} failed, see its log")
                left = end - time.monotonic()
                free = at_once - len(running) if left - BESIDE[self.device] > 60 * LEAST_MINUTES else 0
                if free:
                    for name in [name for name in self.ready() if name not in begun][:free]:
                        with (logs / f"training_{name.replace('/', '_')}.log").open("ab") as log:
                            begun.add(name)
                            running[name] = start(self.command(name, (left - BESIDE[self.device]) / 60), log)
                        note(f"{name} goes on after {progress_of(self.stages[name]).images:,} images")
                if not running or left < -GRACE / 2:
                    return
                time.sleep(0.5)
        finally:
            stop(running.values())

    def summary(self) -> dict[str, dict]:
        """Progress of the trainings in this run, by name."""
        found = {}
        for name, before in self.brought.items():
            now = progress_of(self.stages[name])
            seconds = now.seconds - before.seconds
            if now.images > before.images:
                found[name] = {
                    "images": now.images - before.images,
                    "images_in_all": now.images,
                    "seconds": round(seconds, 1),
                    "validation_share": round((now.validation_seconds - before.validation_seconds) / seconds, 4),
                    "complete": complete(self.stages[name]),
                }
        return found

    def bring_home(self, out: Path) -> None:
        """Write the archive of the trainings in pieces: their progress, and their best weights in 16 bits."""
        archive = BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive, "w") as file:
            for name in self.summary():
                files = Outputs(self.stages[name].config)
                if not files.weights.exists():  # ended before its first validation
                    continue
                weights, state = Path(folder) / files.weights.name, Path(folder) / files.state.name
                save_checkpoint(load_checkpoint(files.weights), weights, half=True)
                move_state(files.state, state, self.stages[name].config, MAY_BE_MISSING)
                for path in (weights, state):
                    file.write(path, path.name)
        content = archive.getvalue()
        for i in range(0, len(content), PIECE):
            write_whole(out / f"training.zip.{i // PIECE}", content[i : i + PIECE])


def _no_best(progress: TrainingState) -> None:
    """Forget the best cost, which was measured on the uncompressed images."""
    progress.best = math.inf


def large_batch_rate(stage: Stage) -> float:
    """The learning rate of a stage for batches of `BATCH`, from the measurements of `optimizers.py`."""
    return stage.config.lr * learning_rate_factor(BATCH, fresh=stage.start is None)


class Processes(ProcessPoolExecutor):
    """Renders pairs of the street in processes, because threads share one interpreter.

    Results are sent as NumPy arrays: PyTorch tensors would need more shared memory than some machines have.
    """

    def __init__(self, workers: int | None, **options):
        # One thread each. Only a forked process inherits the number, and Python 3.14 forks no longer by default.
        super().__init__(workers, initializer=torch.set_num_threads, initargs=(1,), **options)

    def map(self, function: Callable, indices: Iterable[int]) -> Iterator[SimpleNamespace]:
        for arrays in super().map(partial(_numbers, function), indices):
            yield SimpleNamespace(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _numbers(function: Callable, index: int) -> dict:
    pair = function(index)
    return {name: getattr(pair, name).numpy() for name in ("x", "y", "disparity", "occluded")}


def render(configs: Iterable[Config], log) -> subprocess.Popen:
    """Start preparing the data of configurations, one after the other, at the lowest priority."""
    return start([__file__, *(config.model_dump_json(by_alias=True) for config in configs)], log, nice=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    street_pairs.ThreadPoolExecutor = Processes
    for text in sys.argv[1:]:
        for split in ("train", "val"):
            load_split(Config.model_validate_json(text), split, progress=False)

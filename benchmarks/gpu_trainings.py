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
from pretrain import LEAST_MINUTES

from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.street import pairs as street_pairs
from ndic_core.errors import NDICError
from ndic_core.io import make_folder, write_whole
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import MAY_BE_MISSING, MOMENTS, TrainingState, move_state, read_state

BENCHMARKS = Path(__file__).parent
MIB = 2**20
BATCH = 16  # images per step, which take a GPU hardly longer than 4
PIECE, ROOM = 16 * MIB, 58 * MIB  # of the archive of the trainings: four files, beside two others
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
        self.recipe, self.pack, self.outputs, self.device = recipe, pack, outputs, device
        paths = {"dataset_path": str(pack / "data" / "real"), "native_path": str(pack / "data" / "native")}
        common = dict(changes, save_output_path=str(outputs), cuda=device == "cuda", train_batch_size=BATCH, **paths)
        self.changes = {str(stage): dict(common, lr=large_batch_rate(stage)) for stage in load_recipe(recipe).values()}
        self.stages = {}
        for name, own in self.changes.items():
            self.stages[name] = {str(stage): stage for stage in load_recipe(recipe, **own).values()}[name]
        make_folder(outputs / "weight")
        self.brought = {name: self._bring(name, stage) for name, stage in self.stages.items()}
        left_out = json.loads((pack / "pack.json").read_text(encoding="utf-8"))["left_out"]
        self.excluded = {name for name in self.stages if self._needs(name) & set(left_out)}

    def _needs(self, name: str) -> set[str]:
        return {str(stage) for stage in self.stages[name].lineage}

    def _bring(self, name: str, stage: Stage) -> TrainingState:
        """Copy state and weights from the pack, where it has them."""
        files = Outputs(stage.config)
        for file in (files.state, files.weights):
            packed = self.pack / "outputs" / "weight" / file.name
            if packed.exists() and file is files.state:
                move_state(packed, file, stage.config, may_differ=["street_pairs"], change=_no_best)
            elif packed.exists():
                shutil.copyfile(packed, file)
        return self.progress(name)

    def progress(self, name: str) -> TrainingState:
        """Progress of a training; a damaged state counts as none, so that the others continue."""
        state = Outputs(self.stages[name].config).state
        with suppress(NDICError):
            return read_state(state) if state.exists() else TrainingState()
        return TrainingState()

    def complete(self, name: str) -> bool:
        return self.progress(name).epoch >= self.stages[name].config.epochs

    def ready(self) -> list[str]:
        """Trainings that can continue, sorted by stage of the recipe, then by progress."""
        order = {stage.name: i for i, stage in reversed(list(enumerate(self.stages.values())))}
        found = [
            name
            for name, stage in self.stages.items()
            if name not in self.excluded
            and not self.complete(name)
            and (stage.start is None or self.complete(str(stage.start)))
        ]
        done = {name: self.progress(name).epoch / self.stages[name].config.epochs for name in found}
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
                        note(f"{name} goes on after {self.progress(name).images:,} images")
                if not running or left < -GRACE / 2:
                    return
                time.sleep(0.5)
        finally:
            stop(running.values())

    def summary(self) -> dict[str, dict]:
        """Progress of the trainings in this run, by name."""
        found = {}
        for name, before in self.brought.items():
            now = self.progress(name)
            seconds = now.seconds - before.seconds
            if now.images > before.images:
                found[name] = {
                    "images": now.images - before.images,
                    "images_in_all": now.images,
                    "seconds": round(seconds, 1),
                    "validation_share": round((now.validation_seconds - before.validation_seconds) / seconds, 4),
                    "complete": self.complete(name),
                }
        return found

    def bring_home(self, out: Path, room: int = ROOM) -> list[str]:
        """Write the archive of the trainings in pieces; returns what did not fit or is damaged.

        All weights are stored in 16 bits. The state of an unfinished training includes its weights in 32 bits if they
        fit, and then its moments if they fit.
        """
        names, damaged = list(self.summary()), {}
        chosen: dict[str, Path] = {}
        left_out: dict[str, Sequence[str]] = {}
        archive = BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive, "w") as file:
            for name in names:
                weights = Outputs(self.stages[name].config).weights
                try:
                    save_checkpoint(load_checkpoint(weights), Path(folder) / weights.name, half=True)
                except NDICError as error:  # the others may succeed
                    damaged[name] = str(error)
                else:
                    file.write(Path(folder) / weights.name, weights.name)
            room -= archive.tell() + 1024 * len(names)  # for the archive's directory
            for i, without in enumerate((MAY_BE_MISSING, MOMENTS, ())):
                for name in (name for name in names if not (i and self.complete(name))):
                    state = Outputs(self.stages[name].config).state
                    larger = Path(folder) / f"{i}_{state.name}"
                    move_state(state, larger, self.stages[name].config, without)
                    added = larger.stat().st_size - (chosen[name].stat().st_size if i else 0)
                    if not i or added < room:
                        chosen[name], left_out[name] = larger, without
                        room -= added
            for name, path in chosen.items():
                file.write(path, Outputs(self.stages[name].config).state.name)
        content = archive.getvalue()
        for i in range(0, len(content), PIECE):
            write_whole(out / f"training.zip.{i // PIECE}", content[i : i + PIECE])
        lacking = {name: ", ".join(parts) for name, parts in left_out.items() if parts and not self.complete(name)}
        return [f"{name}: {what}" for name, what in (lacking | damaged).items()]


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

"""All that only a GPU can settle, in one command, on a machine that may have no network and little time.

    python benchmarks/gpu_plan.py --minutes 8 --pack build/gpu --out out     # build/gpu is from gpu_pack.py
    python benchmarks/gpu_plan.py --minutes 3 --device cpu --pack build/gpu --out out   # a rehearsal: the same files

In this order, each step with a time limit of its own; what fails is noted and passed over:

    tests        files that cross between CPU and GPU, bf16, steps that never wait (tests/test_gpu.py)
    attention    attention modules, as published and as here
    loops        training of the published size: the package's loop and a plain one
    throughput   images a second and memory of every model, over sizes, batches and precisions
    compiled     the same under torch.compile, of two models
    where        where a step's time goes
    training     the rest of the time: stages of the recipe, several at once

Trainings that are furthest from their budget come first, on large batches, with the learning rate that
`optimizers.py` found for these. The street is rendered, and what is compiled is compiled, while other steps run.

Everything comes home in at most eight files of at most 16 MiB: `report.json`, written after each step;
`measurements.zip` with tables and logs; `training.zip.0` and so on, one archive of weights in 16 bits and of states in
32 bits, cut into pieces. `gpu_merge.py` takes them in.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import torch
from optimizers import learning_rate_factor
from pretrain import LEAST_MINUTES

from ndic_core.checkpoints import load_checkpoint, save_checkpoint
from ndic_core.devices import device_name
from ndic_core.errors import NDICError
from ndic_core.experiment import Outputs
from ndic_core.files import make_folder, write_whole
from ndic_core.models.catalogue import MODELS
from ndic_core.recipe import Stage, load_recipe
from ndic_core.training_state import MAY_BE_MISSING, MOMENTS, Progress, move_state, read_progress

BENCHMARKS = Path(__file__).parent
BATCH = 16  # images of a training step: a GPU takes hardly longer for them than for 4
MIB = 2**20
PIECE, PIECES, ROOM = 16 * MIB, 6, 58 * MIB  # of the archive of the trainings: with the two others it is eight files
HOME_SECONDS = 15.0  # to write everything, at the end
GRACE = 10.0  # seconds for a process to end by itself

# Seconds, on a GPU and in a rehearsal: of each step, what the steps before must leave to the training, and what one
# training takes beside its steps (to import, before; to validate, after).
LIMITS = {
    "cuda": dict(tests=75, attention=15, loops=35, throughput=45, compiled=25, where=25),
    "cpu": dict(tests=60, attention=20, loops=25, throughput=15, compiled=45, where=15),
}
LEAVE = {"cuda": 200.0, "cpu": 62.0}
BESIDE = {"cuda": 15.0, "cpu": 25.0}
THREADS = {"cuda": ["--threads", "2"], "cpu": ["--threads", "1"]}  # of the CPU; a rehearsal is seldom alone on it


def measurements(device: str, out: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Of each step that measures: Python's arguments, and the files that come into `out`."""
    gpu = device == "cuda"
    tests = [str(BENCHMARKS.parent / "tests" / "test_gpu.py"), "-o", "addopts=", "-p", "no:cacheprovider", "-v"]
    if gpu:
        attention, batch = [], ["--batch", str(BATCH)]
        loops = [*batch, "--preset", "config", "--models", "cross_attention", "--pairs", "64", "--seconds", "3"]
        loops += ["--rounds", "2"]
        sizes = ["--batch", str(BATCH), "64", "1", "--filters", "64", "192", "--precision", "bf16", "float32"]
        sizes += ["--models", *MODELS, "--seconds", "0.4", "--limit", str(LIMITS[device]["throughput"] - 6)]
        compiled = [*batch, "--models", "ndic_bls17", "cross_attention", "--compile", "--precision", "bf16"]
        where = [*batch, "--models", "ndic_bls17", "cross_attention", "parallax_attention"]
    else:
        tests += ["--device", "cpu", "-k", "moves or (crosses and bls17)"]
        few = ["--models", "bls17", "--batch", "4"]
        attention = ["--num-filters", "16", "--image-size", "32", "64", "--repeat", "1", "--no-full", "--together"]
        loops, sizes = [*few, "--pairs", "8", "--seconds", "0.5"], [*few, "--seconds", "0.2", "--precision", "float32"]
        compiled, where = [*sizes, "--compile"], few

    def script(name: str, arguments: list[str], file: str = "") -> list[str]:
        path = str(BENCHMARKS / f"{name}.py")
        return [path, "--device", device, *THREADS[device], "--out", str(out / file), *arguments]

    figure = f"where_time_goes_{device}"
    return {
        "tests": (["-m", "pytest", *tests], []),
        "attention": (script("attention", [*attention, "--rounds", "1"], "gpu_attention.csv"), ["gpu_attention.csv"]),
        "loops": (script("training", loops, "gpu_loops.csv"), ["gpu_loops.csv"]),
        "throughput": (script("throughput", sizes, "gpu_throughput.csv"), ["gpu_throughput.csv"]),
        "compiled": (script("throughput", compiled, "gpu_compiled.csv"), ["gpu_compiled.csv"]),
        "where": (script("where_time_goes", where), [f"{figure}.csv", f"{figure}.png"]),
    }


class Report:
    """What each step came to; every change is written at once."""

    def __init__(self, folder: Path, device: str):
        self.file = folder / "report.json"
        name = device_name(torch.device(device))
        self.content = {"device": name, "torch": torch.__version__, "rehearsal": device == "cpu", "steps": {}}
        self.write()

    def write(self) -> None:
        write_whole(self.file, json.dumps(self.content, indent=1).encode())

    def note(self, step: str, **facts) -> None:
        """Facts of a step: added to those that are known."""
        self.content["steps"].setdefault(step, {}).update(facts)
        self.write()
        print(f"{step}: {', '.join(f'{key} {value}' for key, value in facts.items())}", flush=True)


def run(command: Sequence[str], log: Path, seconds: float) -> dict:
    """Run Python on a command within a time limit: how it ended, and how long it took."""
    began = time.monotonic()
    with log.open("wb") as out:
        process = start(command, out)
        try:
            ended = str(process.wait(seconds))
        except subprocess.TimeoutExpired:
            stop([process])
            ended = "the time is up"
    return {"ended": "well" if ended == "0" else ended, "seconds": round(time.monotonic() - began, 1)}


def start(command: Sequence[str], out, **environment: str) -> subprocess.Popen:
    """Python on a command, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def wait(process: subprocess.Popen, deadline: float) -> None:
    """Wait for a process until a time of the monotonic clock, no longer."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))


def stop(processes: Iterable[subprocess.Popen]) -> None:
    """Ask processes to end, as Ctrl-C does; kill what does not, with all that they have begun."""
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
    """Stages of the recipe, on their way in a folder of outputs.

    Args:
        recipe: a preset, or a file.
        pack: the pack's folder.
        outputs: of the trainings here.
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

    def _bring(self, name: str, stage: Stage) -> Progress:
        """State and weights from the pack, where it has them."""
        files = Outputs(stage.config)
        for file in (files.state, files.weights):
            packed = self.pack / "outputs" / "weight" / file.name
            if packed.exists() and file is files.state:
                move_state(packed, file, stage.config, may_differ=["street_pairs"])
            elif packed.exists():
                shutil.copyfile(packed, file)
        return self.progress(name)

    def progress(self, name: str) -> Progress:
        state = Outputs(self.stages[name].config).state
        return read_progress(state) if state.exists() else Progress()

    def complete(self, name: str) -> bool:
        return self.progress(name).epoch >= self.stages[name].config.epochs

    def ready(self) -> list[str]:
        """Trainings that can go on: those of the recipe's first stages first, then those with the least done."""
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

    def command(self, name: str, minutes: float) -> list[str]:
        sets = [f"--set={key}={json.dumps(value)}" for key, value in self.changes[name].items()]
        command = [str(BENCHMARKS / "pretrain.py"), "--recipe", self.recipe, "--only", name, *THREADS[self.device]]
        return [*command, "--out", str(self.outputs), "--minutes", f"{minutes:.2f}", *sets]

    def run(self, end: float, at_once: int, logs: Path, note: Callable[[str], None]) -> None:
        """Train until `end`, `at_once` of them side by side; each is begun once, whatever becomes of it."""
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
                waiting = [name for name in self.ready() if name not in begun]
                if left - BESIDE[self.device] > 60 * LEAST_MINUTES:
                    for name in waiting[: at_once - len(running)]:
                        with (logs / f"training_{name.replace('/', '_')}.log").open("ab") as log:
                            begun.add(name)
                            running[name] = start(self.command(name, (left - BESIDE[self.device]) / 60), log)
                        note(f"{name} goes on after {self.progress(name).images:,} images")
                if not running or left < -GRACE / 2:
                    return
                time.sleep(0.2)
        finally:
            stop(running.values())

    def summary(self) -> dict[str, dict]:
        """What was trained here, by name."""
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
        """Write the archive of what was trained, in pieces; say what it had no room for."""
        archive, lacking = BytesIO(), []
        names = list(self.summary())
        with zipfile.ZipFile(archive, "w") as file, tempfile.TemporaryDirectory() as folder:

            def add(name: str, path: Path) -> bool:
                fits = archive.tell() + path.stat().st_size + 4096 * len(names) < room
                if fits:
                    file.write(path, path.name)
                return fits

            for name in names:
                files = Outputs(self.stages[name].config)
                half = Path(folder) / files.weights.name
                if files.weights.exists():
                    save_checkpoint(load_checkpoint(files.weights), half, half=True)
                    if not add(name, half):
                        lacking.append(f"{name}: weights")
            for i, name in enumerate(names):
                stage = self.stages[name]
                state = Path(folder) / Outputs(stage.config).state.name
                # The room for the states of the others, without anything: a few kilobytes, and that it must have.
                rest = 4096 * (len(names) - i)
                for leave_out in ((), MOMENTS, MAY_BE_MISSING):
                    if self.complete(name) and leave_out != MAY_BE_MISSING:
                        continue
                    move_state(Outputs(stage.config).state, state, stage.config, leave_out)
                    if leave_out == MAY_BE_MISSING or archive.tell() + state.stat().st_size + rest < room:
                        break
                if leave_out and not self.complete(name):
                    lacking.append(f"{name}: {', '.join(leave_out)}")
                file.write(state, state.name)
        content = archive.getvalue()
        for i in range(0, len(content), PIECE):
            write_whole(out / f"training.zip.{i // PIECE}", content[i : i + PIECE])
        return lacking


def large_batch_rate(stage: Stage) -> float:
    """The learning rate of a stage for batches of `BATCH`, by what was measured for trainings of its kind."""
    return stage.config.lr * learning_rate_factor(BATCH, fresh=stage.start is None)


def collect(measured: Path, logs: Path, out: Path) -> None:
    """All tables, figures and logs so far, in one file."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for folder in (measured, logs):
            for path in sorted(folder.iterdir()):
                file.write(path, f"{folder.name}/{path.name}")
    write_whole(out / "measurements.zip", archive.getvalue())


def render(trainings: Trainings, log) -> subprocess.Popen:
    """Render the street for the trainings, at the lowest priority, in processes: threads would share an interpreter."""
    stages = [trainings.stages[name] for name in trainings.ready()]
    config = next((stage for stage in stages if stage.config.guidance), stages[0]).config  # which needs the disparity
    code = (
        "import os, sys, torch; os.nice(19); torch.set_num_threads(1); from concurrent import futures; "
        "from ndic_core.config import Config; from ndic_core.data import street_pairs; "
        "from ndic_core.data.datasets import load_split; "
        "street_pairs.ThreadPoolExecutor = futures.ProcessPoolExecutor; "
        "load_split(Config.model_validate_json(sys.argv[1]), 'train', False)"
    )
    return start(["-c", code, config.model_dump_json(by_alias=True)], log)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="for everything")
    parser.add_argument("--pack", type=Path, required=True, help="the folder that gpu_pack.py made")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is to come home")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--at-once", type=int, help="trainings side by side; by default half the CPU cores")
    parser.add_argument("--only", nargs="+", choices=[*LIMITS["cpu"], "training"], help="these steps and no others")
    args = parser.parse_args(arguments)
    end = time.monotonic() + 60 * args.minutes
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("Error: --device cuda: there is no GPU here; --device cpu rehearses")
    if not (args.pack / "pack.json").exists():
        raise SystemExit(f"Error: {args.pack} is no pack: benchmarks/gpu_pack.py makes one")
    make_folder(args.out)
    report = Report(args.out, args.device)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        logs, measured = work / "logs", work / "measured"
        for path in (logs, measured):
            make_folder(path)
        os.environ["NDIC_CACHE"] = str(work / "cache")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work / "inductor")
        if args.device == "cpu":  # a rehearsal has no time to compile
            os.environ["TORCH_COMPILE_DISABLE"] = "1"
        background: dict[str, subprocess.Popen] = {}
        try:
            work_through(args, report, end, work, background)
        finally:
            stop(background.values())


def work_through(
    args: argparse.Namespace, report: Report, end: float, work: Path, background: dict[str, subprocess.Popen]
) -> None:
    """All steps, with the work folder for what does not come home."""
    logs, measured, trainings = work / "logs", work / "measured", None
    chosen = args.only or [*LIMITS["cpu"], "training"]
    if "training" in chosen:
        try:
            changes = {} if args.device == "cuda" else {"street_pairs": [16, 1, 1]}
            trainings = Trainings(args.recipe, args.pack, work / "outputs", args.device, changes)
            if trainings.ready():
                background["street"] = render(trainings, (logs / "street.log").open("wb"))
        except NDICError as error:
            report.note("training", ended=str(error))
    steps = {step: how for step, how in measurements(args.device, measured).items() if step in chosen}
    if "compiled" in steps and args.device == "cuda":  # once before it is timed, beside the other steps
        command = [*steps["compiled"][0], "--seconds", "0", "--out", str(work / "not_timed.csv")]
        background["compiled"] = start(command, (logs / "compile.log").open("wb"))
    for step, (command, files) in steps.items():
        left = end - time.monotonic() - HOME_SECONDS - (LEAVE[args.device] if trainings else 0)
        deadline = time.monotonic() + max(1.0, min(LIMITS[args.device][step], left))
        if step in background:
            wait(background[step], deadline)
        facts = run(command, logs / f"{step}.log", max(0.1, deadline - time.monotonic()))
        written = [file for file in files if (measured / file).exists()]
        report.note(step, **facts, files=", ".join(written) or "none")
        collect(measured, logs, args.out)
    if "compiled" in background:
        stop([background.pop("compiled")])
    if trainings:
        train(trainings, report, end - HOME_SECONDS, args, logs)
        collect(measured, logs, args.out)


def train(trainings: Trainings, report: Report, end: float, args: argparse.Namespace, logs: Path) -> None:
    """Train until `end`, and write the archive."""
    at_once = args.at_once or max(1, (os.cpu_count() or 1) // 2)
    began, lines = time.monotonic(), []
    try:
        trainings.run(end, at_once, logs, lines.append)
        lacking = trainings.bring_home(args.out)
    except NDICError as error:
        report.note("training", ended=str(error), notes=lines)
        return
    found, seconds = trainings.summary(), time.monotonic() - began
    images = sum(training["images"] for training in found.values())
    facts = dict(ended="well", seconds=round(seconds, 1), at_once=at_once, images_per_second=round(images / seconds, 1))
    report.note("training", **facts, trainings=found, notes=lines, left_behind=lacking)


if __name__ == "__main__":
    main()

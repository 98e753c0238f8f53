"""Everything that needs a GPU in one command, on a machine that may have no network and little time.

    python benchmarks/gpu_plan.py --minutes 8 --pack build/gpu --out build/home   # build/gpu is from gpu_pack.py
    python benchmarks/gpu_plan.py --minutes 3 --pack build/gpu --out build/home --device cpu   # rehearsal

The steps in order, each with its own time limit; a failed step is reported and skipped:

    tests        files that cross between CPU and GPU, bf16, no waits within a step (tests/training/test_gpu.py)
    attention    attention modules, as published and as here
    loops        training of the published size: the package's loop and a plain one
    throughput   images per second and memory of every model, over sizes, batches and precisions
    compiled     the same under torch.compile, of two models
    where        profile of a training step
    training     the rest of the time: stages of the recipe, several side by side

One step runs by itself, with `--only replication`, and takes all of the time:

    replication  `ndic_bls17` and `cross_attention` at the published size, equally trained and measured

The trainings with the least progress come first, with large batches and the learning rates that `optimizers.py` found
for these. Rendering the street and compiling run beside the other steps.

The output is files of at most 16 MiB: `report.json`, written after each step; `measurements.zip` with tables and logs;
`training.zip.0` and so on, pieces of one archive with progress and best weights. `gpu_merge.py` merges them.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import replication_gpu
import torch
from gpu_trainings import BATCH, THREADS, Trainings, render, start, stop, wait
from runs import option_parser

from ndic_core.catalogue import MODELS
from ndic_core.config import load_config
from ndic_core.errors import NDICError
from ndic_core.files import expand_path, make_folder, write_whole
from ndic_core.training.devices import device_name

BENCHMARKS = Path(__file__).parent
HOME_SECONDS = 15.0  # for writing everything at the end
PAIR_SHARE = 0.7  # of the time of `replication`: its trainings; then it measures

# Seconds on a GPU and in a rehearsal: limits of the steps, and the time to leave for the training.
LIMITS = {
    "cuda": dict(tests=75, attention=15, loops=40, throughput=45, compiled=45, where=45),
    "cpu": dict(tests=60, attention=20, loops=25, throughput=15, compiled=45, where=15),
}
ALONE = "replication"  # the step that takes all of the time
STEPS = [*LIMITS["cpu"], ALONE, "training"]
SMALL = dict(
    num_filters=8, embed_dim=16, heads=2, street_pairs=[16, 1, 1], exclude=[]
)  # of `replication` in a rehearsal
STREETS = {"cuda": (4 * 64, 4 * BATCH, 3 * BATCH), "cpu": ()}  # pairs that `throughput` and `where` measure on
LEAVE = {"cuda": 200.0, "cpu": 62.0}


def measurements(device: str, pack: Path, out: Path, minutes: float) -> dict[str, tuple[list[str], list[str]]]:
    """Arguments of Python for each measuring step, and the files that it writes into `out`.

    Args:
        pack: the folder of the pack.
        minutes: for the trainings of `replication`.
    """
    gpu = device == "cuda"
    tests = [str(BENCHMARKS.parent / "tests" / "training" / "test_gpu.py"), "-o", "addopts=", "-p", "no:cacheprovider"]
    tests += ["-v", "-o", "filterwarnings=default"]  # other versions of packages may have other warnings
    if gpu:
        attention, batch = [], ["--batch", str(BATCH)]
        loops = [*batch, "--preset", "config", "--models", "cross_attention", "--pairs", "64", "--seconds", "2"]
        loops += ["--rounds", "2"]
        sizes = ["--batch", str(BATCH), "64", "1", "--filters", "64", "192", "--precision", "bf16", "float32"]
        sizes += ["--models", *MODELS, "--seconds", "0.4", "--limit", str(LIMITS[device]["throughput"] - 6)]
        compiled = [*batch, "--models", "ndic_bls17", "cross_attention", "--compile", "--precision", "bf16"]
        compiled += ["--seconds", "1"]
        where = [*batch, "--models", "ndic_bls17", "cross_attention", "parallax_attention"]
    else:
        tests += ["-k", "moves or (crosses and bls17)"]
        few = ["--models", "bls17", "--batch", "4"]
        attention = ["--num-filters", "16", "--image-size", "32", "64", "--repeat", "1", "--together"]
        loops, sizes = [*few, "--pairs", "8", "--seconds", "0.5"], [*few, "--seconds", "0.2", "--precision", "float32"]
        compiled, where = [*sizes, "--compile"], few

    def script(name: str, arguments: list[str], file: str = "", option: str = "--out") -> list[str]:
        path = str(BENCHMARKS / f"{name}.py")
        return [path, "--device", device, *THREADS[device], option, str(out / file), *arguments]

    pair = ["--data", str(pack / "data" / "real"), "--minutes", f"{minutes:.2f}"]
    if not gpu:
        pair += ["--pairs", "2", *(f"--set={key}={json.dumps(value)}" for key, value in SMALL.items())]
    figure = f"where_time_goes_{device}"
    return {
        "tests": (["-m", "pytest", *tests], []),
        "attention": (script("attention", [*attention, "--rounds", "1"], "gpu_attention.csv"), ["gpu_attention.csv"]),
        "loops": (script("training", loops, "gpu_loops.csv"), ["gpu_loops.csv"]),
        "throughput": (script("throughput", sizes, "gpu_throughput.csv"), ["gpu_throughput.csv"]),
        "compiled": (script("throughput", compiled, "gpu_compiled.csv"), ["gpu_compiled.csv"]),
        "where": (script("where_time_goes", where), [f"{figure}.csv", f"{figure}.png"]),
        ALONE: (script("replication_gpu", pair, replication_gpu.TABLE.name, "--table"), [replication_gpu.TABLE.name]),
    }


class Report:
    """The outcome of each step."""

    def __init__(self, folder: Path, device: str):
        self.file = folder / "report.json"
        name = device_name(torch.device(device))
        self.content = {"device": name, "torch": torch.__version__, "rehearsal": device == "cpu", "steps": {}}

    def note(self, step: str, **facts) -> None:
        """Add facts of a step, and write the file."""
        self.content["steps"].setdefault(step, {}).update(facts)
        write_whole(self.file, json.dumps(self.content, indent=1).encode())
        print(f"{step}: {', '.join(f'{key} {value}' for key, value in facts.items())}", flush=True)


def run(command: Sequence[str], log: Path, seconds: float) -> dict:
    """Run Python with a time limit; returns how it ended ("well" or why not) and the seconds."""
    began = time.monotonic()
    with log.open("wb") as out:
        process = start(command, out)
        try:
            ended = str(process.wait(seconds))
        except subprocess.TimeoutExpired:
            stop([process])
            ended = "the time is up"
    return {"ended": "well" if ended == "0" else ended, "seconds": round(time.monotonic() - began, 1)}


def collect(measured: Path, logs: Path, out: Path) -> None:
    """Write all tables, figures and logs so far into one archive."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for folder in (measured, logs):
            for path in sorted(folder.iterdir()):
                file.write(path, f"{folder.name}/{path.name}")
    write_whole(out / "measurements.zip", archive.getvalue())


def main(arguments: list[str] | None = None) -> None:
    parser = option_parser(__doc__, threads=None)
    parser.add_argument("--minutes", type=float, default=8, help="for everything")
    parser.add_argument("--pack", type=expand_path, required=True, help="the folder that gpu_pack.py made")
    parser.add_argument("--out", type=expand_path, required=True, help="folder for the output")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--at-once", type=int, help="trainings side by side; by default half the CPU cores")
    parser.add_argument("--only", nargs="+", choices=STEPS, help="these steps and no others")
    args = parser.parse_args(arguments)
    end = time.monotonic() + 60 * args.minutes
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("Error: --device cuda: there is no GPU; use --device cpu for a rehearsal")
    if not (args.pack / "outputs").exists():
        raise SystemExit(f"Error: {args.pack} is no pack: benchmarks/gpu_pack.py makes one")
    make_folder(args.out)
    report = Report(args.out, args.device)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NDIC_CACHE"] = f"{folder}/cache"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        if args.device == "cpu":  # a rehearsal has no time to compile
            os.environ["TORCH_COMPILE_DISABLE"] = "1"
        background: dict[str, subprocess.Popen] = {}
        try:
            work_through(args, report, end, Path(folder), background)
        finally:
            stop(background.values())


def work_through(
    args: argparse.Namespace, report: Report, end: float, work: Path, background: dict[str, subprocess.Popen]
) -> None:
    """Run all steps; `work` is a temporary folder."""
    logs, measured, trainings = work / "logs", work / "measured", None
    for path in (logs, measured):
        make_folder(path)
    chosen = args.only or [step for step in STEPS if step != ALONE]
    if "training" in chosen:
        try:
            changes = {} if args.device == "cuda" else {"street_pairs": [16, 1, 1]}
            trainings = Trainings(args.recipe, args.pack, work / "outputs", args.device, changes)
        except NDICError as error:
            report.note("training", ended=str(error))
    configs = [load_config("config", dataset_name="Street", street_pairs=[n, 1, 1]) for n in STREETS[args.device]]
    configs += trainings.data() if trainings else []
    if ALONE in chosen:
        changes = SMALL if args.device == "cpu" else {}
        real = args.pack / "data" / "real"
        configs.append(replication_gpu.configuration("mse", "ndic_bls17", real, args.device, changes))
    with (logs / "street.log").open("wb") as log:
        background["street"] = render(configs, log)
    steps = measurements(args.device, args.pack, measured, PAIR_SHARE * args.minutes)
    steps = {step: how for step, how in steps.items() if step in chosen}
    if "compiled" in steps and args.device == "cuda":  # fill the compiler's cache beside the other steps
        command = [*steps["compiled"][0], "--seconds", "0", "--out", str(work / "not_timed.csv")]
        with (logs / "compile.log").open("wb") as log:
            background["compiled"] = start(command, log, nice=True)
    for step, (command, files) in steps.items():
        left = end - time.monotonic() - HOME_SECONDS - (LEAVE[args.device] if trainings else 0)
        deadline = time.monotonic() + max(1.0, min(LIMITS[args.device].get(step, left), left))
        if rendering := background.get("street" if step == ALONE else step):
            wait(rendering, deadline)
        facts = run(command, logs / f"{step}.log", max(0.1, deadline - time.monotonic()))
        written = [file for file in files if (measured / file).exists()]
        report.note(step, **facts, files=", ".join(written) or "none")
        collect(measured, logs, args.out)
    if "compiled" in background:
        stop([background.pop("compiled")])
    if background["street"].poll():
        report.note("street", ended=str(background["street"].returncode))
    if trainings:
        train(trainings, report, end - HOME_SECONDS, args, logs)
        collect(measured, logs, args.out)


def train(trainings: Trainings, report: Report, end: float, args: argparse.Namespace, logs: Path) -> None:
    """Train until `end`, and write the archive."""
    at_once = args.at_once or max(1, (os.cpu_count() or 1) // 2)
    began, lines = time.monotonic(), []
    ended = "well"
    try:
        trainings.run(end, at_once, logs, lines.append)
    except NDICError as error:
        ended = str(error)
    trainings.bring_home(args.out)
    found, seconds = trainings.summary(), time.monotonic() - began
    images = sum(training["images"] for training in found.values())
    facts = dict(ended=ended, seconds=round(seconds, 1), at_once=at_once, images_per_second=round(images / seconds, 1))
    report.note("training", **facts, trainings=found, notes=lines)


if __name__ == "__main__":
    main()

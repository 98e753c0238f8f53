"""Merge the output of `gpu_plan.py`: trainings into those of `pretrain.py`, tables and figures into the results.

    python benchmarks/gpu_merge.py build/home --outputs outputs --data data/kitti_train --native data/kitti_train_native

A training replaces the local one if it has seen more images; the local one must not be running. `pretrain.py` then
resumes it with its own batch size and learning rate. The weights are validated again on the original images, because
the pack holds compressed ones and costs are comparable on the same images only. `pages.py` writes the tables into the
documents.
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

import torch
from filelock import FileLock, Timeout
from pretrain import progress_of
from readme import known, markdown
from replication_gpu import TABLE as REPLICATION
from replication_report import table_of_group
from runs import RESULTS, option_parser, validated

from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path, make_folder, write_whole
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import TrainingState, move_state, read_state

BEGIN, END = "<!-- gpu: written by benchmarks/gpu_merge.py -->", "<!-- end of gpu -->"
TABLES = (
    "gpu_attention.csv",
    "gpu_loops.csv",
    "gpu_throughput.csv",
    "gpu_compiled.csv",
    "where_time_goes_cuda.csv",
    REPLICATION.name,
)
FIGURE = "where_time_goes_cuda.png"
TRAININGS = "gpu_trainings.csv"


def unpack(archive: Path | BytesIO, names: Iterable[str], folder: Path) -> list[str]:
    """Extract the files with these names, from any folder of the archive; returns the names that were found."""
    wanted, found = set(names), []
    with zipfile.ZipFile(archive) as file:
        for member in file.namelist():
            name = PurePosixPath(member).name
            if name in wanted:
                write_whole(folder / name, file.read(member))
                found.append(name)
    return found


def joined(folder: Path) -> BytesIO | None:
    """The archive of the trainings, joined from its pieces; None where there is none.

    Raises:
        NDICError: a piece is missing or damaged.
    """
    pieces = {int(piece.suffix[1:]): piece for piece in folder.glob("training.zip.*") if piece.suffix[1:].isdigit()}
    if not pieces:
        return None
    content = BytesIO(b"".join(pieces[i].read_bytes() for i in sorted(pieces)))
    try:
        whole = sorted(pieces) == list(range(len(pieces))) and zipfile.ZipFile(content).testzip() is None
    except (zipfile.BadZipFile, ValueError, EOFError, OSError):
        whole = False
    if not whole:
        raise NDICError(f"{folder}: a piece of training.zip is missing or damaged: copy all of them again")
    return content


def take_in(stage: Stage, folder: Path) -> str:
    """Merge a training's state and weights from `folder` into the local outputs; returns a line for the log.

    Raises:
        NDICError: a file is damaged, belongs to another training, or the training is running.
    """
    files = Outputs(stage.config)
    state, weights = folder / files.state.name, folder / files.weights.name
    before, brought = progress_of(stage), read_state(state)
    if brought.images <= before.images:
        return f"{stage}: the {before.images:,} images here are kept, {brought.images:,} came"
    make_folder(files.weights.parent)
    try:
        with FileLock(files.weights.parent / f".{files.name}.lock", timeout=0):
            model = load_checkpoint(weights)
            averages = validated(model, stage.config)
            last = brought.history[-1] if brought.history else {}
            row = {"epoch": brought.epoch, "lr": last.get("lr"), "loss": last.get("loss"), **averages}
            if averages["val_loss"] >= before.best:
                return f"{stage}: what came costs {averages['val_loss']:.4f}, the {before.best:.4f} here are kept"

            def change(progress: TrainingState) -> None:
                progress.history, progress.best = [*before.history, row], averages["val_loss"]

            moved = folder / "moved.pt"
            move_state(state, moved, stage.config, change=change)  # raises if it is another training
            save_checkpoint(model, files.weights)
            write_whole(files.state, moved.read_bytes())
    except Timeout:
        raise NDICError(f"{stage} is being trained: stop pretrain.py first") from None
    where = ", ".join(f"{own['images']:,.0f} on {name}" for name, own in brought.by_device.items())
    return f"{stage}: {before.images:,} → {brought.images:,} images ({where}), cost {averages['val_loss']:.4f}"


def tables(results: Path) -> str:
    """All measurements on GPUs, in Markdown."""
    parts = []
    if rows := known(results / "gpu_attention.csv"):
        parts.append(f"**Attention** ({_sizes(rows[0])}); times as fast as the plain float32:\n")
        columns = {"": "kind", "work": "task", "seconds": "seconds", "MB": "memory_mb", "times": "times_as_fast"}
        parts.append(_table(rows, columns, seconds="{:.5f}", MB="{:.0f}", times="{:.2f}"))
    if rows := known(results / "gpu_loops.csv"):
        parts.append(f"**Training**, images a second of a plain loop and of the package's ({_sizes(rows[0])}):\n")
        columns = {"": "model", "plain": "plain", "here": "package", "times": "times_as_fast"}
        parts.append(_table(rows, columns, plain="{:.1f}", here="{:.1f}", times="{:.2f}"))
    if rows := [*known(results / "gpu_throughput.csv"), *known(results / "gpu_compiled.csv")]:
        parts.append(f"**Images a second** in training ({rows[0]['device']}):\n")
        columns = {"": "model", "filters": "num_filters", "batch": "batch", "in": "precision", "compiled": "compile"}
        columns |= {"images/s": "images_per_second", "ms a step": "step_ms", "peak MB": "peak_mb"}
        parts.append(_table(rows, columns, **{"images/s": "{:.0f}", "ms a step": "{:.0f}", "peak MB": "{:.0f}"}))
    if rows := known(results / REPLICATION.name):
        facts = f"{rows[0]['epochs']} epochs each, {rows[0]['device']}"
        parts.append(f"**Replication** at the published size, in MS-SSIM ({facts}):\n")
        parts.append(table_of_group(rows, "ms_ssim_db") + "\n")
    if rows := known(results / TRAININGS):
        parts.append("**Trainings of the recipe**, side by side:\n")
        columns = {"": "training", "on": "device", "at once": "at_once", "images": "images", "seconds": "seconds"}
        columns |= {"validation": "validation_share"}
        parts.append(_table(rows, columns, images="{:,}", seconds="{:.0f}", validation="{:.1%}"))
    return "\n".join(parts) or "Nothing has been measured yet."


def _sizes(row: Mapping) -> str:
    return f"{row['num_filters']} filters, batches of {row['batch']}, {row['device']}"


def _table(rows: Iterable[Mapping], columns: Mapping[str, str], **formats: str) -> str:
    """A Markdown table of rows.

    Args:
        rows: may lack keys.
        columns: key of each column by its head.
        formats: format strings by head.
    """

    def cell(row: Mapping, head: str, key: str) -> str:
        return "" if row.get(key) is None else formats.get(head, "{}").format(row[key])

    return markdown(list(columns), [[cell(row, *column) for column in columns.items()] for row in rows]) + "\n"


def trainings(report: Mapping) -> list[dict]:
    """Rows of `TRAININGS` from a report."""
    step = report["steps"].get("training", {})
    return [
        {"training": name, "device": report["device"], "torch": report["torch"], "at_once": step["at_once"]}
        | {key: facts[key] for key in ("images", "seconds", "validation_share")}
        for name, facts in step.get("trainings", {}).items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = option_parser(__doc__)
    parser.add_argument("folder", type=expand_path, help="what gpu_plan.py wrote")
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--outputs", type=expand_path, default="outputs", help="--out of pretrain.py")
    parser.add_argument("--data", help="the pairs' folder, in place of the recipe's dataset_path")
    parser.add_argument("--native", help="the folder of pairs at the camera's resolution, in place of native_path")
    parser.add_argument("--results", type=expand_path, default=RESULTS, help="for tables and figures")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    paths = {"dataset_path": args.data, "native_path": args.native, "save_output_path": args.outputs}
    try:
        report = json.loads((args.folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SystemExit(f"Error: {args.folder} has no report.json that can be read: gpu_plan.py writes one") from None
    try:
        if report["rehearsal"] and args.results == RESULTS:
            raise NDICError(f"{args.folder} holds a rehearsal on a CPU, which is no result: name another --results")
        stages = load_recipe(args.recipe, **{key: path for key, path in paths.items() if path}).values()
        make_folder(args.results)
        measurements = args.folder / "measurements.zip"
        found = unpack(measurements, [*TABLES, FIGURE], args.results) if measurements.exists() else []
        print(f"{args.results}: {', '.join(found) or 'nothing new'}")
        new = trainings(report)
        if new:
            keys = ("training", "device", "images")  # a second merge adds no rows
            rows = {tuple(row[key] for key in keys): row for row in [*known(args.results / TRAININGS), *new]}
            write_table(list(rows.values()), args.results / TRAININGS)
        archive = joined(args.folder)
        with tempfile.TemporaryDirectory() as folder:
            names = [name for stage in stages for name in file_names(stage)]
            came = unpack(archive, names, Path(folder)) if archive else []
            refused = 0
            for stage in (stage for stage in stages if Outputs(stage.config).state.name in came):
                try:
                    print(take_in(stage, Path(folder)), flush=True)
                except NDICError as error:  # the others may succeed
                    print(f"{stage} is not merged: {error}", file=sys.stderr)
                    refused += 1
        if refused:
            raise SystemExit(1)
    except (NDICError, zipfile.BadZipFile) as error:
        raise SystemExit(f"Error: {error}") from None


def file_names(stage: Stage) -> tuple[str, str]:
    """Names of a training's state and weights."""
    files = Outputs(stage.config)
    return files.state.name, files.weights.name


if __name__ == "__main__":
    main()

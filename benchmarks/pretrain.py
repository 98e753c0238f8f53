"""Train the shipped weights: all stages and models of a recipe, for a limited time, resumable.

    python benchmarks/pretrain.py --minutes 150 --threads 1     # the same command resumes
    python benchmarks/pretrain.py --status                      # progress of each training
    python benchmarks/pretrain.py --set "exclude=[]"          # with pairs that data_prep.corpus made

Complete trainings are skipped. The state is written every minute, atomically, so a run may be killed at any time. Each
validation is one line, on standard output and in `pretrain.log` below the outputs. The recipe is
`ndic_core/configs/pretrain.yaml`: one stage of all models after the other, in its order.
"""

import math
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import torch
from runs import option_parser

from ndic_core.config_file import parse_changes
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import format_table
from ndic_core.files import expand_path, make_folder
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import TrainingState, read_state
from ndic_core.training.train import train

LEAST_MINUTES = 0.5  # no training starts with less left: loading data takes about as long


def progress_of(stage: Stage) -> TrainingState:
    """Progress of a training; a new one where it has no state."""
    file = Outputs(stage.config).state
    return read_state(file) if file.exists() else TrainingState()


def complete(stage: Stage) -> bool:
    """Whether a training has reached its last epoch."""
    return progress_of(stage).epoch >= stage.config.epochs


def work(stages: Iterable[Stage], minutes: float, report, clock=time.monotonic) -> str:
    """Train the incomplete stages, in order.

    Returns:
        Why it ended: "complete", "time" or "interrupted".

    Raises:
        NDICError: see `train`; a failed stage is not skipped, because others may start from it.
    """
    end = clock() + 60 * minutes
    for stage in stages:
        if complete(stage):
            continue
        left = (end - clock()) / 60
        if left < min(LEAST_MINUTES, minutes):
            return "time"
        config = stage.config.model_copy(update={"max_minutes": left})
        stopped = train(config, progress=False, report=lambda line, stage=stage: report(f"{stage}: {line}")).stopped
        if stopped != "epochs":
            return "time" if stopped == "max_minutes" else stopped
        report(f"{stage}: complete")
    return "complete"


def status(stages: Iterable[Stage]) -> str:
    """A table of all trainings: images seen, hours, costs at the last validation."""
    rows = []
    for stage in stages:
        state = progress_of(stage)
        best = min(state.history, key=lambda row: row["val_loss"], default={})
        row = {"training": str(stage), "starts from": str(stage.start or "fresh weights")}
        row |= {"epochs": f"{state.epoch}/{stage.config.epochs}", "images": state.images}
        row |= {"hours": round(state.seconds / 3600, 2)}
        costs = {"cost": "val_loss", "whole": "cost_whole", "window": "cost_window"}
        row |= {name: round(best[key], 4) if key in best else None for name, key in costs.items()}
        rows.append(row | {"psnr": best.get("psnr"), "bpp_estimated": best.get("bpp")})
    hours = sum(row["hours"] for row in rows)
    return f"{format_table(rows, rows[0])}\n{hours:.1f} hours in all; costs of the best weights so far, lower is better"


def main(arguments: list[str] | None = None) -> None:
    parser = option_parser(__doc__, threads=1)
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--data", help="the pairs' folder, in place of the recipe's dataset_path")
    parser.add_argument("--native", help="the folder of pairs at the camera's resolution, in place of native_path")
    parser.add_argument("--out", type=expand_path, default="outputs", help="for states, weights and the log")
    parser.add_argument("--minutes", type=float, default=math.inf, help="time limit")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="keys to set differently")
    parser.add_argument("--only", nargs="+", metavar="STAGE/MODEL", help="these trainings and no others")
    parser.add_argument("--status", action="store_true", help="print the progress of each training only")
    args = parser.parse_args(arguments)
    try:
        changes = parse_changes(args.set)
    except ValueError as error:
        parser.error(f"--set: {error}")
    paths = {"dataset_path": args.data, "native_path": args.native, "save_output_path": args.out}
    changes |= {key: path for key, path in paths.items() if path is not None}
    try:
        stages = list(load_recipe(args.recipe, **changes).values())
        if unknown := set(args.only or ()) - {str(stage) for stage in stages}:
            parser.error(f"--only: no training {', '.join(sorted(unknown))}; there are {', '.join(map(str, stages))}")
        stages = [stage for stage in stages if not args.only or str(stage) in args.only]
        if args.status:
            print(status(stages))
            return
        if not args.minutes > 0:
            parser.error("--minutes: give a positive number")
        torch.set_num_threads(args.threads)
        make_folder(Path(args.out))
        with (Path(args.out) / "pretrain.log").open("a", encoding="utf-8") as log:

            def report(line: str) -> None:
                line = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {line}"
                print(line, flush=True)
                print(line, file=log, flush=True)

            ended = work(stages, args.minutes, report)
            report({"complete": "all trainings are complete", "time": "the time is up"}.get(ended, ended))
    except NDICError as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()

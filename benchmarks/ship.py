"""Put trained weights into the package, in half precision, and record how they were trained.

    python benchmarks/pretrain.py                                   # trains by the recipe; resumes where it stopped
    python benchmarks/ship.py outputs                               # and again with --metric MSE
    python benchmarks/results.py DATA                               # and again with --metric MSE
    python benchmarks/pages.py                                      # model cards and the tables of the documents

The stages of each training are written to `results/trainings.csv`, from which the model cards are made.
"""

from pathlib import Path

from cards import TRAININGS
from readme import known
from runs import option_parser

from ndic_core.catalogue import METRICS, MODELS
from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint, stored_fingerprint
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path, weights_file
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import read_state


def last_stage(name: str, metric: str, folder: Path) -> Stage:
    """The training of the recipe that ends in a model's weights."""
    return load_recipe("pretrain", save_output_path=str(folder))[metric.lower(), name]


def stage_facts(stage: Stage) -> dict:
    """How a stage was trained: a row of `trainings.csv`.

    Raises:
        NDICError: the stage is not complete: its learning rate has not come down.
    """
    config = stage.config
    progress = read_state(Outputs(config).state)
    if progress.epoch < config.epochs:
        raise NDICError(f"{stage} has {progress.epoch} of {config.epochs} epochs: train on until it is complete")
    hours = {device: f"{device} in {own['seconds'] / 3600:.2f} h" for device, own in progress.by_device.items()}
    if len(hours) > 1:
        hours = {device: f"{progress.by_device[device]['images']:,.0f} on {line}" for device, line in hours.items()}
    return dict(
        model=config.model,
        start="the stage before" if stage.start else "fresh weights",
        distortion=config.distortion_loss,
        epochs=progress.epoch,
        images=progress.images,
        lr=config.lr,
        trained_on=", ".join(hours.values()),
    )


def ship(name: str, metric: str, folder: Path, note: str = "") -> Path:
    """Put one model's weights into the package and its stages into `trainings.csv`; returns the file of weights."""
    stages = last_stage(name, metric, folder).lineage
    facts = [stage_facts(stage) for stage in stages]
    file = weights_file(name, metric)
    save_checkpoint(load_checkpoint(Outputs(stages[-1].config).weights), file, half=True)
    made = dict(weights=file.stem, fingerprint=stored_fingerprint(file), recipe="pretrain")
    facts[-1]["note"] = note or None
    rows = [row for row in known(TRAININGS) if row["weights"] != file.stem]
    write_table([*rows, *(made | row for row in facts)], TRAININGS)
    return file


def main() -> None:
    parser = option_parser(__doc__, threads=None)
    parser.add_argument("outputs", type=expand_path, help="`save_output_path` of the trainings")
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0], help="what the weights are trained for")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--note", default="", help="what else a reader of the card must know of the training")
    args = parser.parse_args()
    for name in args.models:
        file = ship(name, args.metric, args.outputs, args.note)
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

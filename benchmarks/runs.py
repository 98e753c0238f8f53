"""Parts shared by the benchmarks: command-line options, variants of a training, tables that are resumed."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric
from readme import known

from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path, make_folder
from ndic_core.models.codec import Codec
from ndic_core.training.devices import uses_bf16
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import Trained
from ndic_core.training.validation import validate

RESULTS = Path(__file__).parent / "results"


def option_parser(description: str, threads: int | None = 2) -> argparse.ArgumentParser:
    """A parser with the option `--threads` and its default; without the option for None."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if threads:
        parser.add_argument("--threads", type=int, default=threads, help="CPU threads")
    return parser


def add_data_options(parser: argparse.ArgumentParser, table: Path) -> None:
    """The options of a benchmark that trains on the recipe's pairs and writes a table."""
    parser.add_argument(
        "--data", type=expand_path, default=Path("data/kitti_train"), help="as the recipe's dataset_path"
    )
    parser.add_argument(
        "--native", type=expand_path, default=Path("data/kitti_train_native"), help="as its native_path"
    )
    parser.add_argument(
        "--table", type=expand_path, default=table, help="CSV file; lines that it has are not measured again"
    )


@dataclass(frozen=True)
class Variant:
    """One line of a table.

    Attributes:
        label: first cell of the line.
        model: name of the model.
        keys: keys of the configuration that differ.
        change: applied to the model before training.
    """

    label: str
    model: str
    keys: Mapping = field(default_factory=dict)
    change: Callable[[Codec], None] = lambda model: None


def finished(trained: Trained) -> Codec:
    """The trained model.

    Raises:
        SystemExit: the training was interrupted.
    """
    if trained.stopped == "interrupted":
        raise SystemExit("interrupted: the same command goes on from here")
    return trained.model


def resume(table: Path, lines: Iterable[tuple[dict, Callable[[], list[dict]]]]) -> None:
    """Measure the lines that a table lacks, and write each at once.

    Args:
        table: CSV file.
        lines: of each line the columns that identify it, and a function that returns its rows.
    """
    make_folder(table.parent)
    for key, measure in lines:
        if not any(key.items() <= row.items() for row in known(table)):
            print(key, flush=True)
            new = [key | row | key for row in measure()]
            write_table([*known(table), *new], table)  # read again: another process may have written meanwhile


def validated(model: Codec, config: Config) -> dict:
    """Costs of a model on the validation pairs of a configuration, on the CPU."""
    fabric = Fabric(accelerator="cpu", devices=1)
    loss = {key: getattr(config, key) for key in ("alpha", "beta", "distortion_loss")}
    bf16 = uses_bf16(config.precision, fabric.device)
    return validate(model, load_split(config, "val", progress=False), fabric, bf16=bf16, **loss)


def cost(row: Mapping, lmbda: float) -> float:
    """bpp + lambda · 255² · MSE, the loss of a training for MSE, from measured bytes."""
    return row["bpp"] + lmbda * 255**2 * 10 ** (-row["psnr"] / 10)


def street_config(stage: str, model: str, pairs: int, **keys) -> Config:
    """A configuration of the recipe, on generated pairs and from fresh weights, for timing."""
    own = dict(dataset_name="Street", native_path="", window_fraction=0, matching_loss_weight=0)
    recipe = load_recipe("pretrain", street_pairs=[pairs, 1, 1], **own, **keys)
    return recipe[stage, model].config.model_copy(update={"load_weight": False})

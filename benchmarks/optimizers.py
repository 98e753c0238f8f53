"""Optimizer, learning rate, batch size, weight average and rate balance of the recipe, compared at the shipped size.

    python benchmarks/optimizers.py     # resumes

Every line changes some keys of the recipe `pretrain`: 64 filters, images of 128 × 256, variable rate, cosine schedule
after 50 steps of warm-up, one thread. `bmshj18_factorized` starts with random weights, the others with the shipped
weights of `bmshj18_factorized`. Measured is bpp + lambda · 255² · MSE (estimated rate) of the 30 held-out pairs in both
orders, as whole views and as windows: the geometric mean over three lambdas. CPU time is without validation.
"""

import argparse
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from statistics import mean, stdev

import torch
from readme import known, markdown
from runs import RESULTS, add_data_options, finished, option_parser, resume, validated

from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.files import weights_file
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import train

BEGIN, END = "<!-- optimizers: written by benchmarks/optimizers.py -->", "<!-- end of optimizers -->"
FRESH = "bmshj18_factorized"  # starts with random weights, all others with its shipped weights
TABLE = RESULTS / "optimizers.csv"
SEEDS = (0, 1, 2)
COSTS = ("val_loss", "cost_low", "cost_middle", "cost_high", "cost_whole", "cost_window")
# The former recipe, and the keys that the lines of a group change.
FORMER = dict(optimizer="adam", lr=0.001, ema_decay=0, rate_balance=0)
NEW = dict(optimizer="soap", lr=0.01, ema_decay=0.995, rate_balance=0.6)

# Group: the models, and of each line its label, keys and epochs of 371 steps (half as many for models that start from
# other weights). The first line is the reference.
GROUPS: dict[str, tuple[tuple[str, ...], list[tuple[str, dict, int]]]] = {
    "recipe": (
        ("bmshj18_factorized", "ndic_bls17"),
        [
            ("former: Adam 1e-3", FORMER, 6),
            ("this one, a third of the steps", {}, 2),
            ("this one, as many steps", {}, 6),
        ],
    ),
    "optimizer": (
        ("bmshj18_factorized",),
        [
            ("SOAP 1e-2", NEW, 2),
            ("SOAP 1e-3", NEW | {"lr": 0.001}, 2),
            ("SOAP 6e-3", NEW | {"lr": 0.006}, 2),
            ("SOAP 3e-3", NEW | {"lr": 0.003}, 2),
            ("SOAP 2e-2", NEW | {"lr": 0.02}, 2),
            ("Adam 1e-3", NEW | {"optimizer": "adam", "lr": 0.001}, 2),
            ("Adam 3e-3", NEW | {"optimizer": "adam", "lr": 0.003}, 2),
            ("Adam 1e-2", NEW | {"optimizer": "adam", "lr": 0.01}, 2),
        ],
    ),
    "from other weights": (
        ("ndic_bls17",),
        [
            ("SOAP 3e-3", NEW | {"lr": 0.003}, 2),
            ("SOAP 1e-3", NEW | {"lr": 0.001}, 2),
            ("SOAP 1e-2", NEW, 2),
            ("16 images, SOAP 3e-3", NEW | {"train_batch_size": 16, "lr": 0.003}, 8),
            ("16 images, SOAP 6e-3", NEW | {"train_batch_size": 16, "lr": 0.006}, 8),
            ("16 images, SOAP 1e-2", NEW | {"train_batch_size": 16, "lr": 0.01}, 8),
        ],
    ),
    "balance": (
        ("bmshj18_factorized",),
        [
            ("exponent 0", NEW | {"rate_balance": 0}, 2),
            ("exponent 0.3", NEW | {"rate_balance": 0.3}, 2),
            ("exponent 0.6", NEW, 2),
            ("exponent 0.9", NEW | {"rate_balance": 0.9}, 2),
        ],
    ),
    "average": (
        ("bmshj18_factorized",),
        [
            ("none", NEW | {"ema_decay": 0}, 2),
            ("decay 0.99", NEW | {"ema_decay": 0.99}, 2),
            ("decay 0.995", NEW, 2),
        ],
    ),
    "batch": (
        ("bmshj18_factorized",),
        [
            ("4 images", NEW, 2),
            ("2 images", NEW | {"train_batch_size": 2}, 2),
            ("8 images", NEW | {"train_batch_size": 8}, 2),
            ("16 images", NEW | {"train_batch_size": 16}, 4),
            ("16 images, 2e-2", NEW | {"train_batch_size": 16, "lr": 0.02}, 4),  # 4e-2 was tried: the loss diverged
        ],
    ),
    "windows": (
        ("bmshj18_factorized",),
        [
            ("none", NEW | {"window_fraction": 0.0}, 4),  # of 186 steps
            ("half of the images", NEW, 2),
            ("a quarter", NEW | {"window_fraction": 0.25}, 3),
        ],
    ),
}


def configuration(model: str, seed: int, epochs: int, keys: Mapping, args: argparse.Namespace) -> Config:
    """The recipe's configuration of a model, with a few keys changed."""
    fresh = model == FRESH
    own = dict(
        seed=seed,
        epochs=epochs,
        dataset_path=str(args.data),
        native_path=str(args.native),
        warmup_steps=50,
        validation_period=epochs,
        verbose_period=0,
        save_weights=False,
    )
    stage = load_recipe("pretrain")["start" if fresh else "mse", model]
    start = {"load_weight": not fresh, "weight_path": str(weights_file(FRESH, "MSE"))}
    return stage.config.model_copy(update={**own, **start, **keys})


def settings(config: Config) -> str:
    """The keys that identify a training: lines with equal settings share one."""
    keys = ("optimizer", "lr", "epochs", "train_batch_size", "ema_decay", "rate_balance", "window_fraction")
    return ", ".join(f"{key} {getattr(config, key)}" for key in keys)


def measured(model: str, seed: int, epochs: int, keys: Mapping, args: argparse.Namespace) -> dict:
    """Train and validate; the columns of one line for one seed."""
    config = configuration(model, seed, epochs, keys, args)
    images = epochs * len(load_split(config, "train", False))  # also prepares the data, before the timing
    began = time.process_time()
    trained = finished(train(config, progress=False, report=lambda line: None))
    seconds = time.process_time() - began
    # All lines are validated on the same pairs. Validation within the training takes as long and is subtracted.
    began = time.process_time()
    result = validated(trained, configuration(model, seed, epochs, {}, args))
    seconds -= (time.process_time() - began) * (2 if config.ema_decay else 1)
    return {
        "settings": settings(config),
        "steps": math.ceil(images / epochs / config.train_batch_size) * epochs,
        "images": images,
        "cpu_seconds": round(seconds, 1),
        **{name: result[name] for name in COSTS},
    }


def learning_rate_factor(batch: int, fresh: bool, rows: Sequence[Mapping] | None = None) -> float:
    """Best learning rate for a batch size relative to the recipe's, from random (`fresh`) or from other weights.

    Raises:
        ValueError: nothing was measured for that batch size.
    """
    group = "batch" if fresh else "from other weights"
    rates = {
        (row["variant"], row["settings"]): (row["val_loss"], float(re.search(r"lr ([\d.]+)", row["settings"])[1]))
        for row in (known(TABLE) if rows is None else rows)
        if row["group"] == group
    }
    found = [rate for (_, settings), rate in rates.items() if f"train_batch_size {batch}," in settings]
    if not found:
        raise ValueError(f"no learning rate was measured for batches of {batch}")
    first = GROUPS[group][1][0][0]
    reference = next(rate for (variant, _), (_, rate) in rates.items() if variant == first)
    return min(found)[1] / reference


def table(rows: Sequence[Mapping]) -> str:
    """All groups in Markdown: means over the seeds, and the change from the first line of the group."""
    parts = []
    for group, (models, variants) in GROUPS.items():
        for model in models:
            of_model = [row for row in rows if (row["group"], row["model"]) == (group, model)]
            first = {row["seed"]: row for row in of_model if row["variant"] == variants[0][0]}
            if not first:
                continue
            head = [f"{group}: `{model}`", "steps", "CPU s", "cost", "whole", "window", "low, middle, high λ", "seeds"]
            lines = []
            for label, _, _ in variants:
                found = [row for row in of_model if row["variant"] == label and row["seed"] in first]
                if found:
                    lines.append(_line(label, found, first))
            parts.append(markdown(head, lines))
    return "\n\n".join(parts)


def _line(label: str, found: Sequence[Mapping], first: Mapping) -> list[str]:
    """Cells of one line; costs are compared with those of the first line for the same seeds."""
    reference = label == first[found[0]["seed"]]["variant"]

    def change(column: str) -> str:
        ratios = [100 * (row[column] / first[row["seed"]][column] - 1) for row in found]
        spread = f" ± {stdev(ratios):.1f}" if len(ratios) > 1 else ""
        return f"{mean(ratios):+.1f}{spread} %"

    costs = [row["val_loss"] for row in found]
    cells = [label, f"{found[0]['steps']:,}", f"{mean(row['cpu_seconds'] for row in found):.0f}"]
    cells.append(f"{mean(costs):.4f}" if reference else f"{mean(costs):.4f} ({change('val_loss')})")
    cells += [f"{mean(row[c] for row in found):.4f}" if reference else change(c) for c in ("cost_whole", "cost_window")]
    rates = ("cost_low", "cost_middle", "cost_high")
    cells.append(", ".join(f"{mean(row[c] for row in found):.3f}" if reference else change(c) for c in rates))
    return [*cells, str(len(found))]


def lines(args: argparse.Namespace) -> Iterator[tuple[dict, Callable[[], list[dict]]]]:
    """All lines, for `resume`."""
    for seed, (group, (models, variants)) in product(SEEDS, GROUPS.items()):
        for model, (label, keys, epochs) in product(models, variants):
            key = {"group": group, "variant": label, "model": model, "seed": seed}
            run = (model, seed, epochs if model == FRESH else epochs // 2, keys)
            yield key, lambda run=run: [measured_once(*run, args)]


def measured_once(model: str, seed: int, epochs: int, keys: Mapping, args: argparse.Namespace) -> dict:
    """`measured`, or the columns of a line of the table with the same settings."""
    same = {"model": model, "seed": seed, "settings": settings(configuration(model, seed, epochs, keys, args))}
    twin = next((row for row in known(args.table) if same.items() <= row.items()), None)
    return twin or measured(model, seed, epochs, keys, args)


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    add_data_options(parser, TABLE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    resume(args.table, lines(args))
    print(table(known(args.table)))


if __name__ == "__main__":
    main()

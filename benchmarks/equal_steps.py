"""Ideas compared at equal training: from one start, on the same images in the same order, for as many steps.

    python benchmarks/equal_steps.py --readme benchmarks/README.md     # goes on where it was

Every line is the recipe `pretrain`'s training for MSE of another model, or of one with something taken out: 64 filters,
images of 128 × 256, all rates in one model, one epoch of 371 steps of 4 with a cosine after 50 steps of warm-up, one
thread, from the shipped weights of `bmshj18_factorized`, with three seeds. Measured are held-out pairs in both orders,
as whole views and as windows at the camera's resolution, on real bytes at four lambdas, decoded with their y, another
scene's, and none. Few steps: which idea learns faster, not where each ends.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

import torch
from readme import known, marked, write_between
from torch import Tensor, nn

from ndic_core.checkpoints.checkpoint import load_pretrained
from ndic_core.checkpoints.warm_start import start_from
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.evaluation.evaluate import averages, evaluate
from ndic_core.evaluation.tables import write_table
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import train

BEGIN, END = "<!-- equal steps: written by benchmarks/equal_steps.py -->", "<!-- end of equal steps -->"
TABLE = Path(__file__).parent / "results" / "equal_steps.csv"
EVERY = 3  # of the validation pairs is measured
LAMBDAS = 4
PARTS = ("whole", "window")


class Nothing(nn.Module):
    """In place of layers whose output is added: as many zeros as they would give."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features[:, :1]).expand(-1, self.channels, *features.shape[2:])


def without_volume_convolutions(model: Codec) -> None:
    """Each position matches for itself, on the products of its own features."""
    coarsest, *finer = model.cams
    coarsest.refine = Nothing(1)
    for cam in finer:
        cam.refine = Nothing(len(cam.bias) + 1)


def without_finer_convolutions(model: Codec) -> None:
    """At 1/4 and 1/2 each position matches for itself."""
    for cam in model.cams[1:]:
        cam.refine = Nothing(len(cam.bias) + 1)


def without_retouch(model: Codec) -> None:
    """The image comes from features alone: y itself is not used."""
    model.retouch.layers = Nothing(3)


def search_both_sides(model: Codec) -> None:
    """The coarsest window reaches as far to the right as to the left, and nothing is mirrored."""
    search, reconstruct = model.cams[0], model.reconstruct
    window, (rows, columns) = search.window, search.reach
    search.window = lambda width: (*window(width)[:2], window(width)[1])
    search.bias = nn.Parameter(torch.zeros(2 * rows + 1, 2 * columns + 1))
    model.reconstruct = lambda h_x, y, inverse=None, right=None: reconstruct(h_x, y, inverse, False)


def nothing(model: Codec) -> None:
    """Leave the model as it is."""


@dataclass(frozen=True)
class Variant:
    """One line of the table: a model, keys of its configuration that differ, and what is done to it before training."""

    label: str
    model: str
    keys: Mapping = field(default_factory=dict)
    change: Callable[[Codec], None] = nothing


OURS = Variant("`parallax_attention`", "parallax_attention")
VARIANTS = (
    OURS,
    Variant("without the convolutions of the cost volumes", OURS.model, change=without_volume_convolutions),
    Variant("without those at 1/4 and 1/2", OURS.model, change=without_finer_convolutions),
    Variant("without y at full resolution", OURS.model, change=without_retouch),
    Variant("without guidance", OURS.model, {"matching_loss_weight": 0.0}),
    Variant("trained with the right y only (`robust: False`)", OURS.model, {"parallax": {"robust": False}}),
    Variant("with a search to both sides", OURS.model, change=search_both_sides),
    Variant("`ndic_bls17`", "ndic_bls17"),
    Variant("`cross_attention`", "cross_attention"),
)


def configuration(variant: Variant, seed: int, args: argparse.Namespace) -> Config:
    """The recipe's, for one epoch."""
    recipe = load_recipe("pretrain", dataset_path=str(args.data), native_path=str(args.native), **variant.keys)
    own = dict(seed=seed, epochs=1, warmup_steps=50, verbose_period=0, save_weights=False, load_weight=False)
    return recipe["mse", variant.model].config.model_copy(update=own)


def measured(variant: Variant, seed: int, args: argparse.Namespace) -> list[dict]:
    """Train and measure; a row for each part, lambda and kind of side information."""
    config = configuration(variant, seed, args)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(**config.model_arguments())
        start_from(model, load_pretrained("bmshj18_factorized", "MSE"))
        variant.change(model)
    trained = train(config, progress=False, report=lambda line: None, model=model)
    if trained.stopped == "interrupted":
        raise SystemExit("interrupted: the same command goes on from here")
    pairs = load_split(config, "val", False)
    low, high = model.lambdas
    rows = []
    for part in PARTS:
        shown = pairs.some(list(pairs.parts[part])[::EVERY])
        for i in range(LAMBDAS):
            points = averages(evaluate(model, shown, low * (high / low) ** (i / (LAMBDAS - 1)), progress=False))
            rows += [{"variant": variant.label, "seed": seed, "part": part, **point} for point in points]
    return rows


def table(rows: Sequence[Mapping]) -> str:
    """All lines, in Markdown: means over the seeds beside the first line's."""
    lines = [
        "| | BD-rate, whole views | BD-rate, windows | with another scene's y | without y | seeds |",
        "|---" * 6 + "|",
    ]
    labels = list(dict.fromkeys(row["variant"] for row in rows))
    labels.sort(key=lambda label: label != OURS.label)
    for label in labels:
        seeds = sorted({row["seed"] for row in rows if row["variant"] == label})
        cells = [label]
        for part in PARTS:
            curves = [[_points(rows, name, seed, part) for name in (OURS.label, label)] for seed in seeds]
            rates = [bd_rate(*both) for both in curves if all(both)]
            cells.append("0" if label == OURS.label else _mean(rates, "{:+.1f}", " %"))
        for kind in ("mismatched_y", "no_y"):
            lost = [
                fmean(other["psnr"] - true["psnr"] for other, true in zip(*both, strict=True))
                for seed in seeds
                if all(both := [_points(rows, label, seed, "whole", side) for side in (kind, "matching_y")])
            ]
            cells.append(_mean(lost, "{:+.2f}", " dB"))
        lines.append(f"| {' | '.join([*cells, str(len(seeds))])} |")
    return "\n".join(lines)


def _points(rows: Sequence[Mapping], label: str, seed: int, part: str, side_info: str = "matching_y") -> list[Mapping]:
    """One curve, by lambda."""
    wanted = dict(variant=label, seed=seed, part=part, side_info=side_info)
    return sorted((row for row in rows if wanted.items() <= row.items()), key=lambda row: row["lmbda"])


def _mean(values: Sequence[float], form: str, unit: str) -> str:
    if not values:
        return ""
    spread = f" ± {form.format(stdev(values)).lstrip('+')}" if len(values) > 1 else ""
    return f"{form.format(fmean(values))}{spread}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/kitti_train"), help="as the recipe's dataset_path")
    parser.add_argument("--native", type=Path, default=Path("data/kitti_train_native"), help="as its native_path")
    parser.add_argument("--table", type=Path, default=TABLE, help="the .csv; lines that it has are not measured again")
    parser.add_argument("--lines", nargs="+", type=int, default=range(len(VARIANTS)), help="only these, from 0")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--label", help="for a single line, in place of its own: of another commit's model")
    parser.add_argument("--readme", type=Path, help="also write the table into this file, between its marks")
    args = parser.parse_args()
    if args.readme:
        marked(args.readme, BEGIN, END)
    torch.set_num_threads(1)
    for seed in args.seeds:
        for variant in (VARIANTS[i] for i in args.lines):
            label = args.label or variant.label
            if any((row["variant"], row["seed"]) == (label, seed) for row in known(args.table)):
                continue
            new = [row | {"variant": label} for row in measured(variant, seed, args)]
            write_table([*known(args.table), *new], args.table)  # another process may have written meanwhile
            print(table(known(args.table)), flush=True)
    text = table(known(args.table))
    print(text)
    if args.readme:
        write_between(args.readme, BEGIN, END, text)


if __name__ == "__main__":
    main()

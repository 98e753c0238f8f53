"""Ablations of `parallax_attention` after equal training: same start, same images in the same order, same steps.

    python benchmarks/equal_steps.py     # resumes

Every line is the recipe's training for MSE of another model, or of one without a part: 64 filters, images of 128 × 256,
variable rate, one epoch of 371 steps of 4 images with a cosine schedule after 50 steps of warm-up, one thread, from the
shipped weights of `bmshj18_factorized`, with three seeds. Measured are held-out pairs in both orders, as whole views
and as windows at the camera's resolution, on real bytes at four lambdas, decoded with matching y, mismatched y and no
y. The training is short: the table shows which variant learns faster, not the final quality.
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from readme import known, markdown, mean_cell
from runs import RESULTS, Variant, add_data_options, finished, option_parser, resume
from torch import Tensor, nn

from ndic_core.checkpoints.checkpoint import load_pretrained
from ndic_core.checkpoints.warm_start import start_from
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.evaluation.evaluate import averages, evaluate
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import train

BEGIN, END = "<!-- equal steps: written by benchmarks/equal_steps.py -->", "<!-- end of equal steps -->"
TABLE = RESULTS / "equal_steps.csv"
EVERY = 3  # every third validation pair is measured
LAMBDAS = 4
SEEDS = (0, 1, 2)
PARTS = ("whole", "window")


class Nothing(nn.Module):
    """Replaces layers whose output is added: zeros of the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features[:, :1]).expand(-1, self.channels, *features.shape[2:])


def without_volume_convolutions(model: Codec) -> None:
    """Remove the convolutions over the cost volumes: each position matches independently."""
    coarsest, *finer = model.cams
    coarsest.refine = Nothing(1)
    for cam in finer:
        cam.refine = Nothing(len(cam.bias) + 1)


def without_finer_convolutions(model: Codec) -> None:
    """Remove the convolutions over the cost volumes at 1/4 and 1/2."""
    for cam in model.cams[1:]:
        cam.refine = Nothing(len(cam.bias) + 1)


def without_retouch(model: Codec) -> None:
    """Remove the layers that use y at full resolution."""
    model.retouch.layers = Nothing(3)


def search_both_sides(model: Codec) -> None:
    """Search as far to the right as to the left at the coarsest scale, without mirroring."""
    search, reconstruct = model.cams[0], model.reconstruct
    window, (rows, columns) = search.window, search.reach
    search.window = lambda width: (*window(width)[:2], window(width)[1])
    search.bias = nn.Parameter(torch.zeros(2 * rows + 1, 2 * columns + 1))
    model.reconstruct = lambda h_x, y, inverse=None, right=None: reconstruct(h_x, y, inverse, False)


OURS = Variant("`parallax_attention`", "parallax_attention")
VARIANTS = (
    OURS,
    Variant("without the convolutions of the cost volumes", OURS.model, change=without_volume_convolutions),
    Variant("without those at 1/4 and 1/2", OURS.model, change=without_finer_convolutions),
    Variant("without y at full resolution", OURS.model, change=without_retouch),
    Variant("without the matching loss", OURS.model, {"matching_loss_weight": 0.0}),
    Variant("trained with the right y only (`robust: False`)", OURS.model, {"robust": False}),
    Variant("with a search to both sides", OURS.model, change=search_both_sides),
    Variant("`ndic_bls17`", "ndic_bls17"),
    Variant("`cross_attention`", "cross_attention"),
)


def configuration(variant: Variant, seed: int, args: argparse.Namespace) -> Config:
    """The recipe's configuration for one epoch."""
    recipe = load_recipe("pretrain", dataset_path=str(args.data), native_path=str(args.native), **variant.keys)
    own = dict(seed=seed, epochs=1, warmup_steps=50, verbose_period=0, save_weights=False, load_weight=False)
    return recipe["mse", variant.model].config.model_copy(update=own)


def measured(variant: Variant, seed: int, args: argparse.Namespace) -> list[dict]:
    """Train and measure; one row for each part, lambda and kind of side information."""
    config = configuration(variant, seed, args)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(**config.model_arguments())
        start_from(model, load_pretrained("bmshj18_factorized", "MSE"))
        variant.change(model)
    model = finished(train(config, progress=False, report=lambda line: None, model=model))
    pairs = load_split(config, "val", False)
    low, high = model.lambdas
    rows = []
    for part in PARTS:
        shown = pairs.subset(list(pairs.parts[part])[::EVERY])
        for i in range(LAMBDAS):
            points = averages(evaluate(model, shown, low * (high / low) ** (i / (LAMBDAS - 1)), progress=False))
            rows += [{"part": part, **point} for point in points]
    return rows


def table(rows: Sequence[Mapping]) -> str:
    """All lines in Markdown: means over the seeds, compared with the first line."""
    head = ["", "BD-rate, whole views", "BD-rate, windows", "with another scene's y", "without y", "seeds"]
    lines = []
    labels = list(dict.fromkeys(row["variant"] for row in rows))
    labels.sort(key=lambda label: label != OURS.label)
    for label in labels:
        seeds = sorted({row["seed"] for row in rows if row["variant"] == label})
        cells = [label]
        for part in PARTS:
            curves = [[_points(rows, name, seed, part) for name in (OURS.label, label)] for seed in seeds]
            rates = [bd_rate(*both) for both in curves if all(both)]
            cells.append("0" if label == OURS.label else mean_cell(rates, "{:+.1f}", " %"))
        for kind in ("mismatched_y", "no_y"):
            lost = [
                fmean(other["psnr"] - true["psnr"] for other, true in zip(*both, strict=True))
                for seed in seeds
                if all(both := [_points(rows, label, seed, "whole", side) for side in (kind, "matching_y")])
            ]
            cells.append(mean_cell(lost, "{:+.2f}", " dB"))
        lines.append([*cells, str(len(seeds))])
    return markdown(head, lines)


def _points(rows: Sequence[Mapping], label: str, seed: int, part: str, side_info: str = "matching_y") -> list[Mapping]:
    """One curve, sorted by lambda."""
    wanted = dict(variant=label, seed=seed, part=part, side_info=side_info)
    return sorted((row for row in rows if wanted.items() <= row.items()), key=lambda row: row["lmbda"])


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    add_data_options(parser, TABLE)
    parser.add_argument("--lines", nargs="+", type=int, default=range(len(VARIANTS)), help="only these, from 0")
    parser.add_argument("--label", help="for a single line, in place of its own: of another commit's model")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = (
        (
            {"variant": args.label or variant.label, "seed": seed},
            lambda variant=variant, seed=seed: measured(variant, seed, args),
        )
        for seed in SEEDS
        for variant in (VARIANTS[i] for i in args.lines)
    )
    resume(args.table, lines)
    print(table(known(args.table)))


if __name__ == "__main__":
    main()

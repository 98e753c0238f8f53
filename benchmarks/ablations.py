"""Ablations of `cross_attention`: small models that differ in one part, trained alike and measured on real bytes.

    python benchmarks/ablations.py     # an hour on one core; resumes

All models have 24 filters and see images of 64 × 128 (real and generated pairs, mixed as in the recipe). They start
from one `bmshj18_factorized` trained on 20,000 images and train for equally many steps of 4 images, for MSE at one
lambda. Measured are 30 held-out real pairs in both orders, decoded with the matching y and with a mismatched y. There
is one seed, except for the last line, which repeats the first line with another seed: smaller differences than between
these two are noise.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from readme import known, markdown
from runs import RESULTS, Variant, add_data_options, cost, finished, option_parser, resume
from torch import Tensor, nn

from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.evaluate import averages, evaluate
from ndic_core.files import expand_path
from ndic_core.models.codec import Codec
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.factory import build_model
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe
from ndic_core.training.setup import initial_model
from ndic_core.training.train import train

LMBDA = 0.002
SIZE = (64, 128)
STEPS = 930  # of 4 images, for each variant; rounded to whole epochs
BEGIN, END = "<!-- ablations: written by benchmarks/ablations.py -->", "<!-- end of ablations -->"
TABLE = RESULTS / "ablations.csv"


class Nothing(nn.Module):
    """Replaces an alignment module: no features of y."""

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return torch.zeros_like(t)


class PlacedCrossAttentionModule(CrossAttentionModule):
    """Tokens with a learned position embedding, added to the embeddings of x and y."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.places = nn.Parameter(torch.zeros(self.patch_grid**2, self.embed_x.out_features))

    def _queries(self, t: Tensor) -> Tensor:
        return self._split_heads(self.to_q(self.norm(self._placed(self.embed_x(self._tokens(t))))))

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = self.to_kv(self.norm(self._placed(self.embed_y(self._tokens(u))))).chunk(2, dim=-1)
        return self._split_heads(k), self._split_heads(v)

    def _placed(self, embedded: Tensor) -> Tensor:
        """Add the position embedding; tokens are ordered by channel, then by position."""
        return embedded + self.places.repeat(embedded.shape[1] // len(self.places), 1)


def without_w(model: Codec) -> None:
    """Replace the common information by zeros."""
    common_information = model.common_information
    model.common_information = lambda y: torch.zeros_like(common_information(y))


def without(layer: int, model: Codec) -> None:
    """Remove the alignment at one scale."""
    model.cams[layer] = Nothing()


def with_even_start(model: Codec) -> None:
    """Replace the patch-matching initialisation of the CAMs by random weights, whose attention is uniform."""
    options = {key: value for key, value in model.config.items() if key != "model"}
    model.cams = build_model(model.name, **options).cams


def with_places(model: Codec) -> None:
    """Replace the CAMs by CAMs with position embeddings."""
    for i, cam in enumerate(model.cams):
        size = tuple(cam.patch_grid * side for side in cam.patch_size)
        shape = cam.embed_x.out_features, cam.heads, cam.to_q.out_features // cam.heads, cam.patch_grid, cam.dropout.p
        placed = PlacedCrossAttentionModule(size, *shape)
        placed.load_state_dict(cam.state_dict(), strict=False)
        model.cams[i] = placed


LAYERS = ("1/8", "1/4", "1/2")
CAM = partial(Variant, model="cross_attention")
GROUP = "cross_attention"
VARIANTS = [  # compared with the first
    CAM("`cross_attention`: width 64, 4 heads of 32"),
    CAM("attention even at first, not a search for what is alike", change=with_even_start),
    CAM("without w", change=without_w),
    *(CAM(f"without the CAM at {place}", change=partial(without, i)) for i, place in enumerate(LAYERS)),
    Variant("without any CAM: `ndic_bls17`", "ndic_bls17"),
    Variant("without y: `bmshj18_factorized`", "bmshj18_factorized"),
    CAM("alpha 1", keys={"alpha": 1}),
    CAM("alpha 1, beta 1", keys={"alpha": 1, "beta": 1}),
    CAM("attention width 128", keys={"embed_dim": 128}),
    CAM("1 head", keys={"heads": 1}),
    CAM("8 heads", keys={"heads": 8}),
    CAM("patches know their place", change=with_places),
    CAM("real pairs only", keys={"synthetic_fraction": 0}),
    CAM("street only", keys={"dataset_name": "Street"}),
    CAM("all rates from lambda 0.0005 to 0.008", keys={"lmbda": [0.0005, 0.008]}),
    CAM("the first line with another seed", keys={"seed": 1}),
]


def configuration(args: argparse.Namespace, model: str, **keys) -> Config:
    """The recipe of the shipped weights for a small model, with Adam, whole views and one lambda."""
    small = dict(
        dataset_path=str(args.data),
        native_path="",
        window_fraction=0,
        resize=SIZE,
        num_filters=24,
        alpha=0,
        matching_loss_weight=0,
        distortion_loss="MSE",
        lmbda=LMBDA,
        optimizer="adam",
        lr=0.001,
        ema_decay=0,
        rate_balance=0,
        validation_period=1000,
        verbose_period=0,
        save_output_path=str(args.out),
    )
    stage = load_recipe("pretrain", **small | keys)["mse", model]
    return stage.config.model_copy(update={"load_weight": False, "experiment_name": "ablations"})


def first_stage(args: argparse.Namespace) -> Path:
    """Weights that all variants start from; trained once."""
    config = configuration(args, "bmshj18_factorized", epochs=27)
    finished(train(config))
    return Outputs(config).weights


def line(variant: Variant, start: Path, args: argparse.Namespace) -> dict:
    """Train a variant and measure it."""
    # The generated pairs alone give as many steps an epoch as the mixture.
    config = configuration(args, variant.model, save_weights=False, street_pairs=[744, 32, 32], **variant.keys)
    config = config.model_copy(update={"load_weight": True, "weight_path": str(start)})
    steps_an_epoch = -(-len(load_split(config, "train")) // config.train_batch_size)
    config = config.model_copy(update={"epochs": max(1, round(STEPS / steps_an_epoch))})
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = initial_model(config)
        variant.change(model)
    model = finished(train(config, model=model))
    minutes = (time.monotonic() - began) / 60
    pairs = load_split(configuration(args, variant.model), "val")
    rows = evaluate(model, pairs, LMBDA if model.gain is not None else None, ("matching_y", "mismatched_y"))
    points = {point["side_info"]: point for point in averages(rows)}
    costs = [cost(row, LMBDA) for row in rows if row["side_info"] == "matching_y"]
    return {
        "steps": config.epochs * steps_an_epoch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bpp": points["matching_y"]["bpp"],
        "psnr": points["matching_y"]["psnr"],
        "psnr_mismatched_y": points["mismatched_y"]["psnr"] if "mismatched_y" in points else None,
        "cost": sum(costs) / len(costs),
        "minutes": minutes,
    }


def table(rows: Sequence[Mapping]) -> str:
    """All variants in Markdown, each compared with the first."""
    found = {row["variant"]: row for row in rows}
    first = found[VARIANTS[0].label]
    lines = []
    for row in filter(None, (found.get(variant.label) for variant in VARIANTS)):
        other = "" if row.get("psnr_mismatched_y") is None else f"{row['psnr_mismatched_y']:.2f} dB"
        change = "" if row is first else f"{100 * (row['cost'] / first['cost'] - 1):+.1f} %"
        cells = [row["variant"], f"{row['bpp']:.3f}", f"{row['psnr']:.2f} dB", other, f"{row['cost']:.3f}", change]
        lines.append(cells)
    return markdown([GROUP, "bpp", "PSNR", "with another scene's y", "cost", "against the first line"], lines)


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    add_data_options(parser, TABLE)
    parser.add_argument(
        "--out", type=expand_path, default=Path("outputs/ablations"), help="for the first stage's weights"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = first_stage(args)
    lines = (
        ({"group": GROUP, "variant": variant.label}, lambda variant=variant: [line(variant, start, args)])
        for variant in VARIANTS
    )
    resume(args.table, lines)
    print(table(known(args.table)))


if __name__ == "__main__":
    main()

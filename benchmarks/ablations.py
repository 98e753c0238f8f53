"""What each part of `cross_attention` is worth: small models trained alike but for one thing, then measured on bytes.

    python benchmarks/ablations.py data/kitti_train --readme README.md     # an hour on one core; goes on where it was

All have 24 filters, see images of 64 × 128 (real pairs and the street's, as the shipped weights' recipes mix them),
start from one `bmshj18_factorized` that was trained for 20,000 of them, and go on for equally many steps of 4 for MSE
at one lambda. Measured are 30 held-out real pairs in both orders, decoded with the right y and with another one. Few
steps, small models, one seed but for the last line of a group, which is the first one with another seed: what differs
by less than that line does not differ.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from readme import known, marked, write_between
from torch import Tensor, nn

from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.evaluate import averages, evaluate
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.io import make_folder
from ndic_core.models.codec import Codec
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.factory import build_model
from ndic_core.training.loop import initial_model
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import Trained, train

LMBDA = 0.002
SIZE = (64, 128)
BEGIN, END = "<!-- ablations: written by benchmarks/ablations.py -->", "<!-- end of ablations -->"
TABLE = Path(__file__).parent / "results" / "ablations.csv"


class Nothing(nn.Module):
    """In place of an alignment module: nothing comes from y."""

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return torch.zeros_like(t)


class PlacedCrossAttentionModule(CrossAttentionModule):
    """Tokens also tell where their patch lies: a learned vector for each place is added to both embeddings."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.places = nn.Parameter(torch.zeros(self.patch_grid**2, self.embed_x.out_features))

    def _queries(self, t: Tensor) -> Tensor:
        return self._split_heads(self.to_q(self.norm(self._placed(self.embed_x(self._tokens(t))))))

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = self.to_kv(self.norm(self._placed(self.embed_y(self._tokens(u))))).chunk(2, dim=-1)
        return self._split_heads(k), self._split_heads(v)

    def _placed(self, embedded: Tensor) -> Tensor:
        """Tokens come channel by channel, within one place by place."""
        return embedded + self.places.repeat(embedded.shape[1] // len(self.places), 1)


def without_w(model: Codec) -> None:
    """The decoders get zeros for the common information."""
    common_information = model.common_information
    model.common_information = lambda y: torch.zeros_like(common_information(y))


def without(layer: int, model: Codec) -> None:
    """No alignment at one scale."""
    model.cams[layer] = Nothing()


def with_even_start(model: Codec) -> None:
    """CAMs with fresh weights, whose attention is even, in place of those that look for what is alike."""
    options = {key: value for key, value in model.config.items() if key != "model"}
    model.cams = build_model(model.name, **options).cams


def with_places(model: Codec) -> None:
    """CAMs that know where a patch lies."""
    for i, cam in enumerate(model.cams):
        size = tuple(cam.patch_grid * side for side in cam.patch_size)
        shape = cam.embed_x.out_features, cam.heads, cam.to_q.out_features // cam.heads, cam.patch_grid, cam.dropout.p
        placed = PlacedCrossAttentionModule(size, *shape)
        placed.load_state_dict(cam.state_dict(), strict=False)
        model.cams[i] = placed


@dataclass(frozen=True)
class Variant:
    """One line of the table: a model, keys that differ, and what is done to the model before it is trained."""

    label: str
    model: str
    keys: Mapping = field(default_factory=dict)
    change: Callable[[Codec], None] = lambda model: None


LAYERS = ("1/8", "1/4", "1/2")
CAM = partial(Variant, model="cross_attention")
# The first of each group is what its others are compared with.
GROUPS: dict[str, list[Variant]] = {
    "cross_attention": [
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
    ],
}


def configuration(args: argparse.Namespace, model: str, **keys) -> Config:
    """The recipe of the shipped weights, small, with Adam, whole views and one lambda."""
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
    """What all start from; trained once."""
    config = configuration(args, "bmshj18_factorized", epochs=27)
    _finished(train(config))
    return Outputs(config).weights


def _finished(trained: Trained) -> Codec:
    if trained.stopped == "interrupted":
        raise SystemExit("interrupted: the same command goes on from here")
    return trained.model


def line(group: str, variant: Variant, start: Path, args: argparse.Namespace) -> dict:
    """Train a variant and measure it."""
    # Of the street alone, as many steps an epoch as of the mixture.
    config = configuration(args, variant.model, save_weights=False, street_pairs=[744, 32, 32], **variant.keys)
    config = config.model_copy(update={"load_weight": True, "weight_path": str(start)})
    steps_an_epoch = -(-len(load_split(config, "train")) // config.train_batch_size)
    config = config.model_copy(update={"epochs": max(1, round(args.steps / steps_an_epoch))})
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = initial_model(config)
        variant.change(model)
    model = _finished(train(config, model=model))
    minutes = (time.monotonic() - began) / 60
    pairs = load_split(configuration(args, variant.model), "val")
    rows = evaluate(model, pairs, LMBDA if model.gain is not None else None, ("matching_y", "mismatched_y"))
    points = {point["side_info"]: point for point in averages(rows)}
    costs = [cost(row, LMBDA) for row in rows if row["side_info"] == "matching_y"]
    return {
        "group": group,
        "variant": variant.label,
        "steps": config.epochs * steps_an_epoch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bpp": points["matching_y"]["bpp"],
        "psnr": points["matching_y"]["psnr"],
        "psnr_mismatched_y": points["mismatched_y"]["psnr"] if "mismatched_y" in points else None,
        "cost": sum(costs) / len(costs),
        "minutes": minutes,
    }


def cost(row: Mapping, lmbda: float) -> float:
    """What training minimises, with measured bits."""
    return row["bpp"] + lmbda * 255**2 * 10 ** (-row["psnr"] / 10)


def table(rows: Sequence[Mapping]) -> str:
    """All lines, in Markdown, each against the first of its group."""
    lines = []
    for group, variants in GROUPS.items():
        found = {row["variant"]: row for row in rows if row["group"] == group}
        first = found.get(variants[0].label)
        if first is None:
            continue
        lines += ["", f"| {group} | bpp | PSNR | with another scene's y | cost | against the first line |"]
        lines.append("|---|---|---|---|---|---|")
        for row in filter(None, (found.get(variant.label) for variant in variants)):
            swapped = "" if row.get("psnr_mismatched_y") is None else f"{row['psnr_mismatched_y']:.2f} dB"
            cells = [row["variant"], f"{row['bpp']:.3f}", f"{row['psnr']:.2f} dB", swapped, f"{row['cost']:.3f}"]
            cells.append("" if row is first else f"{100 * (row['cost'] / first['cost'] - 1):+.1f} %")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with image_2/, image_3/ and maybe index.tsv")
    parser.add_argument("--out", type=Path, default=Path("outputs/ablations"), help="for the first stage's weights")
    parser.add_argument("--table", type=Path, default=TABLE, help="the .csv; lines that it has are not trained again")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--steps", type=int, default=930, help="of 4 images, for each; whole epochs")
    parser.add_argument("--readme", type=Path, help="also write the table into this file, between its marks")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    if args.readme:
        marked(args.readme, BEGIN, END)
    torch.set_num_threads(args.threads)
    make_folder(args.table.parent)
    start = first_stage(args)
    for group in args.groups:
        for variant in GROUPS[group]:
            if any((row["group"], row["variant"]) == (group, variant.label) for row in known(args.table)):
                continue
            print(f"{group}: {variant.label}", flush=True)
            new = line(group, variant, start, args)
            write_table([*known(args.table), new], args.table)  # another group may have been written meanwhile
    text = table(read_table(args.table))
    print(text)
    if args.readme:
        write_between(args.readme, BEGIN, END, text)


if __name__ == "__main__":
    main()

"""Does cross-attention pay? Equal training of the published module, variants of it, and controls in its place.

    python benchmarks/replication.py     # resumes; `--lines` and `--seeds` share the work among processes

*Small*: 24 filters, images of 64 × 128. All models start from one `bmshj18_factorized` and are trained for MSE, all
rates in one model, for the same number of steps on the same images, three seeds. *Shipped size*: 64 filters, 128 × 256,
the two models that decide. Measured are held-out pairs on real bytes at four lambdas.

No choice was made on the rows of `kitti2015_test`.
"""

import argparse
import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cam_variants as cv
import torch
from results import KITTI, SEQUENCE, data_sets
from runs import RESULTS, add_data_options, finished, option_parser, resume
from safetensors.torch import save

from ndic_core.checkpoints.checkpoint import load_checkpoint, load_pretrained, save_checkpoint
from ndic_core.checkpoints.warm_start import start_from
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import Pairs
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import load_street
from ndic_core.evaluation.evaluate import averages, evaluate, lambdas, other_scene
from ndic_core.evaluation.roundtrip import roundtrips
from ndic_core.files import expand_path, write_whole
from ndic_core.models.codec import Codec
from ndic_core.models.factory import build_model
from ndic_core.training.recipe import load_recipe
from ndic_core.training.train import train

TABLE = RESULTS / "replication.csv"
SEEDS = (0, 1, 2)
LAMBDAS = 4
HELD_OUT, STREET_HELD_OUT = "held out", "street, held out"
ALIGNMENT_ONLY = "mismatched_alignment"  # the modules have another scene's y, the common information the right one

# Keys of the configuration: of all lines, of the small size, of the shipped size.
ALL = dict(distortion_loss="MSE", dropout=0.1, alpha=0, warmup_steps=50, ema_decay=0)
SMALL = dict(num_filters=24, resize=(64, 128), lmbda=[0.0002, 0.008], embed_dim=64, heads=2, head_dim=32)
SMALL |= dict(native_path="", window_fraction=0, search_range=32, epochs=12, train_batch_size=8, validation_period=2)
LARGE = dict(epochs=2)


@dataclass(frozen=True)
class Line:
    """A training of the table.

    Attributes:
        group: part of the table.
        label: first cell of the line.
        model: name of the model.
        keys: keys of the configuration that differ from the group's.
        change: applied to the model before training.
        told: whether `change` is given pairs with their disparity as well.
    """

    group: str
    label: str
    model: str = "cross_attention"
    keys: dict = field(default_factory=dict)
    change: Callable[..., None] = lambda model: None
    told: bool = False


MODULE, COMBINED, CONTROLS, LONGER, SHIPPED = "variants", "combined", "controls", "four times the steps", "shipped size"
ANCHOR, AS_PUBLISHED, OURS = "`ndic_bls17`", "`cross_attention` as published", "`parallax_attention`"
BEST, UNALIGNED = "16 × 16 tokens, both", "y's features without alignment"
SEARCH, WITHIN_ROW = "patch-matching initialisation", "16 × 16 tokens, both, within the row"
STREETS = {
    "street": {},
    "street, cameras 0 m apart": {"baseline": 0},
    "street, cameras 2 m apart": {"baseline": 2},
}


finest = partial(partial, cv.with_multi_channel, 16)


def street_lines(group: str, parameters: Mapping) -> list[Line]:
    """The lines of one generated data set."""
    keys = dict(dataset_name="Street", street=dict(parameters), street_pairs=[744, 60, 1])
    lines = [
        Line(group, ANCHOR, "ndic_bls17", keys),
        Line(group, AS_PUBLISHED, keys=keys),
        Line(group, UNALIGNED, keys=keys, change=cv.with_identity),
    ]
    if parameters.get("baseline") != 0:  # at 0 m y's features are aligned
        told = dict(keys=keys, change=cv.with_true_places, told=True)
        lines.append(Line(group, "y's features, warped by the true disparity", **told))
        lines.append(Line(group, OURS, "parallax_attention", keys | dict(robust=False)))
    return lines


LINES = (
    Line(MODULE, ANCHOR, "ndic_bls17"),
    Line(MODULE, AS_PUBLISHED),
    Line(MODULE, "alpha 0.1", keys=dict(alpha=0.1)),
    Line(MODULE, "alpha 1", keys=dict(alpha=1)),
    Line(MODULE, "y's decoder tied to x's", change=cv.with_tied_decoders),
    Line(MODULE, "residual connection", change=partial(cv.with_module, cv.Residual)),
    Line(MODULE, "learned temperature", change=partial(cv.with_module, cv.Temperature)),
    Line(MODULE, "positional encoding", change=partial(cv.with_module, cv.Placed)),
    Line(MODULE, "attention within the row of patches", change=partial(cv.with_module, cv.WithinRow)),
    Line(MODULE, SEARCH, change=cv.with_patch_matching),
    Line(MODULE, "8 × 8 tokens of all channels", change=partial(cv.with_multi_channel, 8)),
    Line(MODULE, "16 × 16 tokens of all channels", change=partial(cv.with_multi_channel, 16)),
    Line(MODULE, OURS, "parallax_attention", dict(robust=False)),
    Line(CONTROLS, "no y: `bmshj18_factorized`", "bmshj18_factorized"),
    Line(CONTROLS, UNALIGNED, change=cv.with_identity),
    Line(CONTROLS, "y's features, shifted by the best constant", change=cv.with_best_shift),
    Line(CONTROLS, "convolutions with as many parameters", change=cv.with_convolutions),
    Line(COMBINED, "16 × 16 tokens, residual connection", change=finest(residual=True)),
    Line(COMBINED, "16 × 16 tokens that start as a search", change=finest(search=True)),
    Line(COMBINED, BEST, change=finest(residual=True, search=True)),
    Line(COMBINED, WITHIN_ROW, change=finest(residual=True, search=True, row=True)),
    *(line for group, parameters in STREETS.items() for line in street_lines(group, parameters)),
    Line(LONGER, ANCHOR, "ndic_bls17", dict(epochs=48)),
    Line(LONGER, AS_PUBLISHED, keys=dict(epochs=48)),
    Line(SHIPPED, ANCHOR, "ndic_bls17"),
    Line(SHIPPED, AS_PUBLISHED),
)


def seeds_of(line: Line) -> tuple[int, ...]:
    """Three where the table compares ideas; one for the streets, longer trainings and the shipped size."""
    return SEEDS if line.group in (MODULE, COMBINED, CONTROLS) else SEEDS[:1]


def configuration(line: Line, seed: int, args: argparse.Namespace) -> Config:
    """The recipe's configuration for one line."""
    keys = dict(dataset_path=str(args.data), native_path=str(args.native))
    keys |= ALL | (LARGE if line.group == SHIPPED else SMALL) | line.keys | dict(seed=seed)
    config = load_recipe("pretrain", **keys)["mse", line.model].config
    return config.model_copy(update=dict(load_weight=False, save_weights=False, verbose_period=0))


def start(args: argparse.Namespace) -> Codec:
    """The small model that all others start from; trained once, before several processes share the lines."""
    done = args.out / "start.safetensors"
    if not done.exists():
        keys = SMALL | dict(distortion_loss="MSE", dataset_path=str(args.data))
        keys |= dict(save_output_path=str(args.out), epochs=40, train_batch_size=4)
        config = load_recipe("pretrain", **keys)["start", "bmshj18_factorized"].config
        save_checkpoint(finished(train(config.model_copy(update=dict(experiment_name="start")))), done)
    return load_checkpoint(done)


def prepared(line: Line, config: Config, simpler: Codec) -> Codec:
    """The model of a line before its training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(**config.model_arguments())
        modules = copy.deepcopy(getattr(model, "cams", None)) if line.model == "cross_attention" else None
        start_from(model, simpler)
        if modules is not None:  # random, as published, not as warm starts have them
            model.cams = modules
        if line.told:
            train_pairs = load_split(config.model_copy(update={"matching_loss_weight": 1}), "train")
            line.change((train_pairs, street_held_out(config)), model)
        else:
            line.change(model)
    return model


def street_held_out(config: Config) -> Pairs:
    """The street's validation pairs, with their disparity."""
    return load_street(Street(size=tuple(config.resize), **config.street), "val", config.street_pairs[1], False, True)


def measured_on(line: Line, config: Config, args: argparse.Namespace) -> dict[str, Pairs]:
    """The pairs that a line is measured on."""
    if config.dataset_name == "Street":
        return {STREET_HELD_OUT: street_held_out(config)}
    held_out = load_split(config, "val", False)
    sets = data_sets(args.test, tuple(config.resize))
    found = {HELD_OUT: held_out, KITTI: sets[KITTI], SEQUENCE: sets[SEQUENCE]}
    if line.group != SHIPPED:
        return found
    found[HELD_OUT] = held_out.subset(list(held_out.parts["whole"]))  # without the windows
    return {name: pairs.subset(range(0, len(pairs), 2)) for name, pairs in found.items()}


def decoded(model: Codec, pairs: Pairs, lmbda: float, mismatched: bool) -> list[dict]:
    """The points of one lambda: with the right y and, with `mismatched`, another scene's, also for the modules only."""
    kinds = ("matching_y", "mismatched_y") if mismatched else ("matching_y",)
    rows = evaluate(model, pairs, lmbda, kinds, progress=False)
    for i in range(len(pairs)) if mismatched and model.name == "cross_attention" else ():
        x, y = pairs[i]
        with cv.fed_another(model, x, pairs[other_scene(pairs, i)][1]):
            (row,) = roundtrips(model, x, {ALIGNMENT_ONLY: y}, lmbda)
        rows.append({key: value for key, value in row.items() if key != "x_hat"})
    return averages(rows)


def weights_path(line: Line, seed: int, args: argparse.Namespace) -> Path:
    """File of the trained weights of a line."""
    name = re.sub(r"\W+", "_", f"{line.group} {line.label} {seed}").strip("_")
    return args.out / f"{name}.safetensors"


def measured(line: Line, seed: int, args: argparse.Namespace) -> list[dict]:
    """Train and measure a line: rows of the training's course, then points for each data set, lambda and kind of y."""
    config = configuration(line, seed, args)
    simpler = load_pretrained("bmshj18_factorized", "MSE") if line.group == SHIPPED else start(args)
    model = prepared(line, config, simpler)
    trained = train(config, progress=False, report=lambda text: None, model=model)
    model = finished(trained)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    write_whole(weights_path(line, seed, args), save(weights))
    steps = trained.steps // config.epochs
    rows = []
    for row in trained.history:
        cost = (row["cost_low"] * row["cost_middle"] * row["cost_high"]) ** (1 / 3)
        rows.append({"data": "training", "steps": steps * row["epoch"], "cost": cost})
    for data, pairs in measured_on(line, config, args).items():
        for lmbda in lambdas(model, LAMBDAS):
            points = decoded(model, pairs, lmbda, mismatched=data in (HELD_OUT, STREET_HELD_OUT))
            keep = ("side_info", "lmbda", "images", "bpp", "psnr", "ms_ssim_db", "decode_seconds")
            rows += [{"data": data} | {key: point.get(key) for key in keep} for point in points]
    return rows


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    add_data_options(parser, TABLE)
    parser.add_argument(
        "--test", type=expand_path, default=Path("data"), help="folder of kitti2015_test and kitti_sequence"
    )
    parser.add_argument("--out", type=expand_path, default=Path("outputs/replication"), help="for weights")
    parser.add_argument("--lines", nargs="+", type=int, default=range(len(LINES)), help="only these, from 0")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = (
        ({"group": line.group, "line": line.label, "seed": seed}, partial(measured, line, seed, args))
        for seed in args.seeds
        for line in (LINES[i] for i in args.lines)
        if seed in seeds_of(line)
    )
    resume(args.table, lines)


if __name__ == "__main__":
    main()

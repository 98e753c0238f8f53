"""Effect of the loss weights alpha and beta: small NDIC models that differ in these, measured on test scenes.

    python benchmarks/common_information.py                # 20 minutes on one core; resumes

`ndic_bls17` with 24 channels on generated pairs of 64 × 128 pixels, MSE, one lambda, 640 steps of four images, two
seeds; also `bmshj18_factorized`, the same without side information, and one model for a baseline of 0. Small models
after few steps: the table shows the effect of the terms, not the results of a full training.

Earlier rows are kept: a run with some seeds only, or a stopped one, replaces the rows of its own models. A run of
another length writes its table beside the weights, so that notebook 05 reads models of equal training only.

One row per model, averages over 32 test scenes: bytes (of whole files) and bpp (measured); psnr_matching_y,
psnr_mismatched_y, psnr_no_y (dB); cost, bpp + lambda · 255² · MSE with matching y; bpp_x, bpp_y, bpp_w (estimated);
psnr_y of y_hat; psnr_rounded_w and psnr_zero_w (matching y, but w rounded to integers, or 0); w_deviation (root of the
mean variance of w in a channel); w_capacity (bits per pixel of the channel from w to its noisy version in training).
"""

import argparse
from pathlib import Path

import torch
from readme import known
from runs import RESULTS, cost, finished, option_parser

from ndic_core.config import Config, load_config
from ndic_core.data.datasets import load_split
from ndic_core.evaluation.common_information import from_parts, loss_terms, noise_capacity, sent_latent
from ndic_core.evaluation.evaluate import averages, evaluate
from ndic_core.evaluation.tables import write_table
from ndic_core.files import expand_path, make_folder
from ndic_core.metrics import psnr
from ndic_core.models.codec import Codec
from ndic_core.training.train import train

# Model, alpha, beta, baseline in metres: the defaults of NDIC-CAM, those of NDIC, no side information, baseline 0, then
# each loss weight by itself.
RUNS = [
    ("ndic_bls17", 0, 0, 0.54),
    ("ndic_bls17", 1, 1, 0.54),
    ("bmshj18_factorized", 0, 0, 0.54),
    ("ndic_bls17", 0, 0, 0.0),
    ("ndic_bls17", 1, 0, 0.54),
    ("ndic_bls17", 0, 1, 0.54),
    ("ndic_bls17", 1, 10, 0.54),
]
EPOCHS = 10  # of the committed table
TABLE = RESULTS / "common_information.csv"
KEY = ("model", "alpha", "beta", "baseline", "seed", "epochs")  # identifies a row


def configuration(
    model: str, alpha: float, beta: float, baseline: float, seed: int, args: argparse.Namespace
) -> Config:
    """The teaching configuration with what is compared."""
    return load_config(
        "teaching",
        model=model,
        num_filters=24,
        resize=[64, 128],
        street_pairs=[256, 16, 32],
        street={"baseline": baseline},
        epochs=args.epochs,
        validation_period=5,
        verbose_period=5,
        alpha=alpha,
        beta=beta,
        seed=seed,
        precision="float32",
        save_output_path=str(args.out),
        experiment_name=f"alpha{alpha}_beta{beta}_baseline{baseline}_seed{seed}_epochs{args.epochs}",
    )


@torch.no_grad()
def measure(model: Codec, config: Config) -> dict:
    """One row of the table, without its key."""
    pairs = load_split(config, "test", progress=False)
    x, y = pairs.batch(range(len(pairs)))
    rows = evaluate(model, pairs, progress=False)
    points = {point["side_info"]: point for point in averages(rows)}
    row = {key: points["matching_y"][key] for key in ("bytes", "bpp")}
    row |= {f"psnr_{kind}": point["psnr"] for kind, point in points.items()}
    costs = [cost(r, config.lmbda) for r in rows if r["side_info"] == "matching_y"]
    row |= {"cost": sum(costs) / len(costs), "bpp_x": points["matching_y"]["bpp_estimated"]}
    if not model.info.side_info:
        return row
    row |= {name: value.mean().item() for name, value in loss_terms(model, x, y).items() if name != "psnr_x"}
    latent, w = sent_latent(model, x), model.common_information(y)
    for name, other in (("rounded_w", w.round()), ("zero_w", torch.zeros_like(w))):
        row[f"psnr_{name}"] = psnr(x, from_parts(model, latent, other)).mean().item()
    deviation = w.transpose(0, 1).flatten(1).var(1).mean().sqrt().item()
    return row | {"w_deviation": deviation, "w_capacity": noise_capacity(w).item()}


def main() -> None:
    parser = option_parser(__doc__, threads=1)
    parser.add_argument("--out", type=expand_path, default=Path("outputs/common_information"), help="for weights")
    parser.add_argument("--table", type=expand_path, help="CSV file; see above")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of 64 steps each")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = args.table or (TABLE if args.epochs == EPOCHS else args.out / TABLE.name)
    make_folder(table.parent)  # fails before a training
    before = known(table)
    if not all(row.keys() >= set(KEY) for row in before):
        parser.error(f"{table} is another table, without the columns {', '.join(KEY)}: choose another file")
    rows = {tuple(row[key] for key in KEY): row for row in before}
    for seed in args.seeds:
        for model, alpha, beta, baseline in RUNS:
            config = configuration(model, alpha, beta, baseline, seed, args)
            trained = finished(train(config, progress=False))
            key = (model, alpha, beta, baseline, seed, args.epochs)
            row = dict(zip(KEY, key, strict=True)) | {"lmbda": config.lmbda} | measure(trained, config)
            rows[key] = row
            print({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}, flush=True)
            write_table(list(rows.values()), table)


if __name__ == "__main__":
    main()

"""Models trained alike, for equally many steps on the same real pairs, then measured on real bytes.

Few steps, small models: it shows which idea learns faster, not where each ends. Every pair is used in both orders
(the left picture sent, and the right one). A run that is interrupted goes on where it was.

    python benchmarks/equal_steps.py kitti_train                  # folder with image_2/, image_3/ and maybe index.tsv
    python benchmarks/equal_steps.py kitti_train --models parallax_attention --set "parallax={hyperprior: true}"
"""

import argparse
import shutil
from pathlib import Path

import torch

from ndic_core.config import Config, load_config, parse_changes
from ndic_core.data.datasets import load_split
from ndic_core.data.mixed import held_out
from ndic_core.evaluation import averages, evaluate, write_table
from ndic_core.models.catalogue import MODELS
from ndic_core.training import train

BATCH = 4


def link(source: Path, target: Path, validation: int) -> None:
    """`target/train` and `target/val`, each with left/ and right/, of links to the pictures of `source`.

    Validation takes the pairs that `held_out` names, in both orders like all others.
    """
    shutil.rmtree(target, ignore_errors=True)  # another choice of pairs must not mix with this one
    names = sorted(path.name for path in (source / "image_2").iterdir())
    out = held_out(source, validation)
    for name in names:
        split = target / ("val" if Path(name).stem in out else "train")
        for ending, sides in (("", ("left", "right")), ("_swapped", ("right", "left"))):
            for side, folder in zip(sides, ("image_2", "image_3"), strict=True):
                (split / side).mkdir(parents=True, exist_ok=True)
                place = split / side / f"{Path(name).stem}{ending}{Path(name).suffix}"
                place.symlink_to((source / folder / name).resolve())


def configuration(model: str, args: argparse.Namespace, changes: dict) -> Config:
    """The teaching preset on these pairs, one size and seed for all models."""
    steps_an_epoch = -(-len(list((args.out / "pairs" / "train" / "left").iterdir())) // BATCH)
    return load_config(
        "teaching",
        **dict(
            model=model,
            dataset_name="Folder",
            dataset_path=str(args.out / "pairs"),
            save_output_path=str(args.out),
            experiment_name=f"equal_steps{args.name}",
            epochs=-(-args.steps // steps_an_epoch),
            train_batch_size=BATCH,
            validation_period=5,
            verbose_period=5,
            lr=0.001,
            warmup_steps=100,
        )
        | changes,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with image_2/ and image_3/, pictures of the same names")
    parser.add_argument("--out", type=Path, default=Path("outputs/equal_steps"), help="for weights and the table")
    parser.add_argument(
        "--models",
        nargs="+",
        choices=MODELS,
        default=["bmshj18_factorized", "ndic_bls17", "cross_attention", "parallax_attention"],
    )
    parser.add_argument("--steps", type=int, default=3000, help="of 4 images each")
    parser.add_argument("--validation", type=int, default=30, help="pairs held out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--name", default="", help="appended to the experiments' names")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="keys to set differently")
    args = parser.parse_args()
    if args.validation < 1:
        parser.error("--validation: hold out 1 pair at least")
    torch.set_num_threads(args.threads)
    link(args.data, args.out / "pairs", args.validation)
    try:
        changes = parse_changes(args.set)
    except ValueError as error:
        parser.error(f"--set: {error}")
    if isinstance(changes.get("lambda"), list):
        parser.error("--set lambda: one number, so that what is compared is one cost")
    points = []
    for name in args.models:
        config = configuration(name, args, changes)
        trained = train(config)
        if trained.stopped == "interrupted":
            raise SystemExit("interrupted: the same command goes on from here")
        rows = evaluate(trained.model, load_split(config, "val"))
        for point in averages(rows):
            costs = [cost(row, config.lmbda) for row in rows if row["side_info"] == point["side_info"]]
            points.append(point | {"cost": sum(costs) / len(costs)})
            print(
                f"{name:20} y {point['side_info']:8} {point['bpp']:.4f} bpp (measured)  {point['psnr']:5.2f} dB  "
                f"MS-SSIM {point['ms_ssim']:.4f}  bpp + lambda * 255**2 * MSE {points[-1]['cost']:.4f}",
                flush=True,
            )
        write_table(points, args.out / f"equal_steps{args.name}.csv")


def cost(row: dict, lmbda: float) -> float:
    """What training minimises, with measured bits."""
    return row["bpp"] + lmbda * 255**2 * 10 ** (-row["psnr"] / 10)


if __name__ == "__main__":
    main()

"""Put trained weights into the package, in half precision, and write their model cards.

The recipe, with `data/kitti_train` as the README of the data describes it (each command goes on where it was stopped):

    ndic train --config pretrain_start; ndic train --config pretrain_start --set model=bls17
    for model in bls17 bmshj18_factorized bmshj18 ndic_bls17 ndic_bmshj18 cross_attention parallax_attention; do
        ndic train --config pretrain_$model; done
    python benchmarks/ship.py outputs --device "one core of an AMD EPYC"
    python benchmarks/results.py DATA --readme README.md
    python benchmarks/ship.py outputs --device "one core of an AMD EPYC" --cards
"""

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from results import KITTI, SEQUENCE, STREET, chosen
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ndic_core
from ndic_core.checkpoints import load_checkpoint, save_checkpoint, stored_fingerprint
from ndic_core.config import Config, load_config
from ndic_core.errors import NDICError
from ndic_core.evaluation import SIDE_INFO, read_table
from ndic_core.experiment import Outputs
from ndic_core.files import write_whole
from ndic_core.models.catalogue import CATALOGUE, MODELS

WEIGHTS = Path(ndic_core.__file__).parent / "weights"

CARD = Path(__file__).with_name("model_card.md")  # the words; numbers are filled in


def minutes(outputs: Outputs) -> float:
    """How long a training took, by the times of its validations."""
    events = EventAccumulator(str(outputs.logs)).Reload().Scalars("val_loss")
    paces = [(b.wall_time - a.wall_time) / (b.step - a.step) for a, b in pairwise(events)]
    return median(paces) * events[-1].step / 60 if paces else math.nan


def stage(config: Config) -> tuple[str, int]:
    """A line of the table of stages, and the images that were seen in it."""
    outputs = Outputs(config)
    state = torch.load(outputs.state, map_location="cpu", weights_only=True)
    epochs = json.loads(state["progress"])["epoch"]
    images = int(state["optimizer"]["state"][0]["step"]) * config.train_batch_size
    images = round(images, -2)  # the last batch of an epoch is smaller
    start = "the first stage" if config.load_weight else "random weights"
    cells = f"`{config.model}`", start, config.distortion_loss, str(epochs), f"{images:,}"
    return f"| {' | '.join(cells)} | {minutes(outputs) / 60:.2f} |", images


def card(name: str, folder: Path, device: str, note: str) -> str:
    """The model card, in Markdown, with the curve of these very weights."""
    file = WEIGHTS / f"{name}.safetensors"
    model = load_checkpoint(file)
    fingerprint = stored_fingerprint(file)
    own = load_config(f"pretrain_{name}", save_output_path=str(folder))
    first = load_config(
        "pretrain_start", save_output_path=str(folder), model="bls17" if name == "bls17" else "bmshj18_factorized"
    )
    stages, images = zip(*map(stage, (first, own)), strict=True)
    rows = [
        row
        for row in read_table(Path(__file__).parent / "results" / "results.csv")
        if row.get("fingerprint") == fingerprint
    ]
    points = chosen(rows, KITTI, name)
    if not points:
        raise NDICError(f"{name}: its curve has not been measured: python benchmarks/results.py DATA --models {name}")
    side_info = CATALOGUE[name].side_info
    sizes = {
        "cross_attention": "images of 128 × 256 (others in tiles), attention width 64, 4 heads of 32, ",
        "parallax_attention": "`r_x` 48, `r_y` 0, 2 heads of 16, ",
    }.get(name, "")
    extra = {
        "parallax_attention": " In the first half of the second stage its attention was shown the true match on the "
        "street's pairs (`guidance: 1`).",
        "cross_attention": " No dropout in its attention (published: 0.1).",
    }.get(name, "")
    start = " --set model=bls17" if name == "bls17" else ""
    return CARD.read_text(encoding="utf-8").format(
        name=name,
        title=CATALOGUE[name].title,
        source=CATALOGUE[name].source,
        filters=model.config["num_filters"],
        sizes=sizes,
        low=model.lambdas[0],
        high=model.lambdas[1],
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        megabytes=file.stat().st_size / 1e6,
        all_megabytes=sum(f.stat().st_size for f in WEIGHTS.glob("*.safetensors")) / 1e6,
        fingerprint=fingerprint[:16],
        images=sum(images),
        stages="\n".join(stages),
        device=device,
        extra=extra,
        note=note and f" {note}",
        commands=f"ndic train --config pretrain_start{start}\nndic train --config pretrain_{name}",
        curve=curve_table(rows, name),
        encode=1000 * points[len(points) // 2]["encode_seconds"],
        decode=1000 * points[len(points) // 2]["decode_seconds"],
        threads=points[0]["threads"],
        wrong=", and a wrong side image gives a wrong picture, without warning" if side_info else "",
    )


def curve_table(rows: list[dict], name: str) -> str:
    """Lambda by lambda."""
    points = chosen(rows, KITTI, name)
    others = [chosen(rows, KITTI, name, kind) for kind in SIDE_INFO[1:]] if CATALOGUE[name].side_info else []
    head = ["lambda", "bpp", "MS-SSIM (dB)", "PSNR (dB)"]
    head += ["MS-SSIM, another scene's y", "MS-SSIM, no y"] if others else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for i, row in enumerate(points):
        cells = [f"{row['lmbda']:.2g}", f"{row['bpp']:.3f}", f"{row['ms_ssim_db']:.2f}", f"{row['psnr']:.2f}"]
        cells += [f"{other[i]['ms_ssim_db']:.2f}" for other in others]
        lines.append(f"| {' | '.join(cells)} |")
    for data in (SEQUENCE, STREET):
        middle = chosen(rows, data, name)[len(points) // 2]
        lines.append("")
        quality = f"{middle['ms_ssim_db']:.2f} dB MS-SSIM, {middle['psnr']:.2f} dB PSNR"
        lines.append(f"At the middle lambda, {data}: {middle['bpp']:.3f} bpp, {quality}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, help="`save_output_path` of the trainings")
    parser.add_argument("--device", required=True, help="what they ran on, in words")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--note", default="", help="what else a reader of the cards must know of the training")
    parser.add_argument("--cards", action="store_true", help="write the cards, from measured curves")
    args = parser.parse_args()
    for name in args.models:
        if args.cards:
            write_whole(WEIGHTS / f"{name}.md", card(name, args.outputs, args.device, args.note).encode())
        else:
            trained = Outputs(load_config(f"pretrain_{name}", save_output_path=str(args.outputs))).weights
            save_checkpoint(load_checkpoint(trained), WEIGHTS / f"{name}.safetensors", half=True)
            print(f"{name}: {(WEIGHTS / f'{name}.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

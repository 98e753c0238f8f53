"""Put trained weights into the package, in half precision, and write their model cards.

The recipe, with `data/kitti_train` as the README of the data describes it (each command goes on where it was stopped):

    ndic train --config pretrain_start; ndic train --config pretrain_start --set model=bls17
    for model in bls17 bmshj18_factorized bmshj18 ndic_bls17 ndic_bmshj18 cross_attention parallax_attention; do
        ndic train --config pretrain_$model; done
    python benchmarks/ship.py outputs --device "one core of an AMD EPYC"
    python benchmarks/results.py DATA --readme README.md
    python benchmarks/ship.py outputs --device "one core of an AMD EPYC" --cards

and from there, for MSE (the last three with `--metric MSE`):

    for model in bls17 bmshj18_factorized bmshj18 ndic_bls17 ndic_bmshj18 parallax_attention; do
        ndic train --config pretrain_mse --set model=$model --set weight_path=ndic_core/weights/$model.safetensors; done
    ndic train --config pretrain_mse_cross_attention
"""

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from results import KITTI, REPORTS, SEQUENCE, STREET, chosen, reported
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ndic_core.checkpoints import load_checkpoint, save_checkpoint, stored_fingerprint
from ndic_core.config import Config, load_config
from ndic_core.errors import NDICError
from ndic_core.evaluation import SIDE_INFO
from ndic_core.experiment import Outputs
from ndic_core.files import weights_file, write_whole
from ndic_core.models.catalogue import CATALOGUE, METRICS, MODELS

RESULTS = Path(__file__).parent / "results"

CARD = Path(__file__).with_name("model_card.md")  # the words; numbers are filled in


def minutes(outputs: Outputs) -> float:
    """How long a training took, by the times of its validations."""
    events = EventAccumulator(str(outputs.logs)).Reload().Scalars("val_loss")
    paces = [(b.wall_time - a.wall_time) / (b.step - a.step) for a, b in pairwise(events)]
    return median(paces) * events[-1].step / 60 if paces else math.nan


def recipe(name: str, metric: str, folder: Path) -> list[tuple[str, Config]]:
    """The stages that end in a model's weights, each with its command."""
    if metric == METRICS[0]:
        first = "bls17" if name == "bls17" else "bmshj18_factorized"
        keys = {"model": first} if name == "bls17" else {}
        return [_stage("pretrain_start", keys, folder), _stage(f"pretrain_{name}", {}, folder)]
    if name == "cross_attention":
        start = recipe("ndic_bls17", METRICS[0], folder)
        return [*start, _stage("pretrain_mse_cross_attention", {}, folder)]
    keys = {"model": name, "weight_path": f"ndic_core/weights/{name}.safetensors"}
    return [*recipe(name, METRICS[0], folder), _stage("pretrain_mse", keys, folder)]


def _stage(preset: str, keys: dict, folder: Path) -> tuple[str, Config]:
    changes = "".join(f" --set {key}={value}" for key, value in keys.items())
    return f"ndic train --config {preset}{changes}", load_config(preset, save_output_path=str(folder), **keys)


def stage(config: Config) -> tuple[str, int]:
    """A line of the table of stages, and the images that were seen in it."""
    outputs = Outputs(config)
    state = torch.load(outputs.state, map_location="cpu", weights_only=True)
    epochs = json.loads(state["progress"])["epoch"]
    images = int(state["optimizer"]["state"][0]["step"]) * config.train_batch_size
    images = round(images, -2)  # the last batch of an epoch is smaller
    start = "the stage before" if config.load_weight else "random weights"
    cells = f"`{config.model}`", start, config.distortion_loss, str(epochs), f"{images:,}"
    return f"| {' | '.join(cells)} | {minutes(outputs) / 60:.2f} |", images


def card(name: str, metric: str, folder: Path, device: str, note: str) -> str:
    """The model card, in Markdown, with the curve of these very weights."""
    file = weights_file(name, metric)
    model = load_checkpoint(file)
    fingerprint = stored_fingerprint(file)
    commands, configs = zip(*recipe(name, metric, folder), strict=True)
    stages, images = zip(*map(stage, configs), strict=True)
    rows = [row for row in reported(RESULTS, metric) if row.get("fingerprint") == fingerprint]
    points = chosen(rows, KITTI, name)
    if not points:
        command = f"python benchmarks/results.py DATA --metric {metric} --models {name}"
        raise NDICError(f"{name}: its curve for {metric} has not been measured: {command}")
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
    if (name, metric) == ("cross_attention", METRICS[0]):
        extra += (
            " These weights were trained before attention started as a search for what is alike (`look_for_alike` in "
            "`warm_start.py`), from fresh attention; the command starts with the search now."
        )
    if (name, metric) == ("cross_attention", "MSE"):
        extra += (
            " Its attention starts as a search for what is alike (`look_for_alike` in `warm_start.py`), and alpha is "
            "0.1 in the last stage: with 0, nothing bounds y's features."
        )
    return CARD.read_text(encoding="utf-8").format(
        name=name,
        metric=metric,
        other=REPORTS[metric].other[1],
        call=f'load_pretrained("{name}"' + (")" if metric == METRICS[0] else ', metric="mse")'),
        title=CATALOGUE[name].title,
        source=CATALOGUE[name].source,
        filters=model.config["num_filters"],
        sizes=sizes,
        low=model.lambdas[0],
        high=model.lambdas[1],
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        megabytes=file.stat().st_size / 1e6,
        all_megabytes=sum(f.stat().st_size for f in file.parent.glob("*.safetensors")) / 1e6,
        fingerprint=fingerprint[:16],
        images=sum(images),
        stages="\n".join(stages),
        device=device,
        extra=extra,
        note=note and f" {note}",
        commands="\n".join(commands),
        curve=curve_table(rows, name, metric),
        measured_by="python benchmarks/results.py DATA" + (" --metric MSE" if metric == "MSE" else ""),
        encode=1000 * points[len(points) // 2]["encode_seconds"],
        decode=1000 * points[len(points) // 2]["decode_seconds"],
        threads=points[0]["threads"],
        wrong=", and a wrong side image gives a wrong picture, without warning" if side_info else "",
    )


def curve_table(rows: list[dict], name: str, metric: str) -> str:
    """Lambda by lambda."""
    column, words = REPORTS[metric].column, REPORTS[metric].words
    other_column, other_words = REPORTS[metric].other
    points = chosen(rows, KITTI, name)
    others = [chosen(rows, KITTI, name, kind) for kind in SIDE_INFO[1:]] if CATALOGUE[name].side_info else []
    head = ["lambda", "bpp", f"{words} (dB)", f"{other_words} (dB)"]
    head += [f"{words}, another scene's y", f"{words}, no y"] if others else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for i, row in enumerate(points):
        cells = [f"{row['lmbda']:.2g}", f"{row['bpp']:.3f}", f"{row[column]:.2f}", f"{row[other_column]:.2f}"]
        cells += [f"{other[i][column]:.2f}" for other in others]
        lines.append(f"| {' | '.join(cells)} |")
    for data in (SEQUENCE, STREET):
        middle = chosen(rows, data, name)[len(points) // 2]
        lines.append("")
        quality = f"{middle[column]:.2f} dB {words}, {middle[other_column]:.2f} dB {other_words}"
        lines.append(f"At the middle lambda, {data}: {middle['bpp']:.3f} bpp, {quality}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, help="`save_output_path` of the trainings")
    parser.add_argument("--device", required=True, help="what they ran on, in words")
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0], help="what the weights are trained for")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--note", default="", help="what else a reader of the cards must know of the training")
    parser.add_argument("--cards", action="store_true", help="write the cards, from measured curves")
    args = parser.parse_args()
    for name in args.models:
        file = weights_file(name, args.metric)
        if args.cards:
            words = card(name, args.metric, args.outputs, args.device, args.note)
            write_whole(file.with_suffix(".md"), words.encode())
        else:
            _, config = recipe(name, args.metric, args.outputs)[-1]
            save_checkpoint(load_checkpoint(Outputs(config).weights), file, half=True)
            print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

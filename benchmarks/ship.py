"""Put trained weights into the package, in half precision, and write their model cards.

    python benchmarks/pretrain.py                                      # trains by the recipe; goes on where it stopped
    python benchmarks/ship.py outputs
    python benchmarks/results.py DATA --readme README.md
    python benchmarks/ship.py outputs --cards

and the last three once more with `--metric MSE`.
"""

import argparse
from pathlib import Path

from results import KITTI, REPORTS, SEQUENCE, STREET, chosen, reported

from ndic_core.catalogue import CATALOGUE, METRICS, MODELS
from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint, stored_fingerprint
from ndic_core.errors import NDICError
from ndic_core.evaluation.evaluate import SIDE_INFO
from ndic_core.io import weights_file, write_whole
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import read_state

RESULTS = Path(__file__).parent / "results"

CARD = Path(__file__).with_name("model_card.md")  # the words; numbers are filled in


def last_stage(name: str, metric: str, folder: Path) -> Stage:
    """The training of the recipe that ends in a model's weights."""
    return load_recipe("pretrain", save_output_path=str(folder))[metric.lower(), name]


def stage_line(stage: Stage) -> tuple[str, int]:
    """A line of the table of stages, and the images that were seen in it.

    Raises:
        NDICError: the stage is not complete: its learning rate has not come down.
    """
    config = stage.config
    progress = read_state(Outputs(config).state)
    if progress.epoch < config.epochs:
        raise NDICError(f"{stage} has {progress.epoch} of {config.epochs} epochs: train on until it is complete")
    start = "the stage before" if stage.start else "fresh weights"
    cells = f"`{config.model}`", start, config.distortion_loss, str(progress.epoch), f"{progress.images:,}"
    devices = (
        f"{own['images']:,.0f} on {device} in {own['seconds'] / 3600:.2f} h"
        for device, own in progress.by_device.items()
    )
    return f"| {' | '.join(cells)} | {config.lr:g} | {', '.join(devices)} |", progress.images


def card(name: str, metric: str, folder: Path, note: str) -> str:
    """The model card, in Markdown, with the curve of these very weights."""
    file = weights_file(name, metric)
    model = load_checkpoint(file)
    fingerprint = stored_fingerprint(file)
    stages, images = zip(*map(stage_line, last_stage(name, metric, folder).lineage), strict=True)
    rows = [row for row in reported(RESULTS, metric) if row.get("fingerprint") == fingerprint]
    points = chosen(rows, KITTI, name)
    if not points:
        command = f"python benchmarks/results.py DATA --metric {metric} --models {name}"
        raise NDICError(f"{name}: its curve for {metric} has not been measured: {command}")
    side_info = CATALOGUE[name].side_info
    sizes = {
        "cross_attention": "images of 128 × 256 (others in tiles), attention width 64, 4 heads of 32, ",
        "parallax_attention": "`search_range` 96, `search_rows` 0, ",
    }.get(name, "")
    extra = {
        "parallax_attention": " In the first half of each stage its attention is shown the true match on the street's "
        "pairs (`matching_loss_weight: 1`).",
        "cross_attention": " Its attention starts as a search for patches that match (`warm_start.py`); alpha is 0.1: "
        "with 0, nothing bounds y's features; no dropout (published: 0.1).",
    }.get(name, "")
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
        extra=extra,
        note=note and f" {note}",
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
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0], help="what the weights are trained for")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--note", default="", help="what else a reader of the cards must know of the training")
    parser.add_argument("--cards", action="store_true", help="write the cards, from measured curves")
    args = parser.parse_args()
    for name in args.models:
        file = weights_file(name, args.metric)
        if args.cards:
            words = card(name, args.metric, args.outputs, args.note)
            write_whole(file.with_suffix(".md"), words.encode())
        else:
            stage = last_stage(name, args.metric, args.outputs)
            stage_line(stage)  # refuses what is not complete
            save_checkpoint(load_checkpoint(Outputs(stage.config).weights), file, half=True)
            print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

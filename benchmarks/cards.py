"""Model cards: one short page of facts per model, from its weights, how they were trained and what was measured.

What all weights share (training data, recipes, limits, licence) is in `ndic_core/weights/README.md`. The cards are
written by `python benchmarks/pages.py`.
"""

from pathlib import Path

from readme import markdown
from results import BENCHMARKS, KITTI, SEQUENCE, STREET, chosen, reported

from ndic_core.catalogue import CATALOGUE, METRICS
from ndic_core.checkpoints.checkpoint import load_checkpoint, stored_fingerprint
from ndic_core.errors import NDICError
from ndic_core.evaluation.evaluate import SIDE_INFO
from ndic_core.evaluation.tables import read_table
from ndic_core.files import weights_file

TRAININGS = BENCHMARKS / "results" / "trainings.csv"  # written by ship.py: a row per stage of each file of weights
RECIPES = {
    "pretrain": "[`pretrain`](README.md#the-recipe-pretrain)",
    "former": "[former](README.md#the-former-recipe)",
}


def card_file(name: str) -> Path:
    """Where a model's card is."""
    return weights_file(name).with_suffix(".md")


def trainings(file: Path) -> list[dict]:
    """The stages in which these weights were trained, in order.

    Raises:
        NDICError: `trainings.csv` has none for their fingerprint.
    """
    fingerprint = stored_fingerprint(file)
    stages = [row for row in read_table(TRAININGS) if (row["weights"], row["fingerprint"]) == (file.stem, fingerprint)]
    if not stages:
        raise NDICError(f"{TRAININGS.name} has no training of {file.name} as it is: run benchmarks/ship.py")
    return stages


def card(name: str) -> str:
    """A model's card in Markdown.

    Raises:
        NDICError: the training or the curve of its present weights is missing.
    """
    info = CATALOGUE[name]
    facts = [_facts(name, metric) for metric in METRICS]
    table = [[label, *(fact[label] for fact in facts)] for label in facts[0] if any(fact[label] for fact in facts)]
    stages = []
    for metric in METRICS:
        for number, stage in enumerate(trainings(weights_file(name, metric)), 1):
            cells = f"{metric}, {number}", f"`{stage['model']}`", stage["start"], stage["distortion"]
            numbers = str(stage["epochs"]), f"{stage['images']:,}", f"{stage['lr']:g}", stage["trained_on"]
            stages.append([*cells, *numbers])
    head = ["weights, stage", "model", "starts from", "distortion", "epochs", "images", "learning rate", "trained on"]
    return f"""# `{name}`

Design: {info.title} ({info.source}).
How to use the weights, training data, recipes, limits and licence: [README](README.md).

{markdown(["", *(f"trained for {metric}" for metric in METRICS)], table)}

## Training

{markdown(head, stages)}

## Rate and distortion

Qualities are in dB. How they were measured: [README](README.md#how-the-curves-were-measured).

{_curves(name)}
"""


def _facts(name: str, metric: str) -> dict[str, str]:
    """What one file of weights is, by the line's label."""
    file = weights_file(name, metric)
    model, stages = load_checkpoint(file), trainings(file)
    argument = "" if metric == METRICS[0] else ', metric="mse"'
    options = {key: value for key, value in model.config.items() if key not in ("model", "lmbda")}
    curve = _points(name, metric)[KITTI, SIDE_INFO[0]]
    middle = curve[len(curve) // 2]
    encoding, decoding = (f"{1000 * middle[f'{what}_seconds']:.0f} ms" for what in ("encode", "decode"))
    return {
        "load with": f'`ndic_core.load_pretrained("{name}"{argument})`',
        "file": f"`{file.name}`, {file.stat().st_size / 1e6:.1f} MB, float16",
        "fingerprint": f"`{stored_fingerprint(file)[:16]}`",
        "options": ", ".join(f"`{key}` {value}" for key, value in options.items()),
        "parameters": f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M",
        "lambda": f"{model.lambdas[0]:g} to {model.lambdas[1]:g}",
        "training images": f"{sum(stage['images'] for stage in stages):,}",
        "recipe": RECIPES[stages[-1]["recipe"]],
        "note": stages[-1].get("note", ""),
        "time, middle lambda": f"encoding {encoding}, decoding {decoding}, CPU, threads: {middle['threads']}",
    }


def _points(name: str, metric: str) -> dict[tuple[str, str], list[dict]]:
    """The curves that were measured with the present weights, by data and side information."""
    fingerprint = stored_fingerprint(weights_file(name, metric))
    rows = [row for row in reported(BENCHMARKS / "results", metric) if row.get("fingerprint") == fingerprint]
    found = {(data, kind): chosen(rows, data, name, kind) for data in (KITTI, SEQUENCE, STREET) for kind in SIDE_INFO}
    if not all(found[data, SIDE_INFO[0]] for data in (KITTI, SEQUENCE, STREET)):
        command = f"python benchmarks/results.py DATA --metric {metric} --models {name}"
        raise NDICError(f"{name}: the curve of its weights for {metric} has not been measured: {command}")
    return found


def _curves(name: str) -> str:
    """The points of both files of weights: all lambdas on KITTI 2015, the middle one on the other data."""
    sided = CATALOGUE[name].side_info
    head = ["weights", "data", "lambda", "bpp", "PSNR", "MS-SSIM"]
    head += ["PSNR, mismatched y", "PSNR, no y", "MS-SSIM, mismatched y", "MS-SSIM, no y"] if sided else []
    lines = []
    for metric in METRICS:
        points = _points(name, metric)
        for data in (KITTI, SEQUENCE, STREET):
            curve = points[data, SIDE_INFO[0]]
            for i in range(len(curve)) if data == KITTI else [len(curve) // 2]:
                cells = [metric, data, f"{curve[i]['lmbda']:.2g}", f"{curve[i]['bpp']:.3f}"]
                cells += [f"{curve[i][column]:.2f}" for column in ("psnr", "ms_ssim_db")]
                for column in ("psnr", "ms_ssim_db") if sided else ():
                    others = [points[data, kind] for kind in SIDE_INFO[1:]]
                    cells += [f"{other[i][column]:.2f}" if other else "" for other in others]
                lines.append(cells)
    return markdown(head, lines)

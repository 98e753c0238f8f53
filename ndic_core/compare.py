"""Rate–distortion curves of models and classical codecs on the same images: a CSV table and figures.

What can be refused is refused before the first image is coded; the table is written again after every curve.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ndic_core.checkpoints.checkpoint import load_checkpoint, load_pretrained
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import Pairs, stored_size
from ndic_core.errors import NDICError, listing
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.evaluation.evaluate import curve
from ndic_core.evaluation.tables import capped_note, results_table, write_table
from ndic_core.files import check_writable, write_whole
from ndic_core.metrics import MS_SSIM_SMALLEST
from ndic_core.models.codec import Codec
from ndic_core.plots.panels import rate_distortion


def draw_curves(
    config: Config,
    out: Path,
    weights: list[Path],
    shipped: list[tuple[str, str]],
    with_classical: bool = False,
    published: bool = False,
    split: str = "test",
    points: int = 6,
    count: int | None = None,
    report: Callable[[str], None] = print,
) -> list[dict]:
    """Measure every model on one split of a data set; write a tidy CSV, and a figure per metric beside it.

    Args:
        config: of the data set, the image size and the device.
        out: the CSV. Until all curves are measured, the table is written to NAME.partial.csv after each, so that an
            interruption loses neither these nor an earlier table.
        weights: checkpoints to load.
        shipped: shipped weights to load: model and metric, see `load_pretrained`.
        with_classical: also the available classical codecs.
        published: also draw the published points.
        split: "train", "val" or "test".
        points: lambdas of each variable-rate model.
        count: number of pairs, from the first; all where None.
        report: called with each line of the results.

    Returns:
        The rows of the CSV: see `evaluation.evaluate.averages`; classical codecs have a quality in place of lambda.
        Where the table has several curves of one model, `weights` names those of each.

    Raises:
        NDICError: weights or data cannot be loaded, the same weights are given twice, or a file cannot be written.
    """
    figures = {metric: out.with_name(f"{out.stem}_{metric}.png") for metric in ("psnr", "ms_ssim_db")}
    partial = out.with_name(f"{out.stem}.partial.csv")
    for file in (out, partial, *figures.values()):
        check_writable(file)
    if config.dataset_name == "Mixed" and split == "train":
        raise NDICError("split train of dataset_name: Mixed changes with every epoch: use val")
    curves = _load(weights, shipped)
    pairs = load_split(config, split)
    pairs = pairs if count is None else pairs.first(count)
    report(f"{config.dataset_name}, split {split}: {_origin(pairs)}")
    if min(pairs.size) < MS_SSIM_SMALLEST:
        report(f"MS-SSIM needs sides above {MS_SSIM_SMALLEST - 1} pixels: only PSNR is measured")
        del figures["ms_ssim_db"]
    device = "cuda" if config.cuda and torch.cuda.is_available() else "cpu"
    rows = []
    for one in curves:
        found = curve(one.model.to(device), pairs, points)
        one.model.cpu()
        if one.label:
            found = [dict(model=row["model"], weights=one.label) | row for row in found]
        report(results_table(found))
        rows += found
        write_table(rows, partial)
    if with_classical:
        images, names = _distinct(pairs)
        for name in tqdm(classical.available(), "classical codecs", leave=False, disable=None):
            rows += classical.curve(name, images, names=names)
            write_table(rows, partial)
        for line in capped_note(row for row in rows if row["model"] in classical.CODECS):
            report(line)
    write_table(rows, out)
    partial.unlink(missing_ok=True)
    for metric, file in figures.items():
        buffer = BytesIO()
        rate_distortion(rows, metric, published=published).savefig(buffer, format="png", dpi=150)
        write_whole(file, buffer.getvalue())
    for line in bd_rates(rows, metrics=list(figures)):
        report(line)
    report("written: " + ", ".join(map(str, [out, *figures.values()])))
    return rows


def classical_curves(pairs: Pairs) -> list[dict]:
    """The classical codecs on the x of all pairs; each image counts once."""
    images, names = _distinct(pairs)
    bar = tqdm(classical.available(), "classical codecs", leave=False, disable=None)
    return [row for name in bar for row in classical.curve(name, images, names=names)]


def bd_rates(
    rows: list[dict], anchor: str = "bmshj18_factorized", metrics: Sequence[str] = ("psnr", "ms_ssim_db")
) -> list[str]:
    """A sentence on the BD-rate of each curve against the matched baseline, decoded with the matching y.

    Where there are several curves of the baseline, against that of the same `weights`, or else against each.
    """
    curves: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        if row.get("side_info", "matching_y") == "matching_y":
            curves.setdefault((row["model"], row.get("weights") or ""), []).append(row)
    anchors = [key for key in curves if key[0] == anchor]
    lines = []
    for key in (key for key in curves if key not in anchors):
        for other in [(anchor, key[1])] if (anchor, key[1]) in anchors else anchors:
            name, against = (", ".join(filter(None, parts)) for parts in (key, other))
            for metric in metrics:
                unit = {"psnr": "PSNR", "ms_ssim_db": "MS-SSIM"}[metric]
                try:
                    saving = bd_rate(curves[other], curves[key], metric)
                    lines.append(f"{name}: BD-rate in {unit} {saving:+.1f} % against {against}")
                except NDICError as error:
                    lines.append(f"{name}: no BD-rate in {unit} against {against}: {error}")
    return lines


@dataclass
class _Curve:
    """One model with its weights.

    Attributes:
        what: for messages.
        model: loaded, on the CPU.
        tag: the metric that the weights are trained for as far as it is known; the file's name for variable-rate ones.
        label: distinguishes this curve from others of the same model; "" where there is no other.
    """

    what: str
    model: Codec
    tag: str
    label: str = ""


def _load(weights: Sequence[Path], shipped: Sequence[tuple[str, str]]) -> list[_Curve]:
    """Load all models and label them. Single-rate weights of one model are points of one curve."""
    loads = [(str(path), "", partial(load_checkpoint, path)) for path in weights]
    loads += [(f"{name} for {metric}", metric, partial(load_pretrained, name, metric)) for name, metric in shipped]
    curves: list[_Curve] = []
    for what, metric, load in loads:
        model = load()
        one = _Curve(what, model, metric or (_metric_in(what) if model.gain is None else Path(what).stem))
        for other in (other for other in curves if other.model.name == model.name):
            same = f"{what}: the table has a {model.name} of the same rates already"
            if _same_weights(model, other.model):
                raise NDICError(f"{same}, and of the same weights ({other.what}): give them once")
            both_single = model.gain is None and other.model.gain is None and one.tag == other.tag
            if both_single and model.lambdas == other.model.lambdas:
                raise NDICError(f"{same} ({other.what}): write a second table")
        curves.append(one)
    metrics = {metric for _, metric in shipped}
    for one in curves:
        others = [other for other in curves if other is not one and other.model.name == one.model.name]
        if one.model.gain is None:
            if any((other.model.gain is not None) or other.tag != one.tag for other in others):
                one.label = ", ".join(filter(None, (one.tag, "single rates")))
        elif others or (len(metrics) > 1 and one.tag in metrics):
            one.label = one.tag if one.tag not in [other.tag for other in others] else one.what
    return curves


def _same_weights(model: Codec, other: Codec) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return model.config == other.config and all(torch.equal(ours[key], theirs[key]) for key in ours)


def _metric_in(path: str) -> str:
    """The metric in the name of a training's file; "" where it has none."""
    found = re.search(r"(?<![a-z])(ms[-_]?ssim|mse)(?![a-z])", Path(path).stem.lower())
    return "" if found is None else "MSE" if found[1] == "mse" else "MS-SSIM"


def _distinct(pairs: Pairs) -> tuple[list, list[str]]:
    """The x of all pairs, each image once, and the names of their pairs."""
    chosen = sorted({int(image): i for i, image in reversed(list(enumerate(pairs.index[:, 0])))}.values())
    return [pairs[i][0] for i in chosen], [pairs.names[i] for i in chosen]


def _origin(pairs: Pairs) -> str:
    """How many pairs there are, and how their images were cropped and resized."""
    height, width = pairs.size
    noun = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    if pairs.files is None:
        return f"{noun} of {height} × {width} pixels (height × width)"
    stored = sorted({stored_size(file) for both in pairs.files for file in both})
    sizes = listing((f"{h} × {w}" for h, w in stored), limit=3)
    if stored == [(height, width)] and pairs.crop in (None, (height, width)):
        return f"{noun} of {sizes} pixels (height × width), as stored"
    if pairs.crop:
        how = f"cropped to {pairs.crop[0]} × {pairs.crop[1]} at the centre and "
    else:
        how = "cropped at the centre and " if any(h * width != w * height for h, w in stored) else ""
    return f"{noun} of {sizes} pixels (height × width), {how}resized to {height} × {width}"

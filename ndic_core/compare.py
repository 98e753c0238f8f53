"""Rate–distortion curves of models and classical codecs on the same images: a CSV table and figures."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ndic_core.checkpoints.checkpoint import load_checkpoint, load_pretrained
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.bd_rate import bd_rate
from ndic_core.evaluation.evaluate import curve
from ndic_core.evaluation.tables import results_table, write_table
from ndic_core.io import write_whole
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
        out: the CSV.
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

    Raises:
        NDICError: weights or data cannot be loaded, or a file cannot be written.
    """
    pairs = load_split(config, split)
    if isinstance(pairs, MixedPairs):
        raise NDICError("split train of dataset_name: Mixed changes with every epoch: use val")
    pairs = pairs if count is None else pairs.first(count)
    device = "cuda" if config.cuda and torch.cuda.is_available() else "cpu"
    rows = []
    loads = [*((path, partial(load_checkpoint, path)) for path in weights)]
    loads += [(f"{name} for {metric}", partial(load_pretrained, name, metric)) for name, metric in shipped]
    for what, load in loads:
        model = load()
        same = [row for row in rows if row["model"] == model.name]
        if any(row["lmbda"] in model.lambdas or model.gain is not None for row in same):
            raise NDICError(f"{what}: the table has a {model.name} of the same rates already: write a second table")
        found = curve(model.to(device), pairs, points)
        report(results_table(found))
        rows += found
    if with_classical:
        rows += classical_curves(pairs)
    write_table(rows, out)
    files = [out]
    for metric in ("psnr", "ms_ssim_db"):
        if any(row[metric] is None for row in rows):
            continue
        figure = rate_distortion(rows, metric, published=published)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        files.append(out.with_name(f"{out.stem}_{metric}.png"))
        write_whole(files[-1], buffer.getvalue())
    for line in bd_rates(rows):
        report(line)
    report("written: " + ", ".join(map(str, files)))
    return rows


def classical_curves(pairs: Pairs) -> list[dict]:
    """The classical codecs on the x of all pairs; each image counts once."""
    chosen = {int(image): i for i, image in reversed(list(enumerate(pairs.index[:, 0])))}
    images = [pairs[i][0] for i in sorted(chosen.values())]
    bar = tqdm(classical.available(), "classical codecs", leave=False, disable=None)
    return [row for name in bar for row in classical.curve(name, images)]


def bd_rates(rows: list[dict], anchor: str = "bmshj18_factorized") -> list[str]:
    """A sentence on the BD-rate of each model against the matched baseline, decoded with the matching y."""
    curves: dict[str, list[dict]] = {}
    for row in rows:
        if row.get("side_info", "matching_y") == "matching_y":
            curves.setdefault(row["model"], []).append(row)
    lines = []
    for model in [name for name in curves if name != anchor and anchor in curves]:
        for metric, unit in (("psnr", "PSNR"), ("ms_ssim_db", "MS-SSIM")):
            try:
                saving = bd_rate(curves[anchor], curves[model], metric)
                lines.append(f"{model}: BD-rate in {unit} {saving:+.1f} % against {anchor}")
            except NDICError as error:
                lines.append(f"{model}: no BD-rate in {unit} against {anchor}: {error}")
    return lines

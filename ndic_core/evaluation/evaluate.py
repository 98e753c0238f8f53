"""Rate–distortion evaluation of models over a data set, on real bytes.

Side information is tested: each file is decoded with the matching y, with a mismatched y (of another scene) and with no
y (grey). The difference is the gain from y.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.data.pairs import Pairs
from ndic_core.evaluation.roundtrip import roundtrips
from ndic_core.evaluation.tables import MEASURED, PSNR_CAP, write_table
from ndic_core.models.codec import Codec, unwrap

SIDE_INFO = ("matching_y", "mismatched_y", "no_y")


def evaluate(
    model: Codec,
    pairs: Pairs,
    lmbda: float | None = None,
    side_info: Sequence[str] = SIDE_INFO,
    on_image: Callable[[int, Tensor, Tensor, Tensor, dict], None] | None = None,
    progress: bool = True,
) -> list[dict]:
    """Encode and decode every image of `pairs`.

    Args:
        model: with trained weights.
        pairs: images of any size.
        lmbda: the rate of variable-rate weights; see `encode`.
        side_info: the side images to decode with: "matching_y", "mismatched_y" (the y of another scene; left out where
            there is none) and "no_y" (nothing, or a grey image for a model that requires one). Models without side
            information decode once, as "matching_y".
        on_image: called with (number, x, y, x_hat, row) for each image decoded with its matching y, tensors on the CPU.
        progress: show a bar on stderr.

    Returns:
        A dict per image and side information: the row of `roundtrips` without x_hat, with image (number from 0) and
        name.

    Raises:
        NDICError: the model doesn't offer `lmbda`.
    """
    model = unwrap(model)
    rows, kinds = [], side_info if model.info.side_info else SIDE_INFO[:1]
    for i in tqdm(range(len(pairs)), model.name, unit="image", disable=None if progress else True, leave=False):
        x, y = pairs[i]
        for row in roundtrips(model, x, _side_images(model, pairs, i, kinds), lmbda):
            x_hat = row.pop("x_hat")
            rows.append(dict(image=i, name=pairs.names[i]) | row)
            if row["side_info"] == "matching_y" and on_image is not None:
                on_image(i, x, y, x_hat, rows[-1])
    return rows


def averages(rows: Iterable[dict], by: Sequence[str] = ("model", "lmbda", "side_info")) -> list[dict]:
    """Means over images for every model, lambda and side information: the points of rate–distortion curves.

    Args:
        rows: from `evaluate`, of one or several models.
        by: the keys whose values identify a point.

    Returns:
        A dict per point: the keys of `by`, images (how many), and the means of rates, qualities and seconds; decibels
        are averaged as decibels, as published. None where an image has no value. An image counts `tables.PSNR_CAP` dB
        of PSNR at most: images above it, also exact ones (infinite PSNR), are named in psnr_capped, a key of such
        points only.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    points = []
    for values, group in groups.items():
        point = dict(zip(by, values, strict=True)) | dict(images=len(group))
        if capped := [str(row.get("name", "unnamed")) for row in group if row.get("psnr", 0.0) > PSNR_CAP]:
            point["psnr_capped"] = "; ".join(dict.fromkeys(capped))
        for name in MEASURED:
            if name in group[0]:
                values = [row[name] for row in group]
                if name == "psnr":
                    values = [min(value, PSNR_CAP) for value in values]
                point[name] = None if None in values else sum(values) / len(values)
        points.append(point)
    return points


def curve(model: Codec, pairs: Pairs, points: int = 6, progress: bool = True, **options) -> list[dict]:
    """The `averages` of `evaluate` at `points` lambdas in equal ratios, 2 or more, or at the only one a model has."""
    rows = []
    for lmbda in lambdas(model, points):
        rows += evaluate(model, pairs, lmbda, progress=progress, **options)
    return averages(rows)


def lambdas(model: Codec, points: int) -> list[float]:
    """`points` lambdas from a model's lowest to its highest in equal ratios; the only one of weights of one rate."""
    model = unwrap(model)
    low, high = model.lambdas
    if model.gain is None:
        return [low]
    return [low * (high / low) ** (i / (points - 1)) for i in range(points)]


def write_published_table(rows: Iterable[dict], path: Path) -> None:
    """A CSV file with a line per image and lambda: the published columns, then further measurements.

    BPP is estimated, as published; bytes and measured BPP are of the whole file.

    Args:
        rows: from `evaluate`.
        path: of the file.

    Raises:
        NDICError: the file cannot be written.
    """
    lines: dict[tuple, dict] = {}
    for row in rows:
        line = lines.setdefault((row["lmbda"], row["image"]), {})
        if row["side_info"] == "matching_y":
            line |= {"image number": row["image"], "BPP": row["bpp_estimated"]}
            line |= {"PSNR": row["psnr"], "MS-SSIM": row["ms_ssim"], "lambda": row["lmbda"], "name": row["name"]}
            line |= {"bytes": row["bytes"], "measured BPP": row["bpp"]}
            line |= {"encode seconds": row["encode_seconds"], "decode seconds": row["decode_seconds"]}
        else:
            kind = row["side_info"].replace("_", " ")
            line |= {f"PSNR {kind}": row["psnr"], f"MS-SSIM {kind}": row["ms_ssim"]}
    write_table(list(lines.values()), path)


def _side_images(model: Codec, pairs: Pairs, i: int, kinds: Iterable[str]) -> dict[str, Tensor | None]:
    """The side images that pair i is decoded with; mismatched_y is left out where no pair shows another scene."""
    _, y = pairs[i]
    ys = {"matching_y": y, "no_y": None if model.y_optional else torch.full_like(y, 0.5)}
    for step in range(len(pairs)):  # from far away: neighbours may show the same scene
        j = (i + len(pairs) // 2 + step) % len(pairs)
        if not pairs.same_scene(i, j):
            ys["mismatched_y"] = pairs[j][1]
            break
    return {kind: ys[kind] for kind in kinds if kind in ys}

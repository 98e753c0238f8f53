"""Rate–distortion evaluation of models over a data set, on real bytes.

Side information is tested: each file is decoded with the matching y, with a mismatched y (of another scene) and with no
y (grey). The difference is the gain from y.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from numbers import Integral, Real
from pathlib import Path
from types import NoneType

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError
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
        NDICError: the model doesn't offer `lmbda`; `side_info` has another name or none; or nothing can be decoded:
            there are no pairs, or only a mismatched y is wanted and all of them show one scene.
    """
    model = unwrap(model)
    is_list = isinstance(side_info, Sequence) and not isinstance(side_info, str)
    if not is_list or not side_info or any(kind not in SIDE_INFO for kind in side_info):
        raise NDICError(f"side_info is a list of one or more of {', '.join(SIDE_INFO)}; got {side_info!r}")
    rows, kinds = [], side_info if model.info.side_info else SIDE_INFO[:1]
    for i in tqdm(range(len(pairs)), model.name, unit="image", disable=None if progress else True, leave=False):
        x, y = pairs[i]
        for row in roundtrips(model, x, _side_images(model, pairs, i, kinds), lmbda):
            x_hat = row.pop("x_hat")
            rows.append(dict(image=i, name=pairs.names[i]) | row)
            if row["side_info"] == "matching_y" and on_image is not None:
                on_image(i, x, y, x_hat, rows[-1])
    if not rows:
        raise NDICError(f"there is nothing to decode with {', '.join(kinds)}: give pairs, of more than one scene")
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

    Raises:
        NDICError: a row lacks a key of `by`, or a value that other rows of its point have, or has text instead of one.
    """
    if isinstance(by, str):
        raise NDICError(f"by is a list of keys; got {by!r}: give [{by!r}]")
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if missing := [key for key in by if key not in row]:
            raise NDICError(f"a row has no {missing[0]}: give rows of evaluate, or other keys as by")
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    points = []
    for values, group in groups.items():
        point = dict(zip(by, values, strict=True)) | dict(images=len(group))
        for name in (name for name in MEASURED if any(name in row for row in group)):
            values = [row.get(name, "no value") for row in group]
            if wrong := [value for value in values if not isinstance(value, (Real, NoneType))]:
                raise NDICError(f"{name} must be a number in every row; one has {wrong[0]!r}")
            if name == "psnr":
                high = [value is not None and value > PSNR_CAP for value in values]
                if capped := [str(row.get("name", "unnamed")) for row in compress(group, high)]:
                    point["psnr_capped"] = "; ".join(dict.fromkeys(capped))
                values = [PSNR_CAP if is_high else value for value, is_high in zip(values, high, strict=True)]
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
    """`points` lambdas from a model's lowest to its highest in equal ratios; the only one of weights of one rate.

    Raises:
        NDICError: `points` is not a whole number of 2 or more.
    """
    model = unwrap(model)
    low, high = model.lambdas
    if model.gain is None:
        return [low]
    if not isinstance(points, Integral) or points < 2:
        raise NDICError(f"points is the number of lambdas of a curve, 2 or more, not {points!r}")
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


def other_scene(pairs: Pairs, i: int) -> int | None:
    """The number of a pair that shows another scene than pair i, None where there is none.

    The search begins half of all pairs away: neighbours may show the same scene.
    """
    numbers = ((i + len(pairs) // 2 + step) % len(pairs) for step in range(len(pairs)))
    return next((j for j in numbers if not pairs.same_scene(i, j)), None)


def _side_images(model: Codec, pairs: Pairs, i: int, kinds: Iterable[str]) -> dict[str, Tensor | None]:
    """The side images that pair i is decoded with; mismatched_y is left out where no pair shows another scene."""
    _, y = pairs[i]
    ys = {"matching_y": y, "no_y": None if model.y_optional else torch.full_like(y, 0.5)}
    if (j := other_scene(pairs, i)) is not None:
        ys["mismatched_y"] = pairs[j][1]
    return {kind: ys[kind] for kind in kinds if kind in ys}

"""What a model is worth, on real bytes: every image is encoded to a file's bytes and decoded from them.

Side information is put to the test: each stream is decoded with the right y, with another scene's y and with none (a
grey image). What y is worth is the difference.
"""

import csv
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError
from ndic_core.evaluation.bit_maps import bit_maps
from ndic_core.io import read_bytes, write_whole
from ndic_core.metrics import MS_SSIM_SMALLEST, ms_ssim, ms_ssim_db, psnr
from ndic_core.models.codec import Codec
from ndic_core.models.coding.compress import decode, encode

SIDE_INFO = ("matching_y", "mismatched_y", "no_y")
_MEANS = ("bytes", "bpp", "bpp_estimated", "psnr", "ms_ssim", "ms_ssim_db", "encode_seconds", "decode_seconds")


def evaluate(
    model: Codec,
    pairs: Pairs,
    lmbda: float | None = None,
    side_info: Sequence[str] = SIDE_INFO,
    pictures=None,
    progress: bool = True,
) -> list[dict]:
    """Encode and decode every image of `pairs`.

    Args:
        model: with trained weights.
        pairs: images of any size.
        lmbda: the rate of variable-rate weights; see `encode`.
        side_info: what to decode with, of "matching_y", "mismatched_y" (the y of another scene; left out where there is
            none) and "no_y" (nothing, or a grey image for a model that needs one). Models without side information
            decode once, as "matching_y".
        pictures: called with (number, x, y, x_hat, row) for each image decoded with its true y, tensors on the CPU.
        progress: show a bar on stderr.

    Returns:
        A dict per image and side information: model, lmbda, image (number from 0), name, side_info, bytes (of the
        whole file), bpp (measured: from these bytes), bpp_estimated (from likelihoods), psnr (dB), ms_ssim, ms_ssim_db
        (None below 97 pixels), encode_seconds, decode_seconds.

    Raises:
        NDICError: the model doesn't offer `lmbda`.

    Example:
        >>> import numpy as np
        >>> import ndic_core as ndic
        >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 64, 3), dtype=np.uint8)
        >>> pairs = Pairs(images, np.array([[0, 1], [2, 3]]), ["a", "b"])
        >>> model = ndic.build_model("ndic_bls17", num_filters=4)
        >>> [(row["image"], row["side_info"]) for row in evaluate(model, pairs, progress=False)][:3]
        [(0, 'matching_y'), (0, 'mismatched_y'), (0, 'no_y')]
    """
    device = model.device
    model.gains(lmbda, 1)  # refuses a lambda that is not offered
    level = model.level(lmbda)
    model.coding(level)  # tables are made once for given weights; not part of the time an image takes
    rows = []
    for i in tqdm(range(len(pairs)), "test", unit="image", disable=None if progress else True, leave=False):
        x, y = (image.to(device) for image in pairs[i])
        pixels = x.shape[-2] * x.shape[-1]
        start = time.perf_counter()
        stream = encode(model, x, lmbda)
        encode_seconds = time.perf_counter() - start
        estimate = sum(part.sum().item() for part in bit_maps(model, x, lmbda).values()) / pixels
        for kind in side_info if model.info.side_info else ("matching_y",):
            side = _side_image(kind, pairs, i, y)
            if side is None:
                continue
            if kind == "no_y" and model.y_optional:
                side = None
            start = time.perf_counter()
            x_hat = decode(model, stream, side).cpu()
            decode_seconds = time.perf_counter() - start
            rows.append(
                dict(
                    model=model.name,
                    lmbda=model.lmbda_at(level),
                    image=i,
                    name=pairs.names[i],
                    side_info=kind,
                    bytes=len(stream),
                    bpp=8 * len(stream) / pixels,
                    bpp_estimated=estimate,
                    **quality(x.cpu(), x_hat),
                    encode_seconds=encode_seconds,
                    decode_seconds=decode_seconds,
                )
            )
            if kind == "matching_y" and pictures is not None:
                pictures(i, x.cpu(), y.cpu(), x_hat, rows[-1])
    return rows


def averages(rows: Iterable[dict]) -> list[dict]:
    """Means over images for every model, lambda and side information: the points of rate–distortion curves.

    Args:
        rows: from `evaluate`, of one or several models.

    Returns:
        A dict per point: model, lmbda, side_info, images (how many), and the means of all numbers; decibels are
        averaged as decibels, as published.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["lmbda"], row["side_info"]), []).append(row)
    points = []
    for (model, lmbda, side_info), group in groups.items():
        point = dict(model=model, lmbda=lmbda, side_info=side_info, images=len(group))
        for name in _MEANS:
            values = [row[name] for row in group]
            point[name] = None if None in values else sum(values) / len(values)
        points.append(point)
    return points


def curve(model: Codec, pairs: Pairs, points: int = 6, progress: bool = True, **options) -> list[dict]:
    """A model's rate–distortion points: at `points` lambdas in equal ratios, or at the only one it has.

    Args:
        model, pairs, progress, options: see `evaluate`.
        points: how many lambdas of variable-rate weights, 2 or more.

    Returns:
        See `averages`.
    """
    rows = []
    for lmbda in lambdas(model, points):
        rows += evaluate(model, pairs, lmbda, progress=progress, **options)
    return averages(rows)


def lambdas(model: Codec, points: int) -> list[float]:
    """`points` lambdas from a model's lowest to its highest in equal ratios; the only one of weights of one rate."""
    low, high = model.lambdas
    if model.gain is None:
        return [low]
    return [low * (high / low) ** (i / (points - 1)) for i in range(points)]


def write_published_table(rows: Iterable[dict], path: Path) -> None:
    """A CSV with a line per image and lambda: the published columns, then what is measured besides.

    BPP is estimated, as published; bytes and measured BPP are of the whole file.

    Args:
        rows: from `evaluate`.
        path: of the file.

    Raises:
        NDICError: it cannot be written.
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


def write_table(rows: Sequence[dict], path: Path) -> None:
    """A CSV of dicts, whole or not at all; a column for every key, empty where a row lacks it or has None.

    Raises:
        NDICError: it cannot be written.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, out.getvalue().encode())


def read_table(path: Path) -> list[dict]:
    """The rows of a CSV that `write_table` wrote: numbers as numbers, True and False, and what is empty left out.

    Raises:
        NDICError: it cannot be read, or is no such table.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode(), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise NDICError(f"{path} is no CSV in UTF-8 ({error}): give a table that write_table wrote") from error
    for number, row in enumerate(rows, 1):
        if None in row:
            raise NDICError(f"{path}: row {number} has more cells than the header: give a table that write_table wrote")
    return [{key: _value(text) for key, text in row.items() if text} for row in rows]


def _value(text: str) -> bool | float | int | str:
    if text in ("True", "False"):
        return text == "True"
    if "_" in text:  # which Python would take between digits
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _side_image(kind: str, pairs: Pairs, i: int, y: Tensor) -> Tensor | None:
    """What pair i's stream is decoded with."""
    if kind == "matching_y":
        return y
    if kind == "no_y":
        return torch.full_like(y, 0.5)
    for step in range(len(pairs)):  # from afar: neighbours may show the same scene
        j = (i + len(pairs) // 2 + step) % len(pairs)
        if not pairs.same_scene(i, j):
            return pairs[j][1].to(y.device)
    return None


def quality(x: Tensor, x_hat: Tensor) -> dict:
    """psnr (dB), ms_ssim and ms_ssim_db (None below 97 pixels) of one picture (3, H, W) and its reconstruction."""
    row = {"psnr": psnr(x[None], x_hat[None]).item(), "ms_ssim": None, "ms_ssim_db": None}
    if min(x.shape[-2:]) >= MS_SSIM_SMALLEST:
        similarity = ms_ssim(x[None], x_hat[None])
        row |= {"ms_ssim": similarity.item(), "ms_ssim_db": ms_ssim_db(similarity).item()}
    return row

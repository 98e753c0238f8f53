"""What the command line refuses or notes about files, before any slow work."""

import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ndic_core.catalogue import CATALOGUE, METRICS, in_words
from ndic_core.checkpoints.header import shipped_model, stored_model
from ndic_core.errors import NDICError
from ndic_core.files import check_writable
from ndic_core.io import image_size
from ndic_core.models.coding.container import Header, unpack

if TYPE_CHECKING:
    from ndic_core.models.codec import Codec


def note(text: str) -> None:
    """Print a line that is no result: to stderr."""
    typer.echo(f"ndic: {text}", err=True)


def note_loading(weights: object = None) -> None:
    """State what is loaded, which takes seconds; only on a terminal, like a progress bar."""
    if sys.stderr.isatty():
        note("loading PyTorch" + (f" and {weights}" if weights else ""))


def check_paths(out: Path, *inputs: Path | None) -> None:
    """Inputs and folders exist, the result can be written, and no input is overwritten."""
    for path in inputs:
        if path is None:
            continue
        if not path.exists():
            raise NDICError(f"there is no file {path}: check its name")
        if out.exists() and out.samefile(path):
            raise NDICError(f"{out} would overwrite an input: choose another name for the result")
    check_writable(out)


def check_weights(
    weights: Path | None, untrained: bool, size: tuple[int, int] | None, metric: bool = False, lmbda: bool = False
) -> None:
    """The options of weights go together; `metric` and `lmbda`: whether they are given."""
    if metric and (untrained or weights is not None):
        raise typer.BadParameter("it selects shipped weights: omit --weights and --untrained", param_hint="--metric")
    if lmbda and untrained:
        raise typer.BadParameter("untrained weights have one rate: omit --untrained", param_hint="--lmbda")
    if untrained and weights is not None:
        raise typer.BadParameter("--untrained and --weights exclude each other: give one", param_hint="--untrained")
    if size and weights is None:
        raise typer.BadParameter("it describes a published checkpoint: add --weights FILE", param_hint="--image-size")


def check_encoding(model: str | None, metric: str, weights: Path | None, lmbda: float | None) -> None:
    """The weights are those of the model, and offer the rate: as far as their header says so.

    Args:
        model: the name asked for; None for that of `weights`.
        metric: of the shipped weights, where `weights` is None.
        weights: a checkpoint.
        lmbda: the rate; None for the middle one.
    """
    stored = stored_model(weights) if weights else shipped_model(model, metric)
    if stored is None:
        return  # loading says more
    if model not in (None, stored.info.name):
        raise NDICError(f"{weights} holds weights of {stored.info.name}, not {model}: omit --model")
    if lmbda is None or stored.offers(lmbda):
        return
    remedy = ""
    for other in METRICS if weights is None else ():
        alternative = shipped_model(model, other)
        if alternative is not None and alternative.offers(lmbda):
            remedy = f"; --metric {other.lower()} has {in_words(*alternative.lambdas)}"
    what = weights or f"{model} for {metric}"
    raise NDICError(f"the weights of {what} have {in_words(*stored.lambdas)}; {lmbda:g} is not offered{remedy}")


def check_decoding(
    stream: Path, content: bytes, side_info: Path | None, weights: Path | None, untrained: bool
) -> Header:
    """The weights are those of the model that made the file, and the side image is what it needs; returns the header.

    Args:
        stream, content: path and bytes of the file.
        side_info: the side image.
        weights: a checkpoint; None for shipped weights.
        untrained: whether untrained weights are used instead.
    """
    try:
        header, _ = unpack(content)
    except NDICError as error:
        raise NDICError(f"{stream}: {error}") from error
    given = [stored_model(weights)] if weights else [shipped_model(header.model, metric) for metric in METRICS]
    known = [] if untrained else [model for model in given if model is not None]
    for model in known:
        if model.info.name != header.model:
            raise NDICError(f"{stream} was made by {header.model}; {weights} holds weights of {model.info.name}")
    if not CATALOGUE[header.model].side_info:
        if side_info is not None:
            note(f"{header.model} decodes without side information: {side_info} is not used")
    elif side_info is None:
        if not any(model.y_optional for model in known):
            raise NDICError(f"{stream} was made by {header.model}, which needs side information: add --side-info IMAGE")
    elif (size := image_size(side_info)) != (header.height, header.width):
        raise NDICError(
            f"{side_info} is {size[0]} × {size[1]} pixels; as side information it must have the size of the image "
            f"sent, {header.height} × {header.width} (height × width)"
        )
    return header


def limits(model: "Codec", height: int, width: int) -> Iterator[str]:
    """What limits the use of y in an image of this size; the encoder knows no y."""
    if model.info.fixed_size:
        tiling = model.tiling(height, width)
        if (tiles := tiling.rows * tiling.columns) > 1:
            tile = " × ".join(map(str, tiling.tile))
            yield (
                f"{model.name} codes this image in {tiles} tiles of {tile}: each is decoded with the same tile of y "
                f"only, and the edges of the tiles may be visible"
            )
    if "search_range" in model.config:
        from ndic_core.models.matching import SHARE

        if (reach := ceil(SHARE * width)) > model.config["search_range"]:
            yield (
                f"{model.name} searches y over {reach} pixels along the row, {SHARE:.0%} of this image's width: where "
                f"the disparity is larger, y does not help"
            )

"""The command line: `ndic run | train | test | curve | encode | decode | models | demo`.

PyTorch, pydantic and other slow imports are deferred to the commands that need them, so that `--help` answers at once.
"""

import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from ndic_core import __version__
from ndic_core.catalogue import CATALOGUE, METRICS
from ndic_core.cli_checks import check_decoding, check_encoding, check_paths, check_weights, limits, note, note_loading
from ndic_core.cli_options import (
    RECOMMENDED,
    Changes,
    ConfigFile,
    Device,
    EncodingModel,
    ImageSize,
    Lambda,
    Metric,
    ShippedFor,
    Untrained,
    Weights,
    metric_option,
    model_option,
    path_argument,
    path_option,
    shipped_rates,
)
from ndic_core.errors import NDICError
from ndic_core.files import read_bytes, shipped_weights
from ndic_core.io import image_format
from ndic_core.io import image_size as size_of_image

if TYPE_CHECKING:
    from ndic_core.models.codec import Codec

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class _Command(TyperCommand):
    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help, wrapped and not cut in the list of commands."""
        return super().get_short_help_str(limit=10_000)


command = partial(app.command, cls=_Command)


def _version(asked: bool):
    if asked:
        typer.echo(f"ndic {__version__}")
        raise typer.Exit


@app.callback()
def ndic(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False):
    """Neural distributed image compression: the decoder has a correlated image that the encoder never sees."""


@command(epilog="Example: ndic run --config teaching --set dataset_name=Street --set epochs=2")
def run(config: ConfigFile = "config", changes: Changes = None):
    """Train and test as configured, like the published main.py."""
    _run(config, changes)


@command(epilog="Example: ndic train --config my.yaml --set max_minutes=60; the same command resumes")
def train(config: ConfigFile = "config", changes: Changes = None):
    """Train only; resume an earlier run of the same experiment."""
    _run(config, changes, train=True, test=False)


@command("test", epilog="Example: ndic test --config my.yaml")
def assess(config: ConfigFile = "config", changes: Changes = None):
    """Test only: encode and decode every test image; write a table and images to the results folder."""
    _run(config, changes, train=False, test=True)


@command(epilog="Example: ndic curve curve.csv --config kitti_stereo --weights a.safetensors --classical")
def curve(
    out: Annotated[
        Path, path_argument(metavar="OUT", help="The .csv file to write; figures of the curves are written beside it.")
    ],
    config: ConfigFile = "config",
    changes: Changes = None,
    weights: Annotated[list[Path] | None, path_option(help="A checkpoint; may be repeated.")] = None,
    model: Annotated[
        list[str] | None, model_option(help="Shipped weights, for every --metric; may be repeated.")
    ] = None,
    classical: Annotated[bool, typer.Option(help="Also JPEG, JPEG 2000, WebP, AVIF and HEVC.")] = False,
    published: Annotated[bool, typer.Option(help="Also draw the published points.")] = False,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    metric: Annotated[list[Metric], metric_option(help="What shipped weights are trained for; may be repeated.")] = (
        Metric[METRICS[0]],
    ),
    points: Annotated[int, typer.Option(min=2, help="Number of lambdas of a variable-rate model.")] = 6,
    pairs: Annotated[int | None, typer.Option(min=1, help="Use only the first N pairs.")] = None,
):
    """Rate-distortion curves of several models on one data set: a table and figures."""
    if out.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{out} must end in .csv", param_hint="OUT")
    if not (weights or model or classical):
        raise typer.BadParameter("give --weights FILE, --model NAME or --classical", param_hint="--weights")
    check_paths(out, *(weights or ()))
    settings = _config(config, changes, train=False, test=False)
    from ndic_core.compare import draw_curves

    shipped = [(name, trained_for.value) for name in model or [] for trained_for in metric]
    draw_curves(settings, out, weights or [], shipped, classical, published, split, points, pairs)


@command(epilog="Example: ndic encode left.png left.ndic --metric mse --lmbda 1e-3")
def encode(
    image: Annotated[Path, path_argument(metavar="IN", help="The image to encode, of any size.")],
    out: Annotated[Path, path_argument(metavar="OUT", help="The .ndic file to write.")],
    model: EncodingModel = None,
    metric: ShippedFor = None,
    weights: Weights = None,
    image_size: ImageSize = None,
    untrained: Untrained = False,
    lmbda: Lambda = None,
    device: Device = None,
):
    """Compress an image. The encoder uses no side information."""
    if out.suffix.lower() != ".ndic":
        raise typer.BadParameter(f"{out} must end in .ndic", param_hint="OUT")
    check_weights(weights, untrained, image_size, metric is not None, lmbda is not None)
    check_paths(out, image, weights)
    size_of_image(image)
    name = model or (None if weights else RECOMMENDED)
    trained_for = metric.value if metric else METRICS[0]
    if not untrained:
        check_encoding(name, trained_for, weights, lmbda)
    note_loading(weights or name)
    from ndic_core import encode as encode_image
    from ndic_core.checkpoints.checkpoint import load_pretrained
    from ndic_core.files import write_whole
    from ndic_core.io import read_image

    x = read_image(image)
    codec = _load_model(name, partial(load_pretrained, name, trained_for), weights, image_size, untrained, device)
    height, width = x.shape[-2:]
    for limit in limits(codec, height, width):
        note(limit)
    start = time.perf_counter()
    stream = encode_image(codec, x, lmbda, progress=True)
    write_whole(out, stream)
    bpp = 8 * len(stream) / (height * width)
    seconds = time.perf_counter() - start
    typer.echo(f"{image} ({height} x {width}) -> {out}: {len(stream)} bytes, {bpp:.4f} bpp, {seconds:.1f} s")


@command(
    epilog="Example: ndic decode left.ndic out.png --side-info right.png. The file does not identify the side image: "
    "with that of another scene the result is worse. Most of these are noted on stderr, not all."
)
def decode(
    stream: Annotated[Path, path_argument(metavar="IN", help="The .ndic file to read.")],
    out: Annotated[Path, path_argument(metavar="OUT", help="The image to write, preferably a .png.")],
    side_info: Annotated[
        Path | None, path_option(help="The correlated image, of the same size; not used by models without y.")
    ] = None,
    weights: Weights = None,
    image_size: ImageSize = None,
    untrained: Untrained = False,
    device: Device = None,
):
    """Decompress an image, with side information if the model uses it."""
    image_format(out)
    check_weights(weights, untrained, image_size)
    check_paths(out, stream, side_info, weights)
    content = read_bytes(stream)
    header = check_decoding(stream, content, side_info, weights, untrained)
    note_loading(weights or header.model)
    from ndic_core import decode as decode_image
    from ndic_core.checkpoints.checkpoint import pretrained_for
    from ndic_core.evaluation.likeness import seems_unrelated
    from ndic_core.io import read_image, write_image

    uses_y = side_info is not None and CATALOGUE[header.model].side_info
    y = read_image(side_info) if uses_y else None
    name = None if weights else header.model
    codec = _load_model(name, partial(pretrained_for, content), weights, image_size, untrained, device)
    start = time.perf_counter()
    try:
        x_hat = decode_image(codec, content, y, progress=True)
    except NDICError as error:
        raise NDICError(f"{stream}: {error}") from error
    write_image(x_hat, out)
    seconds = time.perf_counter() - start
    if y is not None and seems_unrelated(x_hat, y):
        note(f"{side_info} has little in common with the decoded image: check that it shows the same scene and moment")
    typer.echo(f"{stream} -> {out} ({header.height} x {header.width}), {header.model}, {seconds:.1f} s")


@command(epilog="Example: ndic models")
def models():
    """List the models: side information, image sizes, shipped weights."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    for name, info in CATALOGUE.items():
        weights = ", ".join(metric for metric in METRICS if shipped_weights(name, metric)) or "none yet"
        uses = "decodes with y" if info.side_info else "no y"
        sides = f"sides {info.multiple_of}·n" + (", one size" if info.fixed_size else "")
        typer.echo(name)
        for line in (f"{info.title}; {uses}; {sides}", f"weights: {weights}; lambda: {shipped_rates(name)}"):
            typer.echo(textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    "))
    explanation = (
        "y: side information. Sides: image sizes without padding; encode pads or tiles all others. Weights: what the "
        "shipped weights are trained for (--metric), and the range of --lmbda; --weights loads others."
    )
    typer.echo(textwrap.fill(explanation, width))


@command(epilog="Example: ndic demo demo.png")
def demo(out: Annotated[Path, path_argument(metavar="OUT", help="The .png file to write.")] = Path("demo.png")):
    """Encode and decode a photograph with every model; print a table and save a figure of the results."""
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} must end in .png", param_hint="OUT")
    check_paths(out)
    note_loading("all models")
    from ndic_core.demo import run

    run(out)


def _run(config: str, changes: list[str] | None, **fixed):
    settings = _config(config, changes, **fixed)
    from ndic_core.run import run as run_experiment

    run_experiment(settings)


def _config(config: str, changes: list[str] | None, **fixed):
    """The checked configuration; what needs it loads PyTorch next."""
    from ndic_core.config import load_config
    from ndic_core.config_file import parse_changes

    try:
        given = parse_changes(changes or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    settings = load_config(config, **{**given, **fixed})
    note_loading()
    return settings


def _load_model(
    name: str | None,
    shipped: Callable[[], "Codec"],
    weights: Path | None,
    image_size: tuple[int, int] | None,
    untrained: bool,
    device: str | None,
) -> "Codec":
    import torch

    from ndic_core.checkpoints.checkpoint import load_checkpoint
    from ndic_core.models.factory import untrained_model

    if weights is not None:
        model = load_checkpoint(weights, image_size)
        if name not in (None, model.name):
            raise NDICError(f"{weights} holds weights of {model.name}, not {name}: omit --model")
    else:
        model = untrained_model(name) if untrained else shipped()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(device)
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise NDICError(f"device {device!r} is not available on this machine: try --device cpu") from error


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default `sys.argv`. Exit status: 0, 1 if the work failed, 2 after wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # for consoles that cannot show a character
    try:
        app(arguments)
    except (NDICError, OSError) as error:
        typer.echo(f"ndic: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != 130:  # that typer returns after Ctrl-C
            raise
        typer.echo("ndic: interrupted", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

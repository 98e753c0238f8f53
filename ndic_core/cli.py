"""The command line: `ndic run | train | test | curve | encode | decode | models | demo`.

PyTorch, pydantic and other slow imports are deferred to the commands that need them, so that `--help` answers at once.
"""

import sys
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ndic_core import __version__
from ndic_core.catalogue import CATALOGUE, METRICS, MODELS
from ndic_core.errors import NDICError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

ModelName = Enum("ModelName", {name: name for name in MODELS})
Metric = Enum("Metric", {name: name for name in METRICS})
TrainedFor = Annotated[
    Metric, typer.Option("--metric", case_sensitive=False, help="The distortion that shipped weights are trained for.")
]
Weights = Annotated[Path | None, typer.Option(help="A checkpoint: our .safetensors, or a published .pt file.")]
Untrained = Annotated[
    bool,
    typer.Option("--untrained", help="Small untrained weights from a fixed seed, to try the format: images look bad."),
]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(metavar="HEIGHT WIDTH", help="Of a published cross_attention checkpoint, which does not state it."),
]
PRESETS = sorted(file.stem for file in (Path(__file__).parent / "configs").glob("*.yaml"))
ConfigFile = Annotated[str, typer.Option("--config", help=f"A YAML file, or a preset: {', '.join(PRESETS)}.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the configuration; may be repeated."),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; by default cuda if available.")]


def _version(asked: bool):
    if asked:
        typer.echo(f"ndic {__version__}")
        raise typer.Exit


@app.callback()
def ndic(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False):
    """Neural distributed image compression: the decoder has a correlated image that the encoder never sees."""


@app.command(epilog="Example: ndic run --config teaching --set dataset_name=Street --set epochs=2")
def run(config: ConfigFile = "config", changes: Changes = None):
    """Train and test as configured, like the published main.py."""
    _run(config, changes)


@app.command(epilog="Example: ndic train --config my.yaml --set max_minutes=60; the same command resumes")
def train(config: ConfigFile = "config", changes: Changes = None):
    """Train only; resume an earlier run of the same experiment."""
    _run(config, changes, train=True, test=False)


@app.command("test", epilog="Example: ndic test --config my.yaml")
def assess(config: ConfigFile = "config", changes: Changes = None):
    """Test only: encode and decode every test image; write a table and images to the results folder."""
    _run(config, changes, train=False, test=True)


@app.command(epilog="Example: ndic curve curve.csv --config kitti_stereo --weights a.safetensors --classical")
def curve(
    out: Annotated[Path, typer.Argument(help="The .csv file to write; figures of the curves are written beside it.")],
    config: ConfigFile = "config",
    changes: Changes = None,
    weights: Annotated[list[Path] | None, typer.Option(help="A checkpoint; may be repeated.")] = None,
    model: Annotated[
        list[ModelName] | None, typer.Option(help="Shipped weights, for every --metric; may be repeated.")
    ] = None,
    classical: Annotated[bool, typer.Option(help="Also JPEG, JPEG 2000, WebP, AVIF and HEVC.")] = False,
    published: Annotated[bool, typer.Option(help="Also draw the published points.")] = False,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    metric: Annotated[
        list[Metric],
        typer.Option(case_sensitive=False, help="What shipped weights are trained for; may be repeated."),
    ] = (Metric[METRICS[0]],),
    points: Annotated[int, typer.Option(min=2, help="Number of lambdas of a variable-rate model.")] = 6,
    pairs: Annotated[int | None, typer.Option(min=1, help="Use only the first N pairs.")] = None,
):
    """Rate-distortion curves of several models on one data set: a table and figures."""
    if out.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{out} must end in .csv", param_hint="OUT")
    if not (weights or model or classical):
        raise typer.BadParameter("give --weights FILE, --model NAME or --classical", param_hint="--weights")
    _check_paths(out, *(weights or ()))
    settings = _config(config, changes, train=False, test=False)
    from ndic_core.compare import draw_curves

    shipped = [(name.value, trained_for.value) for name in model or [] for trained_for in metric]
    draw_curves(settings, out, weights or [], shipped, classical, published, split, points, pairs)


@app.command(epilog="Example: ndic encode left.png left.ndic --model cross_attention --lmbda 1e-4")
def encode(
    image: Annotated[Path, typer.Argument(help="The image to encode, of any size.")],
    out: Annotated[Path, typer.Argument(help="The .ndic file to write.")],
    model: Annotated[ModelName | None, typer.Option(help="The model; not needed with --weights.")] = None,
    metric: TrainedFor = Metric[METRICS[0]],
    weights: Weights = None,
    image_size: ImageSize = None,
    untrained: Untrained = False,
    lmbda: Annotated[float | None, typer.Option(help="Rate of variable-rate weights; larger means more bits.")] = None,
    device: Device = None,
):
    """Compress an image. The encoder uses no side information."""
    if model is None and weights is None:
        raise typer.BadParameter("give --model NAME or --weights FILE", param_hint="--model")
    if out.suffix.lower() != ".ndic":
        raise typer.BadParameter(f"{out} must end in .ndic", param_hint="OUT")
    _check_paths(out, image, weights)
    from ndic_core import encode as encode_image
    from ndic_core.checkpoints.checkpoint import load_pretrained
    from ndic_core.io import read_image, write_whole

    x = read_image(image)
    name = model and model.value
    shipped = partial(load_pretrained, name, metric.value)
    codec = _load_model(name, shipped, weights, image_size, untrained, device)
    start = time.perf_counter()
    stream = encode_image(codec, x, lmbda, progress=True)
    write_whole(out, stream)
    height, width = x.shape[-2:]
    bpp = 8 * len(stream) / (height * width)
    seconds = time.perf_counter() - start
    typer.echo(f"{image} ({height} x {width}) -> {out}: {len(stream)} bytes, {bpp:.4f} bpp, {seconds:.1f} s")


@app.command(epilog="Example: ndic decode left.ndic out.png --side-info right.png")
def decode(
    stream: Annotated[Path, typer.Argument(metavar="IN", help="The .ndic file to read.")],
    out: Annotated[Path, typer.Argument(help="The image to write, preferably a .png.")],
    side_info: Annotated[Path | None, typer.Option(help="The correlated image, of the same size.")] = None,
    weights: Weights = None,
    image_size: ImageSize = None,
    untrained: Untrained = False,
    device: Device = None,
):
    """Decompress an image, with side information if the model uses it."""
    from ndic_core import decode as decode_image
    from ndic_core.checkpoints.checkpoint import pretrained_for
    from ndic_core.io import image_format, read_bytes, read_image, write_image
    from ndic_core.models.coding.container import unpack

    image_format(out)
    _check_paths(out, stream, side_info, weights)
    content = read_bytes(stream)
    try:
        header, _ = unpack(content)
    except NDICError as error:
        raise NDICError(f"{stream}: {error}") from error
    y = read_image(side_info) if side_info is not None else None
    name = None if weights else header.model
    codec = _load_model(name, partial(pretrained_for, content), weights, image_size, untrained, device)
    if side_info is None and not codec.y_optional:
        raise NDICError(f"{stream} was made by {header.model}, which needs side information: add --side-info IMAGE")
    start = time.perf_counter()
    try:
        x_hat = decode_image(codec, content, y, progress=True)
    except NDICError as error:
        raise NDICError(f"{stream}: {error}") from error
    write_image(x_hat, out)
    seconds = time.perf_counter() - start
    typer.echo(f"{stream} -> {out} ({header.height} x {header.width}), {header.model}, {seconds:.1f} s")


@app.command(epilog="Example: ndic models")
def models():
    """List the models: side information, image sizes, shipped weights."""
    from ndic_core.evaluation.tables import format_table
    from ndic_core.io import shipped_weights

    rows = [
        dict(
            model=name,
            y="yes" if info.side_info else "no",
            sides=f"{info.multiple_of}·n" + (", fixed" if info.fixed_size else ""),
            weights=", ".join(metric for metric in METRICS if shipped_weights(name, metric)) or "none yet",
            description=info.title,
        )
        for name, info in CATALOGUE.items()
    ]
    print(format_table(rows, rows[0]))
    print("y: whether the decoder uses side information. sides: image sizes without padding; encode pads or tiles all")
    print("others. weights: the metrics that shipped weights are trained for (--metric); --weights loads others.")


@app.command(epilog="Example: ndic demo demo.png")
def demo(out: Annotated[Path, typer.Argument(help="The .png file to write.")] = Path("demo.png")):
    """Encode and decode a photograph with every model; print a table and save a figure of the results."""
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} must end in .png", param_hint="OUT")
    _check_paths(out)
    from ndic_core.demo import run

    run(out)


def _run(config: str, changes: list[str] | None, **fixed):
    settings = _config(config, changes, **fixed)  # before the slow import
    from ndic_core.run import run as run_experiment

    run_experiment(settings)


def _config(config: str, changes: list[str] | None, **fixed):
    from ndic_core.config import load_config
    from ndic_core.config_file import parse_changes

    try:
        given = parse_changes(changes or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    return load_config(config, **{**given, **fixed})


def _check_paths(out: Path, *inputs: Path | None) -> None:
    """Check the paths before any slow work: inputs and folders exist, and no input is overwritten."""
    for path in inputs:
        if path is None:
            continue
        if not path.exists():
            raise NDICError(f"there is no file {path}: check its name")
        if out.exists() and out.samefile(path):
            raise NDICError(f"{out} would overwrite an input: choose another name for the result")
    if not out.parent.is_dir():
        raise NDICError(f"{out} cannot be written: there is no folder {out.parent}; create it first")


def _load_model(
    name: str | None,
    shipped: Callable,
    weights: Path | None,
    image_size: tuple[int, int] | None,
    untrained: bool,
    device: str | None,
):
    import torch

    from ndic_core.checkpoints.checkpoint import load_checkpoint
    from ndic_core.models.factory import untrained_model

    if untrained and weights is not None:
        raise typer.BadParameter("--untrained and --weights exclude each other: give one", param_hint="--untrained")
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
    except KeyboardInterrupt:
        typer.echo("ndic: interrupted", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

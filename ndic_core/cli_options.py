"""Arguments and options of the command line. Paths and names of models are checked while they are parsed."""

from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ndic_core.catalogue import METRICS, MODELS, model_info
from ndic_core.checkpoints.header import shipped_model
from ndic_core.errors import NDICError
from ndic_core.files import expand_path

RECOMMENDED = "parallax_attention"
PRESETS = sorted(file.stem for file in (Path(__file__).parent / "configs").glob("*.yaml"))
Metric = Enum("Metric", {name: name for name in METRICS})


def _usage(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same function, but what it refuses is wrong usage of the option."""

    def parser(text: str) -> Any:
        try:
            return parse(text)
        except NDICError as error:
            raise typer.BadParameter(str(error)) from error

    return parser


def shipped_rates(name: str) -> str:
    """The lambdas of a model's shipped weights, in words; empty if there are none."""
    shipped = [(metric, shipped_model(name, metric)) for metric in METRICS]
    return ", ".join("{:g} to {:g} for {}".format(*model.lambdas, metric) for metric, model in shipped if model)


path_argument = partial(typer.Argument, parser=_usage(expand_path))
path_option = partial(typer.Option, parser=_usage(expand_path), metavar="FILE")
model_option = partial(typer.Option, parser=_usage(lambda name: model_info(name).name), metavar="NAME")
metric_option = partial(
    typer.Option, "--metric", case_sensitive=False, help="The distortion that shipped weights are trained for."
)

EncodingModel = Annotated[
    str | None,
    model_option(help=f"One of {', '.join(MODELS)}.", show_default=f"{RECOMMENDED}, or that of --weights"),
]
ShippedFor = Annotated[Metric | None, metric_option(show_default=METRICS[0])]
Weights = Annotated[Path | None, path_option(help="A checkpoint: our .safetensors, or a published .pt file.")]
Untrained = Annotated[
    bool,
    typer.Option("--untrained", help="Small untrained weights from a fixed seed, to try the format: images look bad."),
]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(metavar="HEIGHT WIDTH", help="Of a published cross_attention checkpoint, which does not state it."),
]
Lambda = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Rate of variable-rate weights; larger means more bits. "
        f"{RECOMMENDED} has {shipped_rates(RECOMMENDED)}; ndic models lists all.",
        show_default="the middle rate",
    ),
]
ConfigFile = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"A YAML file, or a preset: {', '.join(PRESETS)}. pretrain is the recipe of benchmarks/pretrain.py.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the configuration; may be repeated."),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="cpu or cuda.", show_default="cuda if available"),
]

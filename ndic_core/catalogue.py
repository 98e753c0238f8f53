"""The registry of models: one entry adds a model everywhere. Imported without PyTorch, for a quick command line."""

import difflib
from dataclasses import dataclass
from importlib import import_module
from math import lcm
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator

from ndic_core.errors import NDICError

STRIDES = (8, 4, 2)  # pixels per position of the features after the first three synthesis stages, along each side
DOWNSAMPLING = 16  # pixels per position of a latent, along each side
METRICS = ("MS-SSIM", "MSE")  # what shipped weights are trained for; the first is the default

Positive = Annotated[float, Field(gt=0)]


def option(default: Any, accepts: str, description: str, **bounds) -> Any:
    """A field of a configuration.

    Args:
        default: its value where none is given.
        accepts: the accepted values in words, for error messages.
        description: its meaning, for the documentation.
        bounds: constraints and other arguments of `pydantic.Field`.
    """
    return Field(default, description=description, json_schema_extra={"accepts": accepts}, **bounds)


class ModelOptions(BaseModel):
    """Options of every model; subclasses add a model's own. Checked by `build_model` and, as YAML keys, by `Config`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    num_filters: int = option(
        192, "a whole number from 1 to 4096", "Channels of every layer and of the latent.", ge=1, le=4096
    )
    lmbda: Positive | Annotated[list[Positive], Strict(False), Field(min_length=2, max_length=2)] = option(
        0.00003,
        "a positive number, or for a variable-rate model two of them: [lowest, highest]",
        "Weight of the distortion (times 255²) against the rate: the larger, the more bits. Two numbers, "
        "`[0.001, 0.02]`, make one variable-rate model for all rates between them (gain units, Cui et al. 2021).",
        alias="lambda",
    )

    @field_validator("lmbda")
    @classmethod
    def _ascending(cls, value):
        if isinstance(value, list) and value[0] >= value[1]:
            raise ValueError("lowest and highest")
        return value

    @classmethod
    def own_fields(cls) -> tuple[str, ...]:
        """The names of the options that not every model has."""
        return tuple(name for name in cls.model_fields if name not in ModelOptions.model_fields)

    def side_multiple(self, default: int) -> int:
        """What the sides of an image must be multiples of, where the model's `multiple_of` is `default`."""
        return default


class CrossAttentionOptions(ModelOptions):
    """Options of `cross_attention`; see `ndic_core.models.cross_attention.CrossAttentionModule`."""

    embed_dim: int = option(
        256, "a whole number of at least 1", "Embedding dimension of the cross-attention modules.", ge=1
    )
    heads: int = option(8, "a whole number of at least 1", "Number of attention heads.", ge=1)
    head_dim: int | None = option(
        None,
        "a whole number of at least 1, or null for embed_dim",
        "Dimension of each attention head; `null` is `embed_dim`, as published.",
        ge=1,
    )
    patch_grid: int = option(
        4,
        "a whole number of at least 1",
        "Patches along each side of a feature map; the sides of the images must be multiples of 8 times this.",
        ge=1,
    )
    dropout: float = option(
        0.1, "a number from 0 to below 1", "Dropout after the attention's output projection, in training.", ge=0, lt=1
    )

    def side_multiple(self, default: int) -> int:
        return lcm(DOWNSAMPLING, STRIDES[0] * self.patch_grid)


class ParallaxAttentionOptions(ModelOptions):
    """Options of `parallax_attention`; see `ndic_core.models.parallax_attention.ParallaxAttention`."""

    search_range: int = option(
        96,
        "a whole number from 0 to 4096",
        "Pixels along the row within which a match is searched, at least; in images wider than 16/3 of it the range is "
        "3/16 of their width. A third as far is searched in the other direction.",
        ge=0,
        le=4096,
    )
    search_rows: int = option(
        0,
        "a whole number from 0 to 4096",
        "Pixels up and down within which a match is searched: 0 for rectified, synchronised cameras, a few otherwise.",
        ge=0,
        le=4096,
    )
    robust: bool = option(
        False,
        "true or false",
        "Whether one twentieth of the training images come with another scene's y and another twentieth without y, so "
        "that the model also decodes without y.",
    )


@dataclass(frozen=True)
class ModelInfo:
    """The entry of a model.

    Attributes:
        name: the public name, as in the YAML key `model`.
        where: `module:Class` inside `ndic_core.models`.
        code: the number of the model in an `.ndic` file (0 to 15, never reused).
        title: what it is, in a few words.
        source: the paper.
        colour: of its curves, RGB in hexadecimal digits (Okabe–Ito).
        marker: of its points, as matplotlib names it.
        side_info: whether the decoder needs the correlated image `y`.
        multiple_of: the sides of an image must be multiples of this (with the default options).
        transmitted: the latents that are sent, in the order of the stream's likelihoods.
        warm_starts: other models whose weights its training may start with, the preferred first.
        options: its options, their bounds and meanings.
        training_keys: keys of `Config` that have a meaning for this model's training alone.
        fixed_size: whether its weights are built for one `image_size`.
    """

    name: str
    where: str
    code: int
    title: str
    source: str
    colour: str
    marker: str
    side_info: bool = False
    multiple_of: int = DOWNSAMPLING
    transmitted: tuple[str, ...] = ("x",)
    warm_starts: tuple[str, ...] = ()
    options: type[ModelOptions] = ModelOptions
    training_keys: tuple[str, ...] = ()
    fixed_size: bool = False

    @property
    def own_keys(self) -> tuple[str, ...]:
        """Keys of `Config` that not every model has."""
        return (*self.options.own_fields(), *self.training_keys)

    def load_class(self):
        """The model's class (imports PyTorch and CompressAI)."""
        module, name = self.where.split(":")
        return getattr(import_module(f"ndic_core.models.{module}"), name)


_ENTRIES = (
    ModelInfo(
        "bls17",
        "baselines:BLS17",
        code=0,
        title="three layers, factorised prior",
        source="Ballé, Laparra & Simoncelli 2017, arXiv 1611.01704",
        colour="#999999",
        marker="o",
    ),
    ModelInfo(
        "bmshj18_factorized",
        "baselines:BMSHJ18Factorized",
        code=1,
        title="four layers, factorised prior: the matched baseline",
        source="Ballé et al. 2018, arXiv 1802.01436",
        colour="#000000",
        marker="s",
    ),
    ModelInfo(
        "bmshj18",
        "baselines:BMSHJ18",
        code=2,
        multiple_of=64,
        transmitted=("x", "z"),
        title="four layers, scale hyperprior",
        source="Ballé et al. 2018, arXiv 1802.01436, hyper-analysis as in the release of NDIC-CAM",
        colour="#56B4E9",
        marker="D",
        warm_starts=("bmshj18_factorized",),
    ),
    ModelInfo(
        "ndic_bls17",
        "ndic:NDICBls17",
        code=3,
        side_info=True,
        title="common information from y, factorised priors",
        source="Mital et al. 2022 (NDIC), arXiv 2106.11723",
        colour="#E69F00",
        marker="^",
        warm_starts=("bmshj18_factorized",),
    ),
    ModelInfo(
        "ndic_bmshj18",
        "ndic:NDICBmshj18",
        code=4,
        side_info=True,
        multiple_of=64,
        transmitted=("x", "z"),
        title="common information from y, scale hyperpriors",
        source="Mital et al. 2022 (NDIC), arXiv 2106.11723",
        colour="#009E73",
        marker="v",
        warm_starts=("bmshj18_factorized", "bmshj18", "ndic_bls17"),
    ),
    ModelInfo(
        "cross_attention",
        "aligned:CrossAttention",
        code=5,
        side_info=True,
        multiple_of=32,
        title="ndic_bls17 with decoder features aligned by cross-attention",
        source="Mital et al. 2022 (NDIC-CAM), arXiv 2207.08489",
        colour="#D55E00",
        marker="P",
        warm_starts=("bmshj18_factorized", "ndic_bls17"),
        options=CrossAttentionOptions,
        fixed_size=True,
    ),
    ModelInfo(
        "parallax_attention",
        "parallax_attention:ParallaxAttention",
        code=6,
        side_info=True,
        title="y aligned along the row, coarse to fine, factorised prior",
        source="this project",
        colour="#CC79A7",
        marker="*",
        warm_starts=("bmshj18_factorized",),
        options=ParallaxAttentionOptions,
        training_keys=("matching_loss_weight",),
    ),
)

CATALOGUE: dict[str, ModelInfo] = {info.name: info for info in _ENTRIES}
MODELS: tuple[str, ...] = tuple(CATALOGUE)


def model_info(name: str) -> ModelInfo:
    """The entry of a model.

    Raises:
        NDICError: there is no such model.
    """
    if not isinstance(name, str) or name not in CATALOGUE:
        alike = difflib.get_close_matches(str(name).lower().replace("-", "_"), MODELS, n=1, cutoff=0.5)
        hint = f"did you mean {alike[0]!r}?" if alike else f"choose one of {', '.join(MODELS)}"
        raise NDICError(f"unknown model {name!r}: {hint}")
    return CATALOGUE[name]


def in_words(low: float, high: float) -> str:
    """The lowest and highest lambda of weights, or their only one.

    Example:
        >>> in_words(1e-4, 0.005), in_words(0.01, 0.01)
        ('lambdas from 0.0001 to 0.005', 'one rate, lambda = 0.01')
    """
    return f"one rate, lambda = {low:g}" if low == high else f"lambdas from {low:g} to {high:g}"

"""An experiment's YAML: the published keys and defaults, a few more of ours, every value checked."""

import difflib
import math
import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from ndic_core.catalogue import CATALOGUE, MODELS
from ndic_core.errors import NDICError

DATASETS = ("KITTI_Stereo", "KITTI_General", "Cityscape", "Street", "Mixed", "Folder")

# Keys of one model. Where the model of a file is changed, the file's keys for the former model are dropped.
OF_ONE_MODEL = {
    **dict.fromkeys(("embed_dim", "heads", "head_dim", "patch_grid", "dropout"), "cross_attention"),
    **dict.fromkeys(("parallax", "matching_loss_weight"), "parallax_attention"),
}

Side = Annotated[int, Field(ge=16)]
Positive = Annotated[float, Field(gt=0)]


class Parallax(BaseModel):
    """What may be chosen of `parallax_attention`; see `ndic_core.models.parallax_attention.ParallaxAttention`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    search_range: int = Field(96, ge=0, le=4096, description="a whole number from 0 to 4096")
    search_rows: int = Field(0, ge=0, le=4096, description="a whole number from 0 to 4096")
    robust: bool = Field(False, description="true or false")


class Config(BaseModel):
    """One experiment. Attributes are the YAML's keys, except that `lambda` is `lmbda` in Python.

    The first group has the published names, meanings and defaults; what follows has defaults that keep that
    meaning. Each field's description says what it accepts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Dataset
    dataset_name: Literal[DATASETS] = Field(
        "KITTI_Stereo", description=", ".join(DATASETS[:-1]) + " or " + DATASETS[-1]
    )
    dataset_path: str | Annotated[list[str], Field(min_length=2, max_length=2)] = Field(
        ".", description="a path in quotes, or for Folder two of them: [left, right]"
    )
    resize: Annotated[list[Side], Field(min_length=2, max_length=2)] = Field(
        [128, 256], description="two whole numbers, [height, width], of at least 16"
    )

    # Model
    model: Literal[MODELS] = Field("cross_attention", description=", ".join(MODELS[:-1]) + " or " + MODELS[-1])
    num_filters: int = Field(192, ge=1, le=4096, description="a whole number from 1 to 4096")
    cuda: bool = Field(True, description="true or false")
    load_weight: bool = Field(False, description="true or false")
    weight_path: str = Field("./pretrained_weights/model.pt", description="a path in quotes")

    # Training
    train: bool = Field(True, description="true or false")
    epochs: int = Field(50000, ge=1, description="a whole number of at least 1")
    train_batch_size: int = Field(1, ge=1, description="a whole number of at least 1")
    lr: float = Field(0.0001, gt=0, description="a positive number")
    lmbda: Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        0.00003,
        alias="lambda",
        description="a positive number, or for one model of all rates between two of them: [lowest, highest]",
    )
    alpha: float = Field(0, ge=0, description="a number of at least 0")
    beta: float = Field(0, ge=0, description="a number of at least 0")
    distortion_loss: Literal["MS-SSIM", "MSE"] = Field("MS-SSIM", description="MS-SSIM or MSE")
    verbose_period: int = Field(50, description="a whole number; 0 or less for silence")

    # Weights and results
    save_weights: bool = Field(True, description="true or false")
    save_output_path: str = Field("./outputs", description="a path in quotes")
    experiment_name: str = Field(
        "cross_attention_MS-SSIM_lambda:3e-05",
        min_length=1,
        max_length=120,
        description="a name of 1 to 120 characters",
    )

    # Test
    test: bool = Field(True, description="true or false")
    save_image: bool = Field(True, description="true or false")

    # Beyond the published keys. The generated street: how many pairs of each split, and its knobs
    street_pairs: Annotated[list[Annotated[int, Field(ge=1, le=10_000_000)]], Field(min_length=3, max_length=3)] = (
        Field([512, 64, 64], description="three whole numbers from 1 to 10 million, [train, val, test]")
    )
    street: dict[str, int | float] = Field({}, description="knobs of ndic_core.data.street.Street, name: number")

    # Of dataset_name Mixed: how much of an epoch is the street's, and real pairs that are not to be trained on
    synthetic_fraction: float = Field(0.25, ge=0, lt=1, description="a number from 0 to below 1")
    exclude: list[str] = Field(
        [], description="a list of names in quotes, without ending, or in a YAML file the name of a list file beside it"
    )
    native_path: str = Field("", description="a path in quotes: some of the pairs at the camera's resolution")
    window_fraction: float = Field(0, ge=0, lt=1, description="a number from 0 to below 1")

    # The optimizer, the average of its weights, and the balance of the rates
    optimizer: Literal["adam", "soap"] = Field("adam", description="adam (with AMSGrad, as published) or soap")
    ema_decay: float = Field(0, ge=0, lt=1, description="a number from 0 (no average of the weights) to below 1")
    rate_balance: float = Field(0, ge=0, le=2, description="a number from 0 to 2")

    # How training goes on
    seed: int = Field(0, ge=0, lt=2**32, description="a whole number from 0 to below 2**32")
    resume: bool = Field(True, description="true or false")
    max_minutes: float | None = Field(None, gt=0, description="a positive number, or null for no limit")
    validation_period: int = Field(1, ge=1, description="a whole number of at least 1")
    lr_scheduler: Literal["plateau", "cosine"] = Field("plateau", description="plateau or cosine")
    warmup_steps: int = Field(0, ge=0, description="a whole number of at least 0")
    max_grad_norm: float | None = Field(None, gt=0, description="a positive number, or null for no limit")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto (bf16 where the GPU or CPU computes in it, else float32), float32 or bf16"
    )
    compile: bool = Field(False, description="true or false")
    matching_loss_weight: float = Field(0, ge=0, description="a number of at least 0")

    # The attention of cross_attention, and that of parallax_attention
    embed_dim: int = Field(256, ge=1, description="a whole number of at least 1")
    heads: int = Field(8, ge=1, description="a whole number of at least 1")
    head_dim: int | None = Field(None, ge=1, description="a whole number of at least 1, or null for embed_dim")
    patch_grid: int = Field(4, ge=1, description="a whole number of at least 1")
    dropout: float = Field(0.1, ge=0, lt=1, description="a number from 0 to below 1")
    parallax: Parallax = Field(Parallax(), description="keys of parallax_attention, name: value")

    @model_validator(mode="after")
    def _images_fit_the_model(self) -> "Config":
        if self.model == "cross_attention":
            step = math.lcm(16, 8 * self.patch_grid)
        else:
            step = CATALOGUE[self.model].multiple_of
        if any(side % step for side in self.resize):
            raise ValueError(f"resize: got {self.resize}; {self.model} takes multiples of {step}")
        if self.train and self.distortion_loss == "MS-SSIM" and min(self.resize) <= 96:
            raise ValueError(f"resize: got {self.resize}; MS-SSIM needs sides above 96, distortion_loss: MSE does not")
        return self

    @model_validator(mode="after")
    def _values_go_together(self) -> "Config":
        if isinstance(self.lmbda, list) and self.lmbda[0] >= self.lmbda[1]:
            raise ValueError(f"lambda: got {self.lmbda}; accepted is [lowest, highest]")
        if self.dataset_name == "Mixed" and self.test:
            raise ValueError("test: dataset_name: Mixed has no pairs to test on; set test: False")
        if bool(self.window_fraction) != bool(self.native_path) or (self.native_path and self.dataset_name != "Mixed"):
            raise ValueError("window_fraction and native_path: they are for dataset_name: Mixed, both or neither")
        if isinstance(self.dataset_path, list) and self.dataset_name != "Folder":
            raise ValueError(f"dataset_path: two paths are for dataset_name: Folder; {self.dataset_name} takes one")
        return self

    @model_validator(mode="after")
    def _matching_loss_needs_the_disparity(self) -> "Config":
        if not self.matching_loss_weight or not self.train:
            return self
        if self.model != "parallax_attention" or self.dataset_name not in ("Street", "Mixed"):
            needs = "model: parallax_attention and dataset_name: Street (or Mixed), whose disparity is known"
            raise ValueError(f"matching_loss_weight: got {self.matching_loss_weight}; it needs {needs}")
        for knob in ("time_offset", "vertical_misalignment"):
            if self.street.get(knob):
                raise ValueError(
                    f"matching_loss_weight: got {self.matching_loss_weight}; street's {knob} falsifies the disparity"
                )
        if self.compile:
            raise ValueError(
                f"matching_loss_weight: got {self.matching_loss_weight}; compile: True does not go together with it"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "Config":
        if self.warmup_steps and self.lr_scheduler == "plateau":
            raise ValueError(f"warmup_steps: got {self.warmup_steps}; only lr_scheduler: 'cosine' warms up")
        if self.rate_balance and not isinstance(self.lmbda, list):
            raise ValueError(f"rate_balance: got {self.rate_balance}; it needs lambda: [lowest, highest]")
        for key, model in OF_ONE_MODEL.items():
            if self.model != model and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: {self.model} has no such key, it is for model: {model}")
        return self

    def model_arguments(self) -> dict:
        """Arguments for `ndic_core.build_model`."""
        lmbda = tuple(self.lmbda) if isinstance(self.lmbda, list) else self.lmbda
        arguments = dict(name=self.model, num_filters=self.num_filters, image_size=tuple(self.resize), lmbda=lmbda)
        if self.model == "cross_attention":
            attention = [key for key, model in OF_ONE_MODEL.items() if model == self.model]
            arguments.update((key, getattr(self, key)) for key in attention)
        if self.model == "parallax_attention":
            arguments.update(self.parallax)
        return arguments


def presets() -> dict[str, Path]:
    """Configurations that ship with the package, by name."""
    folder = Path(str(resources.files("ndic_core"))) / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_yaml(path: str | os.PathLike) -> dict:
    """The keys of an experiment's YAML file and of the file that it `extends`, not checked.

    `extends: NAME` names a preset, or a file by its path from the one that extends it; what a file says itself counts
    more. `exclude: FILE` is replaced by the names that a list file beside the YAML holds: one a line, `#` begins a
    comment.

    Args:
        path: of the file, or the name of a preset.

    Raises:
        NDICError: a file is missing, no YAML, or extends itself.
    """
    known, content, seen = presets(), {}, []
    file = known.get(str(path), Path(path))
    while file not in seen:
        seen.append(file)
        found = _yaml(file, ", ".join(known))
        if isinstance(found.get("exclude"), str):
            lines = _text(file.parent / found["exclude"], "list file").splitlines()
            names = (line.partition("#")[0].strip() for line in lines)
            found["exclude"] = [name for name in names if name]
        content = found | content
        extended = content.pop("extends", None)
        if extended is None:
            return content
        file = known.get(str(extended), file.parent / str(extended))
    raise NDICError(f"{path} extends itself, by way of {' and '.join(map(str, seen))}: let one of them extend nothing")


def _text(file: Path, what: str, hint: str = "") -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NDICError(f"there is no {what} {file}{hint}") from None
    except UnicodeDecodeError as error:
        raise NDICError(f"{file} is not valid YAML: {error.reason}") from error
    except OSError as error:
        raise NDICError(f"{file} cannot be read: {error.strerror}") from error


def _yaml(file: Path, known: str) -> dict:
    """One file as it is."""
    text = _text(file, "configuration", f": give a file, or one of the presets {known}")
    try:
        content = YAML(typ="safe", pure=True).load(text)  # YAML 1.2: 3e-05 is a number
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise NDICError(f"{file} is not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    if content is not None and not isinstance(content, dict):
        raise NDICError(f"{file} is no configuration: it must hold lines of the form key: value")
    return content or {}


def load_config(path: str | os.PathLike, /, **changes) -> Config:
    """Read and check an experiment's YAML file.

    Args:
        path: of the file, or the name of a preset that ships with the package ("config" holds the published
            defaults, "teaching" a small model).
        changes: keys to set differently (`lmbda` for `lambda`).

    Returns:
        The configuration; keys that the file leaves out have the published defaults.

    Raises:
        NDICError: the file is missing or no YAML, or a key is unknown or has a value of a wrong type or range: the
            sentence names the key, what was given and what is accepted.

    Example:
        >>> config = load_config("config")
        >>> config.model, config.lmbda, config.resize
        ('cross_attention', 3e-05, [128, 256])
    """
    content = read_yaml(path)
    if "stages" in content:
        raise NDICError(f"{path} is a recipe of several trainings: benchmarks/pretrain.py works through it")
    return check(content, path, **changes)


def parse_changes(changes: Iterable[str]) -> dict:
    """Keys and values of a command line's `KEY=VALUE`, values as in YAML.

    Raises:
        ValueError: one is of another form, in a sentence.

    Example:
        >>> parse_changes(["lr=1e-2", "lambda=[0.001, 0.02]"])
        {'lr': 0.01, 'lambda': [0.001, 0.02]}
    """
    given = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"{change!r} is not KEY=VALUE")
        try:
            given[key.strip()] = YAML(typ="safe", pure=True).load(value)
        except (YAMLError, ValueError) as error:
            raise ValueError(f"{value!r} is no YAML value") from error
    return given


def check(content: dict, where: str | os.PathLike, /, **changes) -> Config:
    """A configuration from keys that were read elsewhere, and `changes` of them; `where` names their source."""
    changes = {
        ("lambda" if key == "lmbda" else key): list(value) if isinstance(value, tuple) else value
        for key, value in changes.items()
    }
    model = changes.get("model")
    if model not in (None, content.get("model", Config.model_fields["model"].default)):
        content = {key: value for key, value in content.items() if OF_ONE_MODEL.get(key, model) == model}
    try:
        return Config.model_validate(content | changes)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_sentence(problem) for problem in error.errors()))
        raise NDICError(f"{where}: {problems}") from None


def _sentence(problem: dict) -> str:
    """What is wrong with one key: its name, what was given, what is accepted."""
    if not problem["loc"]:
        return problem["msg"].removeprefix("Value error, ")
    key, *inner = map(str, problem["loc"])
    schema, within = (Parallax, f"{key}: ") if key == "parallax" and inner else (Config, "")
    key = inner[0] if within else key
    fields = {field.alias or name: field for name, field in schema.model_fields.items()}
    if key not in fields:
        close = difflib.get_close_matches(key, fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(fields)}"
        return f"{within}unknown key {key!r}: {hint}"
    return f"{within}{key}: got {problem['input']!r}; accepted is {fields[key].description}"

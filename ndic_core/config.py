"""Configuration of an experiment: a YAML file with the published keys and defaults, and further keys."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict, ValidationError, model_validator

from ndic_core.catalogue import CATALOGUE, METRICS, MODELS, ModelOptions, model_info, option
from ndic_core.config_file import read_yaml
from ndic_core.errors import NDICError, explain
from ndic_core.files import expand_path

DATASETS = ("KITTI_Stereo", "KITTI_General", "Cityscape", "Street", "Mixed", "Folder")


def _expanded(path: object) -> object:
    if not isinstance(path, (str, os.PathLike)) or not path:
        return path  # refused, or empty
    text, expanded = os.fspath(path), expand_path(path)
    return text if expanded == Path(text) else os.fspath(expanded)


_MODEL_OPTIONS = tuple(dict.fromkeys(info.options for info in CATALOGUE.values() if info.options.own_fields()))
PathText = Annotated[str, BeforeValidator(_expanded)]
Side = Annotated[int, Field(ge=16)]
BOOLEAN, PATH = "true or false", "a path in quotes"  # accepted values
COUNT = partial(option, accepts="a whole number of at least 1", ge=1)
WEIGHT = partial(option, accepts="a number of at least 0", ge=0)


def _one_of(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]])


class Config(*_MODEL_OPTIONS):
    """One experiment. Attributes are the YAML's keys, except that `lambda` is `lmbda` in Python.

    The options of the models come from the catalogue. The first group has the published names, meanings and defaults;
    what follows has defaults that keep that meaning.
    """

    # Dataset
    dataset_name: Literal[DATASETS] = option("KITTI_Stereo", _one_of(DATASETS), "The data set.")
    dataset_path: PathText | Annotated[list[PathText], Field(min_length=2, max_length=2)] = option(
        ".",
        "a path in quotes, or for Folder two of them: [left, right]",
        "The folder of the data set. `Street` needs none; `Folder` also takes two: `[left, right]`.",
    )
    resize: Annotated[list[Side], Strict(False), Field(min_length=2, max_length=2)] = option(
        [128, 256],
        "two whole numbers, [height, width], of at least 16",
        "Height and width of the images in training and test.",
    )

    # Model
    model: Literal[MODELS] = option("cross_attention", _one_of(MODELS), "The model.")
    cuda: bool = option(True, BOOLEAN, "Whether a GPU is used where there is one.")
    load_weight: bool = option(
        False,
        BOOLEAN,
        "Whether training starts with the weights of `weight_path`: the model's own, or those of a simpler model with "
        "as many filters.",
    )
    weight_path: PathText = option(
        "./pretrained_weights/model.pt",
        PATH,
        "The checkpoint that `load_weight` loads; with `train: False` the one that is tested.",
    )

    # Training
    train: bool = option(True, BOOLEAN, "Whether `ndic run` trains.")
    epochs: int = COUNT(50000, description="Epochs to train.")
    train_batch_size: int = COUNT(1, description="Images in each training step, on all GPUs together.")
    lr: float = option(0.0001, "a positive number", "Learning rate.", gt=0)
    alpha: float = WEIGHT(0, description="Loss weight of the rate and distortion of the side image y.")
    beta: float = WEIGHT(0, description="Loss weight of the rate of the common information w.")
    distortion_loss: Literal[METRICS] = option("MS-SSIM", _one_of(METRICS), "The distortion that training minimises.")
    verbose_period: int = option(
        50,
        "a whole number; 0 or less for silence",
        "Epochs between the lines that report progress; 0 or less for none.",
    )

    # Weights and results
    save_weights: bool = option(True, BOOLEAN, "Whether the best weights are saved.")
    save_output_path: PathText = option("./outputs", PATH, "The folder of all weights, results and logs.")
    experiment_name: str = option(
        "cross_attention_MS-SSIM_lambda:3e-05",
        "a name of 1 to 120 characters",
        "The name of the experiment's files.",
        min_length=1,
        max_length=120,
    )

    # Test
    test: bool = option(True, BOOLEAN, "Whether `ndic run` tests.")
    save_image: bool = option(True, BOOLEAN, "Whether the test saves every reconstruction.")

    # Beyond the published keys. The generated street
    street_pairs: Annotated[list[Annotated[int, Field(ge=1, le=10_000_000)]], Field(min_length=3, max_length=3)] = (
        option(
            [512, 64, 64],
            "three whole numbers from 1 to 10 million, [train, val, test]",
            "Pairs of the generated street for training, validation and test.",
        )
    )
    street: dict[str, int | float] = option(
        {},
        "parameters of ndic_core.data.street.Street, name: number",
        "Parameters of the generated street, as of `ndic_core.data.street.Street`.",
    )

    # Of dataset_name Mixed
    synthetic_fraction: float = option(
        0.25,
        "a number from 0 to below 1",
        "Of `Mixed`: fraction of an epoch that is the generated street's.",
        ge=0,
        lt=1,
    )
    exclude: list[str] = option(
        [],
        "a list of names in quotes, without ending, or in a YAML file the name of a list file beside it",
        "Of `Mixed`: names of real pairs that are not used in training; in a file also the name of a list file beside "
        "it.",
    )
    native_path: PathText = option(
        "",
        "a path in quotes: some of the pairs at the camera's resolution",
        "Of `Mixed`: a folder with some of the pairs at the resolution of the camera.",
    )
    window_fraction: float = option(
        0,
        "a number from 0 to below 1",
        "Of `Mixed`: fraction of an epoch that shows crops from `native_path`, at any scale up to the camera's.",
        ge=0,
        lt=1,
    )

    # The optimizer
    optimizer: Literal["adam", "soap"] = option(
        "adam",
        "adam (with AMSGrad, as published) or soap",
        "`adam` (with AMSGrad, as published) or `soap` (Vyas et al. 2024), which needs a fraction of the steps: `lr` "
        "0.01 from fresh weights, 0.003 from trained ones.",
    )
    ema_decay: float = option(
        0,
        "a number from 0 (no average of the weights) to below 1",
        "Decay of an exponential moving average of the weights, which is validated too and saved where it is better; 0 "
        "for none.",
        ge=0,
        lt=1,
    )
    rate_balance: float = option(
        0,
        "a number from 0 to 2",
        "Of a variable-rate model: the loss of each image is divided by lambda to this power; with 0.6 all rates count "
        "about equally.",
        ge=0,
        le=2,
    )
    lr_scheduler: Literal["plateau", "cosine"] = option(
        "plateau",
        "plateau or cosine",
        "`plateau` reduces the learning rate when the validation loss stops falling, as published; `cosine` over all "
        "epochs, which then cannot be changed when training resumes.",
    )
    warmup_steps: int = option(
        0, "a whole number of at least 0", "Of `cosine`: steps over which the learning rate rises linearly.", ge=0
    )
    max_grad_norm: float | None = option(
        None,
        "a positive number, or null for no limit",
        "The norm to which gradients are clipped; `null` for no clipping.",
        gt=0,
    )
    matching_loss_weight: float = WEIGHT(
        0,
        description="Initial weight of the matching loss (supervised attention) of `parallax_attention` on the "
        "generated street; it falls to 0 at half of the epochs.",
    )

    # The run
    seed: int = option(0, "a whole number from 0 to below 2**32", "Seed of weights, order and noise.", ge=0, lt=2**32)
    resume: bool = option(
        True, BOOLEAN, "Whether an earlier run of the same name is resumed; `False` refuses to overwrite it."
    )
    max_minutes: float | None = option(
        None, "a positive number, or null for no limit", "Time limit of a run; the next run resumes it.", gt=0
    )
    validation_period: int = COUNT(1, description="Epochs between validations.")
    precision: Literal["auto", "float32", "bf16"] = option(
        "auto",
        "auto (bf16 where the GPU or CPU computes in it, else float32), float32 or bf16",
        "Number format of training: `auto` is bf16 where the GPU or CPU supports it, else float32.",
    )
    compile: bool = option(False, BOOLEAN, "Whether `torch.compile` is used: a minute at the start, then faster steps.")

    @model_validator(mode="after")
    def _sizes_fit_the_model(self) -> "Config":
        step = self.model_options().side_multiple(model_info(self.model).multiple_of)
        if (self.train or self.test) and any(side % step for side in self.resize):  # else it is not used: `ndic curve`
            raise ValueError(f"resize: got {self.resize}; {self.model} takes multiples of {step}")
        if self.train and self.distortion_loss == "MS-SSIM" and min(self.resize) <= 96:
            raise ValueError(f"resize: got {self.resize}; MS-SSIM needs sides above 96, distortion_loss: MSE does not")
        return self

    @model_validator(mode="after")
    def _matching_loss_has_ground_truth(self) -> "Config":
        if not self.matching_loss_weight or not self.train:
            return self
        got = f"matching_loss_weight: got {self.matching_loss_weight}"
        if self.model != "parallax_attention" or self.dataset_name not in ("Street", "Mixed"):
            needs = "model: parallax_attention and dataset_name: Street (or Mixed), whose disparity is known"
            raise ValueError(f"{got}; it needs {needs}")
        for parameter in ("time_offset", "vertical_misalignment"):
            if self.street.get(parameter):
                raise ValueError(f"{got}; with street's {parameter} the disparity is not the true match")
        if self.compile:
            raise ValueError(f"{got}; it cannot be combined with compile: True")
        return self

    @model_validator(mode="after")
    def _keys_are_consistent(self) -> "Config":
        if self.dataset_name == "Mixed" and self.test:
            raise ValueError("test: dataset_name: Mixed has no pairs to test on; set test: False")
        if bool(self.window_fraction) != bool(self.native_path) or (self.native_path and self.dataset_name != "Mixed"):
            raise ValueError("window_fraction and native_path: they are for dataset_name: Mixed, both or neither")
        if self.exclude and self.dataset_name != "Mixed":
            raise ValueError(f"exclude: it is for dataset_name: Mixed; remove these files from {self.dataset_name}")
        if isinstance(self.dataset_path, list) and self.dataset_name != "Folder":
            raise ValueError(f"dataset_path: two paths are for dataset_name: Folder; {self.dataset_name} takes one")
        if self.warmup_steps and self.lr_scheduler == "plateau":
            raise ValueError(f"warmup_steps: got {self.warmup_steps}; only lr_scheduler: 'cosine' warms up")
        if self.rate_balance and not isinstance(self.lmbda, list):
            raise ValueError(f"rate_balance: got {self.rate_balance}; it needs lambda: [lowest, highest]")
        for key, model in foreign_keys(self.model).items():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: {self.model} has no such key, it is for model: {model}")
        return self

    def model_options(self) -> ModelOptions:
        """The options of the experiment's model."""
        options = model_info(self.model).options
        return options.model_construct(**{key: getattr(self, key) for key in options.model_fields})

    def model_arguments(self) -> dict:
        """Arguments for `ndic_core.build_model`."""
        return {"name": self.model, "image_size": tuple(self.resize), **self.model_options().model_dump()}


def foreign_keys(model: str) -> dict[str, str]:
    """Keys that have no meaning for a model; for each the model that has it."""
    own = model_info(model).own_keys
    return {key: info.name for info in CATALOGUE.values() for key in info.own_keys if key not in own}


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


def check(content: dict, where: str | os.PathLike, /, **changes) -> Config:
    """A configuration from keys that were read elsewhere, and `changes` of them; `where` names their source."""
    changes = {("lambda" if key == "lmbda" else key): value for key, value in changes.items()}
    model = changes.get("model")
    if model in MODELS and model != content.get("model", Config.model_fields["model"].default):
        foreign = foreign_keys(model)  # of the former model
        content = {key: value for key, value in content.items() if key not in foreign}
    if changes.get("dataset_name", "Mixed") != "Mixed":
        content = {key: value for key, value in content.items() if key != "exclude"}  # of the former data set
    try:
        return Config.model_validate(content | changes)
    except ValidationError as error:
        raise NDICError(f"{where}: {explain(error, Config)}") from None

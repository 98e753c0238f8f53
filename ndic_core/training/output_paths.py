"""Where an experiment's files go: under names that every file system takes, and that tell data set, model, distortion
and lambda, so that no two of these share a file."""

import re
from pathlib import Path

from ndic_core.catalogue import MODELS
from ndic_core.config import DATASETS, Config
from ndic_core.errors import NDICError

# What may change between two runs that continue each other: how long, how loud, and what happens after.
_MAY_CHANGE = {
    *("cuda", "train", "epochs", "max_minutes", "resume", "load_weight", "weight_path", "verbose_period", "compile"),
    *("save_weights", "save_output_path", "experiment_name", "test", "save_image", "dataset_path", "native_path"),
}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


class Outputs:
    """The files of one experiment, below its `save_output_path`.

    Attributes:
        name: `experiment_name` made legal, with whatever it doesn't tell of data set, model, distortion and lambda.
        weights: the best weights, `weight/NAME.safetensors`.
        state: all that training needs to go on, `weight/NAME.state.pt`.
        table: test results, `results/NAME.csv`.
        pictures: folder of test pictures, `results/NAME/`.
        logs: folder for TensorBoard, `logs/NAME/`.

    Example:
        >>> from ndic_core.config import load_config
        >>> Outputs(load_config("config", lmbda=6e-05)).weights.as_posix()
        'outputs/weight/cross_attention_MS-SSIM_lambda_3e-05_KITTI_Stereo_lambda_6e-05.safetensors'
    """

    def __init__(self, config: Config):
        self.name = experiment_name(config)
        if len(self.name.encode()) > 200:  # the longest ending and a temporary name must fit into 255
            raise NDICError(f"experiment_name: the file name {self.name} would be too long: shorten it")
        root = Path(config.save_output_path)
        self.weights = root / "weight" / f"{self.name}.safetensors"
        self.state = root / "weight" / f"{self.name}.state.pt"
        self.table = root / "results" / f"{self.name}.csv"
        self.pictures = root / "results" / self.name
        self.logs = root / "logs" / self.name


def experiment_name(config: Config) -> str:
    """A file name for an experiment: characters that some system forbids become `_`, missing facts are appended.

    Where a configuration names no experiment, the published pattern is filled in.
    """
    named = "experiment_name" in config.model_fields_set
    given = config.experiment_name if named else f"{config.model}_{config.distortion_loss}"
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", given).strip(". ") or "experiment"
    if name.split(".")[0].lower() in _RESERVED:
        name = f"_{name}"
    lambdas = config.lmbda if isinstance(config.lmbda, list) else [config.lmbda]
    told = [_words(name, DATASETS), _words(name, MODELS), _words(name, ("MS-SSIM", "MSE")), _lambdas(name)]
    facts = [config.dataset_name, config.model, config.distortion_loss, lambdas]
    for fact, words in zip(facts, told, strict=True):
        if isinstance(fact, list) and words != fact:
            name += "_lambda_" + "-".join(map(repr, fact))
        elif isinstance(fact, str) and words != [fact]:
            name += f"_{fact}"
    return name


def identity(config: Config) -> dict:
    """The keys that two runs must agree in to be parts of one training."""
    # Guidance and the cosine follow the share of the epochs that is done: with more epochs they would jump back.
    cosine = config.lr_scheduler == "cosine"
    may_change = _MAY_CHANGE - ({"epochs"} if config.matching_loss_weight or cosine else set())
    # A plateau counts validations.
    return config.model_dump(by_alias=True, exclude=may_change | ({"validation_period"} if cosine else set()))


def _words(name: str, known: tuple[str, ...]) -> list[str]:
    """Which of the `known` words a name holds; the longest counts where one contains another."""
    longest_first = sorted(known, key=len, reverse=True)
    return re.findall(rf"(?<![A-Za-z0-9])(?:{'|'.join(longest_first)})(?![A-Za-z0-9])", name)


def _lambdas(name: str) -> list[float]:
    number = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
    found = re.findall(rf"lambda_({number})(?:-({number}))?(?![\d.])", name)
    return [float(value) for value in found[-1] if value] if found else []

"""Output files of an experiment: their names, the settings stored beside them, and the lock that protects them."""

import glob
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from ndic_core.config import Config, load_config
from ndic_core.errors import NDICError
from ndic_core.files import is_utf8, make_folder, write_whole
from ndic_core.training.fingerprint import Fingerprint

# Keys that may change between two runs of one experiment: duration, output, and what happens after training.
_MAY_CHANGE = {
    *("cuda", "train", "epochs", "max_minutes", "resume", "load_weight", "weight_path", "verbose_period", "compile"),
    *("save_weights", "save_output_path", "experiment_name", "test", "save_image", "dataset_path", "native_path"),
}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


class Outputs:
    """The files of one experiment, below its `save_output_path`.

    Attributes:
        name: of the experiment, see `experiment_name`.
        weights: the best weights, `weight/NAME.safetensors`.
        state: what training needs to resume, `weight/NAME.state.pt`.
        settings: all keys of the training, `weight/NAME.config.yaml`.
        data: the pairs of the training, `weight/NAME.data.json`, see `Fingerprint`.
        table: test results, `results/NAME.csv`.
        images: folder of test images, `results/NAME/`.
        test_settings: all keys of the test, `results/NAME.config.yaml`.
        test_data: the pairs of the test, `results/NAME.data.json`.
        logs: folder for TensorBoard, `logs/NAME/`.

    Example:
        >>> Outputs(load_config("config")).weights.as_posix()
        'outputs/weight/cross_attention_MS-SSIM_lambda_3e-05.safetensors'
    """

    def __init__(self, config: Config):
        self.config = config
        self.name = experiment_name(config)
        if len(self.name.encode()) > 200:  # the longest ending and a temporary name must fit into 255
            raise NDICError(f"experiment_name: the file name {self.name} would be too long: shorten it")
        root = Path(config.save_output_path)
        if not is_utf8(str(root)):
            raise NDICError(f"save_output_path: {config.save_output_path!a} is not UTF-8: choose another folder")
        self.weights = root / "weight" / f"{self.name}.safetensors"
        self.state = root / "weight" / f"{self.name}.state.pt"
        self.settings = root / "weight" / f"{self.name}.config.yaml"
        self.data = root / "weight" / f"{self.name}.data.json"
        self.table = root / "results" / f"{self.name}.csv"
        self.images = root / "results" / self.name
        self.test_settings = root / "results" / f"{self.name}.config.yaml"
        self.test_data = root / "results" / f"{self.name}.data.json"
        self.logs = root / "logs" / self.name

    def check_settings(self) -> None:
        """Check that the weights or results of this name belong to this experiment.

        Raises:
            NDICError: they belong to an experiment with other settings.
        """
        kinds = ((self.settings, [self.weights, self.state]), (self.test_settings, [self.table]))
        for file, made in ((file, _existing(made)) for file, made in kinds):
            if made and file.exists():
                if different := differences(identity(load_config(file)), self.config):
                    raise NDICError(
                        f"{file} belongs to an experiment with other settings ({'; '.join(different.values())}): "
                        f"choose another experiment_name, or delete {' and '.join(map(str, made))}"
                    )
                return

    def check_no_weights(self) -> None:
        """Check that a training from the start replaces no weights; raises `NDICError` if it would."""
        if self.weights.exists():
            raise NDICError(
                f"{self.weights} has weights of an earlier training whose state {self.state.name} is missing, so that "
                f"it cannot be resumed: choose another experiment_name (load_weight: True and weight_path start from "
                f"these weights), or delete them to train anew"
            )

    def check_data(self, now: Fingerprint, in_state: str | None = "") -> None:
        """Check that the weights of this name were trained on the same data.

        Args:
            in_state: what `load_state` returns.

        Raises:
            NDICError: the data is another one, or it is unknown.
        """
        made = _existing([self.weights, self.state])
        if made and (different := _other_data(self.data, now, in_state)):
            raise NDICError(
                f"{made[0]} was trained on {different}: choose another experiment_name, or delete "
                f"{' and '.join(map(str, made))} to train anew"
            )

    def check_test(self, now: Fingerprint) -> None:
        """Check that results of this name are of the same weights file and of the same test data.

        Raises:
            NDICError: they are of others, or their data is unknown.
        """
        if self.table.exists() and (different := self._other_weights(now) or _other_data(self.test_data, now)):
            trained = not (self.config.train or self.config.load_weight)  # weights that another name would not find
            weights = f" with load_weight: True and weight_path: '{self.weights}'" if trained else ""
            raise NDICError(
                f"{self.table} has results of {different}: to keep them choose another experiment_name{weights}, or "
                f"delete {self.table}"
            )

    def _other_weights(self, data: Fingerprint) -> str:
        """How the file of the tested weights differs from that of an earlier test, in words; "" for the same one."""
        if not self.test_settings.exists():
            return ""
        then, now = (
            Path(config.weight_path) if config.load_weight and not config.train else self.weights
            for config in (load_config(self.test_settings), self.config)
        )
        earlier = Fingerprint.read(self.test_data)
        if earlier and earlier.weights and data.weights:
            same = earlier.weights == data.weights
        else:  # the experiment's own weights may have been trained further
            same = then.absolute() == now.absolute()
        changed = f"{now} has changed" if then == now else f"{then} then, {now} now"
        return "" if same else f"other weights ({changed})"

    def write_settings(self, file: Path) -> None:
        """Write all keys of the experiment to `settings` or `test_settings`, as a YAML file that `ndic run` accepts."""
        yaml, text = YAML(typ="safe", pure=True), StringIO()
        yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = None, False
        yaml.dump(self.config.model_dump(by_alias=True) | {"experiment_name": self.name}, text)
        make_folder(file.parent)
        write_whole(file, text.getvalue().encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other trainings of this experiment, and remove temporary files of one that was killed.

        Raises:
            NDICError: another process is training it.
        """
        folder = self.weights.parent
        try:
            with FileLock(folder / f".{self.name}.lock", timeout=0):
                for stale in folder.glob(f".{glob.escape(self.name)}.[cds]*.????????"):
                    stale.unlink(missing_ok=True)
                yield
        except Timeout:
            raise NDICError(
                f"another run is training {self.name} in {folder}: wait for it, or choose another experiment_name"
            ) from None


def _existing(files: Iterable[Path]) -> list[Path]:
    return [file for file in files if file.exists()]


def _other_data(file: Path, now: Fingerprint, in_state: str | None = "") -> str:
    """How data differs from that of a stored fingerprint, in words; "" for the same data."""
    then = Fingerprint.read(file)
    if then and (different := then.differences(now)):
        return f"other data ({different})"
    if in_state and in_state != now.digest:
        return "other data"
    return f"unknown data ({file} is missing or damaged)" if in_state == "" and not then else ""


def experiment_name(config: Config) -> str:
    """The file name of an experiment: `experiment_name`, with `_` for characters that some file systems forbid.

    Without the key it is `default_name`.

    Example:
        >>> experiment_name(Config()), experiment_name(Config(experiment_name="a:b"))
        ('KITTI_Stereo_cross_attention_MS-SSIM_lambda_3e-05', 'a_b')
    """
    given = config.experiment_name if "experiment_name" in config.model_fields_set else default_name(config)
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", given).strip(". ") or "experiment"
    return f"_{name}" if name.split(".")[0].lower() in _RESERVED else name


def default_name(config: Config) -> str:
    """A name that states data set, model, distortion and lambda."""
    lambdas = config.lmbda if isinstance(config.lmbda, list) else [config.lmbda]
    return f"{config.dataset_name}_{config.model}_{config.distortion_loss}_lambda_{'-'.join(map(repr, lambdas))}"


def identity(config: Config) -> dict:
    """The keys that must be equal in all runs of one experiment."""
    # The matching loss and the cosine depend on the fraction of the epochs that is done.
    cosine = config.lr_scheduler == "cosine"
    may_change = _MAY_CHANGE - ({"epochs"} if config.matching_loss_weight or cosine else set())
    # A plateau counts validations.
    return config.model_dump(by_alias=True, exclude=may_change | ({"validation_period"} if cosine else set()))


def differences(earlier: dict, config: Config) -> dict[str, str]:
    """Keys in which the identity of a configuration differs from an earlier one, with both values in words."""
    now = identity(config)
    return {key: f"{key} {earlier.get(key)} then, {now[key]} now" for key in now if earlier.get(key) != now[key]}

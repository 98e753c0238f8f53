"""Experiments: training, testing or both, as a configuration file says (the published `main.py`)."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ndic_core.checkpoints.checkpoint import load_checkpoint, load_weights
from ndic_core.config import Config
from ndic_core.data.cache import content_digests, short_digest
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError, listing
from ndic_core.evaluation.evaluate import averages, evaluate, lambdas, write_published_table
from ndic_core.evaluation.tables import results_table
from ndic_core.files import make_folder, replace_file, shipped_weights, write_whole
from ndic_core.io import write_image
from ndic_core.models.codec import Codec, unwrap
from ndic_core.models.factory import build_model
from ndic_core.training.fingerprint import Fingerprint
from ndic_core.training.output_paths import Outputs
from ndic_core.training.train import train

TEST_RATES = 5  # of a variable-rate model, from its lowest lambda to its highest
FEW_STEPS = 5000  # from fresh weights: half of what the recipe of the shipped weights takes before it goes on
FIGURES = 8  # number of test images shown beside their reconstruction; every reconstruction is saved
IMAGES = (".png", "_beside.png")  # after the image number


def run(config: Config, report: Callable[[str], None] = print) -> None:
    """Train if `train` is set, then test if `test` is set.

    Raises:
        NDICError: see `train` and `assess`; an interrupted training is not tested.
    """
    if int(os.environ.get("RANK", 0)) > 0:  # of several processes, one reports and tests
        report, config = (lambda line: None), config.model_copy(update={"test": False})
    if config.test:  # before a long training
        Outputs(config).check_settings()
        if config.train:
            _test_pairs(config)
            _make_folder(config)
    model = None
    if config.train:
        trained = train(config, report=report)
        ended = {"epochs": f"trained to epoch {config.epochs}", "max_minutes": "the time limit is reached"}
        where = f": {Outputs(config).weights}" if config.save_weights else ""
        report(ended.get(trained.stopped, trained.stopped) + where)
        if trained.stopped == "interrupted":
            raise NDICError("interrupted: the same command resumes" if config.save_weights else "interrupted")
        if trained.steps < FEW_STEPS and not config.load_weight:
            shipped = shipped_weights(config.model, config.distortion_loss)
            example = f", for example ndic_core/weights/{shipped.name} of the package" if shipped else ""
            report(
                f"{trained.steps:,} steps are few for fresh weights, images are poor at first: train longer (epochs, "
                f"max_minutes), or start another experiment_name from trained weights (load_weight: True and "
                f"weight_path{example})"
            )
        model = trained.model
    if config.test:
        assess(config, model, report)


def assess(config: Config, model: Codec | None = None, report: Callable[[str], None] = print) -> list[dict]:
    """Encode every test image to a file and decode it; write the table of results and the images.

    Args:
        model: to test; if None, the weights at `weight_path` if `load_weight` is set and `train` is not, else the
            best weights of this experiment's training.
        report: receives the lines of the results.

    Returns:
        The rows of `evaluate`.

    Raises:
        NDICError: weights, data or folders are missing or do not fit the configuration.
    """
    outputs = Outputs(config)
    outputs.check_settings()
    model = _weights_to_test(config, outputs) if model is None else unwrap(model)
    if model.name != config.model:
        raise NDICError(f"the model to test is {model.name}, the configuration says {config.model}: change one of them")
    pairs, data = _test_pairs(config)
    _make_folder(config)
    model = model.to("cuda" if config.cuda and torch.cuda.is_available() else "cpu").eval()
    rates = lambdas(model, TEST_RATES)
    rows = []
    with TemporaryDirectory(dir=outputs.table.parent, prefix=f".{outputs.name}.") as folder:
        for lmbda in rates:
            shown = config.save_image and lmbda == rates[len(rates) // 2]
            rows += evaluate(model, pairs, lmbda, on_image=_saver(Path(folder)) if shown else None)
        # Complete: now replace all of an earlier test. What needs space on the disk comes first.
        earlier = Fingerprint.read(outputs.test_data)
        write_published_table(rows, outputs.table)
        outputs.write_settings(outputs.test_settings)
        data.write(outputs.test_data)
        _move_images(Path(folder), outputs.images, len(earlier.pairs["test"]) if earlier else 0)
    report(results_table(averages(rows)))
    report(f"table: {outputs.table}" + (f"; images: {outputs.images}" if config.save_image else ""))
    return rows


def _make_folder(config: Config) -> None:
    """Create the folder of the results; `NDICError` if it cannot be, or if it has images that are of no known test."""
    outputs = Outputs(config)
    make_folder(outputs.images if config.save_image else outputs.table.parent)
    if config.save_image and not outputs.test_data.exists():
        names = re.compile(rf"\d{{4,}}({'|'.join(map(re.escape, IMAGES))})")
        if others := [file.name for file in outputs.images.iterdir() if names.fullmatch(file.name)]:
            files = listing(sorted(others))
            raise NDICError(f"{outputs.images} has images that no test of this name made: move {files} elsewhere")


def _test_pairs(config: Config) -> tuple[Pairs, Fingerprint]:
    """The test split, after a check that results of this experiment, if there are any, are of the same."""
    pairs = load_split(config, "test")
    data = Fingerprint.of(config, test=pairs)
    if config.load_weight and not config.train:
        data = replace(data, weights=short_digest(content_digests([Path(config.weight_path)])))
    Outputs(config).check_test(data)
    return pairs, data


def _weights_to_test(config: Config, outputs: Outputs) -> Codec:
    """The model to test, with its weights."""
    if config.load_weight and not config.train:
        model = build_model(**config.model_arguments())
        given = load_weights(model, config.weight_path)
        if given.name != model.name:  # a training may start from another model's weights, a test may not
            raise NDICError(f"{config.weight_path} has model {given.name}, the configuration says {model.name}")
        # Published checkpoints do not state their lambda.
        states_lambda = given.gain is not None or Path(config.weight_path).suffix == ".safetensors"
        if states_lambda and given.lambdas != model.lambdas:
            lmbda = given.lambdas[0] if given.gain is None else list(given.lambdas)
            raise NDICError(f"{config.weight_path} was trained for lambda: {lmbda}; the configuration says otherwise")
        return model
    if not outputs.weights.exists():
        raise NDICError(
            f"there are no weights to test: train first (train: True), or set load_weight: True and weight_path; "
            f"{outputs.weights} does not exist"
        )
    return load_checkpoint(outputs.weights)


def _move_images(source: Path, target: Path, earlier: int) -> None:
    """Move images of a test to their place; those of an earlier test of so many pairs are removed, no other files."""
    for i in range(earlier):
        for ending in IMAGES:
            (target / f"{i:04d}{ending}").unlink(missing_ok=True)
    for file in source.iterdir():
        replace_file(file, target / file.name)
    with suppress(OSError):
        target.rmdir()  # if it is empty


def _saver(folder: Path) -> Callable:
    """A function that saves each reconstruction, and figures of the first few beside the original."""
    from ndic_core.plots.panels import side_by_side

    def save(i: int, x, y, x_hat, row: dict) -> None:
        write_image(x_hat, folder / f"{i:04d}{IMAGES[0]}")
        if i < FIGURES:
            buffer = BytesIO()
            side_by_side(x, y, x_hat, row["bpp"]).savefig(buffer, format="png", dpi=120)
            write_whole(folder / f"{i:04d}{IMAGES[1]}", buffer.getvalue())

    return save

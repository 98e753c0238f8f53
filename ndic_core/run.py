"""An experiment from its configuration to its results: train, test, or both, as the YAML says."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import torch

from ndic_core.checkpoints.checkpoint import load_checkpoint
from ndic_core.config import Config
from ndic_core.data.datasets import load_split
from ndic_core.errors import NDICError
from ndic_core.evaluation.evaluate import averages, evaluate, lambdas, write_published_table
from ndic_core.evaluation.tables import results_table
from ndic_core.io import make_folder, write_image, write_whole
from ndic_core.models.codec import Codec
from ndic_core.training.loop import initial_model
from ndic_core.training.output_paths import Outputs
from ndic_core.training.train import train

TEST_RATES = 5  # of a variable-rate model, from its lowest lambda to its highest
FIGURES = 8  # so many test images are shown beside their reconstruction; every reconstruction is saved


def run(config: Config, report: Callable[[str], None] = print) -> None:
    """What the published `main.py` does: train where `train` is set, then test where `test` is set.

    Raises:
        NDICError: see `train` and `assess`; training that was interrupted is not tested.
    """
    if int(os.environ.get("RANK", 0)) > 0:  # of several processes, one speaks and tests
        report, config = (lambda line: None), config.model_copy(update={"test": False})
    model = None
    if config.train:
        trained = train(config, report=report)
        report(_ended(config, trained.stopped))
        if trained.stopped == "interrupted":
            raise NDICError("interrupted: the same command goes on from here" if config.save_weights else "interrupted")
        model = trained.model
    if config.test:
        assess(config, model, report)


def assess(config: Config, model: Codec | None = None, report: Callable[[str], None] = print) -> list[dict]:
    """Send every test image as real bytes, write the table and the pictures.

    Args:
        config: of the experiment.
        model: to test; None takes the weights at `weight_path` where `load_weight` is set and `train` is not, else
            the best of this experiment's training.
        report: takes the lines that tell the results.

    Returns:
        The rows of `evaluate`.

    Raises:
        NDICError: there are no weights, or data or folder are amiss.
    """
    outputs = Outputs(config)
    model = model or _weights_to_test(config, outputs)
    pairs = load_split(config, "test")
    make_folder(outputs.table.parent)
    if config.save_image:
        make_folder(outputs.pictures)
    model = model.to("cuda" if config.cuda and torch.cuda.is_available() else "cpu").eval()
    rates = lambdas(model, TEST_RATES)
    rows = []
    for lmbda in rates:
        shown = config.save_image and lmbda == rates[len(rates) // 2]
        rows += evaluate(model, pairs, lmbda, on_image=_saver(outputs) if shown else None)
    write_published_table(rows, outputs.table)
    report(results_table(averages(rows)))
    report(f"table: {outputs.table}" + (f"; pictures: {outputs.pictures}" if config.save_image else ""))
    return rows


def _weights_to_test(config: Config, outputs: Outputs) -> Codec:
    if config.load_weight and not config.train:
        model = initial_model(config)
        given = load_checkpoint(config.weight_path, tuple(config.resize))
        if given.name != model.name:  # good to start a training from, not to be tested as another model
            raise NDICError(f"{config.weight_path} has model {given.name}, the configuration says {model.name}")
        tells = given.gain is not None or Path(config.weight_path).suffix == ".safetensors"  # published ones do not
        if tells and given.lambdas != model.lambdas:
            told = given.lambdas[0] if given.gain is None else list(given.lambdas)
            raise NDICError(f"{config.weight_path} was trained for lambda: {told}; the configuration says otherwise")
        return model
    if not outputs.weights.exists():
        raise NDICError(
            f"there are no weights to test: train first (train: True), or set load_weight: True and weight_path; "
            f"{outputs.weights} does not exist"
        )
    return load_checkpoint(outputs.weights)


def _saver(outputs: Outputs) -> Callable:
    """Saves each reconstruction, and the first few beside the original."""
    from ndic_core.plots.panels import side_by_side

    def save(i: int, x, y, x_hat, row: dict) -> None:
        write_image(x_hat, outputs.pictures / f"{i:04d}.png")
        if i < FIGURES:
            buffer = BytesIO()
            side_by_side(x, y, x_hat, row["bpp"]).savefig(buffer, format="png", dpi=120)
            write_whole(outputs.pictures / f"{i:04d}_beside.png", buffer.getvalue())

    return save


def _ended(config: Config, stopped: str) -> str:
    where = f": {Outputs(config).weights}" if config.save_weights else ""
    reasons = {
        "epochs": f"trained to epoch {config.epochs}",
        "max_minutes": "the time is up",
        "interrupted": "interrupted",
    }
    return f"{reasons[stopped]}{where}"

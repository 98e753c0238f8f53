"""Trained weights go into the package with the record of their training, and only when training is complete."""

from dataclasses import replace

import pytest
import ship

import ndic_core as ndic
from ndic_core.checkpoints.checkpoint import stored_fingerprint
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.training.recipe import Stage
from ndic_core.training.train import train

SMALL = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[4, 1, 1], epochs=1)


@pytest.fixture(autouse=True)
def own_package(monkeypatch, tmp_path):
    monkeypatch.setattr(ship, "TRAININGS", tmp_path / "trainings.csv")
    monkeypatch.setattr(ship, "weights_file", lambda name, metric: tmp_path / f"{name}_{metric.lower()}.safetensors")


@pytest.fixture
def stage(own_package, monkeypatch, tmp_path) -> Stage:
    """A complete training."""
    config = ndic.load_config("teaching", save_output_path=str(tmp_path / "outputs"), **SMALL)
    stage = Stage("start", "bls17", None, config)
    monkeypatch.setattr(ship, "last_stage", lambda *arguments: stage)
    train(config, progress=False, report=lambda line: None)
    return stage


def test_weights_are_shipped_with_the_record_of_their_training(stage, tmp_path):
    other = dict(weights="other", fingerprint="f", images=1)
    write_table([other, other | {"weights": "bls17_mse"}], ship.TRAININGS)
    file = ship.ship("bls17", "MSE", tmp_path, note="short")
    assert ndic.load_checkpoint(file).name == "bls17"
    kept, row = read_table(ship.TRAININGS)
    assert kept == other
    assert row.pop("trained_on").startswith("CPU in ")
    assert row == dict(
        **dict(weights=file.stem, fingerprint=stored_fingerprint(file), recipe="pretrain", model="bls17"),
        **dict(start="fresh weights", distortion="MSE", epochs=1, images=4, lr=0.003, note="short"),
    )


def test_an_incomplete_training_is_not_shipped(stage, tmp_path, monkeypatch):
    longer = replace(stage, config=stage.config.model_copy(update={"epochs": 2}))
    monkeypatch.setattr(ship, "last_stage", lambda *arguments: longer)
    with pytest.raises(ndic.NDICError, match="start/bls17 has 1 of 2 epochs: train on until it is complete"):
        ship.ship("bls17", "MSE", tmp_path)
    assert not ship.TRAININGS.exists()

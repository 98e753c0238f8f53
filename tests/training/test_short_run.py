"""A short run records every step, and ends where its loss is not finite."""

import math

import torch

from ndic_core.config import load_config
from ndic_core.training import short_run as module
from ndic_core.training.short_run import short_run
from ndic_core.training.train import train

SMALL = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[4, 2, 1], train_batch_size=2, lr=0.003)


def test_it_takes_the_steps_of_a_training(tmp_path):
    """One epoch of two steps: the mean loss and the validation are those of `train`."""
    config = load_config("teaching", **SMALL, epochs=1, warmup_steps=0, save_weights=False)
    before = torch.get_rng_state()
    first, second = short_run(config, steps=2, validation_period=2)
    assert torch.equal(torch.get_rng_state(), before)
    (row,) = train(config, progress=False, report=lambda line: None).history
    assert math.isclose((first["loss"] + second["loss"]) / 2, row["loss"], rel_tol=1e-6)
    assert math.isclose(second["val_loss"], row["val_loss"], rel_tol=1e-6)
    assert "val_loss" not in first


def test_it_ends_where_the_loss_is_not_finite(monkeypatch):
    losses = iter([3.0, math.nan, 1.0])
    monkeypatch.setattr(module, "train_step", lambda setup, batch: ({}, {"loss": torch.tensor(next(losses))}))
    rows = short_run(load_config("teaching", **SMALL), steps=9)
    first, last = (row["loss"] for row in rows)
    assert first == 3
    assert math.isnan(last)


def test_a_gradient_without_eigenvectors_is_an_infinite_loss(monkeypatch):
    def fails(setup, batch):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(module, "train_step", fails)
    assert short_run(load_config("teaching", **SMALL), steps=9) == [{"loss": math.inf}]

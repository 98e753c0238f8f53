"""Figures of a training show the values that they are given."""

import math

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.training import (
    learning_curves,
    learning_rate,
    loss_terms,
    optimizer_costs,
    short_runs,
    valley_paths,
)

HISTORY = [dict(epoch=i, lr=0.1 / i, val_loss=2 / i, bpp=0.1 * i, psnr=15.0 + i) for i in (1, 2, 4)]


def test_a_panel_for_each_value_and_a_line_for_each_run():
    figure = learning_curves({"SOAP": HISTORY, "Adam": HISTORY[:2]})
    keys = ("val_loss", "bpp", "psnr", "lr")
    for axis, key in zip(figure.axes, keys, strict=True):
        soap, adam = axis.lines
        assert soap.get_xydata().tolist() == [[row["epoch"], row[key]] for row in HISTORY]
        assert len(adam.get_xydata()) == 2
        assert soap.get_color() != adam.get_color()
    assert figure.axes[0].get_yscale() == "log"
    with pytest.raises(NDICError, match="one to 4 runs, not 0"):
        learning_curves({})
    with pytest.raises(NDICError, match="no validation in the run Adam"):
        learning_curves({"Adam": []})


def test_loss_terms_are_weighted_and_smoothed():
    rates, distortions = torch.linspace(1, 0, 50).tolist(), [0.01] * 50
    rate, distortion = loss_terms(rates, distortions, lmbda=0.002, window=5).axes
    assert distortion.lines[0].get_ydata().tolist() == pytest.approx([255**2 * 0.002 * 0.01] * 50)
    steps, mean = rate.lines[1].get_data()
    assert mean.tolist() == pytest.approx([rates[int(step)] for step in steps], abs=1e-6)
    assert steps.tolist() == list(range(2, 48))


def test_short_runs_beside_a_reference():
    healthy = [dict(loss=9.0), dict(loss=8.0, val_loss=7.0)]
    diverged = [dict(loss=9.0, val_loss=20.0), dict(loss=math.inf)]
    first, second = short_runs({"healthy": healthy, "too fast": diverged}, healthy).axes
    training, validation = first.lines[1:]
    assert training.get_xydata().tolist() == [[1, 9], [2, 8]]
    assert validation.get_xydata().tolist() == [[2, 7]]
    grey, _, _, cross = second.lines
    assert grey.get_xydata().tolist() == [[2, 7]]
    assert (cross.get_marker(), cross.get_xdata()) == ("x", [2])
    assert all(torch.isfinite(torch.as_tensor(line.get_ydata())).all() for line in second.lines)
    assert short_runs({"healthy": healthy}, limit=96).axes[0].get_xlim() == (0, 97)
    with pytest.raises(NDICError, match="no step in the run empty"):
        short_runs({"empty": []})


def test_paths_end_where_they_do():
    paths = {"a": torch.tensor([[3.0, 0.5], [1.0, 0.0]]), "b": torch.tensor([[[1.0, 2.0]], [[0.5, 1.0]]])}
    figure = valley_paths(dict.fromkeys(paths, torch.eye(2)), paths)
    assert [axis.lines[0].get_xydata().tolist() for axis in figure.axes] == [[[3, 0.5], [1, 0]], [[1, 2], [0.5, 1]]]
    low, high = figure.axes[0].get_xlim()
    assert low < 0 < 3 < high
    with pytest.raises(NDICError, match="every path needs its valley"):
        valley_paths({"a": torch.eye(2)}, paths)


def stored(group, optimizer, lr, steps, cost):
    settings = f"optimizer {optimizer}, lr {lr}, epochs 2"
    return dict(group=group, model="bls17", settings=settings, steps=steps, val_loss=cost)


def test_costs_of_optimizers_over_steps_and_learning_rates():
    rows = [stored("recipe", "adam", 0.001, 300, 0.4), stored("recipe", "soap", 0.01, 100, 0.3)]
    rows += [stored("optimizer", "soap", lr, 100, cost) for lr, cost in ((0.01, 0.3), (0.001, 0.9))]
    recipes, rates = optimizer_costs([*rows, {**rows[0], "model": "bmshj18"}], "bls17").axes
    points = {line.get_label(): line.get_xydata().tolist() for line in recipes.lines}
    assert points == {"SOAP": [[100, 0.3]], "Adam": [[300, 0.4]]}
    assert rates.lines[0].get_xydata().tolist() == [[0.001, 0.9], [0.01, 0.3]]
    assert learning_rate({"settings": "optimizer soap, lr 1e-05, epochs 2"}) == 1e-5
    with pytest.raises(NDICError, match="no recipe of 'ndic_bls17' was compared"):
        optimizer_costs(rows, "ndic_bls17")

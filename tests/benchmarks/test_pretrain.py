"""The runner: it works through a recipe, may be killed at any time, and reports how far it has come."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import PATIENCE, small_recipe, wait_until

import ndic_core as ndic
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe

RUNNER = Path(__file__).parents[2] / "benchmarks" / "pretrain.py"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(RUNNER.parent))
    import pretrain

    return pretrain


@pytest.fixture
def recipe(tmp_path) -> Path:
    return small_recipe(tmp_path, streets=8, epochs=2)


def arguments(recipe: Path, *more: str) -> list[str]:
    folder = recipe.parent
    paths = ["--data", folder / "real", "--native", folder / "native", "--out", folder / "out"]
    return ["--recipe", str(recipe), *map(str, paths), *more]


def stages(recipe: Path, folder: Path) -> list:
    paths = dict(dataset_path=str(recipe.parent / "real"), native_path=str(recipe.parent / "native"))
    return list(load_recipe(recipe, save_output_path=str(folder), **paths).values())


def trained(recipe: Path, folder: Path) -> list[tuple]:
    """Histories and weights of all trainings."""
    found = []
    for stage in stages(recipe, folder):
        outputs = Outputs(stage.config)
        state = torch.load(outputs.state, weights_only=True)
        found.append((json.loads(state["progress"])["history"], ndic.load_checkpoint(outputs.weights).state_dict()))
    return found


def test_it_may_be_killed_at_any_time_and_nothing_is_lost(bench, recipe, tmp_path, capsys):
    """Killed as soon as the second training has a state: what follows is as if it had not happened, bit for bit."""
    lines = []
    assert bench.work(stages(recipe, tmp_path / "whole"), 60, lines.append) == "complete"
    command = [sys.executable, str(RUNNER), *arguments(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    second = Outputs(stages(recipe, tmp_path / "out")[1].config).state
    wait_until(second.exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    bench.main(arguments(recipe))
    assert capsys.readouterr().out.splitlines()[-1].endswith("all trainings are complete")
    for (history, weights), (again, weights_again) in zip(
        trained(recipe, tmp_path / "whole"), trained(recipe, tmp_path / "out"), strict=True
    ):
        assert history == again
        assert all(torch.equal(weights[name], weights_again[name]) for name in weights)
    log = (tmp_path / "out" / "pretrain.log").read_text().splitlines()
    assert sum(": epoch " in line for line in log) >= 6  # one line a validation
    assert any("cost: " in line and "window" in line for line in log)
    bench.main(arguments(recipe, "--status"))
    table = capsys.readouterr().out
    for name in ("start/bmshj18_factorized", "mse/bmshj18_factorized", "mse/ndic_bls17"):
        line = next(line for line in table.splitlines() if line.startswith(name))
        assert "2/2" in line
        assert "22" in line.split()  # 4 whole views and 4 windows, 3 of the street: 11 images an epoch


def test_a_stage_starts_from_the_one_before(bench, recipe, tmp_path, monkeypatch):
    """And its first weights are those that this one has kept."""
    starts = {}

    def watched(config, **options):
        if config.load_weight:
            starts[config.model] = config.weight_path
        return train(config, **options)

    train = bench.train
    monkeypatch.setattr(bench, "train", watched)
    assert bench.work(stages(recipe, tmp_path / "out"), 60, lambda line: None) == "complete"
    first = Outputs(stages(recipe, tmp_path / "out")[0].config).weights.as_posix()
    assert starts == {"bmshj18_factorized": first, "ndic_bls17": first}


def test_it_stops_when_the_time_is_up_and_the_rest_waits(bench, recipe, tmp_path):
    """On a clock that the trainings move."""
    now, lines = [0.0], []

    def report(line):
        lines.append(line)
        if line.endswith("complete"):
            now[0] += 55

    work = stages(recipe, tmp_path / "out")
    assert bench.work(work, 1, report, clock=lambda: now[0]) == "time"
    assert [bench.complete(stage) for stage in work] == [True, False, False]
    assert not Outputs(work[1].config).state.exists()  # with 5 seconds left it was not begun
    assert "2/2" in bench.status(work)
    assert "0/2" in bench.status(work)


def test_one_training_may_be_chosen(bench, recipe, capsys):
    bench.main(arguments(recipe, "--only", "start/bmshj18_factorized", "--minutes", "60", "--set", "epochs=1"))
    out = capsys.readouterr().out
    assert "start/bmshj18_factorized: complete" in out
    assert "epoch 1:" in out
    assert "epoch 2:" not in out
    assert "mse/" not in out


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        (["--minutes", "0"], 2, "--minutes: give a positive number"),
        (
            ["--only", "mse/bls17"],
            2,
            "no training mse/bls17; there are start/bmshj18_factorized, mse/bmshj18_factorized",
        ),
        (["--only", "mse/ndic_bls17"], "Error: there is no checkpoint", ""),
        (["--data", "nowhere"], "nowhere/image_2/ and ", ""),
        (["--set", "epochs"], 2, "--set: 'epochs' is not KEY=VALUE"),
        (["--set", "lr=[1"], 2, "--set: '[1' is no YAML value"),
        (["--set", "lr=1e-2", "--set", "epochs=0"], "epochs: got 0; accepted is a whole number of at least 1", ""),
    ],
)
def test_what_is_wrong_is_one_sentence(wrong, status, sentence, bench, recipe, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments(recipe, *wrong))
    if isinstance(status, str):
        assert status in ended.value.code  # what Python prints on stderr, with exit status 1
        assert "\n" not in ended.value.code
    else:
        assert ended.value.code == status
        assert sentence in capsys.readouterr().err


def test_a_damaged_state_stops_it(bench, recipe, tmp_path):
    work = stages(recipe, tmp_path / "out")
    state = Outputs(work[0].config).state
    os.makedirs(state.parent)
    state.write_bytes(b"junk")
    with pytest.raises(ndic.NDICError, match="is damaged: delete it to train anew"):
        bench.work(work, 1, lambda line: None)
    assert state.read_bytes() == b"junk"

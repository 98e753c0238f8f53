"""`pretrain.py` works through a recipe, may be killed at any time, and reports its progress."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pretrain
import pytest
import torch
from conftest import PATIENCE, small_recipe, wait_until

import ndic_core as ndic
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import load_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return small_recipe(tmp_path_factory.mktemp("recipe"), streets=8, epochs=2)


def arguments(recipe: Path, out: Path, *more: str) -> list[str]:
    paths = ["--data", recipe.parent / "real", "--native", recipe.parent / "native", "--out", out]
    return ["--recipe", str(recipe), *map(str, paths), *more]


def stages(recipe: Path, folder: Path) -> list:
    paths = dict(dataset_path=str(recipe.parent / "real"), native_path=str(recipe.parent / "native"))
    return list(load_recipe(recipe, save_output_path=str(folder), **paths).values())


def trained(recipe: Path, folder: Path) -> list[tuple]:
    """History and weights of each training."""
    found = []
    for stage in stages(recipe, folder):
        outputs = Outputs(stage.config)
        state = torch.load(outputs.state, weights_only=True)
        found.append((json.loads(state["progress"])["history"], ndic.load_checkpoint(outputs.weights).state_dict()))
    return found


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory) -> Path:
    """Outputs of the whole recipe without an interruption."""
    out = tmp_path_factory.mktemp("whole")
    assert pretrain.work(stages(recipe, out), 60, lambda line: None) == "complete"
    return out


def test_a_killed_run_resumes_bit_for_bit(recipe, whole, tmp_path, capsys):
    """Killed as soon as the second training has a state."""
    command = [sys.executable, pretrain.__file__, *arguments(recipe, tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(Outputs(stages(recipe, tmp_path)[1].config).state.exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    pretrain.main(arguments(recipe, tmp_path))
    assert capsys.readouterr().out.splitlines()[-1].endswith("all trainings are complete")
    for (history, weights), (again, weights_again) in zip(
        trained(recipe, whole), trained(recipe, tmp_path), strict=True
    ):
        assert history == again
        assert all(torch.equal(weights[name], weights_again[name]) for name in weights)
    log = (tmp_path / "pretrain.log").read_text().splitlines()
    assert sum(": epoch " in line for line in log) >= 6  # one line per validation
    assert any("cost: " in line and "window" in line for line in log)


def test_the_status_lists_all_trainings(recipe, whole, capsys):
    pretrain.main(arguments(recipe, whole, "--status"))
    lines = capsys.readouterr().out.splitlines()
    for name in ("start/bmshj18_factorized", "mse/bmshj18_factorized", "mse/ndic_bls17"):
        cells = next(line for line in lines if line.startswith(name)).split()
        assert {"2/2", "22"} <= set(cells)  # 4 whole views, 4 windows and 3 of the street: 11 images per epoch


def test_it_stops_when_the_time_is_up(recipe, tmp_path):
    """With a clock that the trainings advance."""
    now, lines = [0.0], []

    def report(line):
        lines.append(line)
        if line.endswith("complete"):
            now[0] += 55

    work = stages(recipe, tmp_path / "out")
    assert pretrain.work(work, 1, report, clock=lambda: now[0]) == "time"
    assert [pretrain.complete(stage) for stage in work] == [True, False, False]
    assert not Outputs(work[1].config).state.exists()  # not started with 5 seconds left
    assert "2/2" in pretrain.status(work)
    assert "0/2" in pretrain.status(work)


def test_one_training_may_be_chosen(recipe, tmp_path, capsys):
    pretrain.main(
        arguments(recipe, tmp_path, "--only", "start/bmshj18_factorized", "--minutes", "60", "--set", "epochs=1")
    )
    out = capsys.readouterr().out
    assert "start/bmshj18_factorized: complete" in out
    assert "epoch 1:" in out
    assert "epoch 2:" not in out
    assert "mse/" not in out


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        (["--minutes", "0"], 2, "--minutes: give a positive number"),
        (["--only", "mse/bls17"], 2, "no training mse/bls17; there are start/bmshj18_factorized, mse/bmshj18_factori"),
        (["--set", "epochs"], 2, "--set: 'epochs' is not KEY=VALUE"),
        (["--only", "mse/ndic_bls17"], 1, "Error: there is no checkpoint"),
        (["--data", "nowhere"], 1, "nowhere/image_2/ and "),
    ],
)
def test_wrong_input_is_reported_in_one_sentence(wrong, status, sentence, recipe, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        pretrain.main(arguments(recipe, tmp_path, *wrong))
    if status == 1:  # Python prints the code on stderr
        assert sentence in ended.value.code
        assert "\n" not in ended.value.code
    else:
        assert ended.value.code == status
        assert sentence in capsys.readouterr().err

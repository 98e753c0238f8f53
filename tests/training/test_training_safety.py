"""Training loses nothing: neither to NaN, a full disk, damaged files or a second run, nor to a signal."""

import json
import math
import os
import signal

import pytest
import torch
from conftest import quiet, teaching, wrap_step

import ndic_core as ndic
from ndic_core.training import train as training
from ndic_core.training.output_paths import Outputs


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_is_good(optimizer, own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=2, optimizer=optimizer)
    good = quiet(config)
    before = Outputs(config).state.read_bytes(), Outputs(config).weights.read_bytes()
    wrap_step(lambda step, setup, batch: step(setup, batch._replace(x=batch.x * math.nan)), monkeypatch)
    with pytest.raises(ndic.NDICError, match=r"no longer finite numbers in epoch 3; .* keeps the best weights so far"):
        quiet(teaching(own_folder, tmp_path, epochs=4, optimizer=optimizer))
    assert (Outputs(config).state.read_bytes(), Outputs(config).weights.read_bytes()) == before
    monkeypatch.undo()
    assert quiet(teaching(own_folder, tmp_path, epochs=3, optimizer=optimizer)).history[:2] == good.history


def test_a_full_disk_keeps_the_earlier_state(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=2)
    good = quiet(config)
    real = os.replace

    def full(source, target):
        if str(target).endswith(".state.pt"):
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr("ndic_core.files.os.replace", full)
    with pytest.raises(ndic.NDICError, match=r"state\.pt cannot be written: No space left on device"):
        quiet(teaching(own_folder, tmp_path, epochs=4))
    monkeypatch.undo()
    assert quiet(teaching(own_folder, tmp_path, epochs=3)).history[:2] == good.history
    assert not [f for f in Outputs(config).weights.parent.iterdir() if f.name.startswith(".") and f.suffix != ".lock"]


def test_a_state_of_other_settings_is_refused(own_folder, tmp_path):
    quiet(teaching(own_folder, tmp_path, epochs=1))
    with pytest.raises(ndic.NDICError, match=r"other settings \(alpha 1\.0 then, 0\.5 now\): choose another"):
        quiet(teaching(own_folder, tmp_path, epochs=2, alpha=0.5))
    with pytest.raises(ndic.NDICError, match="holds an earlier training of this name: set resume: True"):
        quiet(teaching(own_folder, tmp_path, resume=False))


def test_a_state_from_before_a_key_was_there_goes_on(own_folder, tmp_path):
    """What a later version added has defaults that keep the meaning; another value is another training."""
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    state = torch.load(Outputs(config).state, weights_only=True)
    earlier = json.loads(state["identity"])
    del earlier["seed"]
    torch.save(state | {"identity": json.dumps(earlier)}, Outputs(config).state)
    with pytest.raises(ndic.NDICError, match=r"other settings \(seed 0 then, 1 now\)"):
        quiet(teaching(own_folder, tmp_path, epochs=2, seed=1))
    assert len(quiet(teaching(own_folder, tmp_path, epochs=2)).history) == 2


def test_a_damaged_state_is_said(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    state = Outputs(config).state
    whole = state.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1  # within a tensor
    for content in (whole[:1000], b"", b"junk", changed):
        state.write_bytes(content)
        with pytest.raises(ndic.NDICError, match="is damaged: delete it to train anew"):
            quiet(config)


def test_spoilt_weights_are_never_saved(own_folder, tmp_path, monkeypatch):
    """A finite loss, then a step that spoils the weights: the state before it stays."""
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    before = Outputs(config).state.read_bytes()

    def spoilt(step, setup, batch):
        result = step(setup, batch)
        with torch.no_grad():
            next(setup.model.parameters()).fill_(math.nan)
        return result

    wrap_step(spoilt, monkeypatch)
    monkeypatch.setattr(training, "SAVE_EVERY", 0)
    monkeypatch.setattr(training, "CHECK_EVERY", 0)
    with pytest.raises(ndic.NDICError, match="no longer finite numbers"):
        quiet(teaching(own_folder, tmp_path, epochs=2))
    assert Outputs(config).state.read_bytes() == before


def test_two_runs_of_one_experiment_do_not_mix(own_folder, tmp_path):
    from filelock import FileLock

    config = teaching(own_folder, tmp_path)
    folder = Outputs(config).weights.parent
    folder.mkdir(parents=True)
    stale = folder / f".{Outputs(config).name}.state.pt.abcd1234"
    stale.touch()
    with (
        FileLock(folder / f".{Outputs(config).name}.lock"),
        pytest.raises(ndic.NDICError, match="another run is training"),
    ):
        quiet(config)
    quiet(config)
    assert not stale.exists()


def test_a_launcher_passing_a_signal_on_does_not_end_the_run_at_once(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path)

    def signalled(step, setup, batch):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        return step(setup, batch)

    wrap_step(signalled, monkeypatch)
    assert quiet(config).stopped == "interrupted"
    assert Outputs(config).state.exists()

"""Training: that it learns, resumes bit for bit, stops cleanly, loses nothing and shares its work."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from conftest import teaching

import ndic_core as ndic
from ndic_core import training_loop
from ndic_core.devices import launch
from ndic_core.experiment import Outputs
from ndic_core.training import train


def quiet(config, **options):
    return train(config, progress=False, report=lambda line: None, **options)


def same_weights(a, b) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("name", ndic.MODELS)
def test_every_model_learns(name, own_folder, tmp_path):
    size = [64, 128] if ndic.build_model(name, num_filters=4).info.multiple_of == 64 else [32, 64]
    config = teaching(own_folder, tmp_path, model=name, resize=size, epochs=6, save_weights=False, lr=0.003)
    trained = quiet(config)
    losses = [row["val_loss"] for row in trained.history]
    assert trained.stopped == "epochs"
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4, 5, 6]
    assert min(losses[-2:]) < 0.8 * losses[0]
    assert not trained.model.training
    assert not list(tmp_path.iterdir())  # save_weights: False leaves no file


def test_larger_lambda_buys_a_better_picture_with_more_bits(own_folder, tmp_path):
    last = []
    for lmbda in (0.0001, 0.1):
        how = dict(model="bls17", resize=[64, 128], epochs=60, lr=0.01, clip_gradient=1.0, save_weights=False)
        last.append(quiet(teaching(own_folder, tmp_path, lmbda=lmbda, **how)).history[-1])
    assert last[0]["bpp"] < 0.5 * last[1]["bpp"]
    assert last[0]["psnr"] < last[1]["psnr"] - 0.8


@pytest.mark.parametrize(
    "changes",
    [
        dict(model="cross_attention"),  # with dropout
        dict(lmbda=[0.001, 0.02], schedule="cosine", warmup_steps=3, clip_gradient=1.0),
        dict(model="bmshj18_factorized", alpha=0, beta=0),
    ],
    ids=["dropout", "variable rate, cosine", "plain"],
)
def test_resuming_is_bit_for_bit(changes, own_folder, tmp_path, monkeypatch):
    whole = quiet(teaching(own_folder, tmp_path / "whole", epochs=4, **changes))
    monkeypatch.setattr(training_loop, "LOOK_EVERY", 0)  # a stop is seen at every step
    config = teaching(own_folder, tmp_path / "parts", epochs=4, **changes)
    torch.rand(7)  # other random numbers drawn meanwhile change nothing
    for steps in (2, 3, 6):  # within the first epoch, within the second, at the end of one
        run = _stopping_after(steps, monkeypatch)
        assert quiet(config).stopped == "interrupted"
        assert run == []
    monkeypatch.undo()
    again = quiet(config)
    assert again.history == whole.history
    assert same_weights(again.model, whole.model)


def _stopping_after(steps: int, monkeypatch) -> list:
    """Ctrl-C during a step; returns how many more are awaited."""
    left = [None] * steps
    step = training_loop.Training._step

    def counted(self, *batch):
        if left:
            left.pop()
            if not left:
                signal.raise_signal(signal.SIGINT)
        return original(self, *batch)

    original = getattr(step, "original", step)
    counted.original = original
    monkeypatch.setattr(training_loop.Training, "_step", counted)
    return left


def test_interrupted_in_validation_goes_on_with_it(own_folder, tmp_path, monkeypatch):
    whole = quiet(teaching(own_folder, tmp_path / "whole"))
    validate = training_loop.validate

    def interrupted_once(*arguments):
        monkeypatch.setattr(training_loop, "validate", validate)
        signal.raise_signal(signal.SIGINT)
        return validate(*arguments)

    config = teaching(own_folder, tmp_path / "parts")
    monkeypatch.setattr(training_loop, "validate", interrupted_once)
    assert quiet(config).stopped == "interrupted"
    assert quiet(config).history == whole.history


def test_a_time_budget_ends_the_run_with_weights_and_a_later_run_goes_on(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=100000, max_minutes=0.03)
    start = time.monotonic()
    first = quiet(config)
    assert first.stopped == "max_minutes"
    assert time.monotonic() - start < 60
    assert Outputs(config).weights.exists()
    second = quiet(config)
    assert len(second.history) > len(first.history) > 0
    assert second.history[: len(first.history)] == first.history


def test_the_best_weights_are_kept(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=4)
    losses = iter([3.0, 1.0, 2.0, 5.0])
    kept = []
    validate = training_loop.validate

    def pretend(model, *arguments):
        averages = validate(model, *arguments)
        kept.append([p.detach().clone() for p in model.parameters()])
        return averages | {"val_loss": next(losses)}

    monkeypatch.setattr(training_loop, "validate", pretend)
    trained = quiet(config)
    stored = ndic.load_checkpoint(Outputs(config).weights)
    for model in (trained.model, stored):
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), kept[1], strict=True))
    finished = quiet(config)  # nothing left to do: the same answer, from the files
    assert same_weights(finished.model, stored)
    assert finished.history == trained.history


def test_the_plateau_lowers_the_learning_rate(own_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(training_loop.PLATEAU, "patience", 1)
    validate = training_loop.validate
    monkeypatch.setattr(training_loop, "validate", lambda *a: validate(*a) | {"val_loss": 1.0})
    history = quiet(teaching(own_folder, tmp_path, epochs=6, save_weights=False)).history
    assert [row["lr"] for row in history] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_the_cosine_rises_and_falls(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=5, save_weights=False, schedule="cosine", warmup_steps=4)
    rates = [row["lr"] for row in quiet(config).history]  # 4 steps an epoch: warm-up fills the first
    assert rates == pytest.approx([1e-3, 1e-3 * (2 + 2**0.5) / 4, 5e-4, 1e-3 * (2 - 2**0.5) / 4, 0], abs=1e-9)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_is_good(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=2)
    good = quiet(config)
    before = Outputs(config).state.read_bytes(), Outputs(config).weights.read_bytes()
    step = training_loop.Training._step

    def poisoned(self, x, y, lmbda):
        return step(self, x * math.nan, y, lmbda)

    monkeypatch.setattr(training_loop.Training, "_step", poisoned)
    with pytest.raises(ndic.NDICError, match=r"no longer finite numbers in epoch 3; .* keeps the best weights so far"):
        quiet(teaching(own_folder, tmp_path, epochs=4))
    assert (Outputs(config).state.read_bytes(), Outputs(config).weights.read_bytes()) == before
    monkeypatch.undo()
    assert quiet(teaching(own_folder, tmp_path, epochs=3)).history[:2] == good.history


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


def test_a_damaged_state_is_said(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    state = Outputs(config).state
    for content in (state.read_bytes()[:1000], b"", b"junk"):
        state.write_bytes(content)
        with pytest.raises(ndic.NDICError, match="is damaged: delete it to train anew"):
            quiet(config)


def test_other_data_and_lambdas_never_share_a_file(own_folder, tmp_path):
    changes = [{}, dict(lmbda=0.01), dict(lmbda=[0.001, 0.01]), dict(dataset_name="Street"), dict(model="bls17")]
    changes += [dict(distortion_loss="MSE"), dict(distortion_loss="MS-SSIM", resize=[128, 256])]
    configs = [teaching(own_folder, tmp_path, **change) for change in changes]
    assert len({Outputs(config).weights for config in configs}) == 6  # MSE is the default here
    for config in configs:
        name = Outputs(config).weights.name
        assert not set(name) & set('<>:"/\\|?*')


def test_starting_from_given_weights(own_folder, tmp_path):
    first = teaching(own_folder, tmp_path / "a", epochs=2)
    weights = Outputs(first).weights
    trained = quiet(first)
    start = dict(load_weight=True, weight_path=str(weights))
    model = training_loop.initial_model(teaching(own_folder, tmp_path / "b", **start))
    assert same_weights(model, trained.model)
    free = training_loop.initial_model(teaching(own_folder, tmp_path / "b", lmbda=[0.001, 0.01], **start))
    assert torch.equal(free.analysis_x.conv1.weight, trained.model.analysis_x.conv1.weight)
    with pytest.raises(ndic.NDICError, match="has model ndic_bls17, the configuration says bls17"):
        training_loop.initial_model(teaching(own_folder, tmp_path, model="bls17", **start))
    with pytest.raises(ndic.NDICError, match="has num_filters 8, the configuration says 16"):
        training_loop.initial_model(teaching(own_folder, tmp_path, num_filters=16, **start))
    with pytest.raises(ndic.NDICError, match="there is no checkpoint"):
        training_loop.initial_model(teaching(own_folder, tmp_path, load_weight=True, weight_path="nowhere.pt"))


def test_curves_for_tensorboard(own_folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = teaching(own_folder, tmp_path)
    history = quiet(config).history
    events = EventAccumulator(str(Outputs(config).logs)).Reload()
    assert [e.value for e in events.Scalars("val_loss")] == pytest.approx([row["val_loss"] for row in history])
    assert [e.step for e in events.Scalars("bpp")] == [1, 2, 3]


def test_verbose_period(own_folder, tmp_path):
    lines = []
    train(teaching(own_folder, tmp_path, epochs=5, verbose_period=2), progress=False, report=lines.append)
    assert "ndic_bls17 with 0.0" in lines[0]
    assert "16 pairs to train and 2 to validate, 1 × cpu in float32" in lines.pop(0)
    assert [line.split(":")[0] for line in lines] == ["epoch 2", "epoch 4", "epoch 5"]
    assert "bpp (estimated), PSNR" in lines[0]


def test_training_leaves_the_callers_random_numbers_alone(own_folder, tmp_path):
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    quiet(teaching(own_folder, tmp_path, epochs=1, save_weights=False))
    assert torch.equal(torch.rand(1), wanted)


def test_training_in_another_thread(own_folder, tmp_path):
    """Notebooks' widgets and servers train outside the main thread, where no signal can be caught."""
    results = []
    config = teaching(own_folder, tmp_path, epochs=1, save_weights=False)
    thread = threading.Thread(target=lambda: results.append(quiet(config)))
    thread.start()
    thread.join(60)
    assert results[0].stopped == "epochs"


def test_bf16_trains_and_its_rates_are_float32(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=4, precision="bf16", save_weights=False)
    exact = quiet(teaching(own_folder, tmp_path, epochs=4, save_weights=False)).history[-1]
    rough = quiet(config).history[-1]
    assert rough["val_loss"] == pytest.approx(exact["val_loss"], rel=0.05)
    assert rough["val_loss"] != exact["val_loss"]


def test_compiled_steps_compute_the_same(own_folder, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)  # compiling takes a minute
    config = teaching(own_folder, tmp_path, epochs=1, compile=True, save_weights=False)
    assert quiet(config).stopped == "epochs"
    assert len(compiled) == 1


def test_a_batch_that_cannot_be_shared(own_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ndic.NDICError, match="train_batch_size: got 4; 3 processes share each batch"):
        launch(teaching(own_folder, tmp_path))


DISTRIBUTED = """
import json, sys
import torch
import ndic_core as ndic
from ndic_core.training import train

torch.set_num_threads(1)
# Noise is drawn per process; without it, two processes and one must compute the same.
torch.rand_like = lambda values: torch.full_like(values, 0.5)
torch.randn_like = torch.zeros_like
config = ndic.load_config("teaching", **json.loads(sys.argv[1]))
trained = train(config, progress=False)
import os
if os.environ.get("RANK", "0") == "0":
    print(json.dumps([row["val_loss"] for row in trained.history]))
"""


def test_two_processes_do_what_one_does(own_folder, tmp_path):
    """DDP over gloo at the same global batch; 16 pairs leave a batch of 4 at the end of an epoch."""
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *_port()]
    results, weights = [], []
    for i, launcher in enumerate(([sys.executable], torchrun)):
        config = teaching(own_folder, tmp_path / str(i), lmbda=[0.001, 0.01], alpha=0)
        changes = config.model_dump(by_alias=True, exclude_defaults=True)
        changes["train_batch_size"] = 6
        done = subprocess.run(
            [*launcher, str(script), json.dumps(changes)],
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout.splitlines()[-1]))
        weights.append(ndic.load_checkpoint(Outputs(config).weights))
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    one, two = (torch.cat([p.detach().flatten() for p in model.parameters()]) for model in weights)
    # Adam's first steps follow a gradient's sign, so a gradient that is all rounding noise may differ.
    assert ((one - two).abs() < 1e-4).float().mean() > 0.999
    assert results[0][-1] < results[0][0]


def test_validation_is_shared_unevenly_without_harm(own_folder, tmp_path):
    """17 pairs over two processes: one has two batches, the other one; and fewer pairs than processes."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        import torch
        import ndic_core as ndic
        from ndic_core.data.pairs import Pairs
        from ndic_core.devices import launch
        from ndic_core.validation import validate
        import numpy as np

        torch.set_num_threads(1)
        config = ndic.load_config("teaching", model="bls17", num_filters=4, resize=[32, 64], precision="float32")
        fabric = launch(config)
        torch.manual_seed(0)
        model = ndic.build_model(**config.model_arguments())
        images = np.random.default_rng(0).integers(0, 256, (17, 32, 64, 3), dtype=np.uint8)
        for count in (17, 1):
            pairs = Pairs(images, np.zeros((count, 2), int) + np.arange(count)[:, None], ["a"] * count)
            result = validate(model, pairs, config, fabric, lambda: bool(fabric.all_reduce(torch.zeros(1)).sum()))
            if fabric.is_global_zero:
                print(result["val_loss"])
        """)
    )
    outputs = []
    for launcher in ([sys.executable], [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *_port()]):
        done = subprocess.run([*launcher, str(script)], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        outputs.append([float(line) for line in done.stdout.split()])
    assert outputs[1] == pytest.approx(outputs[0], rel=1e-5)


def _port() -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return [f"--master_port={free.getsockname()[1]}"]


def test_a_lambda_drawn_at_the_edge_is_not_rounded_out_of_the_range(own_folder, tmp_path, monkeypatch):
    """In bf16, 0.001 would become 0.000999: lambdas stay exact whatever the precision of the steps."""
    drawn = []
    gains = ndic.build_model("bls17", num_filters=4).__class__.gains

    def watched(self, lmbda, batch):
        drawn.append(lmbda)
        return gains(self, lmbda, batch)

    monkeypatch.setattr("ndic_core.models.codec.Codec.gains", watched)
    monkeypatch.setattr(training_loop.np.random, "default_rng", lambda _: _Zeros())
    config = teaching(own_folder, tmp_path, lmbda=[0.001, 0.02], precision="bf16", epochs=1, save_weights=False)
    quiet(config)
    tensors = [lmbda for lmbda in drawn if isinstance(lmbda, torch.Tensor)]
    assert tensors
    assert all(lmbda.dtype == torch.float32 and torch.allclose(lmbda, torch.tensor(0.001)) for lmbda in tensors)


class _Zeros:
    def random(self, count):
        return np.zeros(count)


def test_spoilt_weights_are_never_saved(own_folder, tmp_path, monkeypatch):
    """A finite loss, then a step that spoils the weights: the state before it stays."""
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    before = Outputs(config).state.read_bytes()
    step = training_loop.Training._step

    def spoilt(self, *batch):
        result = step(self, *batch)
        with torch.no_grad():
            next(self.model.parameters()).fill_(math.nan)
        return result

    monkeypatch.setattr(training_loop.Training, "_step", spoilt)
    monkeypatch.setattr(training_loop, "SAVE_EVERY", 0)
    monkeypatch.setattr(training_loop, "LOOK_EVERY", 0)
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


def test_a_state_whose_weights_are_gone(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=1)
    quiet(config)
    Outputs(config).weights.unlink()
    with pytest.raises(ndic.NDICError, match="is gone, though"):
        quiet(config)


def test_a_launcher_passing_a_signal_on_does_not_end_the_run_at_once(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path)
    step = training_loop.Training._step

    def signalled(self, *batch):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        return step(self, *batch)

    monkeypatch.setattr(training_loop.Training, "_step", signalled)
    assert quiet(config).stopped == "interrupted"
    assert Outputs(config).state.exists()

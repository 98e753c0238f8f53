"""Training: that it learns, resumes bit for bit and stops where it should."""

import logging
import math
import re
import signal
import threading
import warnings
from contextlib import nullcontext

import pytest
import torch
from conftest import PATIENCE, quiet, same_weights, stopping_after, teaching, wrap_step
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import ndic_core as ndic
from ndic_core.training import lr_schedule
from ndic_core.training import train as training
from ndic_core.training.devices import launch
from ndic_core.training.optimizers import make_optimizer
from ndic_core.training.output_paths import Outputs
from ndic_core.training.setup import initial_model, set_up
from ndic_core.training.state import MAY_BE_MISSING, move_state, read_state
from ndic_core.training.train import train


@pytest.mark.parametrize("name", ndic.MODELS)
def test_every_model_learns(name, own_folder, tmp_path):
    size = [64, 128] if ndic.build_model(name, num_filters=4).info.multiple_of == 64 else [32, 64]
    config = teaching(own_folder, tmp_path, model=name, resize=size, epochs=6, save_weights=False, lr=0.003)
    before = torch.get_rng_state()
    trained = quiet(config)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers
    losses = [row["val_loss"] for row in trained.history]
    assert trained.stopped == "epochs"
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4, 5, 6]
    assert min(losses[-2:]) < 0.8 * losses[0]
    assert not trained.model.training
    assert not list(tmp_path.iterdir())  # save_weights: False leaves no file


def test_larger_lambda_gives_a_better_image_with_more_bits(own_folder, tmp_path):
    last = []
    for lmbda in (0.0001, 0.1):
        how = dict(model="bls17", resize=[64, 128], epochs=60, lr=0.01, max_grad_norm=1.0, save_weights=False)
        last.append(quiet(teaching(own_folder, tmp_path, lmbda=lmbda, **how)).history[-1])
    assert last[0]["bpp"] < 0.5 * last[1]["bpp"]
    assert last[0]["psnr"] < last[1]["psnr"] - 0.8


@pytest.mark.parametrize(
    "changes",
    [
        dict(model="cross_attention"),  # with dropout
        dict(lmbda=[0.001, 0.02], lr_scheduler="cosine", warmup_steps=3, max_grad_norm=1.0),
        dict(model="bmshj18_factorized", alpha=0, beta=0),
        dict(model="parallax_attention", dataset_name="Street", street_pairs=[16, 2, 2], matching_loss_weight=1.0),
        dict(
            lmbda=[0.001, 0.02],
            lr_scheduler="cosine",
            optimizer="soap",
            alpha=0,
            beta=0,
            ema_decay=0.9,
            rate_balance=0.6,
        ),
    ],
    ids=["dropout", "variable rate, cosine", "plain", "matching loss", "soap, average"],
)
def test_resuming_is_bit_for_bit(changes, own_folder, tmp_path, monkeypatch):
    whole = quiet(teaching(own_folder, tmp_path / "whole", epochs=4, **changes))
    monkeypatch.setattr(training, "CHECK_EVERY", 0)  # a stop is seen at every step
    config = teaching(own_folder, tmp_path / "parts", epochs=4, **changes)
    torch.rand(7)  # other random numbers drawn meanwhile change nothing
    for steps in (2, 3, 6):  # within the first epoch, within the second, at the end of one
        run = stopping_after(steps, monkeypatch)
        assert quiet(config).stopped == "interrupted"
        assert run == []
    monkeypatch.undo()
    again = quiet(config)
    assert again.history == whole.history
    assert same_weights(again.model, whole.model)


def test_interrupted_in_validation_goes_on_with_it(own_folder, tmp_path, monkeypatch):
    whole = quiet(teaching(own_folder, tmp_path / "whole"))
    validate = training.validate

    def interrupted_once(*arguments, **options):
        monkeypatch.setattr(training, "validate", validate)
        signal.raise_signal(signal.SIGINT)
        return validate(*arguments, **options)

    config = teaching(own_folder, tmp_path / "parts")
    monkeypatch.setattr(training, "validate", interrupted_once)
    assert quiet(config).stopped == "interrupted"
    assert quiet(config).history == whole.history


def test_a_time_budget_ends_the_run_with_weights_and_a_later_run_goes_on(own_folder, tmp_path, monkeypatch):
    """With a fake clock: 10 seconds per step, 5 minutes in all."""
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])

    def ten_seconds(step, setup, batch):
        now[0] += 10
        return step(setup, batch)

    wrap_step(ten_seconds, monkeypatch)
    config = teaching(own_folder, tmp_path, epochs=100000, max_minutes=5)
    first = quiet(config)
    assert first.stopped == "max_minutes"
    assert len(first.history) == 7  # 4 steps an epoch: 30 are within the time, the 31st is beyond
    assert read_state(Outputs(config).state).images == 31 * 4
    assert read_state(Outputs(config).state).seconds == 310
    assert Outputs(config).weights.exists()
    second = quiet(config)
    assert len(second.history) == 15
    assert second.history[: len(first.history)] == first.history


def test_the_best_weights_are_kept(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=4)
    losses = iter([3.0, 1.0, 2.0, 5.0])
    kept = []
    validate = training.validate

    def pretend(model, *arguments, **options):
        averages = validate(model, *arguments, **options)
        kept.append([p.detach().clone() for p in model.parameters()])
        return averages | {"val_loss": next(losses)}

    monkeypatch.setattr(training, "validate", pretend)
    trained = quiet(config)
    stored = ndic.load_checkpoint(Outputs(config).weights)
    for model in (trained.model, stored):
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), kept[1], strict=True))
    finished = quiet(config)  # nothing left to do: the same answer, from the files
    assert same_weights(finished.model, stored)
    assert finished.history == trained.history


def test_the_plateau_lowers_the_learning_rate(own_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(lr_schedule.PLATEAU, "patience", 1)
    validate = training.validate
    monkeypatch.setattr(training, "validate", lambda *a, **k: validate(*a, **k) | {"val_loss": 1.0})
    history = quiet(teaching(own_folder, tmp_path, epochs=6, save_weights=False)).history
    assert [row["lr"] for row in history] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_starting_from_given_weights(own_folder, tmp_path):
    first = teaching(own_folder, tmp_path / "a", epochs=2)
    weights = Outputs(first).weights
    trained = quiet(first)
    start = dict(load_weight=True, weight_path=str(weights))
    model = initial_model(teaching(own_folder, tmp_path / "b", **start))
    assert same_weights(model, trained.model)
    free = initial_model(teaching(own_folder, tmp_path / "b", lmbda=[0.001, 0.01], **start))
    assert torch.equal(free.analysis_x.conv1.weight, trained.model.analysis_x.conv1.weight)
    with pytest.raises(ndic.NDICError, match="has model ndic_bls17, the configuration says bls17"):
        initial_model(teaching(own_folder, tmp_path, model="bls17", **start))
    with pytest.raises(ndic.NDICError, match="has num_filters 8, the configuration says 16"):
        initial_model(teaching(own_folder, tmp_path, num_filters=16, **start))
    with pytest.raises(ndic.NDICError, match="there is no checkpoint"):
        initial_model(teaching(own_folder, tmp_path, load_weight=True, weight_path="nowhere.pt"))


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
    assert "16 pairs to train and 2 to validate, 1 × cpu in float32" in lines.pop(0)
    assert [line.split(":")[0] for line in lines] == ["epoch 2", "epoch 4", "epoch 5"]
    assert "bpp (estimated), PSNR" in lines[0]


def test_the_bar_shows_how_it_goes(own_folder, tmp_path, monkeypatch):
    """As on a terminal: loss, rate and quality of the last batch."""
    shown = []

    class Bar(training.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False})

        def set_postfix_str(self, text):
            shown.append(text)

    monkeypatch.setattr(training, "tqdm", Bar)
    monkeypatch.setattr(training, "CHECK_EVERY", 0)
    config = teaching(own_folder, tmp_path, epochs=1, save_weights=False)
    train(config, progress=True, report=lambda line: None)
    assert len(shown) == 4
    assert re.fullmatch(r"loss \d+\.\d{3}, \d+\.\d{3} bpp, \d+\.\d dB, MS-SSIM nan", shown[-1])


@pytest.mark.parametrize(
    ("change", "grad", "sentence"),
    [
        (lambda model: model.requires_grad_(False), True, "no parameter to train"),
        (lambda model: model.double(), True, "a model in float32: pass model.float()"),
        (lambda model: model, False, "outside torch.no_grad"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(change, grad, sentence, own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, model="bls17", num_filters=4, save_weights=False)
    model = change(ndic.build_model("bls17", num_filters=4))
    with torch.set_grad_enabled(grad), pytest.raises(ndic.NDICError, match=sentence):
        quiet(config, model=model)


def test_a_model_of_ones_own(own_folder, tmp_path):
    """It is trained in place; a checkpoint could not describe what was changed."""
    config = teaching(own_folder, tmp_path, epochs=1, save_weights=False)
    model = initial_model(config)
    model.synthesis_x.stage1 = torch.nn.Sequential(model.synthesis_x.stage1, torch.nn.Dropout(0.1))
    before = model.synthesis_x.stage1[0].deconv.weight.clone()
    trained = train(config, progress=False, report=lambda line: None, model=model).model
    assert trained is model
    assert not torch.equal(trained.synthesis_x.stage1[0].deconv.weight, before)
    with pytest.raises(ndic.NDICError, match="a model of your own only with save_weights: False"):
        train(teaching(own_folder, tmp_path), model=model)


def test_training_in_another_thread(own_folder, tmp_path):
    """Notebooks' widgets and servers train outside the main thread, where no signal can be caught."""
    results = []
    config = teaching(own_folder, tmp_path, epochs=1, save_weights=False)
    thread = threading.Thread(target=lambda: results.append(quiet(config)))
    thread.start()
    thread.join(PATIENCE)
    assert results[0].stopped == "epochs"


def test_bf16_trains_and_its_rates_are_float32(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=4, precision="bf16", save_weights=False)
    exact = quiet(teaching(own_folder, tmp_path, epochs=4, save_weights=False)).history[-1]
    rough = quiet(config).history[-1]
    assert rough["val_loss"] == pytest.approx(exact["val_loss"], rel=0.05)
    assert rough["val_loss"] != exact["val_loss"]


def test_steps_are_compiled_where_asked_for(own_folder, tmp_path, monkeypatch, capfd):
    """Without the compiler's warnings."""
    compiled = []

    def compile_at_once(model):  # compiling takes a minute
        compiled.append(model)
        for name in ("_dynamo.variables.tensor", "_inductor.utils", "utils.cpp_extension"):
            logging.getLogger(f"torch.{name}").warning("Graph break")
        warnings.warn_explicit("Online softmax", UserWarning, "lowering.py", 1, module="torch._inductor.lowering")
        return model

    monkeypatch.setattr(torch, "compile", compile_at_once)
    config = teaching(own_folder, tmp_path, epochs=1, compile=True, save_weights=False)
    try:
        assert quiet(config).stopped == "epochs"
    finally:
        torch._logging.set_logs()
    assert len(compiled) == 1
    assert capfd.readouterr() == ("", "")


def test_a_failure_of_the_compiler_is_one_sentence(own_folder, tmp_path, monkeypatch):
    """Without a C++ compiler, or when Ctrl-C ends it; an error of the model itself is not hidden."""
    from torch._dynamo.exc import InternalTorchDynamoError

    def failing(error):
        def forward(*_, **__):
            raise error

        return lambda model: setattr(model, "forward", forward) or model

    config = teaching(own_folder, tmp_path, epochs=1, compile=True)
    monkeypatch.setattr(torch, "compile", failing(InternalTorchDynamoError("C++ compile error\n\nCommand:\ng++")))
    with pytest.raises(ndic.NDICError, match=r"interrupted \(C\+\+ compile error\): run again, or set compile: False$"):
        quiet(config)
    monkeypatch.setattr(torch, "compile", failing(RuntimeError("of the model")))
    with pytest.raises(RuntimeError, match="of the model"):
        quiet(config)
    torch._logging.set_logs()


def test_a_lambda_drawn_at_the_edge_is_not_rounded_out_of_the_range(own_folder, tmp_path):
    """In bf16, 0.001 would become 0.000999, which the model refuses."""
    config = teaching(own_folder, tmp_path, lmbda=[0.001, 0.02], precision="bf16", save_weights=False)
    setup = set_up(config, launch())
    batch = next(setup.loader.epoch(0))
    training.train_step(setup, batch._replace(rates=torch.zeros_like(batch.rates)))


@pytest.mark.parametrize(
    ("model", "metric"),
    [("bls17", "MS-SSIM"), ("ndic_bmshj18", "MSE"), ("cross_attention", "MSE"), ("parallax_attention", "MSE")],
)
def test_a_step_does_not_wait_for_the_device(own_folder, tmp_path, model, metric, monkeypatch):
    """Meta tensors raise an error where a step would wait for a value from the GPU."""
    size = [64, 128] if metric == "MSE" else [128, 256]
    extra = {}
    if model == "parallax_attention":
        extra = dict(matching_loss_weight=1.0, dataset_name="Street", street_pairs=[4, 1, 1])
    config = teaching(
        *(own_folder, tmp_path),
        **dict(model=model, resize=size, distortion_loss=metric, lmbda=[0.001, 0.02], save_weights=False, alpha=0.1),
        **dict(optimizer="soap", ema_decay=0.9, rate_balance=0.5, max_grad_norm=1.0, lr_scheduler="cosine", **extra),
    )
    setup = set_up(config, launch())
    batch = next(setup.loader.epoch(0))
    values = [value for value in batch if isinstance(value, torch.Tensor) and value is not batch.rates]
    assert len(values) == (4 if extra else 2)
    batch = type(batch)(*(value.to("meta") if any(value is v for v in values) else value for value in batch))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
    setup.model.to("meta")
    setup.optimizer = make_optimizer(config.optimizer, setup.model.parameters(), config.lr)
    setup.lr_scheduler = lr_schedule.make_lr_scheduler(setup.optimizer, "cosine", len(setup.loader), config.epochs)
    setup.average = AveragedModel(setup.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for _ in range(12 if model == "bls17" else 2):  # SOAP's eigenbases are new after ten
        _, terms = training.train_step(setup, batch)
    assert terms["loss"].is_meta
    with pytest.raises(RuntimeError, match="meta"):
        terms["loss"].item()


MOVES = dict(lr_scheduler="cosine", optimizer="soap", ema_decay=0.9, lmbda=[0.001, 0.02], epochs=2, validation_period=9)


@pytest.mark.parametrize("exclude", [(), ("optimizer", "average"), MAY_BE_MISSING])
def test_a_training_moves_to_another_batch_size_without_a_gap(own_folder, tmp_path, monkeypatch, exclude):
    """Of 16 pairs, 3 batches of 3 are done; batches of 4 go on with the ninth, and the cosine where it was."""
    first = teaching(own_folder, tmp_path, train_batch_size=3, **MOVES)
    state = Outputs(first).state
    monkeypatch.setattr(training, "CHECK_EVERY", 0)
    stopping_after(3, monkeypatch)
    assert quiet(first).stopped == "interrupted"
    seen, rates, starts = [], [], []

    def watched(step, setup, batch):
        rates.append(setup.optimizer.param_groups[0]["lr"])
        starts.append(setup.model.analysis_x.conv1.weight.detach().clone())
        seen.extend(batch.x.mean((1, 2, 3)).mul(1e5).round().tolist())
        return step(setup, batch)

    wrap_step(watched, monkeypatch)
    second = teaching(own_folder, tmp_path, train_batch_size=4, **MOVES | {"lr": 0.002})
    with pytest.raises(ndic.NDICError, match=r"train_batch_size 3 then, 4 now; lr 0\.001 then, 0\.002 now"):
        quiet(second)
    progress = move_state(state, state, second, exclude)
    assert (progress.epoch, progress.step, progress.images) == (0, 2, 8)
    best = ndic.build_model(**second.model_arguments())
    if "model" in exclude:
        with pytest.raises(ndic.NDICError, match="is missing, though"):
            quiet(second)
        ndic.save_checkpoint(best, Outputs(second).weights)
    assert quiet(second).stopped == "epochs"
    assert rates[0] == pytest.approx(0.002 * (1 + math.cos(math.pi * 8 / 32)) / 2)
    assert torch.equal(starts[0], best.analysis_x.conv1.weight) == ("model" in exclude)
    assert len(seen) == 24
    rest, whole = seen[:8], seen[8:]
    assert len(set(rest)) == 8
    assert set(rest) <= set(whole)
    assert len(set(whole)) == 16
    progress = read_state(state)
    assert progress.images == 32
    assert progress.by_device["CPU"]["images"] == 33  # one of them was seen again
    assert 0 < progress.validation_seconds < progress.seconds == progress.by_device["CPU"]["seconds"]


def test_only_a_training_whose_rate_follows_from_the_images_can_move(own_folder, tmp_path):
    quiet(teaching(own_folder, tmp_path, **MOVES))
    other = teaching(own_folder, tmp_path, **MOVES | {"lr_scheduler": "plateau"})
    state = Outputs(other).state
    before = state.read_bytes()
    with pytest.raises(ndic.NDICError, match="only a cosine's"):
        move_state(state, state, other)
    assert state.read_bytes() == before

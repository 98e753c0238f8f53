"""The optimizer, the average of the weights and the balance of the rates; and that the published recipe stays."""

import math
from pathlib import Path

import pytest
import torch
from conftest import quiet, same_weights, teaching
from torch import nn

import ndic_core as ndic
from ndic_core.training import loop as training_loop
from ndic_core.training.losses import rate_distortion_loss, rate_weights
from ndic_core.training.lr_schedule import make_lr_scheduler
from ndic_core.training.optimizers import make_optimizer
from ndic_core.training.output_paths import Outputs
from ndic_core.training.validation import RATES, validate

SOAP = dict(optimizer="soap", lr=0.003)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_published_recipe():
    """Adam with AMSGrad at 1e-4; a tenth of it after ten validations without a better loss, not below 1e-7."""
    config = ndic.load_config("config")
    assert (config.optimizer, config.lr, config.lr_scheduler, config.warmup_steps) == ("adam", 1e-4, "plateau", 0)
    assert (config.ema_decay, config.rate_balance, config.max_grad_norm) == (0, 0, None)
    assert (config.train_batch_size, config.epochs, config.validation_period) == (1, 50000, 1)
    weight = nn.Parameter(torch.zeros(2, 3))
    adam = make_optimizer(config, [weight])
    assert type(adam) is torch.optim.Adam
    expected = dict(lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=True, maximize=False)
    assert {key: adam.param_groups[0][key] for key in expected} == expected
    plateau = make_lr_scheduler(config, adam, steps=1)
    assert type(plateau) is torch.optim.lr_scheduler.ReduceLROnPlateau
    assert (plateau.factor, plateau.patience, plateau.min_lrs, plateau.mode) == (0.1, 10, [1e-7], "min")
    assert (plateau.threshold, plateau.threshold_mode, plateau.cooldown) == (1e-4, "rel", 0)
    rates = []
    for _ in range(60):
        plateau.step(1.0)
        rates.append(adam.param_groups[0]["lr"])
    assert rates[10] == 1e-4
    assert rates[11] == pytest.approx(1e-5)
    assert rates[-1] == pytest.approx(1e-7)


def test_a_variable_rate_is_validated_at_its_ends_and_in_the_middle():
    assert RATES == {"low": 0.0, "middle": 0.5, "high": 1.0}


def test_soap_does_not_depend_on_the_coordinates_and_adam_does():
    """A quadratic, and the same one rotated: SOAP goes the same way down, Adam does not."""
    torch.manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6))
    scales, start = torch.logspace(0, 2, 6), torch.randn(6, 6)
    losses = {}
    for name in ("adam", "soap"):
        for turned in (torch.eye(6), rotation):
            curvature, weight = turned @ torch.diag(scales) @ turned.T, nn.Parameter(turned @ start)
            optimizer = make_optimizer(ndic.load_config("teaching", optimizer=name, lr=0.01), [weight])
            for _ in range(60):
                optimizer.zero_grad()
                loss = (weight.T @ curvature @ weight).trace() / 2
                loss.backward()
                optimizer.step()
            losses.setdefault(name, []).append(loss.item())
    assert losses["soap"][1] == pytest.approx(losses["soap"][0], rel=1e-2)
    assert losses["adam"][1] != pytest.approx(losses["adam"][0], rel=5e-2)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_soap_trains_every_model(name, own_folder, tmp_path):
    """Also without alpha and beta, which leaves parts of a model without a gradient: these do not change."""
    size = [64, 128] if ndic.build_model(name, num_filters=4).info.multiple_of == 64 else [32, 64]
    config = teaching(
        own_folder, tmp_path, model=name, resize=size, epochs=6, save_weights=False, alpha=0, beta=0, **SOAP
    )
    start = training_loop.initial_model(config).state_dict()
    trained = quiet(config)
    losses = [row["val_loss"] for row in trained.history]
    assert min(losses[-2:]) < 0.8 * losses[0]
    if hasattr(trained.model, "synthesis_y"):
        last = "synthesis_y.stage4.weight" if "synthesis_y.stage4.weight" in start else "synthesis_y.deconv3.weight"
        assert torch.equal(trained.model.state_dict()[last], start[last])


def test_a_gradient_that_is_not_finite_is_said_by_soap_too(own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, epochs=2, **SOAP)
    quiet(config)
    before = Outputs(config).state.read_bytes()
    step = training_loop.Training._step
    monkeypatch.setattr(
        training_loop.Training, "_step", lambda self, batch: step(self, batch._replace(x=batch.x * math.nan))
    )
    with pytest.raises(ndic.NDICError, match="no longer finite numbers in epoch 3"):
        quiet(teaching(own_folder, tmp_path, epochs=4, **SOAP))
    assert Outputs(config).state.read_bytes() == before


def test_the_average_is_that_of_the_steps(own_folder, tmp_path, monkeypatch):
    """Its first value is the weights after the first step; then decay times the average and the rest of the weights."""
    seen = []
    step = training_loop.Training._step

    def watched(self, batch):
        result = step(self, batch)
        seen.append((self.model.analysis_x.conv1.weight.clone(), self.average.module.analysis_x.conv1.weight.clone()))
        return result

    monkeypatch.setattr(training_loop.Training, "_step", watched)
    quiet(teaching(own_folder, tmp_path, ema_decay=0.75, epochs=2, save_weights=False))
    expected = seen[0][0]
    for weights, average in seen:
        expected = expected if weights is seen[0][0] else 0.75 * expected + 0.25 * weights
        assert torch.allclose(average, expected, atol=1e-6)


@pytest.mark.parametrize("better", ["weights", "average"])
def test_the_better_of_weights_and_average_is_kept_and_reported(better, own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, ema_decay=0.9, epochs=1)
    kept = []

    def pretend(model, *arguments):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})
        loss = 1.0 if (len(kept) == 1) == (better == "weights") else 2.0
        return validate(model, *arguments) | {"val_loss": loss}

    monkeypatch.setattr(training_loop, "validate", pretend)
    trained = quiet(config)
    assert len(kept) == 2
    assert not torch.equal(kept[0]["analysis_x.conv1.weight"], kept[1]["analysis_x.conv1.weight"])
    expected = kept[0 if better == "weights" else 1]
    assert all(torch.equal(value, expected[name]) for name, value in trained.model.state_dict().items())
    assert same_weights(ndic.load_checkpoint(Outputs(config).weights), trained.model)
    assert trained.history[-1]["val_loss"] == 1.0


def test_training_is_the_same_with_and_without_an_average(own_folder, tmp_path):
    """The average looks on, it changes no step."""
    plain = quiet(teaching(own_folder, tmp_path / "a", save_weights=False))
    averaged = quiet(teaching(own_folder, tmp_path / "b", save_weights=False, ema_decay=0.5))
    assert [row["loss"] for row in plain.history] == [row["loss"] for row in averaged.history]
    assert averaged.history[-1]["val_loss"] <= plain.history[-1]["val_loss"]


def test_images_are_weighted_by_a_power_of_lambda(own_folder, tmp_path, monkeypatch):
    """The gradient is that of the weighted mean; the reported loss stays the plain one."""
    lambdas = (0.001, 0.016)
    lmbda = torch.tensor([0.001, 0.004, 0.016])
    assert rate_weights(lmbda, lambdas, 0.5).tolist() == pytest.approx([2, 1, 0.5])
    assert rate_weights(lmbda, lambdas, 0).tolist() == [1, 1, 1]
    losses, backward = [], []

    def counted(*arguments, **options):
        terms = rate_distortion_loss(*arguments, **options)
        losses.append((arguments[3], terms))
        return terms

    monkeypatch.setattr(training_loop, "rate_distortion_loss", counted)
    call = training_loop.Fabric.backward
    monkeypatch.setattr(
        training_loop.Fabric, "backward", lambda self, loss: (backward.append(loss.item()), call(self, loss))
    )
    trained = quiet(teaching(own_folder, tmp_path, lmbda=list(lambdas), rate_balance=0.5, epochs=1, save_weights=False))
    for (lmbda, terms), loss in zip(losses, backward, strict=False):
        weights = (lmbda / 0.004) ** -0.5
        assert loss == pytest.approx((weights * terms["losses"]).mean().item(), rel=1e-5)
    reported = trained.history[-1]["loss"]
    assert reported == pytest.approx(sum(terms["loss"].item() for _, terms in losses[: len(backward)]) / len(backward))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(rate_balance=0.6), r"rate_balance: got 0\.6; it needs lambda: \[lowest, highest\]"),
        (dict(warmup_steps=3, lr_scheduler="plateau"), "warmup_steps: got 3; only lr_scheduler: 'cosine' warms up"),
        (dict(model="bls17", heads=2), "heads: bls17 has no such key, it is for model: cross_attention"),
        (
            dict(model="cross_attention", search_range=8),
            "search_range: cross_attention has no such key, it is for model: parall",
        ),
        (dict(optimizer="sgd"), r"optimizer: got 'sgd'; accepted is adam \(with AMSGrad, as published\) or soap"),
        (dict(ema_decay=1.0), r"ema_decay: got 1\.0; accepted is a number from 0"),
    ],
)
def test_what_would_be_ignored_is_refused(changes, sentence, own_folder, tmp_path):
    with pytest.raises(ndic.NDICError, match=sentence):
        teaching(own_folder, tmp_path, **changes)


def test_another_model_drops_the_keys_that_a_file_has_for_its_own():
    """`--config teaching --set model=ndic_bls17`: the preset's keys of cross_attention do not stand in the way."""
    assert "heads" not in ndic.load_config("teaching", model="ndic_bls17").model_fields_set
    assert ndic.load_config("teaching", model="cross_attention").heads == ndic.load_config("teaching").heads == 4


def test_a_cosine_is_not_stretched(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, lr_scheduler="cosine", epochs=2)
    quiet(config)
    before = Outputs(config).state.read_bytes()
    sentence = (
        r"planned with epochs: 2, the configuration says 4; to train further, start another experiment_name from its"
    )
    with pytest.raises(ndic.NDICError, match=sentence):
        quiet(teaching(own_folder, tmp_path, lr_scheduler="cosine", epochs=4))
    assert Outputs(config).state.read_bytes() == before
    plateau = dict(experiment_name="plateau", lr_scheduler="plateau")
    quiet(teaching(own_folder, tmp_path, epochs=2, **plateau))
    assert len(quiet(teaching(own_folder, tmp_path, epochs=4, **plateau)).history) == 4


@pytest.mark.parametrize(("able", "precision"), [(False, "auto"), (True, "auto"), (False, "bf16"), (True, "bf16")])
def test_bf16_only_where_the_cpu_computes_it(able, precision, own_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ndic_core.training.devices._cpu_computes_bf16", lambda: able)
    lines = []
    config = teaching(own_folder, tmp_path, precision=precision, epochs=1, save_weights=False)
    ndic.training.train.train(config, progress=False, report=lines.append)
    used = able or precision == "bf16"
    assert ("1 × cpu in bf16" if used else "1 × cpu in float32") in "".join(lines)
    slow = "precision: this CPU has no bf16 arithmetic, float32 is several times faster here"
    assert (slow in lines) == (not able and precision == "bf16")


def test_the_table_of_the_benchmark_shows_the_numbers_that_were_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import optimizers

    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    rows = optimizers.known(optimizers.TABLE)
    assert f"{optimizers.BEGIN}\n{optimizers.table(rows)}\n{optimizers.END}" in page
    seeds = {(row["model"], row["variant"]): [] for row in rows if row["group"] == "recipe"}
    for row in rows:
        if row["group"] == "recipe":
            seeds[row["model"], row["variant"]].append(row["seed"])
    assert seeds["bmshj18_factorized", "this one, a third of the steps"] == [0, 1, 2]

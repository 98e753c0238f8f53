"""The optimizer, the average of the weights and the balance of the rates; and that the published recipe stays."""

import pytest
import torch
from conftest import quiet, same_weights, teaching, wrap_step
from torch import nn

import ndic_core as ndic
from ndic_core.training import train as training
from ndic_core.training.lr_schedule import make_lr_scheduler
from ndic_core.training.optimizers import make_optimizer
from ndic_core.training.output_paths import Outputs
from ndic_core.training.setup import initial_model
from ndic_core.training.validation import validate


def test_the_published_recipe():
    """Adam with AMSGrad at 1e-4; a tenth of it after ten validations without a better loss, not below 1e-7."""
    config = ndic.load_config("config")
    assert (config.optimizer, config.lr, config.lr_scheduler, config.warmup_steps) == ("adam", 1e-4, "plateau", 0)
    assert (config.ema_decay, config.rate_balance, config.max_grad_norm) == (0, 0, None)
    assert (config.train_batch_size, config.epochs, config.validation_period) == (1, 50000, 1)
    adam = make_optimizer(config.optimizer, [nn.Parameter(torch.zeros(2, 3))], config.lr)
    assert type(adam) is torch.optim.Adam
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["amsgrad"]) == (1e-4, True)
    plateau = make_lr_scheduler(adam, config.lr_scheduler, steps=1, epochs=config.epochs)
    assert type(plateau) is torch.optim.lr_scheduler.ReduceLROnPlateau
    assert (plateau.factor, plateau.patience, plateau.min_lrs) == (0.1, 10, [1e-7])


def test_soap_trains(own_folder, tmp_path):
    """Without alpha and beta, parts of a model have no gradient: these do not change."""
    config = teaching(own_folder, tmp_path, epochs=6, save_weights=False, alpha=0, beta=0, optimizer="soap", lr=0.003)
    start = initial_model(config).state_dict()
    trained = quiet(config)
    losses = [row["val_loss"] for row in trained.history]
    assert min(losses[-2:]) < 0.8 * losses[0]
    last = "synthesis_y.stage4.weight"
    assert torch.equal(trained.model.state_dict()[last], start[last])


def test_the_average_is_that_of_the_steps(own_folder, tmp_path, monkeypatch):
    """Its first value is the weights after the first step; then decay times the average and the rest of the weights."""
    seen = []

    def watched(step, setup, batch):
        result = step(setup, batch)
        seen.append([model.analysis_x.conv1.weight.clone() for model in (setup.model, setup.average.module)])
        return result

    wrap_step(watched, monkeypatch)
    quiet(teaching(own_folder, tmp_path, ema_decay=0.75, epochs=2, save_weights=False))
    expected = seen[0][0]
    for weights, average in seen:
        expected = expected if weights is seen[0][0] else 0.75 * expected + 0.25 * weights
        assert torch.allclose(average, expected, atol=1e-6)


@pytest.mark.parametrize("better", ["weights", "average"])
def test_the_better_of_weights_and_average_is_kept_and_reported(better, own_folder, tmp_path, monkeypatch):
    config = teaching(own_folder, tmp_path, ema_decay=0.9, epochs=1)
    kept = []

    def pretend(model, *arguments, **options):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})
        loss = 1.0 if (len(kept) == 1) == (better == "weights") else 2.0
        return validate(model, *arguments, **options) | {"val_loss": loss}

    monkeypatch.setattr(training, "validate", pretend)
    trained = quiet(config)
    assert len(kept) == 2
    assert not torch.equal(kept[0]["analysis_x.conv1.weight"], kept[1]["analysis_x.conv1.weight"])
    expected = kept[0 if better == "weights" else 1]
    assert all(torch.equal(value, expected[name]) for name, value in trained.model.state_dict().items())
    assert same_weights(ndic.load_checkpoint(Outputs(config).weights), trained.model)
    assert trained.history[-1]["val_loss"] == 1.0


def test_images_are_weighted_by_a_power_of_lambda(own_folder, tmp_path, monkeypatch):
    """The gradient is that of the weighted mean; the reported loss stays the plain one."""
    seen, weighted = [], []

    def noted(step, setup, batch):
        out, terms = step(setup, batch)
        seen.append((batch.rates, terms))
        return out, terms

    wrap_step(noted, monkeypatch)
    backward = training.Fabric.backward
    monkeypatch.setattr(training.Fabric, "backward", lambda self, loss: weighted.append(loss) or backward(self, loss))
    trained = quiet(
        teaching(own_folder, tmp_path, lmbda=[0.001, 0.016], rate_balance=0.5, epochs=1, save_weights=False)
    )
    assert len(seen) == len(weighted)
    for (rates, terms), loss in zip(seen, weighted, strict=True):
        weights = (0.001 * 16**rates / 0.004) ** -0.5
        assert loss.item() == pytest.approx((weights * terms["losses"]).mean().item(), rel=1e-5)
    assert trained.history[-1]["loss"] == pytest.approx(sum(terms["loss"].item() for _, terms in seen) / len(seen))


def test_a_cosine_is_not_stretched(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, lr_scheduler="cosine", epochs=2)
    quiet(config)
    before = Outputs(config).state.read_bytes()
    with pytest.raises(ndic.NDICError, match="planned with epochs: 2, the configuration says 4; to train further"):
        quiet(teaching(own_folder, tmp_path, lr_scheduler="cosine", epochs=4))
    assert Outputs(config).state.read_bytes() == before
    plateau = dict(experiment_name="plateau", lr_scheduler="plateau")
    quiet(teaching(own_folder, tmp_path, epochs=2, **plateau))
    assert len(quiet(teaching(own_folder, tmp_path, epochs=4, **plateau)).history) == 4


@pytest.mark.parametrize(("able", "precision"), [(False, "auto"), (True, "auto"), (False, "bf16"), (True, "bf16")])
def test_bf16_only_where_the_cpu_computes_it(able, precision, own_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ndic_core.training.devices._cpu_has_bf16", lambda: able)
    lines = []
    config = teaching(own_folder, tmp_path, precision=precision, epochs=1, save_weights=False)
    training.train(config, progress=False, report=lines.append)
    used = able or precision == "bf16"
    assert ("1 × cpu in bf16" if used else "1 × cpu in float32") in "".join(lines)
    slow = "precision: this CPU has no bf16 arithmetic, float32 is several times faster here"
    assert (slow in lines) == (not able and precision == "bf16")

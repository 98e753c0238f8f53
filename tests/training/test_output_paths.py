"""Output files: legal names, the published places, and settings that keep experiments apart."""

import pytest
from conftest import quiet, teaching

import ndic_core as ndic
from ndic_core.run import assess, run
from ndic_core.training.output_paths import Outputs, experiment_name, identity


@pytest.mark.parametrize(
    ("preset", "changes", "name"),
    [
        # Windows forbids colons.
        ("config", dict(experiment_name="attention_MS-SSIM_lambda:3e-05"), "attention_MS-SSIM_lambda_3e-05"),
        ("config", dict(experiment_name="con"), "_con"),
        ("config", dict(experiment_name="../../x"), "_.._x"),
        ("config", dict(experiment_name=" . "), "experiment"),
        ("teaching", dict(model="bls17", lmbda=0.001), "Street_bls17_MSE_lambda_0.001"),
        ("teaching", dict(lmbda=[0.01, 0.1]), "Street_cross_attention_MSE_lambda_0.01-0.1"),
    ],
)
def test_names(preset, changes, name):
    """Legal on every file system; by default they state data set, model, distortion and lambda."""
    assert experiment_name(ndic.load_config(preset, **changes)) == name


def test_the_published_places():
    outputs = Outputs(ndic.load_config("config", save_output_path="out"))
    name = "cross_attention_MS-SSIM_lambda_3e-05"
    files = [outputs.weights, outputs.settings, outputs.table, outputs.images, outputs.test_settings]
    assert [file.as_posix() for file in files] == [
        f"out/weight/{name}.safetensors",
        f"out/weight/{name}.config.yaml",
        f"out/results/{name}.csv",
        f"out/results/{name}",
        f"out/results/{name}.config.yaml",
    ]


def test_identity_holds_what_shapes_a_training_and_nothing_else():
    one = ndic.load_config("config", epochs=3, cuda=False, max_minutes=1.0, verbose_period=1, test=False)
    assert identity(one) == identity(ndic.load_config("config"))
    for change in (dict(lr=0.1), dict(alpha=1), dict(seed=1), dict(num_filters=8), dict(train_batch_size=2)):
        assert identity(ndic.load_config("config", **change)) != identity(one)


def test_another_experiment_of_the_same_name_is_refused(own_folder, tmp_path):
    """Even without a state file; the stored settings describe the experiment completely."""
    config = teaching(own_folder, tmp_path, epochs=1, experiment_name="mine", street={"baseline": 0.7})
    quiet(config)
    outputs = Outputs(config)
    assert ndic.load_config(outputs.settings) == config
    outputs.state.unlink()
    before = outputs.weights.read_bytes()
    other = config.model_copy(update={"lmbda": [0.01, 0.1]})
    sentence = r"mine\.config\.yaml belongs to .* \(lambda 0\.002 then, \[0\.01, 0\.1\] now\): choose another"
    for use in (quiet, assess):
        with pytest.raises(ndic.NDICError, match=sentence):
            use(other)
    assert outputs.weights.read_bytes() == before
    with pytest.raises(ndic.NDICError, match=r"whose state mine\.state\.pt is missing"):
        quiet(config)
    outputs.weights.unlink()
    quiet(config)  # trains anew


def test_tests_of_other_weights_under_the_same_name_are_refused(own_folder, tmp_path, monkeypatch):
    ndic.save_checkpoint(ndic.build_model("ndic_bls17", num_filters=8, lmbda=0.01), tmp_path / "w.safetensors")
    given = dict(train=False, load_weight=True, weight_path=str(tmp_path / "w.safetensors"), lmbda=0.01)
    config = teaching(own_folder, tmp_path, experiment_name="mine", **given)
    for _ in range(2):
        assess(config, report=lambda line: None)
    with pytest.raises(ndic.NDICError, match=r"results/mine\.config\.yaml belongs to .* \(model ndic_bls17 then"):
        assess(config.model_copy(update={"model": "bls17"}))
    monkeypatch.setattr("ndic_core.run.train", lambda *a, **k: pytest.fail("trained before the settings were checked"))
    with pytest.raises(ndic.NDICError, match="seed 0 then, 1 now"):
        run(config.model_copy(update={"train": True, "save_weights": False, "seed": 1}))

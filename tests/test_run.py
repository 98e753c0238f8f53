"""Whole experiments from their YAML: the published README's, and one that needs no file."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, teaching, wait_until
from PIL import Image

import ndic_core as ndic
from ndic_core.cli import main
from ndic_core.evaluation.tables import read_table
from ndic_core.io import read_image
from ndic_core.run import assess
from ndic_core.run import run as run_experiment
from ndic_core.training.output_paths import Outputs

# Every key of the published README; the model is smaller and the run shorter.
PUBLISHED = """
dataset_name: 'KITTI_Stereo'
dataset_path: '{data}'
resize: [128, 256]

model: 'cross_attention'
num_filters: 4
cuda: True
load_weight: False
weight_path: './pretrained_weights/model.pt'

train: True
epochs: {epochs}
train_batch_size: 1
lr: 0.0001
lambda: 0.00003
alpha: 0
beta: 0
distortion_loss: 'MS-SSIM'
verbose_period: 1

save_weights: True
save_output_path: '{out}'
experiment_name: 'cross_attention_MS-SSIM_lambda:3e-05'

test: True
save_image: True

embed_dim: 8
heads: 1
"""


def run(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as done:
        return done.code or 0
    return 0


@pytest.fixture
def kitti_shaped(shared, tmp_path) -> Path:
    """A folder like the unpacked archives, of real pairs; those to train on are enlarged to the original size."""
    root = tmp_path / "kitti"
    train, test = shared / "data" / "kitti_train", shared / "data" / "kitti2015_test"
    for camera in ("image_2", "image_3"):
        files = sorted((train / camera).iterdir())
        for part, chosen, frames in (("training", files[:2], (10, 11)), ("testing", files[-2:], (11,))):
            folder = root / "data_scene_flow_multiview" / part / camera
            folder.mkdir(parents=True, exist_ok=True)
            for scene, file in enumerate(chosen):
                for frame in frames:
                    image = Image.open(file).convert("RGB")
                    image.resize((1242, 375), Image.Resampling.BICUBIC).save(folder / f"{scene:06d}_{frame}.png")
        for scene, file in enumerate(sorted((test / camera).iterdir())[:2]):
            (folder / f"{scene:06d}_10.png").write_bytes(file.read_bytes())
    return root


def test_the_published_yaml_runs_end_to_end(kitti_shaped, tmp_path, capsys):
    yaml = tmp_path / "experiment.yaml"
    out = tmp_path / "outputs"
    yaml.write_text(PUBLISHED.format(data=kitti_shaped, out=out, epochs=1))
    assert run("run", "--config", str(yaml)) == 0
    name = "cross_attention_MS-SSIM_lambda_3e-05"  # as published; Windows forbids the colon
    printed = capsys.readouterr().out
    assert "8 pairs to train and 4 to validate" in printed
    assert "epoch 1: loss" in printed
    assert "trained to epoch 1" in printed
    model = ndic.load_checkpoint(out / "weight" / f"{name}.safetensors")
    assert model.name == "cross_attention"
    lines = read_table(out / "results" / f"{name}.csv")
    assert [line["image number"] for line in lines] == [0, 1, 2, 3]  # two scenes, both orders
    images = out / "results" / name
    assert read_image(images / "0003.png").shape == (3, 128, 256)
    assert (images / "0000_beside.png").exists()

    yaml.write_text(PUBLISHED.format(data=kitti_shaped, out=out, epochs=2))  # resumed, by the published command's twin
    command = [sys.executable, "-m", "ndic_core", f"--config={yaml}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 1" in done.stdout
    assert "epoch 2: loss" in done.stdout
    assert "epoch 1: loss" not in done.stdout


def test_published_inference(kitti_shaped, tmp_path, capsys):
    """The README's "Inference": no training, weights from a path."""
    model = ndic.build_model("cross_attention", num_filters=4, embed_dim=8, heads=1)
    ndic.save_checkpoint(model, tmp_path / "given.safetensors")
    yaml = tmp_path / "inference.yaml"
    text = PUBLISHED.format(data=kitti_shaped, out=tmp_path / "inference", epochs=1)
    text = text.replace("train: True", "train: False").replace("load_weight: False", "load_weight: True")
    yaml.write_text(text.replace("./pretrained_weights/model.pt", str(tmp_path / "given.safetensors")))
    assert run("run", "--config", str(yaml)) == 0
    assert not (tmp_path / "inference" / "weight").exists()
    assert len(list((tmp_path / "inference" / "results").glob("*.csv"))) == 1


@pytest.mark.parametrize(
    ("stored", "wanted", "sentence"),
    [
        (dict(lmbda=0.01), dict(lmbda=0.5), r"was trained for lambda: 0\.01; the configuration says otherwise"),
        (dict(lmbda=(0.01, 0.1)), dict(lmbda=[0.01, 1.0]), r"was trained for lambda: \[0\.01, 0\.1\]"),
        # A training may start from a simpler model's weights; a test would use random ones for the rest.
        (dict(name="bmshj18_factorized"), {}, "has model bmshj18_factorized, the configuration says ndic_bls17"),
    ],
)
def test_weights_of_another_lambda_or_model_are_not_tested(stored, wanted, sentence, own_folder, tmp_path):
    file = tmp_path / ("given.safetensors" if isinstance(stored.get("lmbda"), float) else "given.ckpt")
    ndic.save_checkpoint(ndic.build_model(**dict(name="ndic_bls17", num_filters=8, lmbda=0.01) | stored), file)
    given = dict(train=False, load_weight=True, weight_path=str(file), lmbda=0.01)
    with pytest.raises(ndic.NDICError, match=sentence):
        assess(teaching(own_folder, tmp_path, **given | wanted))


def test_weights_are_loaded_once_and_tested_at_their_lambda(own_folder, tmp_path, monkeypatch):
    from ndic_core.checkpoints import checkpoint

    file, loaded = tmp_path / "given.safetensors", []
    ndic.save_checkpoint(ndic.build_model("ndic_bls17", num_filters=8, lmbda=0.01), file)
    load = checkpoint._load_ours
    monkeypatch.setattr(checkpoint, "_load_ours", lambda path: loaded.append(path) or load(path))
    config = teaching(own_folder, tmp_path, lmbda=0.01, train=False, load_weight=True, weight_path=str(file))
    assert {row["lmbda"] for row in assess(config, report=lambda line: None)} == {0.01}
    assert loaded == [file]


def test_the_street_needs_no_file(tmp_path, capsys):
    out = tmp_path / "outputs"
    small = ["model=ndic_bls17", "num_filters=4", "resize=[32, 64]", "street_pairs=[3, 1, 2]", "epochs=1"]
    small += ["lr_scheduler=plateau", "warmup_steps=0"]  # which lets a training go on
    changes = [item for change in [*small, f"save_output_path={out}"] for item in ("--set", change)]
    assert run("run", "--config", "teaching", *changes) == 0
    table = next((out / "results").glob("*.csv"))
    assert len(read_table(table)) == 2
    assert "Street" in table.name
    assert run("test", "--config", "teaching", *changes) == 0
    assert run("train", "--config", "teaching", *changes, "--set", "epochs=2") == 0
    assert "going on after epoch 1" in capsys.readouterr().out


def test_a_variable_rate_experiment_is_tested_at_several_rates(own_folder, tmp_path, capsys):
    config = teaching(own_folder, tmp_path, lmbda=[0.001, 0.01], epochs=1)
    run_experiment(config)
    lines = read_table(Outputs(config).table)
    assert sorted({line["lambda"] for line in lines})[::4] == pytest.approx([0.001, 0.01])
    assert len(lines) == 5 * 2
    assert len(list(Outputs(config).images.glob("????.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["test", "--set", "model=bls17"], "there are no weights to test: train first"),
        (["run", "--set", "dataset_path=nowhere"], "nowhere"),
        (["run", "--set", "epoch=3"], "unknown key 'epoch': did you mean 'epochs'?"),
        (["curve", "c.csv", "--model", "bls17", "--config", "pretrain"], "pretrain is a recipe of several trainings"),
        (["curve", "c.csv", "--weights", "nowhere.pt"], "there is no file nowhere.pt"),
        (["run", "--set", "path=x"], "unknown key 'path'"),
        (["run", "--set", "dataset_name=Folder"], "left/ and "),
        (["curve", "c.csv", "--classical", "--config", "teaching", "--split", "tset"], "there is no split 'tset'"),
        (["train", "--set", "experiment_name=" + "ü" * 110], "would be too long: shorten it"),
    ],
)
def test_errors_are_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("ndic: ")
    assert sentence in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--set", "epochs"],
        ["run", "--set", "lr=2001-99-99"],
        ["curve", "c.csv"],
        ["curve", "c.txt", "--classical"],
    ],
)
def test_wrong_usage(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(own_folder, tmp_path):
    config = teaching(own_folder, tmp_path, epochs=100000)
    changes = config.model_dump(by_alias=True, exclude_defaults=True)
    settings = [item for key, value in changes.items() for item in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "ndic_core", "train", "--config", "teaching", *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(Outputs(config).weights.exists, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert error.strip() == "ndic: interrupted: the same command resumes"
    assert Outputs(config).state.exists()
    done = subprocess.run([*command, "--set", "max_minutes=0.01"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    assert "going on after epoch" in done.stdout

"""The command line: output, exit status, errors in one sentence."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PATIENCE, SIDE_INFO, lively, published_file, random_weight, senders_reconstruction
from PIL import Image

import ndic_core as ndic
from ndic_core import cli
from ndic_core.config_file import presets
from ndic_core.io import read_image, write_image


@pytest.fixture
def ndic_command(capsys, monkeypatch, tmp_path):
    """Run `ndic ARGUMENTS` in an empty folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ndic", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def files(pair, tmp_path_factory):
    """A folder of images, weights, and a file that they encode."""
    folder = tmp_path_factory.mktemp("files")
    write_image(pair[0], folder / "x.png")
    write_image(torch.rand(3, 20, 20), folder / "small.png")
    ndic.save_checkpoint(lively("bls17"), folder / "bls17.safetensors")
    model = lively("ndic_bls17")
    ndic.save_checkpoint(model, folder / "w.safetensors")
    stream = ndic.encode(model, read_image(folder / "x.png"))
    (folder / "x.ndic").write_bytes(stream)
    (folder / "cut.ndic").write_bytes(stream[:-9])
    return folder


def refused(result, sentence):
    """Exit status 1 and one sentence on stderr."""
    status, out, err = result
    assert (status, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("ndic: ")
    assert sentence in err
    return True


@pytest.mark.parametrize("name", ["bmshj18", "cross_attention", "parallax_attention"])
def test_kitti_pair_through_the_command_line(name, kitti, ndic_command, tmp_path):
    """Image → file → image on original KITTI pixels: exactly what the model computes without a file."""
    left, right = kitti[0]
    model = lively(name, image_size=(128, 256))
    ndic.save_checkpoint(model, "weights.safetensors")
    status, out, _ = ndic_command("encode", left, "left.ndic", "--model", name, "--weights", "weights.safetensors")
    assert status == 0
    size = (tmp_path / "left.ndic").stat().st_size
    x, y = read_image(left), read_image(right)
    height, width = x.shape[-2:]
    assert f"({height} x {width}) -> left.ndic: {size} bytes, {8 * size / (height * width):.4f} bpp" in out

    side_info = ["--side-info", right] if name in SIDE_INFO else []
    status, out, _ = ndic_command("decode", "left.ndic", "left.png", "--weights", "weights.safetensors", *side_info)
    assert status == 0
    assert name in out
    write_image(senders_reconstruction(model, x, y), "expected.png")
    assert torch.equal(read_image("left.png"), read_image("expected.png"))
    assert sorted(os.listdir()) == ["expected.png", "left.ndic", "left.png", "weights.safetensors"]


@pytest.mark.parametrize("name", ["bls17", "ndic_bmshj18", "cross_attention"])
def test_untrained_weights_are_the_same_everywhere(name, pair, ndic_command):
    write_image(pair[0], "x.png")
    write_image(pair[1], "y.png")
    assert ndic_command("encode", "x.png", "x.ndic", "--model", name, "--untrained")[0] == 0
    torch.manual_seed(99)
    assert ndic_command("decode", "x.ndic", "out.png", "--side-info", "y.png", "--untrained")[0] == 0
    assert read_image("out.png").shape == (3, 128, 256)


@pytest.mark.parametrize("metric", ["MS-SSIM", "mse"])
def test_shipped_weights_for_either_metric(metric, pair, ndic_command):
    """The decoder needs no --metric: the file states the weights that it was encoded with."""
    x, y = pair
    write_image(x, "x.png")
    write_image(y, "y.png")
    assert ndic_command("encode", "x.png", "x.ndic", "--model", "ndic_bls17", "--metric", metric)[0] == 0
    assert ndic_command("decode", "x.ndic", "out.png", "--side-info", "y.png")[0] == 0
    model = ndic.load_pretrained("ndic_bls17", metric)
    x, y = read_image("x.png"), read_image("y.png")
    write_image(ndic.decode(model, ndic.encode(model, x), y), "expected.png")
    assert torch.equal(read_image("out.png"), read_image("expected.png"))


def test_a_file_by_none_of_the_shipped_weights(pair, ndic_command):
    write_image(pair[0], "x.png")
    ndic_command("encode", "x.png", "x.ndic", "--model", "bls17", "--untrained")
    assert refused(ndic_command("decode", "x.ndic", "o.png"), "x.ndic: this stream was made with single-rate weights")
    ndic.save_checkpoint(lively("bls17", lmbda=(1e-4, 1e-2)), "w.safetensors")
    ndic_command("encode", "x.png", "y.ndic", "--weights", "w.safetensors")
    assert refused(
        ndic_command("decode", "y.ndic", "o.png"), "y.ndic: this stream was made with other weights of bls17"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("encode no.png a.ndic --model bls17 --untrained", "there is no file no.png"),
        ("encode x.ndic a.ndic --model bls17 --untrained", "is not an image"),
        ("encode x.png a.ndic --weights x.png", "is not a checkpoint"),
        ("encode x.png a.ndic --weights .", ". is a folder, not a checkpoint"),
        ("encode x.png a.ndic --weights w.safetensors --model bls17", "weights of ndic_bls17"),
        ("encode x.png a.ndic --weights w.safetensors --lmbda 1", "have one rate"),
        ("encode x.png no/a.ndic --weights w.safetensors", "no/a.ndic cannot be written: there is no folder no"),
        ("encode x.png a.ndic --weights w.safetensors --device abacus", "try --device cpu"),
        ("encode x.png a.ndic --weights w.safetensors --device meta", "try --device cpu"),
        ("encode x.ndic x.ndic --weights w.safetensors", "would overwrite an input"),
        ("decode x.ndic o.png --weights w.safetensors", "made by ndic_bls17, which needs side information: add --side"),
        ("decode x.ndic o.png --weights w.safetensors --side-info no.png", "there is no file no.png"),
        ("decode x.ndic o.png --weights w.safetensors --side-info small.png", "128 × 256 (height × width)"),
        ("decode x.ndic o.xyz --weights w.safetensors --side-info x.png", "use .png"),
        ("decode x.ndic x.png --weights w.safetensors --side-info x.png", "x.png would overwrite an input"),
        ("decode x.ndic o.png --untrained --side-info x.png", "made with other weights"),
        ("decode x.ndic o.png --weights bls17.safetensors", "made by ndic_bls17"),
        ("decode x.png o.png --weights w.safetensors", "x.png: this is not an .ndic file"),
        ("decode cut.ndic o.png --weights w.safetensors --side-info x.png", "truncated or damaged"),
    ],
)
def test_errors_of_the_work(arguments, sentence, files, ndic_command, tmp_path):
    for file in files.iterdir():
        shutil.copy(file, tmp_path)
    assert refused(ndic_command(*arguments.split()), sentence)
    assert sorted(os.listdir()) == sorted(os.listdir(files))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["encode", "a", "b.ndic"],
        ["encode", "a", "b.png", "--model", "bls17"],
        ["encode", "a", "b.ndic", "--model", "jpeg"],
        ["demo", "demo.xyz"],
    ],
)
def test_wrong_usage(arguments, ndic_command):
    status, out, err = ndic_command(*arguments)
    assert (status, out) == (2, "")
    assert "Usage:" in err


def test_published_weights_that_do_not_state_their_size(pair, ndic_command):
    write_image(pair[0], "x.png")
    published_file("cam.pt", "cross_attention", random_weight, num_filters=4, image_size=(64, 64))
    assert refused(ndic_command("encode", "x.png", "x.ndic", "--weights", "cam.pt"), "or --image-size HEIGHT WIDTH")
    cam = ("--weights", "cam.pt", "--image-size", 64, 64)
    assert ndic_command("encode", "x.png", "x.ndic", *cam)[0] == 0
    assert ndic_command("decode", "x.ndic", "out.png", "--side-info", "x.png", *cam)[0] == 0
    assert read_image("out.png").shape == (3, 128, 256)


def test_weights_and_untrained_exclude_each_other(pair, ndic_command):
    write_image(pair[0], "x.png")
    ndic.save_checkpoint(lively("bls17"), "w.safetensors")
    status, _, err = ndic_command("encode", "x.png", "x.ndic", "--weights", "w.safetensors", "--untrained")
    assert status == 2
    assert "exclude each other" in err


def test_a_console_without_unicode(pair, tmp_path):
    """A character that the console cannot show is replaced, and the work is done."""
    write_image(pair[0], tmp_path / "x→y.png")
    command = [sys.executable, "-m", "ndic_core", "encode", "x→y.png", "x.ndic", "--model", "bls17", "--untrained"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"x?y.png (128 x 256) -> x.ndic: ")


def test_curves_of_both_metrics_of_a_model_of_the_split_that_was_asked_for(own_folder, ndic_command):
    """Also at a size that does not suit the preset's own model, which is not used."""
    settings = ["dataset_name=Folder", f"dataset_path={own_folder}", "resize=[50, 99]"]
    settings = [word for setting in settings for word in ("--set", setting)]
    models = ["--model", "bls17", "--metric", "mse", "--metric", "MS-SSIM", "--points", 2, "--pairs", 1]
    status, out, _ = ndic_command("curve", "c.csv", "--config", "teaching", *settings, "--split", "val", *models)
    assert status == 0
    first = (
        "Folder, split val: 1 pair of 100 × 200 pixels (height × width), cropped at the centre and resized to 50 × 99"
    )
    assert out.splitlines()[0] == first
    assert "bls17  MSE" in out
    assert "bls17  MS-SSIM" in out
    assert sorted(os.listdir()) == ["c.csv", "c_psnr.png"]


@pytest.mark.parametrize("command", ["run", "train", "test", "curve", "encode", "decode", "models", "demo"])
def test_help_has_an_example_and_lists_every_preset(command, ndic_command):
    status, out, _ = ndic_command(command, "--help")
    assert status == 0
    assert f"Example: ndic {command}" in out
    assert "--config" not in out or all(preset in out for preset in presets())


def test_models_are_listed(ndic_command):
    status, out, _ = ndic_command("models")
    assert status == 0
    assert all(name in out for name in ndic.MODELS)
    assert out.count("MS-SSIM, MSE") == len(ndic.MODELS)


def test_demo_writes_table_and_picture(ndic_command):
    status, out, _ = ndic_command("demo", "demo.png")
    assert status == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(ndic.MODELS)}
    assert set(rows) == set(ndic.MODELS)
    for row in rows.values():
        assert row[-1] == "yes"
        assert float(row[2]) == pytest.approx(8 * int(row[1]) / (128 * 256), abs=1e-4)
    image = np.asarray(Image.open("demo.png").convert("RGB"))
    assert image.std() > 50  # not an empty canvas
    assert refused(ndic_command("demo", "no/demo.png"), "no/demo.png cannot be written: there is no folder no")


@pytest.mark.parametrize("code", ["import ndic_core", "import ndic_core.cli", "import ndic_core.config"])
def test_light_imports(code):
    """What the help needs does not import torch, CompressAI or matplotlib: it answers at once."""
    heavy = "{'torch', 'compressai', 'matplotlib', 'numpy'} & set(sys.modules)"
    script = f"import sys; {code}; sys.exit(str({heavy} or '') or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")

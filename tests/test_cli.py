"""The command line: output, exit status, errors in one sentence."""

import json
import os
import re
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
from ndic_core.catalogue import CATALOGUE, METRICS
from ndic_core.checkpoints.header import shipped_model, stored_model
from ndic_core.cli_checks import limits
from ndic_core.config_file import presets
from ndic_core.data.street import Street
from ndic_core.io import read_image, write_image
from ndic_core.models.coding.container import unpack


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
    ("arguments", "sentence"),
    [
        ("encode x.png a.ndic --lmbda 0.005", "0.005 is not offered; --metric mse has lambdas from"),
        ("encode x.png a.ndic --lmbda 2e-6 --metric mse", "2e-06 is not offered; --metric ms-ssim has lambdas from"),
        ("encode x.png a.ndic --lmbda nan --model bls17", "nan is not offered\n"),
        ("encode x.png a.ndic --weights w.safetensors --lmbda 1", "have one rate, lambda = 3e-05; 1 is not offered\n"),
        ("encode x.png a.ndic --weights w.safetensors --model bls17", "weights of ndic_bls17, not bls17: omit --model"),
        ("encode x.ndic a.ndic", "is not an image"),
        ("encode x.png folder.ndic", "folder.ndic cannot be written: it is a folder; choose another name"),
        ("decode x.ndic o.png --side-info small.png", "small.png is 20 × 20 pixels; as side information"),
        ("decode x.ndic o.png --side-info x.ndic", "x.ndic is not an image"),
        ("decode x.ndic o.png", "made by ndic_bls17, which needs side information: add --side"),
        ("decode x.ndic o.png --weights bls17.safetensors", "x.ndic was made by ndic_bls17; bls17.safetensors holds"),
        ("test --config no.yaml", "there is no configuration no.yaml"),
    ],
)
def test_what_headers_show_is_refused_before_pytorch_is_loaded(
    arguments, sentence, files, ndic_command, tmp_path, monkeypatch
):
    monkeypatch.setattr(cli, "note_loading", lambda *_: pytest.fail("loading"))
    for file in files.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "folder.ndic").mkdir()
    assert refused(ndic_command(*arguments.split()), sentence)
    assert sorted(os.listdir()) == sorted([*os.listdir(files), "folder.ndic"])


def test_lambdas_of_damaged_and_hostile_headers_are_left_to_the_loading(files, tmp_path):
    whole = (files / "w.safetensors").read_bytes()
    path = tmp_path / "w.safetensors"
    for content in (b"", whole[:9], whole[:40], whole.replace(b"ndic_bls17", b"ndic_bls18"), b"\xff" * 99):
        path.write_bytes(content)
        assert stored_model(path) is None
    for config in ("[" * 9999, '{"model": []}', '{"model": "bls17"}', '{"model": "bls17", "lmbda": "much"}'):
        header = json.dumps({"__metadata__": {"ndic": f'{{"config": {config}}}'}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert stored_model(path) is None


@pytest.mark.parametrize("name", ndic.MODELS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_header_states_what_the_loaded_model_does(name, metric):
    stored, model = shipped_model(name, metric), ndic.load_pretrained(name, metric)
    assert (stored.info, stored.lambdas, stored.y_optional) == (model.info, model.lambdas, model.y_optional)
    assert [stored.offers(lmbda) for lmbda in (*model.lambdas, 1)] == [True, True, False]


def test_paths_are_expanded(pair, ndic_command, tmp_path, monkeypatch):
    """Every argument and option that takes a path accepts `~` and variables; nothing is named after them."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("NDIC_DATA", str(home / "data"))
    write_image(pair[0], home / "x.png")
    ndic.save_checkpoint(lively("ndic_bls17"), home / "data" / "w.safetensors")
    weights = ("--weights", "$NDIC_DATA/w.safetensors")
    assert ndic_command("encode", "~/x.png", "${NDIC_DATA}/x.ndic", *weights)[0] == 0
    assert ndic_command("decode", "$NDIC_DATA/x.ndic", "~/o.png", "--side-info", "~/x.png", *weights)[0] == 0
    assert sorted(os.listdir()) == ["home"]
    assert sorted(os.listdir(home)) == ["data", "o.png", "x.png"]
    (home / "my.yaml").write_text("lr: no\n")
    assert refused(ndic_command("train", "--config", "~/my.yaml"), "lr: got")
    assert refused(ndic_command("curve", "~/none/c.csv", "--classical"), f"there is no folder {home}")
    assert refused(ndic_command("curve", "~/c.csv", "--weights", "~/none.pt"), f"there is no file {home}")
    assert refused(ndic_command("demo", "~/none/demo.png"), f"there is no folder {home}")
    status, _, err = ndic_command("encode", "~/x.png", "$NDIC_NONE/x.ndic")
    assert (status, "Invalid value for 'OUT'" in err, "NDIC_NONE is not set" in err) == (2, True, True)


def test_unused_side_information_is_noted(pair, ndic_command):
    write_image(pair[0], "x.png")
    ndic_command("encode", "x.png", "x.ndic", "--model", "bls17")
    status, _, err = ndic_command("decode", "x.ndic", "out.png", "--side-info", "x.png")
    assert status == 0
    assert "ndic: bls17 decodes without side information: x.png is not used\n" in err
    assert "not used" not in ndic_command("decode", "x.ndic", "out.png")[2]


def test_a_side_image_of_another_scene_is_noted(ndic_command):
    for name, scene in (("left", 5000), ("other", 5002)):
        pair = Street().pair(scene)
        write_image(pair.x, f"{name}.png")
        write_image(pair.y, f"{name}_y.png")
    assert ndic_command("encode", "left.png", "x.ndic")[0] == 0
    assert ndic_command("decode", "x.ndic", "o.png", "--side-info", "left_y.png")[2] == ""
    status, _, err = ndic_command("decode", "x.ndic", "o.png", "--side-info", "other_y.png")
    assert status == 0
    assert "ndic: other_y.png has little in common with the decoded image" in err


@pytest.mark.parametrize(
    ("name", "size", "notes"),
    [
        ("cross_attention", (128, 256), []),
        ("cross_attention", (128, 257), ["codes this image in 2 tiles of 128 × 256"]),
        ("parallax_attention", (32, 512), []),
        ("parallax_attention", (32, 528), ["searches y over 99 pixels along the row, 19% of this image's width"]),
        ("ndic_bls17", (32, 2000), []),
    ],
)
def test_limits_of_the_size_are_noted(name, size, notes):
    found = list(limits(lively(name, image_size=(128, 256)), *size))
    assert len(found) == len(notes)
    assert all(note in line for note, line in zip(notes, found, strict=True))


def test_the_recommended_model_is_the_default_and_a_terminal_shows_what_is_loaded(
    pair, ndic_command, tmp_path, monkeypatch
):
    write_image(pair[0], "x.png")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert ndic_command("encode", "x.png", "x.ndic")[2].startswith("ndic: loading PyTorch and parallax_attention\n")
    assert unpack((tmp_path / "x.ndic").read_bytes())[0].model == "parallax_attention"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["encode", "a"],
        ["encode", "a", "b.png", "--model", "bls17"],
        ["encode", "a", "b.ndic", "--model", "jpeg"],
        ["demo", "demo.xyz"],
        ["encode", "a", "b.ndic", "--metric", "mse", "--weights", "w.safetensors"],
        ["encode", "a", "b.ndic", "--metric", "mse", "--untrained"],
        ["encode", "a", "b.ndic", "--lmbda", "3e-5", "--untrained"],
        ["encode", "a", "b.ndic", "--image-size", "64", "64"],
        ["decode", "a", "b.png", "--image-size", "64", "64"],
    ],
)
def test_wrong_usage(arguments, ndic_command):
    status, out, err = ndic_command(*arguments)
    assert (status, out) == (2, "")
    assert "Usage:" in err


@pytest.mark.parametrize("given", ["paralax_attention", "parallax-attention", "Parallax_Attention", "paralax"])
def test_the_name_of_a_model_that_was_meant(given, ndic_command):
    status, _, err = ndic_command("encode", "a", "b.ndic", "--model", given)
    assert status == 2
    assert "did you mean 'parallax_attention'?" in err
    with pytest.raises(ndic.NDICError, match="did you mean 'parallax_attention'"):
        ndic.load_pretrained(given)


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


@pytest.mark.parametrize("command", [[], ["encode"], ["decode"], ["curve"], ["train"], ["demo"]])
def test_narrow_help_is_whole(command, ndic_command, monkeypatch):
    """No word is cut, and no line is much wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    wide = ndic_command(*command, "--help")[1]
    monkeypatch.setenv("COLUMNS", "40")
    narrow = ndic_command(*command, "--help")[1]
    assert "..." not in narrow.replace("[ARGS]...", "")
    assert re.sub(r"[\s-]", "", wide) == re.sub(r"[\s-]", "", narrow)
    assert max(map(len, narrow.splitlines())) <= 60


def test_help_shows_the_rates_of_the_recommended_model(ndic_command):
    text = " ".join(ndic_command("encode", "--help")[1].split())
    for metric in METRICS:
        low, high = ndic.load_pretrained("parallax_attention", metric).lambdas
        assert f"{low:g} to {high:g} for {metric}" in text


@pytest.mark.parametrize("columns", [40, 80])
def test_the_list_of_models_fits_the_terminal(columns, ndic_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = ndic_command("models")[1]
    assert max(map(len, out.splitlines())) <= columns
    for name, info in CATALOGUE.items():
        assert name in out.splitlines()
        assert info.title in " ".join(out.split())


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

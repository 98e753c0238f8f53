"""Checkpoints of this package, published ones, and files that are neither."""

import json
import os
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
import torch
from conftest import lively, published_file, random_weight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference
from safetensors.torch import load_file, save_file

import ndic_core as ndic
from ndic_core.models.coding.state import fingerprint


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def describe(file, config):
    """Replace the configuration in a checkpoint of ours; the fingerprint is correct."""
    tensors = load_file(file)
    about = {"config": config, "fingerprint": fingerprint(config, tensors)}
    save_file(tensors, file, {"ndic": json.dumps(about)})


def refused(file, sentence):
    with pytest.raises(ndic.NDICError, match=sentence) as caught:
        ndic.load_checkpoint(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_round_trip(name, file):
    model = lively(name, num_filters=5)
    ndic.save_checkpoint(model, file)
    loaded = ndic.load_checkpoint(file)
    assert loaded.config == model.config
    assert not loaded.training
    x, y = torch.rand(2, 3, 64, 64)
    assert torch.equal(ndic.decode(loaded, ndic.encode(model, x), y), ndic.decode(model, ndic.encode(loaded, x), y))
    assert os.listdir(file.parent) == ["model.safetensors"]


@pytest.mark.parametrize("name", ["ndic_bmshj18", "cross_attention", "parallax_attention"])
def test_half_precision_keeps_rates_and_images(name, pair, tmp_path):
    """Half the bytes; estimated rate, measured bytes and PSNR within 0.1 %."""
    model = lively(name, num_filters=16, image_size=(128, 256))
    ndic.save_checkpoint(model, tmp_path / "full.safetensors")
    ndic.save_checkpoint(model, tmp_path / "half.safetensors", half=True)
    small, large = ((tmp_path / f"{kind}.safetensors").stat().st_size for kind in ("half", "full"))
    assert small < 0.6 * large
    half = ndic.load_checkpoint(tmp_path / "half.safetensors")
    figures = []
    x, y = pair
    for weights in (model, half):
        with torch.inference_mode():
            out = weights(x[None], y[None])
        rate = sum(-out["likelihoods"][key].log2().sum().item() for key in model.transmitted)
        error = (x - out["x_hat"]).square().mean()
        figures.append((rate, len(ndic.encode(weights, x)), (-10 * error.log10()).item()))
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)


def test_weights_too_large_for_half_are_not_written(tmp_path):
    model = lively("bls17")
    with torch.no_grad():
        model.analysis_x[-1].weight[0, 0] = 1e6
    with pytest.raises(ndic.NDICError, match="not finite in 16 bits"):
        ndic.save_checkpoint(model, tmp_path / "half.safetensors", half=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["_z", "_w"])
def test_older_bls17_names(suffix, tmp_path):
    tensors = published_file(tmp_path / "new.pt", "bls17", random_weight, num_filters=6)
    older = {f"{key.split('.')[0]}{suffix}.{key.split('.', 1)[1]}": value for key, value in tensors.items()}
    torch.save({"model_state_dict": older, "optimizer_state_dict": {}}, tmp_path / "old.pt")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        out = ndic.load_checkpoint(tmp_path / "old.pt")(x)
    assert torch.allclose(out["x_hat"], Reference("bls17", tensors)(x, x)["x_hat"], atol=1e-5)


def test_cuda_tensors_load_on_a_machine_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    published_file(tmp_path / "model.pt", "bls17", random_weight, num_filters=4)
    monkeypatch.undo()
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):  # the file names a GPU
            torch.load(tmp_path / "model.pt", weights_only=True)
    assert ndic.load_checkpoint(tmp_path / "model.pt").device.type == "cpu"


def test_image_size_of_a_published_cam_checkpoint(file):
    published_file(file, "cross_attention", random_weight, num_filters=4, image_size=(128, 256))
    assert ndic.load_checkpoint(file).config["image_size"] == (128, 256)
    assert ndic.load_checkpoint(file, image_size=(256, 128)).config["image_size"] == (256, 128)
    with pytest.raises(ndic.NDICError, match="fits images of 32768 pixels, not 64 × 64"):
        ndic.load_checkpoint(file, image_size=(64, 64))
    published_file(file, "cross_attention", random_weight, num_filters=4, image_size=(64, 64))
    refused(file, r"pass image_size=\(height, width\)")
    assert ndic.load_checkpoint(file, image_size=(32, 128)).config["image_size"] == (32, 128)


@pytest.fixture
def default_dtype():
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_default_dtype_has_no_effect(dtype, default_dtype, file):
    x = torch.rand(3, 32, 1024)  # half of the columns are more than bfloat16 can count
    y = x.roll(-8, -1)
    model = lively("parallax_attention", num_filters=4)
    ndic.save_checkpoint(model, file)
    tensors = published_file(file.with_suffix(".pt"), "bls17", random_weight, num_filters=4)
    stream = ndic.encode(model, x)
    decoded = ndic.decode(model, stream, y)
    default_dtype(dtype)
    loaded = ndic.load_checkpoint(file)
    assert torch.equal(ndic.decode(loaded, stream, y), decoded)
    for name, buffer in model.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer)
    assert torch.equal(ndic.load_checkpoint(file.with_suffix(".pt")).analysis_x.conv1.weight, tensors["conv1.weight"])
    assert torch.get_default_dtype() == dtype


def test_the_default_device_has_no_effect(file):
    model = lively("bls17", num_filters=4)
    ndic.save_checkpoint(model, file)
    with torch.device("meta"):
        loaded = ndic.load_checkpoint(file)
    x = torch.rand(3, 32, 32)
    assert ndic.encode(loaded, x) == ndic.encode(model, x)


@pytest.mark.parametrize("size", [5, "32x64", (64.0, 64.0), (64,), (64, 64, 3)])
def test_image_sizes_that_are_none(size, file):
    published_file(file.with_suffix(".pt"), "bls17", random_weight, num_filters=4)
    ndic.save_checkpoint(lively("cross_attention", num_filters=4), file)
    for path in (file, file.with_suffix(".pt")):
        with pytest.raises(ndic.NDICError, match=r"image_size must be \(height, width\) in pixels; got"):
            ndic.load_checkpoint(path, size)
        ndic.load_checkpoint(path, np.array([64, 64]))


def test_nothing_in_a_checkpoint_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model_state_dict": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    for file in ("evil.pt", "evil.pkl"):
        refused(tmp_path / file, "is not a checkpoint")
    assert not (tmp_path / "ran").exists()


def test_files_of_other_kinds(file):
    for content, sentence in (
        (b"", "is not a checkpoint"),
        (b"GIF89a" + bytes(100), "is not a checkpoint"),
        (struct.pack("<Q", 10**15) + b"{" + bytes(100), "truncated, damaged or not a checkpoint"),
    ):
        file.write_bytes(content)
        refused(file, sentence)
    save_file({"a": torch.zeros(2)}, file)
    refused(file, "is a .safetensors file, but not a checkpoint of this package: load its weights into a model")
    for content, sentence in (
        ([1, 2], "has no 'model_state_dict'"),
        ({"model_state_dict": {"conv3.weight": 3}}, "has no 'model_state_dict' with"),
        ({"model_state_dict": {"a": torch.zeros(2)}}, "another network"),
    ):
        torch.save(content, file)
        refused(file, sentence)
    refused(file.parent / "missing.pt", "there is no checkpoint")


def test_incomplete_published_files(tmp_path):
    tensors = published_file(tmp_path / "model.pt", "bls17", random_weight, num_filters=4)
    for key, change in [
        ("igdn3.beta", lambda t: t[:2]),
        ("entropy_bottleneck.factors", lambda t: t[:1]),
        ("conv2.weight", lambda t: t[0]),
    ]:
        torch.save({"model_state_dict": tensors | {key: change(tensors[key])}}, tmp_path / "bent.pt")
        refused(tmp_path / "bent.pt", "bls17")
        torch.save({"model_state_dict": {k: v for k, v in tensors.items() if k != key}}, tmp_path / "short.pt")
        refused(tmp_path / "short.pt", "layers are missing or have other shapes")


def test_damaged_files_of_ours(file):
    """Each of many single-byte changes is noticed."""
    ndic.save_checkpoint(lively("bls17", num_filters=2), file)
    content = file.read_bytes()
    damaged = [content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :] for at in range(0, len(content), 397)]
    for bent in (*damaged, *(content[:length] for length in (7, 8, 100, len(content) - 1))):
        file.write_bytes(bent)
        refused(file, f"{re.escape(str(file))} .*(damaged|not a checkpoint)")
    file.write_bytes(damaged[-1])
    refused(file, "is damaged: its weights do not match their fingerprint; get the file again")


def test_a_small_file_cannot_ask_for_a_giant_model(file):
    ndic.save_checkpoint(lively("bls17", num_filters=2), file)
    cam = dict(model="cross_attention", num_filters=2, image_size=[128, 256], embed_dim=10**6, heads=1, patch_grid=4)
    row = dict(model="parallax_attention", num_filters=2, lmbda=1.0, search_range=10**9, search_rows=0)
    giant = {"model": "bls17", "num_filters": 10**9, "lmbda": 1.0}
    for config in (giant, {"model": "ls"}, {"num_filters": "x"}, cam, row):
        describe(file, config)
        refused(file, "cannot be built")


def test_a_small_published_file_cannot_either(tmp_path):
    """Tensors that claim more numbers than they hold, and compressed archives, are refused."""
    tensors = published_file(tmp_path / "model.pt", "bls17", random_weight, num_filters=4)
    claims = {"conv2.weight": torch.zeros(1).expand(2500, 2500, 5, 5)}
    torch.save({"model_state_dict": tensors | claims}, tmp_path / "claims.pt")
    refused(tmp_path / "claims.pt", "not a published checkpoint")
    with (
        zipfile.ZipFile(tmp_path / "model.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry) + bytes(10**6))
    refused(tmp_path / "packed.pt", "is not a checkpoint")
    plain = torch.zeros(2, 2)
    for odd in (plain.to_sparse(), plain.to(torch.complex64), plain.to("meta")):
        torch.save({"model_state_dict": tensors | {"gdn1.gamma": odd}}, tmp_path / "odd.pt")
        refused(tmp_path / "odd.pt", "checkpoint")
    torch.save({"model_state_dict": {3: plain}}, tmp_path / "odd.pt")
    refused(tmp_path / "odd.pt", "not a published checkpoint")


@pytest.mark.parametrize("legacy", [False, True])
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_published_files(legacy, places, tmp_path_factory):
    """A published file with some bytes changed loads, or is refused in one sentence."""
    folder = tmp_path_factory.getbasetemp() / f"mutated{legacy}"
    if not folder.exists():
        folder.mkdir()
        tensors = published_file(folder / "model.pt", "bls17", random_weight, num_filters=2)
        state = {"model_state_dict": tensors, "optimizer_state_dict": {}}
        torch.save(state, folder / "model.pt", _use_new_zipfile_serialization=not legacy)
    content = bytearray((folder / "model.pt").read_bytes())
    head = 6000  # names and shapes are here; the rest is numbers
    for place, value in places:
        content[int(place * (min(head, len(content)) - 1))] = value
    (folder / "bent.pt").write_bytes(content)
    try:
        ndic.load_checkpoint(folder / "bent.pt")
    except ndic.NDICError as error:
        assert str(folder) in str(error)  # noqa: PT017


def test_weights_of_another_model(file):
    ndic.save_checkpoint(lively("bmshj18_factorized", num_filters=2), file)
    describe(file, {"model": "bls17", "num_filters": 2, "lmbda": 1.0})
    refused(file, "does not fit a bls17")


def test_image_size_that_contradicts_the_file(file):
    ndic.save_checkpoint(lively("cross_attention"), file)
    assert ndic.load_checkpoint(file, image_size=(64, 64)).name == "cross_attention"
    with pytest.raises(ndic.NDICError, match="weights for images of 64 × 64"):
        ndic.load_checkpoint(file, image_size=(128, 256))


def test_pretrained_says_what_is_missing(monkeypatch):
    with pytest.raises(ndic.NDICError, match="unknown model 'jpeg'"):
        ndic.load_pretrained("jpeg")
    with pytest.raises(ndic.NDICError, match=r"unknown model \['bls17'\]: did you mean 'bls17'"):
        ndic.load_pretrained(["bls17"])
    for metric in ("psnr", None):
        with pytest.raises(ndic.NDICError, match=f"unknown metric {metric!r}: choose one of MS-SSIM, MSE"):
            ndic.load_pretrained("bls17", metric=metric)
    assert ndic.load_pretrained("bls17", "ms-ssim").lambdas == ndic.load_pretrained("bls17").lambdas
    monkeypatch.setattr("ndic_core.checkpoints.checkpoint.shipped_weights", lambda name, metric: None)
    with pytest.raises(ndic.NDICError, match="no weights ship for bls17 trained for MSE: load a checkpoint"):
        ndic.load_pretrained("bls17", "mse")

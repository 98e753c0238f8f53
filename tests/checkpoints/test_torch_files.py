"""`.pt` files of others: names and containers of weights, values beside them, and files that are no checkpoint."""

import argparse
import collections
import datetime
import os
import pathlib
import types

import numpy as np
import pytest
import torch
from conftest import lively, published_file, random_weight
from torch import nn

import ndic_core as ndic

OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.pt"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The tensors of a published file, and the model in it."""
    path = tmp_path_factory.mktemp("published") / "model.pt"
    tensors = published_file(path, "ndic_bls17", random_weight, num_filters=4)
    return tensors, ndic.load_checkpoint(path)


def under(prefix, tensors):
    return {prefix + key: value for key, value in tensors.items()}


def other(tensors):
    return {key: torch.full_like(value, 7) for key, value in tensors.items()}


def lightning(t):
    states = dict(optimizer_states=[OPTIMIZER], lr_schedulers=[{"last_lr": [0.1]}], hyper_parameters={"lr": 0.1})
    weights = {**under("model.", t), "loss.kernel": torch.zeros(3)}
    return {"epoch": 3, "pytorch-lightning_version": "2.4.0", "state_dict": weights, **states}


LAYOUTS = {
    "bare": lambda t: t,
    "ordered": collections.OrderedDict,
    "parameters": lambda t: {key: nn.Parameter(value) for key, value in t.items()},
    **{
        name: lambda t, name=name: {name: t, "optimizer": OPTIMIZER, "epoch": 3}
        for name in ("model_state_dict", "state_dict", "model", "net", "ema", "params")
    },
    "nested": lambda t: {"checkpoint": {"model": {"state_dict": t}}},
    "ema first": lambda t: {"ema": other(t), "model": t},
    "initial first": lambda t: {"initial_state_dict": other(t), "model_state_dict": t},
    "teacher first": lambda t: {"state_dict": under("teacher.", other(t)) | under("model.", t)},
    "ema and another": lambda t: {"ema": {"state_dict": other(t)}, "student": t},
    "twice the same": lambda t: {"teacher": t, "student": {key: value.double() for key, value in t.items()}},
    "best inside": lambda t: {**t, "best": other(t)},
    "progress": lambda t: {"progress": 0.5, "model_state_dict": t},
    "further entries": lambda t: {
        "model_state_dict": {**t, "kernel": torch.zeros(1), "steps": 3, "_extra_state": None}
    },
    **{
        prefix: lambda t, prefix=prefix: {"model_state_dict": under(prefix, t)}
        for prefix in ("module.", "_orig_mod.", "_orig_mod.module.", "_forward_module.module._orig_mod.", "a.codec.")
    },
    "compiled parts": lambda t: {key.replace(".", "._orig_mod.", 1): value for key, value in t.items()},
    "AveragedModel": lambda t: {**under("module.", t), "n_averaged": torch.tensor(3)},
    "Lightning": lightning,
    "Lightning with average": lambda t: {"state_dict": under("ema.module.", other(t)) | under("model.", t)},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout, legacy, published, file):
    tensors, model = published
    torch.save(layout(tensors), file, _use_new_zipfile_serialization=not legacy)
    loaded = ndic.load_checkpoint(file)
    assert all(torch.equal(p, q) for p, q in zip(loaded.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    "beside",
    [
        *(np.float64(1.5), np.float32(1.5), np.int64(3), np.bool_(True), np.arange(3.0)),
        argparse.Namespace(lr=0.1, best=np.float64(1.5), out=pathlib.Path("out")),
        types.SimpleNamespace(lr=0.1),
        [torch.device("cpu"), torch.float32, torch.Size([1])],
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_beside_the_weights(beside, published, file):
    tensors, model = published
    torch.save({"args": beside, "model_state_dict": tensors}, file)
    allowed = torch.serialization.get_safe_globals()
    loaded = ndic.load_checkpoint(file)
    assert all(torch.equal(p, q) for p, q in zip(loaded.parameters(), model.parameters(), strict=True))
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


class Settings:
    """A class of a training's own."""


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("beside", "name"),
    [(Settings(), "Settings"), (Runs(), "mkdir"), (datetime.date(2024, 1, 1), "datetime.date")],
)
def test_other_objects_are_named(beside, name, published, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    torch.save({"model_state_dict": published[0], "args": beside}, file)
    with pytest.raises(ndic.NDICError, match=rf"it holds a Python object \(\S*{name}\); save only the weights"):
        ndic.load_checkpoint(file)
    assert os.listdir() == [file.name]


def script(file):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(file))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><html>", "is not a checkpoint: it is a web page, so the download failed: download it again"),
        (b"\n\n<html>", "it is a web page"),
        (b"\xef\xbb\xbf\n<html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS: run git lfs pull"),
        (b"PK\x03\x04" + bytes(99), "it is truncated: download it again"),
        (script, "it is a TorchScript program; save a state dict"),
        (lambda file: torch.save(lively("bls17", num_filters=2), file), r"a Python object \(ndic_core\.\S*BLS17\)"),
        (lambda file: torch.save(lively("bls17", num_filters=2).state_dict(), file), "without their configuration"),
        (lambda file: torch.save(OPTIMIZER, file), "another network"),
        (lambda file: torch.save(under("layer1.0.", {"conv3.weight": torch.zeros(1)}), file), "another network"),
        (lambda file: torch.save({"model_state_dict": {}}, file), "has no 'model_state_dict'"),
    ],
)
def test_what_is_no_checkpoint(content, sentence, file):
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        content(file)
    with pytest.raises(ndic.NDICError, match=sentence) as caught:
        ndic.load_checkpoint(file)
    assert "\n" not in str(caught.value)


def test_two_sets_of_weights_are_not_mixed(published, file):
    tensors, _ = published
    torch.save({"model_state_dict": tensors | under("module.", other(tensors))}, file)
    with pytest.raises(ndic.NDICError, match=r"two sets of weights .* 'module\.': keep one"):
        ndic.load_checkpoint(file)


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        (lambda one, two: {"teacher": one, "student": two}, "teacher, student"),
        (lambda one, two: {"state_dict": one, "model": two}, "state_dict, model"),
        (lambda one, two: {**one, "net": two}, "the outermost, net"),
        (lambda one, two: {0: {"net": one}, 1: {"net": two}}, r"0\.net, 1\.net"),
        (lambda one, two: {"state_dict": under("g.", one) | under("f.", two)}, r"state_dict\.g, state_dict\.f"),
    ],
)
def test_several_sets_of_weights_are_named(layout, names, published, file):
    torch.save(layout(other(published[0]), published[0]), file)
    with pytest.raises(ndic.NDICError, match=rf"holds several sets of weights \({names}\): keep one, torch\.save"):
        ndic.load_checkpoint(file)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(dtype, published, file):
    tensors, _ = published
    quantised = tensors["conv2.weight"].to(dtype)
    torch.save({"model_state_dict": tensors | {"conv2.weight": quantised}}, file)
    with pytest.raises(ndic.NDICError, match=rf"holds quantised weights \(conv2\.weight is of {dtype}\): load those"):
        ndic.load_checkpoint(file)


def test_a_container_that_contains_itself(file):
    content = {"a": {}}
    content["a"]["b"] = content
    torch.save(content, file)
    with pytest.raises(ndic.NDICError, match="has no 'model_state_dict'"):
        ndic.load_checkpoint(file)

"""Models inside wrappers, with changed layers, and what is no model: coded, saved and loaded, or refused by name."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import lively, teaching
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn import utils
from torch.nn.utils import parametrize, prune
from torch.optim.swa_utils import AveragedModel

import ndic_core as ndic
from ndic_core.checkpoints import checkpoint
from ndic_core.evaluation.bit_maps import bit_maps
from ndic_core.evaluation.complexity import count_macs
from ndic_core.evaluation.evaluate import lambdas
from ndic_core.evaluation.roundtrip import roundtrip
from ndic_core.models.coding.state import fingerprint
from ndic_core.training.train import train


def compiled(model):
    return torch.compile(model, backend="eager")


def fabric(model):
    return Fabric(accelerator="cpu", devices=1).setup_module(model)


WRAPPERS = {
    "compile": compiled,
    "Fabric": fabric,
    "DataParallel": nn.DataParallel,
    "average": AveragedModel,
    "average of compiled": lambda model: AveragedModel(compiled(model)),
    "compiled DataParallel": lambda model: compiled(nn.DataParallel(model)),
}


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.1))

    def forward(self, weight):
        return weight + self.by


def pruned(model, layer):
    """Twice, and trained for a step: then the attribute is older than its parameter."""
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(layer, "weight", 0.5)
    prune.l1_unstructured(layer, "bias", 0.5)
    model(*torch.rand(2, 1, 3, 64, 64))["x_hat"].sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.01).step()


def tied(model, layer):
    model.synthesis_y.stage1.deconv.weight = layer.weight


def compiled_part(model, layer):
    model.synthesis_x = compiled(model.synthesis_x)


def compiled_method(model, layer):
    model.reconstruct = torch.compile(model.reconstruct, backend="eager")


def noted(model, layer):
    """Attributes that change no image."""
    model.epoch = 3
    layer.note = "the first"


CHANGES = {
    "pruned": pruned,
    "weight_norm": lambda model, layer: utils.weight_norm(layer),
    "weight_norm parametrized": lambda model, layer: utils.parametrizations.weight_norm(layer),
    "spectral_norm": lambda model, layer: (utils.spectral_norm(layer), model.train()),
    "spectral_norm parametrized": lambda model, layer: (utils.parametrizations.spectral_norm(layer), model.train()),
    "parametrized": lambda model, layer: parametrize.register_parametrization(layer, "weight", Shift()),
    "tied": tied,
    "shared": lambda model, layer: setattr(model.synthesis_y.stage1, "deconv", layer),
    "hooked": lambda model, layer: layer.register_forward_hook(lambda *_: None),
    "frozen": lambda model, layer: model.requires_grad_(False),
    "compiled part": compiled_part,
    "compiled layer": lambda model, layer: setattr(model.synthesis_x.stage1, "deconv", compiled(layer)),
    "compiled in place": lambda model, layer: layer.compile(backend="eager"),
    "compiled method": compiled_method,
    "DataParallel part": lambda model, layer: setattr(model, "synthesis_x", nn.DataParallel(model.synthesis_x)),
    "activation checkpoints": lambda model, layer: setattr(
        model.synthesis_x.stage1, "deconv", checkpoint_wrapper(layer)
    ),
    "other forward": lambda model, layer: setattr(model, "forward", lambda *_: None),
    "noted": noted,
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def codes_alike(model, loaded):
    """Also the fingerprint in the stream is the same."""
    x, y = torch.rand(2, 3, 64, 64)
    stream = ndic.encode(model, x)
    assert ndic.encode(loaded, x) == stream
    assert torch.equal(ndic.decode(model, stream, y), ndic.decode(loaded, stream, y))


@pytest.mark.filterwarnings("ignore")  # of DataParallel without a GPU and old norms
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers(wrap, file):
    model = lively("ndic_bls17", num_filters=4)
    wrapped = wrap(model)
    ndic.save_checkpoint(wrapped, file)
    saved = load_file(file)
    assert {name: p.shape for name, p in model.named_parameters()} == {name: t.shape for name, t in saved.items()}
    codes_alike(wrapped, ndic.load_checkpoint(file))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_layers(change, file):
    """They are stored as what they compute, and the model stays as it was."""
    model = lively("ndic_bls17", num_filters=4)
    change(model, model.synthesis_x.stage1.deconv)
    training, names = model.training, [name for name, _ in model.named_parameters()]
    torch.manual_seed(0)
    noise = torch.rand(3)
    torch.manual_seed(0)
    ndic.save_checkpoint(model, file)
    assert torch.equal(torch.rand(3), noise)
    assert (training, names) == (model.training, [name for name, _ in model.named_parameters()])
    codes_alike(model, ndic.load_checkpoint(file))


def test_another_mask_is_another_model():
    model = lively("ndic_bls17", num_filters=4)
    x, y = torch.rand(2, 3, 64, 64)
    prune.l1_unstructured(model.synthesis_x.stage1.deconv, "weight", 0.5)
    stream = ndic.encode(model, x)
    prune.l1_unstructured(model.synthesis_x.stage1.deconv, "weight", 0.9)
    with pytest.raises(ndic.NDICError, match="made with other weights"):
        ndic.decode(model, stream, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_stored_as_float32(dtype, file):
    model = lively("bls17", num_filters=4).to(dtype)
    ndic.save_checkpoint(model, file)
    for name, tensor in load_file(file).items():
        assert torch.equal(tensor, model.get_parameter(name).float())


def with_value(value, dtype=torch.float32):
    model = lively("bls17", num_filters=4).to(dtype)
    with torch.no_grad():
        model.analysis_x[0].weight[0, 0, 0, 0] = value
    return model


def without_last_layer():
    model = lively("bls17", num_filters=4)
    model.synthesis_x[-1] = nn.Identity()
    return model


def with_adapter():
    model = lively("bls17", num_filters=4)
    model.adapter = nn.Linear(2, 2)
    return model


def with_config():
    model = lively("bls17", num_filters=4)
    model.config["num_filters"] = 8
    return model


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            without_last_layer,
            r"not the bls17 of its configuration, as synthesis_x\.\S+ is missing: save the model from",
        ),
        (with_adapter, "as adapter.bias was added"),
        (with_config, r"has shape \(4,\), not \(8,\)"),
        (lambda: with_value(torch.nan), "analysis_x.conv1.weight is not finite: load an earlier checkpoint"),
        (lambda: with_value(1e300, torch.float64), "analysis_x.conv1.weight is not finite in 32 bits"),
        (lambda: lively("bls17").to("meta"), "on the meta device, where weights have no values"),
        (lambda: lively("bls17").to(torch.complex64), "a Parameter of torch.complex64, not a dense tensor of floats"),
        (lambda: lively("bls17").state_dict(), "got OrderedDict: load a state dict into a model"),
        (lambda: torch.optim.Adam(lively("bls17").parameters()), "got Adam"),
        (lambda: "model.safetensors", "got str: load a file with load_checkpoint"),
        (lambda: Path("model.safetensors"), "Path: load a file with load_checkpoint"),
        (lambda: nn.Sequential(lively("bls17")), "got Sequential: pass the codec that it contains"),
        (lambda: type(lively("bls17")), "got type"),
        (lambda: None, "got NoneType"),
    ],
)
@pytest.mark.filterwarnings("ignore:Complex modules")
def test_what_cannot_be_saved(make, sentence, file):
    file.write_bytes(b"earlier")
    with pytest.raises(ndic.NDICError, match=sentence) as caught:
        ndic.save_checkpoint(make(), file)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == b"earlier"
    assert os.listdir(file.parent) == [file.name]


class Doubled(nn.Module):
    """Has its layer under the name by which wrappers are known."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, features):
        return 2 * self.module(features)


class DoubledConvolution(nn.ConvTranspose2d):
    def forward(self, features):
        return 2 * super().forward(features)


def subclass():
    plain = lively("ndic_bls17", num_filters=4)

    class Own(type(plain)):
        def reconstruct(self, *latent_and_y):
            return super().reconstruct(*latent_and_y) / 2

    model = Own(num_filters=4).eval()
    model.load_state_dict(plain.state_dict())
    return model


def prepared_for_quantisation():
    model = lively("ndic_bls17", num_filters=4).train()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(model).eval()


CAM, ROW = "cross_attention", "parallax_attention"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("bls17", "layers.append(nn.Sigmoid())", r"synthesis_x\.5, a torch\S+Sigmoid, was added"),
        ("bls17", "layers.append(nn.BatchNorm2d(3, affine=False).eval())", r"synthesis_x\.5, a .* was added"),
        ("bls17", "layers[-1] = Doubled(layers[-1])", r"synthesis_x\.deconv3 is a \S+Doubled, not a torch\S+Conv"),
        ("bls17", "layers[-1] = DoubledConvolution(4, 3, 9, 4, 4, 3)", r"\S+deconv3 is a \S+DoubledConvolution, not"),
        (
            "bls17",
            "layers[-1] = utils.parametrizations.weight_norm(DoubledConvolution(4, 3, 9, 4, 4, 3))",
            r"\S+deconv3 is a \S+DoubledConvolution, not",
        ),
        (ROW, "model.retouch.layers.relu1 = nn.ReLU()", r"\S+relu1 is a torch\S+\.ReLU, not a torch\S+LeakyReLU"),
        (
            "bls17",
            "layers[0].padding_mode = 'reflect'",
            r"\S+deconv1\.padding_mode is 'reflect', not 'zeros'",
        ),
        (CAM, "model.cams[0].heads = 1", r"cams\.0\.heads is 1, not 2"),
        ("bls17", "layers[1].inverse = False", r"synthesis_x\.igdn1\.inverse is False, not True"),
        ("bls17", "utils.parametrizations.weight_norm(layers[0]).stride = 1", r"\S+deconv1\.stride is 1, not \(2, 2\)"),
        ("bls17", "model.register_buffer('scale', torch.ones(1))", r"the buffer bls17\.scale was added"),
        (
            "bls17",
            "prune.l1_unstructured(layers[0], 'weight', 0.5).register_buffer('scale', torch.ones(1))",
            r"the buffer synthesis_x\.deconv1\.scale was added",
        ),
        ("bls17", "layers[1].forward = torch.abs", r"the method synthesis_x\.igdn1\.forward was replaced"),
        ("bls17", "model.reconstruct = torch.abs", r"the method bls17\.reconstruct was replaced"),
        (
            "bls17",
            "layers._modules['igdn1'] = layers._modules.pop('igdn1')",  # now the last
            "synthesis_x has another order of layers",
        ),
    ],
)
def test_models_whose_parameters_are_right_but_not_their_layers(name, change, sentence, file):
    model = lively(name, num_filters=4)
    exec(change, globals(), {"model": model, "layers": model.synthesis_x})
    with pytest.raises(ndic.NDICError, match=rf"this is not the {name} of its configuration, as {sentence}"):
        ndic.save_checkpoint(model, file)
    assert os.listdir(file.parent) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (subclass, r"ndic_bls17 is a \S+Own, not a ndic_core\S+NDICBls17"),
        (prepared_for_quantisation, r"analysis_x\.conv1\.weight_fake_quant, a torch\S+, was added"),
    ],
)
def test_models_of_other_classes(make, sentence, file):
    with pytest.raises(ndic.NDICError, match=f"of its configuration, as {sentence}"):
        ndic.save_checkpoint(make(), file)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_filters": np.int64(4)}, "int64 is not JSON"),
        ({"note": object()}, "object is not JSON"),
        ({"note": "x"}, "unknown key 'note'"),
        ({"model": None}, "unknown model None"),
    ],
)
def test_configurations_that_describe_no_model(config, reason, file):
    model = lively("bls17", num_filters=4)
    model.config |= config
    with pytest.raises(ndic.NDICError, match=rf"model\.config describes no model \(.*{reason}.*\): restore it"):
        ndic.save_checkpoint(model, file)


@pytest.mark.filterwarnings("ignore:.*quantiz")
def test_quantised_layers_are_not_saved(file):
    layer = torch.ao.nn.quantized.dynamic.Linear(2, 2)  # its weights are no parameters
    model = lively("cross_attention", num_filters=4)
    model.cams[0].to_q = layer
    with pytest.raises(ndic.NDICError, match=r"cams\.0\.to_q\.weight is missing: save .* quantised"):
        ndic.save_checkpoint(model, file)


@pytest.mark.parametrize("path", [None, 3, b"model.pt", lively("bls17", num_filters=2)])
def test_what_is_no_path(path):
    for call in (ndic.load_checkpoint, lambda path: ndic.save_checkpoint(lively("bls17", num_filters=2), path)):
        with pytest.raises(ndic.NDICError, match="path must be that of a file"):
            call(path)


def test_swapped_arguments(file):
    with pytest.raises(ndic.NDICError, match=r"save_checkpoint\(model, path\); got the model: .* wrong order"):
        ndic.save_checkpoint(file, lively("bls17", num_filters=2))


def test_paths_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("NDIC_EXAMPLE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    ndic.save_checkpoint(lively("bls17", num_filters=2), "$NDIC_EXAMPLE/model.safetensors")
    assert ndic.load_checkpoint("~/model.safetensors").name == "bls17"
    (tmp_path / "$5").mkdir()
    ndic.save_checkpoint(lively("bls17", num_filters=2), tmp_path / "$5" / "model.safetensors")  # no variable
    with pytest.raises(ndic.NDICError, match="cannot be written"):
        ndic.save_checkpoint(lively("bls17", num_filters=2), tmp_path / ("long" * 100))
    with pytest.raises(ndic.NDICError, match="cannot be read"):
        ndic.load_checkpoint(tmp_path / ("long" * 100))


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content.replace(b"bls17", b"bls18")])
def test_what_is_written_is_read_back(damage, file, monkeypatch):
    write = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *arguments: damage(write(*arguments)))
    file.write_bytes(b"earlier")
    with pytest.raises(ndic.NDICError, match=r"was not written: .* read back.*; check the disk"):
        ndic.save_checkpoint(lively("bls17", num_filters=2), file)
    assert file.read_bytes() == b"earlier"
    assert os.listdir(file.parent) == [file.name]


def test_files_with_names_of_wrappers(file):
    """As earlier versions wrote them for compiled models."""
    model = lively("bls17", num_filters=2)
    tensors = {f"_orig_mod.{name}": p.detach() for name, p in model.named_parameters()}
    save_file(
        tensors, file, {"ndic": json.dumps({"config": model.config, "fingerprint": fingerprint(model.config, tensors)})}
    )
    codes_alike(model, ndic.load_checkpoint(file))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_functions_that_take_a_model(wrap, own_folder, tmp_path):
    model = lively("ndic_bls17", num_filters=4, lmbda=(1e-4, 1e-2))
    wrapped = wrap(model)
    x, y = torch.rand(2, 3, 64, 64)
    assert roundtrip(wrapped, x, y)["bytes"] == roundtrip(model, x, y)["bytes"]
    assert torch.equal(bit_maps(wrapped, x)["x"], bit_maps(model, x)["x"])
    assert lambdas(wrapped, 3) == lambdas(model, 3)
    assert count_macs(wrapped, 64, 64) == count_macs(model, 64, 64)
    config = teaching(own_folder, tmp_path, epochs=1, num_filters=4, lmbda=[1e-4, 1e-2], save_weights=False)
    assert train(config, progress=False, report=lambda line: None, model=wrapped).model is model
    for other in ({}, "ndic_bls17", nn.Linear(2, 2)):
        with pytest.raises(ndic.NDICError, match="model must be one that"):
            train(config, progress=False, report=lambda line: None, model=other)

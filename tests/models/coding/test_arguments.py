"""Tensors, models and surroundings that cannot be coded with are refused before the work begins."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.evaluation.evaluate import evaluate
from ndic_core.io import write_image


@pytest.fixture(scope="module")
def model():
    return lively("ndic_bls17")


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to("meta"),
        lambda x: x.to_sparse(),
        lambda x: x[0].to_sparse_csr(),
        lambda x: x.to_mkldnn(),
        lambda x: x.to(torch.float8_e4m3fn),
        lambda x: x.to(torch.complex64),
        lambda x: torch.nested.nested_tensor([x]),
        lambda x: torch.nested.nested_tensor([x], layout=torch.jagged),
    ],
    ids=["meta", "sparse", "csr", "mkldnn", "float8", "complex", "nested", "jagged"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested")
def test_images_are_dense_floats_with_values(change, model, tmp_path):
    x = torch.rand(3, 16, 16)
    with pytest.raises(ndic.NDICError, match=r"^x (must be a float tensor|is on the meta device)"):
        ndic.encode(model, change(x))
    with pytest.raises(ndic.NDICError, match=r"^y (must be a float tensor|is on the meta device)"):
        ndic.decode(model, ndic.encode(model, x), change(x))
    with pytest.raises(ndic.NDICError, match=r"a\.png: an image is a float tensor .* this is a tensor"):
        write_image(change(x), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_models_refuse_empty_and_sparse_batches(model):
    x = torch.rand(1, 3, 16, 16)
    for wrong, sentence in ((x[:, :, :0], "x is an empty image, 0 × 16"), (x.to_sparse(), "got a sparse_coo tensor")):
        with pytest.raises(ndic.NDICError, match=sentence):
            model(wrong, x)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
@pytest.mark.filterwarnings("ignore:Complex modules")
def test_models_of_other_numbers_are_named(dtype):
    model = lively("bls17").to(dtype)
    with pytest.raises(ndic.NDICError, match=rf"cannot compute: analysis_x\S+ is a Parameter of {dtype}, not"):
        ndic.encode(model, torch.rand(3, 16, 16))


def test_within_the_meta_device_nothing_is_coded_or_saved(model, tmp_path):
    x, file = torch.rand(3, 16, 16), tmp_path / "a.safetensors"
    stream = ndic.encode(model, x)
    ndic.save_checkpoint(model, file)
    for call in (
        lambda: ndic.encode(model, x),
        lambda: ndic.decode(model, stream, x),
        lambda: ndic.save_checkpoint(model, tmp_path / "b.safetensors"),
        lambda: evaluate(model, [], progress=False),
    ):
        with torch.device("meta"), pytest.raises(ndic.NDICError, match=r"leave torch\.device\(.meta.\)"):
            call()
    assert list(tmp_path.iterdir()) == [file]

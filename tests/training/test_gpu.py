"""On a GPU: files that cross between it and the CPU, steps in bf16 that never wait, trainings that move over.

Where there is none, the CPU takes its part, so that what is run on a GPU now and then is known to run.
"""

import warnings
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from conftest import lively, quiet, senders_reconstruction, stopping_after, teaching
from lightning_fabric import Fabric

import ndic_core as ndic
from ndic_core.data.datasets import load_split
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.models.codec import evaluating
from ndic_core.training import train as training
from ndic_core.training.devices import device_name, launch, uses_bf16
from ndic_core.training.output_paths import Outputs
from ndic_core.training.setup import set_up
from ndic_core.training.state import read_state
from ndic_core.training.validation import validate

SMALL = dict(
    resize=[64, 128], num_filters=16, lmbda=[0.001, 0.02], lr_scheduler="cosine", save_weights=False, cuda=True
)


@pytest.fixture
def device(monkeypatch) -> torch.device:
    """What a model computes outside of `encode` and `decode` is also to be the same each time, in all digits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ndic.MODELS)
def test_a_file_crosses_to_the_device_and_back(name, pair, device):
    """Latents are the same, so pixels differ by no more than a sum's order does."""
    model = lively(name, image_size=(128, 256), num_filters=16, lmbda=(0.001, 0.1))
    there = lively(name, image_size=(128, 256), num_filters=16, lmbda=(0.001, 0.1)).to(device)
    x, y = pair
    for lmbda in (0.001, 0.02, 0.1):
        stream = ndic.encode(model, x, lmbda)
        expected = ndic.decode(model, stream, y)
        x_hat = ndic.decode(there, stream, y.to(device))
        assert x_hat.device.type == device.type
        assert torch.allclose(x_hat.cpu(), expected, atol=1e-3)
        back = ndic.encode(there, x.to(device), lmbda)
        assert abs(len(back) - len(stream)) < 0.02 * len(stream) + 4
        x_hat = ndic.decode(there, back, y.to(device)).cpu()
        assert torch.allclose(ndic.decode(model, back, y), x_hat, atol=1e-3)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_a_file_is_decoded_bit_for_bit_where_it_was_written(name, pair, device):
    model = lively(name, image_size=(128, 256), num_filters=16).to(device)
    x, y = (image.to(device) for image in pair)
    stream = ndic.encode(model, x)
    assert ndic.encode(model, x) == stream
    x_hat = ndic.decode(model, stream, y)
    assert torch.equal(x_hat, ndic.decode(model, stream, y))
    assert torch.equal(x_hat, senders_reconstruction(model, x, y))


@pytest.mark.parametrize("name", ndic.MODELS)
def test_bf16_is_near_float32(name, pair, device):
    assert uses_bf16("bf16", device)
    model = lively(name, image_size=(128, 256), num_filters=16).to(device)
    x, y = (image[None].to(device) for image in pair)
    with evaluating(model), torch.inference_mode():
        exact = model(x, y)
        with torch.autocast(device.type, torch.bfloat16):
            near = model(x, y)
    assert (near["x_hat"] - exact["x_hat"]).abs().mean() < 0.05 * exact["x_hat"].abs().mean()
    bits = [-out["likelihoods"]["x"].double().log2().sum().item() for out in (near, exact)]
    assert bits[0] == pytest.approx(bits[1], rel=0.02)


@pytest.mark.parametrize("name", ndic.MODELS)
@pytest.mark.parametrize("metric", ["MSE", "MS-SSIM"])
def test_no_step_waits_for_the_gpu(name, metric, own_folder, tmp_path, device):
    if device.type != "cuda":
        pytest.skip("no GPU on this machine that could be waited for")
    data = {}
    if name == "parallax_attention":
        data = dict(matching_loss_weight=1.0, dataset_name="Street", street_pairs=[8, 1, 1])
    how = dict(SMALL, resize=[128, 256], ema_decay=0.9, alpha=0.1, max_grad_norm=1.0, precision="bf16")
    config = teaching(own_folder, tmp_path, model=name, distortion_loss=metric, **how, **data)
    setup = set_up(config, launch(config.cuda, config.train_batch_size))
    batches = setup.loader.epoch(0)
    training.train_step(setup, next(batches))  # allocates what is allocated once
    with nobody_waiting():
        training.train_step(setup, next(batches))


@contextmanager
def nobody_waiting():
    """Within it, an error is raised by what waits for the GPU."""
    try:
        with warnings.catch_warnings():  # it says that it is a prototype
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_batch_on_the_device_is_that_of_the_cpu(device):
    rng = np.random.default_rng(0)
    sizes = ((96, 320), (160, 500), (128, 256))
    sets = [
        Pairs(rng.integers(0, 256, (4, *size, 3), np.uint8), np.arange(4).reshape(2, 2), ["a", "b"]) for size in sizes
    ]
    share = dict(size=(64, 128), seed=0, window_fraction=0.5)
    one_by_one = MixedPairs(sets[0], sets[2], native=sets[1], **share)
    held = MixedPairs(sets[0], sets[2], native=sets[1], **share)
    held.preload(device)
    chosen = list(range(len(held)))
    with nobody_waiting() if device.type == "cuda" else nullcontext():
        batch = held.batch(chosen)
    for expected, found in zip(one_by_one.batch(chosen), batch, strict=True):
        assert found.device.type == device.type
        assert (expected - found.cpu()).abs().max() < 3 / 255


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_a_training_moves_from_the_cpu_to_the_device_and_back(own_folder, tmp_path, device, optimizer, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 0)  # a stop is seen at every step
    how = {**SMALL, "save_weights": True, "optimizer": optimizer, "ema_decay": 0.9, "epochs": 6}
    here, there = (teaching(own_folder, tmp_path, **how | {"cuda": cuda}) for cuda in (False, True))
    for config in (here, there):
        stopping_after(6, monkeypatch)
        assert quiet(config).stopped == "interrupted"
    assert quiet(here).stopped == "epochs"
    progress = read_state(Outputs(here).state)
    assert progress.by_device.keys() == {"CPU", device_name(device)}
    assert sum(own["images"] for own in progress.by_device.values()) == progress.images == 6 * 16
    assert progress.best < progress.history[0]["val_loss"]


def test_validation_on_the_device_says_what_the_cpu_says(own_folder, tmp_path, device):
    config = teaching(own_folder, tmp_path, **SMALL)
    pairs = load_split(config, "val", progress=False)
    model = lively("ndic_bls17", num_filters=16, lmbda=(0.001, 0.02), image_size=(64, 128))
    fabrics = Fabric(accelerator="cpu", devices=1), launch(config.cuda)
    loss = dict(alpha=1.0, beta=1.0, distortion_loss="MSE")
    here, there = (validate(model.to(fabric.device), pairs, fabric, **loss) for fabric in fabrics)
    for key, value in here.items():
        assert there[key] == (value if value is None else pytest.approx(value, rel=1e-3))

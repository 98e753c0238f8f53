"""Shared by several test modules: real pairs, small models with realistic latents, the reference data."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch: threads of started programs wait asleep

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

import ndic_core as ndic
from ndic_core.catalogue import CATALOGUE
from ndic_core.data.photographs import embedded_pair
from ndic_core.data.street import Street
from ndic_core.io import read_image

torch.set_num_threads(1)  # tests run in two processes on two cores

_CACHE = tempfile.TemporaryDirectory(prefix="ndic-cache-")  # not the user's
os.environ["NDIC_CACHE"] = _CACHE.name

PATIENCE = 1200  # seconds to wait for another process: only one that hangs takes as long
SLOW = (
    "browser",
    "evaluation/test_evaluate",
    "models/coding",
    "models/test_compressai",
    "theory",
    "training",
    "test_cli",
    "test_run",
)
SHARED = Path(__file__).parents[2] / "shared"
SIDE_INFO = [name for name, info in CATALOGUE.items() if info.side_info]
PUBLISHED = ["bls17", "bmshj18", "ndic_bls17", "ndic_bmshj18", "cross_attention"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    """Mark whole folders and modules as slow, for `make check`; single tests have the mark in their module."""
    slow = tuple(str(Path(__file__).parent / name) for name in SLOW)
    for item in items:
        if str(item.path).startswith(slow):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference data ({SHARED.name}/ beside the checkout) is not here")
    return SHARED


def natural_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A real stereo pair, (3, 128, 256) each; without scikit-image, a generated one."""
    try:
        return embedded_pair()
    except ndic.NDICError:
        pair = Street().pair(0)
        return pair.x, pair.y


@pytest.fixture(scope="session")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return natural_pair()


@pytest.fixture(scope="session")
def kitti(shared):
    """Real KITTI pairs, original pixels: a list of (left path, right path)."""
    folder = shared / "data" / "kitti2015_test"
    return [(left, folder / "image_3" / left.name) for left in sorted((folder / "image_2").iterdir())]


@pytest.fixture(scope="session")
def real_images():
    """Ten natural images, (10, 3, 128, 256): left views of KITTI if the reference data is here, else photographs."""
    if SHARED.is_dir():
        files = sorted((SHARED / "data" / "kitti2015_test" / "image_2").iterdir())[:10]
        views = [read_image(file)[None, :, 2:372, 251:991] for file in files]  # centre 370 × 740, as published
    else:
        from skimage import data

        photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), *data.stereo_motorcycle()[:2]]
        photographs = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None] / 255 for p in photographs]
        views = [p[..., i : i + 200, :400] for p in photographs for i in (0, 90)][:10]
    return torch.cat([torch.nn.functional.interpolate(view, (128, 256), mode="area") for view in views])


@pytest.fixture(scope="session")
def parity_weight(shared):
    """`parity_weights.parity_weight` of the reference data."""
    sys.path.insert(0, str(shared / "reference"))
    try:
        from parity_weights import parity_weight
    finally:
        sys.path.pop(0)
    return parity_weight


def lively(name: str, num_filters: int = 8, image_size=(64, 64), seed: int = 0, spread: float = 3.0, **options):
    """A small model whose latents of natural images spread over several integers, like those of trained models."""
    torch.manual_seed(seed)
    if name == "cross_attention":
        options = dict(embed_dim=16, heads=2) | options
    model = ndic.build_model(name, num_filters=num_filters, image_size=image_size, **options).eval()
    x, _ = natural_pair()
    with torch.no_grad():
        std = model.analyse(x[None]).std(dim=(0, 2, 3)).clamp(min=1e-4)
        model.analysis_x[-1].weight.mul_((spread / std).reshape(-1, 1, 1, 1))
        for prior in (model.prior_x, getattr(model, "prior_y", None)):
            if hasattr(prior, "hyper_synthesis"):  # scales above the bound, where they vary
                prior.hyper_synthesis.deconv3.bias.add_(1.0)
    return model


def senders_reconstruction(model, x, y, lmbda=None):
    """The reconstruction without a file, in the tiles of `encode`."""
    tiling = model.tiling(*x.shape[-2:])
    pairs = zip(tiling.split(x), tiling.split(y), strict=True)
    with torch.inference_mode():
        tiles = [model(x_tile[None], y_tile[None], lmbda=lmbda)["x_hat"] for x_tile, y_tile in pairs]
    return tiling.join(torch.cat(tiles)).clamp(0, 1)


def published_file(path: Path, name: str, weight, num_filters: int = 16, seed: int = 7, **sizes) -> dict:
    """Write a checkpoint in the published layout, with weights from `weight(name, shape, seed)`; return its tensors."""
    from reference import published_shapes

    shapes = published_shapes(name, num_filters, **sizes)
    tensors = {key: torch.from_numpy(weight(key, shape, seed)).float() for key, shape in shapes.items()}
    torch.save({"model_state_dict": tensors, "optimizer_state_dict": {"state": {}, "param_groups": []}}, path)
    return tensors


def random_weight(name: str, shape, seed: int) -> np.ndarray:
    """Weights of realistic scale, for tests without the reference data."""
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    normal = rng.standard_normal(shape)
    if name.endswith("beta"):
        return 1 + 0.05 * normal**2
    if name.endswith("gamma"):
        return 0.3 * np.eye(shape[0]) + 0.03 * np.abs(normal)
    if "entropy" in name:
        return 0.3 * normal
    if "norm.weight" in name:
        return 1 + 0.1 * normal
    if name.endswith("bias"):
        return 0.05 * normal
    return normal * 1.5 / np.sqrt(np.prod(shape[1:]))


@pytest.fixture(scope="session")
def own_folder(tmp_path_factory) -> Path:
    """A user's folder of twenty pairs, left/ and right/, of 100 × 200 pixels, cut from the real pair."""
    folder = tmp_path_factory.mktemp("own")
    for side, image in zip(("left", "right"), natural_pair(), strict=True):
        (folder / side).mkdir()
        pixels = (image.permute(1, 2, 0) * 255).byte().numpy()
        for i in range(20):
            top, left = i % 5 * 7, i // 5 * 18
            Image.fromarray(pixels[top : top + 100, left : left + 200]).save(folder / side / f"{i:02d}.png")
    return folder


def teaching(own_folder: Path, out: Path, **changes):
    """A configuration that trains in a second."""
    small = dict(model="ndic_bls17", num_filters=8, resize=[32, 64], epochs=3, train_batch_size=4, verbose_period=0)
    small |= dict(lr=0.001, lr_scheduler="plateau", warmup_steps=0, max_grad_norm=None, precision="float32")
    small |= dict(dataset_name="Folder", dataset_path=str(own_folder))
    if changes.get("model") == "cross_attention":
        small |= dict(embed_dim=16, heads=2)
    return ndic.load_config("teaching", **{**small, "save_output_path": str(out), **changes})


def small_recipe(folder: Path, streets: int, epochs: int) -> Path:
    """A small recipe and its pairs: 32 as whole views, all of them also larger, 30 held out."""
    rng = np.random.default_rng(0)
    for root, size in (("real", (48, 160)), ("native", (64, 200))):
        for side in ("image_2", "image_3"):
            (folder / root / side).mkdir(parents=True)
            for i in range(32):
                pixels = rng.integers(0, 256, (8, 20, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
                image.save(folder / root / side / f"{i:03d}.png")
    file = folder / "small.yaml"
    file.write_text(
        f"""
extends: pretrain
resize: [32, 64]
num_filters: 8
street_pairs: [{streets}, 1, 1]
exclude: []
precision: float32
validation_period: 1
order: [bmshj18_factorized, ndic_bls17]
stages:
  start:
    models: [bmshj18_factorized]
    epochs: 2
  mse:
    from: start
    epochs: {epochs}
"""
    )
    return file


def wait_until(happened: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for an effect of a process while it runs."""
    while not happened():
        assert process.poll() is None, "the process ended before it happened"
        time.sleep(0.05)


def quiet(config, **options):
    """Train without output."""
    from ndic_core.training.train import train

    return train(config, progress=False, report=lambda line: None, **options)


def stopping_after(steps: int, monkeypatch) -> list:
    """Send Ctrl-C during a training step; returns a list with an item for each step until then."""
    left = [None] * steps

    def counted(step, setup, batch):
        if left:
            left.pop()
            if not left:
                signal.raise_signal(signal.SIGINT)
        return step(setup, batch)

    wrap_step(counted, monkeypatch)
    return left


def wrap_step(wrapper: Callable, monkeypatch) -> None:
    """Call `wrapper(train_step, setup, batch)` for each training step, in place of an earlier wrapper."""
    from ndic_core.training import train as training

    step = getattr(training.train_step, "original", training.train_step)

    def wrapped(setup, batch):
        return wrapper(step, setup, batch)

    wrapped.original = step
    monkeypatch.setattr(training, "train_step", wrapped)


def same_weights(a, b) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


class Answers(TorchDispatchMode):
    """Records operations that would make the CPU wait for a GPU: they read a value, or their shape depends on one.

    Copies to a GPU are no operations on a CPU; test_gpu.py tests them.
    """

    WAITING = ("_local_scalar_dense", "nonzero", "equal", "unique", "masked_select", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.WAITING:
            self.operations.append(name)
        return func(*args, **(kwargs or {}))

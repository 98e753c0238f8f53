"""Training batches: mirroring by camera, and mismatched or missing y."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from ndic_core.data.pairs import Pairs, _camera
from ndic_core.training.loader import MISMATCHED, PairLoader


def some_pairs(count: int, cameras) -> Pairs:
    """The first pixel of each pair encodes its number; no image equals its mirror image."""
    images = np.random.default_rng(0).integers(0, 256, (2 * count, 4, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.repeat(np.arange(count), 2)
    images[:, 0, -1, 0] = 255
    return Pairs(images, np.arange(2 * count).reshape(-1, 2), [str(i) for i in range(count)], cameras=cameras)


def batches(pairs: Pairs, epochs: int = 1, robust: bool = False):
    loader = PairLoader(pairs, Fabric(accelerator="cpu", devices=1), batch_size=4, robust=robust)
    return [batch for epoch in range(epochs) for batch in loader.epoch(epoch)]


def is_mirrored(image: torch.Tensor) -> bool:
    return image[0, 0, 0].item() == 1


def number(image: torch.Tensor) -> int:
    return round(255 * image[0, 0, -1 if is_mirrored(image) else 0].item())


def test_all_images_of_a_step_are_as_if_one_camera_had_taken_them():
    cameras = ["left", "right"] * 16
    found = batches(some_pairs(32, cameras))
    assert {batch.right for batch in found} == {False, True}
    for batch in found:
        for x, y in zip(batch.x, batch.y, strict=True):
            assert is_mirrored(x) == is_mirrored(y) == ((cameras[number(x)] == "right") != batch.right)
            assert number(x) == number(y)


@pytest.mark.parametrize("cameras", [None, ["left"] * 31 + [None]])
def test_where_a_camera_is_not_known_images_are_mirrored_one_by_one(cameras):
    found = batches(some_pairs(32, cameras))
    assert {batch.right for batch in found} == {None}
    assert {len({is_mirrored(x) for x in batch.x}) for batch in found} == {1, 2}


def test_a_robust_model_sometimes_sees_another_y_or_none():
    pairs = some_pairs(64, ["left"] * 64)
    found = batches(pairs, epochs=25, robust=True)
    shown = [(number(x), number(y)) for b in found if b.y is not None for x, y in zip(b.x, b.y, strict=True)]
    others = sum(x != y for x, y in shown) / len(shown)
    missing = sum(batch.y is None for batch in found) / len(found)
    assert others == pytest.approx(MISMATCHED, abs=0.02)
    assert missing == pytest.approx(MISMATCHED, abs=0.03)
    plain = batches(pairs, epochs=25)
    assert all(torch.equal(a.x, b.x) for a, b in zip(plain, found, strict=True))  # nothing else differs
    assert all(number(x) == number(y) for batch in plain for x, y in zip(batch.x, batch.y, strict=True))


def test_the_folder_tells_the_camera(tmp_path):
    for path, camera in (
        ("a/image_2/000.png", "left"),
        ("a/image_3/000.png", "right"),
        ("leftImg8bit/train/ulm/x.png", "left"),
        ("rightImg8bit/train/ulm/x.png", "right"),
        ("left/of/right/x.png", "right"),
        ("somewhere/left.png", None),
    ):
        assert _camera(tmp_path.relative_to(tmp_path) / path) == camera

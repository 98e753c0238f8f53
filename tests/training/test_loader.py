"""What a step of training sees: which way pairs look, and whose y they have."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import ndic_core as ndic
from ndic_core.data.pairs import Pairs, _camera
from ndic_core.training.loader import DECEIVED, Batches


def some_pairs(count: int, cameras) -> Pairs:
    """Each pair's first pixel tells its number; no picture is its own mirror image."""
    images = np.random.default_rng(0).integers(0, 256, (2 * count, 4, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.repeat(np.arange(count), 2)
    images[:, 0, -1, 0] = 255
    return Pairs(images, np.arange(2 * count).reshape(-1, 2), [str(i) for i in range(count)], cameras=cameras)


def steps(pairs: Pairs, epochs: int = 1, **keys):
    config = ndic.load_config("teaching", **{"train_batch_size": 4, **keys})
    batches = Batches(pairs, config, Fabric(accelerator="cpu", devices=1))
    return [batch for epoch in range(epochs) for batch in batches.of_epoch(epoch)]


def is_mirrored(image: torch.Tensor) -> bool:
    return image[0, 0, 0].item() == 1


def number(image: torch.Tensor) -> int:
    return round(255 * image[0, 0, -1 if is_mirrored(image) else 0].item())


def test_all_images_of_a_step_are_as_if_one_camera_had_taken_them():
    cameras = ["left", "right"] * 16
    found = steps(some_pairs(32, cameras))
    assert {batch.right for batch in found} == {False, True}
    for batch in found:
        for x, y in zip(batch.x, batch.y, strict=True):
            assert is_mirrored(x) == is_mirrored(y) == ((cameras[number(x)] == "right") != batch.right)
            assert number(x) == number(y)


@pytest.mark.parametrize("cameras", [None, ["left"] * 31 + [None]])
def test_where_a_camera_is_not_known_images_are_mirrored_one_by_one(cameras):
    found = steps(some_pairs(32, cameras))
    assert {batch.right for batch in found} == {None}
    assert {len({is_mirrored(x) for x in batch.x}) for batch in found} == {1, 2}


def test_a_robust_model_sometimes_sees_another_y_or_none():
    pairs = some_pairs(64, ["left"] * 64)
    found = steps(pairs, epochs=25, model="parallax_attention", robust=True)
    shown = [(number(x), number(y)) for b in found if b.y is not None for x, y in zip(b.x, b.y, strict=True)]
    others = sum(x != y for x, y in shown) / len(shown)
    missing = sum(batch.y is None for batch in found) / len(found)
    assert others == pytest.approx(DECEIVED, abs=0.02)
    assert missing == pytest.approx(DECEIVED, abs=0.03)
    plain = steps(pairs, epochs=25, model="parallax_attention")
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

"""`find_pairs` recognises a data set by the content of its folder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ndic_core import NDICError, load_config
from ndic_core.data.datasets import find_pairs, load_split
from ndic_core.data.real_pairs import real_pairs

SCENE = "data_scene_flow_multiview/testing"
CITY = "{0}/val/ulm/ulm_{1}_{0}.png"
LAYOUTS = {
    "KITTI's folders": ("image_2/{}.png", "image_3/{}.png"),
    "prepared KITTI": (SCENE + "/image_2/{:06d}_10.png", SCENE + "/image_3/{:06d}_10.png"),
    "Cityscapes": (CITY.format("leftImg8bit", "{}"), CITY.format("rightImg8bit", "{}")),
    "own": ("left/{}.png", "right/{}.png"),
    "own, split": ("test/left/{}.png", "test/right/{}.png"),
}


def paint(file: Path, level: int, size=(370, 740), **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(file, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found_with_the_left_view_as_x(tmp_path, layout):
    left, right = LAYOUTS[layout]
    for i in range(3):
        paint(tmp_path / left.format(i), 10 + i)
        paint(tmp_path / right.format(i), 200 + i)
    pairs = find_pairs(tmp_path, size=(32, 64))
    x, y = pairs.batch(range(len(pairs)))
    assert torch.equal((x[:, 0, 0, 0] * 255).round(), torch.tensor([10.0, 11, 12]))
    assert torch.equal((y[:, 0, 0, 0] * 255).round(), torch.tensor([200.0, 201, 202]))
    assert pairs.size == (32, 64)
    assert pairs.disparity is None


def test_of_many_some_are_taken_evenly(tmp_path):
    for i in range(10):
        paint(tmp_path / f"left/{i}.png", i)
        paint(tmp_path / f"right/{i}.png", 200 + i)
    x, _ = find_pairs(tmp_path, size=(32, 64), most=5).batch(range(5))
    assert torch.equal((x[:, 0, 0, 0] * 255).round(), torch.tensor([0.0, 2, 4, 6, 8]))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "holidays").mkdir()
    with pytest.raises(NDICError, match="expected are image_2 and image_3"):
        find_pairs(tmp_path)
    with pytest.raises(NDICError, match="most=0"):
        find_pairs(tmp_path, most=0)
    with pytest.raises(NDICError, match="no folder"):
        find_pairs(tmp_path / "nowhere")


def test_copies_of_one_image_as_x_and_y_are_named(tmp_path):
    for i in range(14):
        paint(tmp_path / f"left/{i:02d}.png", i)
        paint(tmp_path / f"right/{i:02d}.bmp", i if i else 200)
    with pytest.raises(NDICError) as error:
        find_pairs(tmp_path, size=(32, 64), most=14)
    message = str(error.value)
    assert message.startswith("x and y have the same pixels: left/01.png with right/01.bmp, ")
    assert message.endswith(" and 3 more; y must be another view: replace or remove these pairs")
    own = load_config("teaching", dataset_name="Folder", dataset_path=str(tmp_path), resize=[32, 64])
    with pytest.raises(NDICError, match="have the same pixels"):
        load_split(own, "train", progress=False)


def test_variables_in_the_path(tmp_path, monkeypatch):
    for side, level in (("left", 1), ("right", 2)):
        paint(tmp_path / f"{side}/a.png", level)
    monkeypatch.setenv("HERE", str(tmp_path))
    assert len(find_pairs("$HERE", size=(32, 64))) == 1


def test_copies_in_the_data_set_mixed(tmp_path):
    for i in range(32):
        paint(tmp_path / f"image_2/{i:02d}.png", i, (30, 99))
        paint(tmp_path / f"image_3/{i:02d}.webp", 200 + i if i else 0, (30, 99), lossless=True)
    assert len(real_pairs(tmp_path, "val", (16, 32), progress=False)) == 60
    with pytest.raises(NDICError, match=r"same pixels: image_2/00\.png with image_3/00\.webp; y must"):
        real_pairs(tmp_path, "train", (16, 32), progress=False)


def test_copies_in_kitti(tmp_path):
    for camera in ("image_2", "image_3"):
        paint(tmp_path / SCENE / camera / "000000_10.png", 7)
    config = load_config("teaching", dataset_name="KITTI_Stereo", dataset_path=str(tmp_path), resize=[32, 64])
    with pytest.raises(NDICError, match=r"same pixels: image_2/000000_10\.png with image_3/000000_10\.png; y must"):
        load_split(config, "test", progress=False)


@pytest.mark.parametrize(
    "size", [(0, 0), (-1, 5), (32,), 32, "32x64", "64", (32.0, 64.0), (32, 64, 3), None, (32, None), [[32], [64]]]
)
def test_what_is_no_size_is_named(tmp_path, size):
    for side in ("left", "right"):
        paint(tmp_path / side / "1.png", 10, (40, 80))
    with pytest.raises(NDICError, match=r"^size=.* must be \(height, width\), whole numbers of 1 or more$"):
        find_pairs(tmp_path, size)


@pytest.mark.parametrize("kind", [np.int64, torch.tensor, lambda side: torch.tensor([side])[0]])
def test_sizes_may_be_numbers_of_numpy_and_pytorch(tmp_path, kind):
    for level, side in ((10, "left"), (200, "right")):
        paint(tmp_path / side / "1.png", level, (40, 80))
    assert find_pairs(tmp_path, [kind(32), kind(64)], most=kind(1)).size == (32, 64)


@pytest.mark.parametrize("most", [0, -1, 2.5, "3", None])
def test_what_is_no_number_of_pairs_is_named(tmp_path, most):
    with pytest.raises(NDICError, match=f"^most={most!r} must be a whole number of 1 or more$"):
        find_pairs(tmp_path, most=most)

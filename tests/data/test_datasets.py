"""The listings of all data sets, on folders of empty files: official sizes, small and incomplete collections."""

import hashlib
import itertools
import os
import random
from pathlib import Path

import pytest
from files import plant, refusal

from ndic_core.data import cityscape, folder, kitti

SPLITS = ("train", "val", "test")


def kitti_tree(root: Path, scenes: dict, frames=range(kitti.FRAMES), cameras=kitti.CAMERAS[0]) -> Path:
    """Empty images: `scenes` maps "FOLDER/PART" to scene numbers."""
    for base, numbers in scenes.items():
        for camera in cameras:
            place = root / base / camera
            place.mkdir(parents=True)
            for number in numbers:
                for frame in frames:
                    os.close(os.open(f"{place}/{number:06d}_{frame:02d}.png", os.O_CREAT | os.O_WRONLY))
    return root


@pytest.fixture
def full(tmp_path, monkeypatch):
    """Both collections in full: real folders, and a fake listing of the 33,138 files in them."""

    def listing(place: Path) -> list[str]:
        numbers = range(kitti.SCENES[place.parts[-3]][place.parts[-2]])
        return [f"{number:06d}_{frame:02d}.png" for frame in range(kitti.FRAMES) for number in numbers]

    kitti_tree(tmp_path, {f"{name}/{part}": () for name in kitti.SCENES for part in kitti.PARTS})
    monkeypatch.setattr(kitti, "visible_files", listing)
    return tmp_path


@pytest.fixture
def small(tmp_path):
    """Eight scenes of five frames, one of them a published testing scene."""
    scenes = {"data_scene_flow_multiview/training": range(4), "data_stereo_flow_multiview/testing": range(2, 6)}
    return kitti_tree(tmp_path / "small", scenes, frames=range(8, 13))


def scene(path: Path) -> tuple[str, str, str]:
    return (*path.parts[-4:-2], path.name[:6])


def frame(path: Path) -> int:
    return int(path.stem[-2:])


def test_stereo_has_the_published_sizes_and_frames(full):
    for split in SPLITS:
        pairs = kitti.stereo_pairs(full, split)
        assert len(pairs) == len(set(pairs)) == kitti.STEREO_PAIRS[split]
        part, frames = kitti.STEREO_FRAMES[split]
        assert {(x.parts[-3], frame(x)) for x, _ in pairs} == {(part, number) for number in frames}
        assert {(y, x) for x, y in pairs} == set(pairs)
        assert all(x.name == y.name and x.parent != y.parent for x, y in pairs)


def test_stereo_of_one_collection(small, tmp_path):
    assert len(kitti.stereo_pairs(small, "train")) == 4 * 2 * 2
    assert len(kitti.stereo_pairs(small, "val")) == len(kitti.stereo_pairs(small, "test")) == 4 * 2
    kitti_tree(tmp_path / "old", {"data_stereo_flow_multiview/testing": [7]}, [10], ("colored_0", "colored_1"))
    (x, y), swapped = kitti.stereo_pairs(tmp_path / "old", "test")
    assert (x.parent.name, y.parent.name, swapped) == ("colored_0", "colored_1", (y, x))


def test_images_without_partner_are_all_named(small):
    base = small / "data_stereo_flow_multiview" / "testing"
    for name in ("image_2/000003_10.png", "image_3/000004_10.png", "image_3/000005_08.png"):
        (base / name).unlink()
    message = refusal(kitti.stereo_pairs, small, "test")
    assert "testing/image_2: 000003_10.png; " in message
    assert "testing/image_3: 000004_10.png; run python -m data_prep.kitti in a clone" in message
    assert "000004_10.png, 000005_08.png" in refusal(kitti.general_pairs, small, "train")  # needs every frame
    plant(small, "data_scene_flow_multiview/testing/image_2/000000_10.png")
    assert "data_scene_flow_multiview/testing: image_3;" in refusal(kitti.stereo_pairs, small, "test")  # named once


@pytest.mark.parametrize("pairs", [kitti.stereo_pairs, kitti.general_pairs])
def test_an_empty_or_missing_folder(pairs, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        assert "contains no KITTI images: expected are" in refusal(pairs, root, "train")
    assert "no split 'validation': choose train, val or test" in refusal(pairs, tmp_path, "validation")


def test_general_has_the_published_sizes_and_scenes(full):
    pairs = {split: kitti.general_pairs(full, split) for split in SPLITS}
    assert {split: len(found) for split, found in pairs.items()} == kitti.GENERAL_PAIRS
    assert all(len(set(found)) == len(found) for found in pairs.values())
    assert not set(pairs["val"]) & set(pairs["test"])
    held_out = {(name, "testing", f"{n:06d}") for name, numbers in kitti.HELD_OUT.items() for n in numbers}
    assert {scene(x) for x, _ in pairs["val"] + pairs["test"]} == held_out
    assert not {scene(x) for x, _ in pairs["train"]} & held_out
    names = "".join(f"{path.relative_to(full).as_posix()}\n" for pair in pairs["val"] for path in pair)
    assert hashlib.sha256(names.encode()).hexdigest()[:8] == "09297414"  # the draw must never change
    for x, y in pairs["train"][:1000] + pairs["val"] + pairs["test"]:
        assert scene(x) == scene(y)
        assert {x.parent.name, y.parent.name} == {"image_2", "image_3"}
        assert abs(frame(x) - frame(y)) in (1, 2, 3)


def test_general_of_a_small_collection(small):
    pairs = {split: kitti.general_pairs(small, split) for split in SPLITS}
    assert {scene(x)[2] for x, _ in pairs["val"] + pairs["test"]} == {"000004"}  # published as held out
    assert [len(pairs[split]) for split in SPLITS] == [7 * 36, 7, 29]
    kitti_tree(small / "one", {"data_scene_flow_multiview/training": [0]})
    kitti_tree(small / "still", {"data_scene_flow_multiview/testing": [0, 1]}, frames=[10])
    for name, split in (("one", "train"), ("still", "test")):
        assert "at least two scenes with several frames" in refusal(kitti.general_pairs, small / name, split)


def test_scenes_are_held_out_from_training_folders_where_there_are_no_others(tmp_path):
    kitti_tree(tmp_path, {"data_scene_flow_multiview/training": range(100)}, frames=(10, 11))
    held_out = {scene(x) for split in ("val", "test") for x, _ in kitti.general_pairs(tmp_path, split)}
    assert len(held_out) == 3  # 20 of 789
    assert not held_out & {scene(x) for x, _ in kitti.general_pairs(tmp_path, "train")}


def test_the_draw_does_not_depend_on_the_order_of_the_files(small, monkeypatch):
    pairs = [kitti.general_pairs(small, split) for split in SPLITS]
    scan = kitti.visible_files
    monkeypatch.setattr(kitti, "visible_files", lambda place: random.sample(found := scan(place), len(found)))
    assert [kitti.general_pairs(small, split) for split in SPLITS] == pairs


LINES = [
    "data_scene_flow_multiview/training/image_3/000001_10.png",
    "data_scene_flow_multiview/training/image_2/000001_11.png",
]


@pytest.mark.parametrize("place", [".", "data_paths"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_list_takes_precedence(place, ending, small):
    (small / place).mkdir(exist_ok=True)
    for kind in ("stereo", "general"):
        (small / place / f"KITTI_{kind}_val.txt").write_bytes(ending.join([*LINES, ""]).encode())
    for pairs in (kitti.stereo_pairs, kitti.general_pairs):
        assert pairs(small, "val") == [tuple(small / line for line in LINES)]
        assert len(pairs(small, "val", lists=False)) > 1
        assert len(pairs(small, "test")) > 1
        if place == "data_paths":  # which may be the data set's path itself
            assert pairs(small / place, "val") == pairs(small, "val")


def test_spellings_of_a_path(small):
    spelt = [f"/{LINES[0]}", LINES[1].replace("/", "\\"), f"./{LINES[0]}", f" {LINES[1]} \n"]
    (small / "KITTI_stereo_test.txt").write_text("\ufeff" + "\n".join(spelt), encoding="utf-8")
    assert kitti.stereo_pairs(small, "test") == 2 * [tuple(small / line for line in LINES)]


def test_lists_apply_to_the_camera_names_of_2012(tmp_path):
    kitti_tree(tmp_path, {"data_stereo_flow_multiview/testing": [0]}, [10], ("colored_0", "colored_1"))
    base = "data_stereo_flow_multiview/testing"
    (tmp_path / "KITTI_stereo_test.txt").write_text(f"{base}/image_3/000000_10.png\n{base}/image_2/000000_10.png\n")
    ((x, y),) = kitti.stereo_pairs(tmp_path, "test")
    assert (x.parent.name, y.parent.name) == ("colored_1", "colored_0")


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (LINES[0], ["has 1 lines: a list has two per pair"]),
        ("", ["has 0 lines"]),
        ("../a.png\nc:\\b.png", ["names paths outside", "../a.png, c:/b.png; paths are relative"]),
        (LINES[0].replace("_1", "_9") + "\ngone/a.png", ["that are not in", "image_3: 000001_90.png", ".: gone;"]),
        ("\xff", ["is not UTF-8 text", "save it as UTF-8"]),
        (
            f"/home/me/kitti/{LINES[0]}\n" * 2,
            ["paths are relative to that folder: remove home/me/kitti/ from the lines"],
        ),
        (f"C:\\kitti\\{LINES[0]}\n" * 2, ["names paths outside", "remove C:/kitti/ from the lines of the list"]),
        (f"../old/{LINES[0]}\n" * 2, ["names paths outside", "remove ../old/ from the lines of the list"]),
        (" ".join(LINES), ["has several paths in one line", "write each on its own line, x then y"]),
        (",".join(LINES), ["has several paths in one line"]),
        (f"{LINES[0]}\n./{LINES[0]}", ["x and y are one file", "000001_10.png; y must be another view"]),
        (
            f"{LINES[0]}\n{LINES[0].replace('_10', '_11')}",
            ["has pairs from one camera: 000001_10.png and 000001_11.png of image_", "its lines must be x, then y"],
        ),
        ("\n".join(f"{n:06d}.png" for n in range(3000)), ["000009.png and 2990 more"]),
    ],
)
def test_wrong_lists(content, messages, small):
    (small / "KITTI_stereo_train.txt").write_text(content, encoding="latin-1")
    message = refusal(kitti.stereo_pairs, small, "train")
    assert all(part in message for part in ["KITTI_stereo_train.txt", *messages])


def test_cityscape_has_the_official_sizes(tmp_path, monkeypatch):
    def listing(place: Path) -> list[str]:
        numbers = range(int(place.name[-1]), cityscape.PAIRS[place.parts[-2]], 3)
        return [f"{place.name}_{number:06d}_{place.parts[-3]}.png" for number in numbers]

    for folders in itertools.product(cityscape.SIDES, SPLITS, ("city0", "city1", "city2")):
        tmp_path.joinpath(*folders).mkdir(parents=True)
    monkeypatch.setattr(cityscape, "visible_files", listing)
    for split, count in cityscape.PAIRS.items():
        pairs = cityscape.pairs(tmp_path, split)
        assert len(pairs) == count
        assert pairs == sorted(pairs)
        assert all(str(y) == str(x).replace("leftImg8bit", "rightImg8bit") for x, y in pairs)


def test_incomplete_cityscape(tmp_path):
    message = refusal(cityscape.pairs, tmp_path, "val")
    assert "has no leftImg8bit/val/ and no rightImg8bit/val/; run python -m data_prep.cityscape in a clone" in message
    for side in cityscape.SIDES:
        (tmp_path / side / "val").mkdir(parents=True)
    assert "contain no images" in refusal(cityscape.pairs, tmp_path, "val")
    for side in cityscape.SIDES:
        names = (f"{side}/val/city{city}/city{city}_{number}_{side}.png" for city in range(2) for number in range(3))
        plant(tmp_path, *names, f"{side}/val/city0/.hidden_{side}.png", f"{side}/val/readme.txt")
    assert len(cityscape.pairs(tmp_path, "val")) == 6
    (tmp_path / "leftImg8bit/val/city0/city0_2_leftImg8bit.png").unlink()
    (tmp_path / "rightImg8bit/val/city1/city1_1_rightImg8bit.png").unlink()
    message = refusal(cityscape.pairs, tmp_path, "val")
    assert "leftImg8bit/val/city0: city0_2_leftImg8bit.png; " in message
    assert "rightImg8bit/val/city1: city1_1_rightImg8bit.png; " in message


def names(pairs) -> list[str]:
    assert all(x.stem == y.stem for x, y in pairs)
    return [x.stem for x, _ in pairs]


@pytest.mark.parametrize(
    ("count", "sizes"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (8, 1, 1)), (11, (8, 1, 2)), (40, (32, 4, 4))]
)
def test_own_folders_are_split_in_blocks(count, sizes, tmp_path):
    plant(tmp_path, *(f"left/{n:03d}.png" for n in range(count)), *(f"right/{n:03d}.JPG" for n in range(count)))
    plant(tmp_path, "left/.hidden.png", "left/notes.txt")
    blocks = [names(folder.pairs(tmp_path, split)) for split in SPLITS]
    assert tuple(map(len, blocks)) == sizes
    assert [name for block in blocks for name in block] == [f"{n:03d}" for n in range(count)]
    assert all(x.parent.name == "left" and y.parent.name == "right" for x, y in folder.pairs(tmp_path, "train"))


def test_two_folders_of_any_name(tmp_path):
    plant(tmp_path, *(f"{place}/{name}.tif" for place in ("day", "night") for name in "abc"))
    ((x, y),) = folder.pairs((tmp_path / "night", tmp_path / "day"), "test")
    assert (x, y) == (tmp_path / "night/c.tif", tmp_path / "day/c.tif")


def test_own_folders_with_splits(tmp_path):
    plant(tmp_path, *(f"{split}/{side}/{split}.webp" for split in ("train", "test") for side in ("left", "right")))
    assert [names(folder.pairs(tmp_path, split)) for split in ("train", "test")] == [["train"], ["test"]]
    assert "has train/ and test/ but no val/: put pairs into val/left" in refusal(folder.pairs, tmp_path, "val")


def test_wrong_own_folders(tmp_path):
    def message(root=tmp_path) -> str:
        return refusal(folder.pairs, root, "test")

    assert "there is no folder" in message(tmp_path / "nowhere")
    assert "left/ and " in message()
    (tmp_path / "left").mkdir()
    assert f"{tmp_path}/right/ not found" in message()
    (tmp_path / "right").mkdir()
    assert "contain no images (.png, .jpg" in message()
    plant(tmp_path, "left/a.png", "right/a.png", "left/b.png", "right/b.png")
    assert "2 pairs cannot be split" in message()
    assert "put them under test/left and test/right" in message()
    plant(tmp_path, "left/c.png", "left/d.png", "right/e.png")
    assert all(f"{name}.png" in message() for name in ("left/c", "left/d", "right/e"))
    plant(tmp_path, "left/c.bmp", "left/d.ppm")
    assert "several images of one name: c.bmp and c.png, d.png and d.ppm" in message()

"""Pairs from image files, and the data sets that are loaded by name."""

import os
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import teaching
from PIL import Image

import ndic_core as ndic
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import Pairs, load_pairs
from ndic_core.data.street import Street


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NDIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(path: Path, size=(100, 200), mode: str = "RGB", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shape = size if mode in ("L", "I;16") else (*size, len(mode))
    dtype = np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(rng.integers(0, 256, shape).astype(dtype)).save(path)
    return path


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (dict(images=np.ones((4, 8, 9, 3))), r"got float64 \(4, 8, 9, 3\): floats in \[0, 1\] times 255"),
        (dict(images=np.ones((4, 8, 9, 3), np.uint16)), "got uint16"),
        (dict(images=np.ones((4, 8, 9, 3), np.int8)), "got int8"),
        (dict(images=np.ones((4, 3, 8, 9), np.uint8)), r"uint8 array \(count, H, W, 3\); got uint8 \(4, 3, 8, 9\)"),
        (dict(images=np.ones((4, 8, 9, 4), np.uint8)), r"\(4, 8, 9, 4\)"),
        (dict(images=torch.ones(4, 8, 9, 3, dtype=torch.uint8)), "got Tensor"),
        (dict(index=np.array([[0, 4], [1, 2]])), "from 0 to 3; it has 0 to 4"),
        (dict(index=np.array([[0, -1], [1, 2]])), "from 0 to 3; it has -1 to 2"),
        (dict(index=np.array([[0, 1.0], [1, 2]])), r"integers; got float64 \(2, 2\)"),
        (dict(index=[[0, 1], [2, 3]]), "integers; got list"),
        (dict(index=np.array([0, 1])), r"integers; got int64 \(2,\)"),
        (dict(names=["a"]), "names must have one entry for each of 2 pairs, not 1"),
        (dict(scenes=["a"]), "scenes must have"),
        (dict(cameras=["left"] * 3), "cameras must have"),
        (dict(digests=[]), "digests must have"),
        (dict(disparity=np.ones((2, 9, 8), np.float32)), r"float array \(2, 8, 9\); got float32 \(2, 9, 8\)"),
    ],
)
def test_other_arrays_are_refused(changed, said):
    given = dict(images=np.zeros((4, 8, 9, 3), np.uint8), index=np.array([[0, 1], [2, 3]]), names=["a", "b"])
    assert len(Pairs(**given)) == 2
    with pytest.raises(ndic.NDICError, match=said):
        Pairs(**(given | changed))


def test_crop_and_resize_are_the_published_ones(tmp_path):
    file = save(tmp_path / "a.png", (375, 1242))
    x, _ = load_pairs([(file, file)], (128, 256), crop=(370, 740))[0]
    top, left = round((375 - 370) / 2), round((1242 - 740) / 2)
    box = (left, top, left + 740, top + 370)
    expected = Image.open(file).crop(box).resize((256, 128), Image.Resampling.BILINEAR)
    assert torch.equal((x * 255).round().byte(), torch.from_numpy(np.array(expected)).permute(2, 0, 1))
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 50:250] = 255  # the largest centre of 2:1
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert load_pairs([(tmp_path / "wide.png",) * 2], (32, 64))[0][0].min() == 1


def test_both_orders_share_their_images(tmp_path):
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", seed=1)
    loaded = load_pairs([(a, b), (b, a)], (32, 64))
    assert len(loaded.images) == 2
    x, y = loaded.batch([1, 0])
    assert torch.equal(x[1], loaded[0][0])
    assert torch.equal(y[0], loaded[0][0])
    assert loaded.names == ["a.png with b.png", "b.png with a.png"]
    assert loaded.first(1).names == loaded.names[:1]


def test_all_faulty_images_are_named_at_once(tmp_path, cache_folder):
    good = save(tmp_path / "good.png")
    grey, deep = save(tmp_path / "grey.png", mode="L"), save(tmp_path / "deep.png", mode="I;16")
    other = save(tmp_path / "other.png", (100, 220))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no image")
    small = save(tmp_path / "small.png", (20, 30))
    paths = [(good, grey), (good, deep), (good, other), (broken, good), (small, small)]
    with pytest.raises(ndic.NDICError) as error:
        load_pairs(paths, (32, 64), crop=(90, 180))
    message = str(error.value)
    assert message.startswith("5 images cannot be used: ")
    assert f"{grey} has mode L, not RGB or RGBA or" in message
    assert f"{deep} has more than 8 bits per channel" in message
    assert f"{good} and {other}: 100 × 200 and 100 × 220, a pair must have one size" in message
    assert f"{broken} is not an image that Pillow can read" in message
    assert f"{small}: 20 × 30, smaller than the crop of 90 × 180" in message
    assert not list(cache_folder.glob("*.npy"))


def test_truncated_and_missing_images_are_all_named(tmp_path, cache_folder):
    files = [save(tmp_path / f"{i}.png", seed=i) for i in range(4)]
    for file in files[1:3]:
        file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ndic.NDICError) as error:
        load_pairs([(file, file) for file in files], (32, 64))
    message = str(error.value)
    assert message.startswith(f"2 images cannot be used: {files[1]} is truncated or damaged (")
    assert f"; {files[2]} is truncated or damaged (" in message
    assert not [file for file in cache_folder.iterdir() if file.suffix in (".npy", ".part")]
    with pytest.raises(ndic.NDICError, match=r"2 images cannot be used: .*a\.png: no such file; .*b\.png: no such"):
        load_pairs([(tmp_path / "a.png", tmp_path / "b.png")], (32, 64))


def test_long_listings_are_cut_and_mismatches_named_once(tmp_path):
    files = [save(tmp_path / f"{i:02d}.png", (20, 30 + i), seed=i) for i in range(13)]
    pairs = list(pairwise(files))
    with pytest.raises(ndic.NDICError) as error:
        load_pairs(pairs + [(y, x) for x, y in pairs], (32, 64))
    message = str(error.value)
    assert message.startswith(f"12 images cannot be used: {files[0]} and {files[1]}: 20 × 30 and 20 × 31, a pair must")
    assert message.endswith("a pair must have one size and 2 more")
    assert message.count("a pair must have one size") == 10


def test_links_without_a_file_and_files_without_permission_are_named(tmp_path, monkeypatch):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    file = save(tmp_path / "b.png")
    with pytest.raises(ndic.NDICError, match=r"1 image cannot be used: .*a\.png: a broken link$"):
        load_pairs([(tmp_path / "a.png", file)], (32, 64))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ndic.NDICError, match=r"1 image cannot be used: .*b\.png: no permission to read it$"):
        load_pairs([(file, file)], (32, 64))


@pytest.mark.parametrize("stored", [(300, 1), (1, 300), (1, 1), (300, 10), (7, 3), (2, 300), (5000, 2)])
def test_narrow_and_small_images_keep_their_colour(stored, tmp_path):
    Image.new("RGB", stored[::-1], (255, 128, 7)).save(tmp_path / "a.png")
    pairs = load_pairs([(tmp_path / "a.png",) * 2], (32, 64), progress=False)
    assert (pairs.images == np.array([255, 128, 7], np.uint8)).all()


def test_the_size_check_applies_an_orientation_once(tmp_path):
    """A TIFF image that is turned by its tag or its XMP data, beside its upright partner."""
    save(tmp_path / "upright.png", (60, 40))
    stored = Image.open(save(tmp_path / "stored.png", (40, 60)))
    stored.save(tmp_path / "tag.tif", tiffinfo={274: 6})
    stored.save(tmp_path / "xmp.tif", tiffinfo={700: b'<rdf:Description tiff:Orientation="6" />'})
    for name in ("tag.tif", "xmp.tif"):
        assert len(load_pairs([(tmp_path / name, tmp_path / "upright.png")], (32, 64))) == 1
        with pytest.raises(ndic.NDICError, match="40 × 60 and 60 × 40, a pair must have one size"):
            load_pairs([(tmp_path / "stored.png", tmp_path / name)], (32, 64))


def test_many_pixels_are_decoded_without_a_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15_000)
    monkeypatch.setattr("ndic_core.io._MANY_PIXELS", 10_000)
    for name in ("a.png", "a.tif"):
        file = save(tmp_path / name)
        load_pairs([(file, file)], (32, 64), progress=False)
    assert not recwarn.list


def test_splits_of_every_data_set(tmp_path, own_folder):
    folder = load_split(teaching(own_folder, tmp_path), "train", progress=False)
    assert len(folder) == 16
    assert folder.size == (32, 64)
    two = teaching(own_folder, tmp_path, dataset_path=[str(own_folder / "right"), str(own_folder / "left")])
    assert torch.equal(load_split(two, "train", progress=False)[3][1], folder[3][0])
    for part in ("training", "testing"):
        for camera in ("image_2", "image_3"):
            for frame in (10, 11):
                save(
                    tmp_path / "data_scene_flow_multiview" / part / camera / f"000000_{frame}.png",
                    (370, 740),
                    seed=int(camera[-1]),
                )
    stereo = teaching(own_folder, tmp_path, dataset_name="KITTI_Stereo", dataset_path=str(tmp_path))
    splits = [load_split(stereo, split, progress=False) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [4, 2, 2]
    assert splits[0].same_scene(0, 3)  # frames 10 and 11 of one scene
    for side in ("leftImg8bit", "rightImg8bit"):
        save(tmp_path / side / "val" / "ulm" / f"ulm_0_0_{side}.png", (64, 128), seed=len(side))
    cityscape = teaching(own_folder, tmp_path, dataset_name="Cityscape", dataset_path=str(tmp_path))
    assert len(load_split(cityscape, "val", progress=False)) == 1


def test_the_street_as_a_data_set(tmp_path, own_folder):
    config = teaching(own_folder, tmp_path, dataset_name="Street", street_pairs=[3, 2, 2], street={"noise": 0.0})
    splits = [load_split(config, split, progress=False) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [3, 2, 2]
    assert not np.array_equal(splits[0].images[0], splits[1].images[0])
    pair = Street(size=(32, 64), noise=0.0).pair(1)
    assert (splits[0][1][1] - pair.y).abs().max() < 0.5 / 255 + 1e-6
    with pytest.raises(ndic.NDICError, match=r"street: unknown parameter 'rain'; choose from baseline, noise, .*seed"):
        load_split(teaching(own_folder, tmp_path, dataset_name="Street", street={"rain": 1}), "val")


def test_paths_may_be_strings_and_relative(tmp_path, monkeypatch):
    save(tmp_path / "data/left/1.png", seed=1)
    right = save(tmp_path / "data/right/1.png", seed=2)
    expected = load_pairs([(tmp_path / "data/left/1.png", right)], (32, 64))
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SIDE", "left")
    for x in ("left/1.png", "~/data/left/1.png", "$SIDE/1.png", Path("left/1.png")):
        pairs = load_pairs([[x, right]], (32, 64))
        assert torch.equal(pairs[0][0], expected[0][0])
        assert pairs.names == expected.names == ["left/1.png with right/1.png"]


def test_pairs_reach_processes_that_start_afresh(tmp_path):
    """Those of a `DataLoader` on Windows and macOS, and with Python 3.14 on Linux, receive a pickled copy."""
    pairs = load_pairs([(save(tmp_path / "left/1.png", seed=1), save(tmp_path / "right/1.png", seed=2))], (32, 64))
    copied = pickle.loads(pickle.dumps(pairs))
    assert (copied.contents, copied.files, copied.cameras) == (pairs.contents, pairs.files, pairs.cameras)
    assert all(map(torch.equal, copied[0], pairs[0]))


def test_images_on_two_drives_of_windows(tmp_path, monkeypatch):
    """No folder contains both images: their names are whole paths."""
    x, y = save(tmp_path / "left/1.png", seed=1), save(tmp_path / "right/1.png", seed=2)

    def two_drives(*_):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", two_drives)
    monkeypatch.setattr(os.path, "relpath", two_drives)
    assert load_pairs([(x, y)], (32, 64)).names == [f"{x.as_posix()} with {y.as_posix()}"]


@pytest.mark.parametrize(
    ("pair", "size", "crop", "message"),
    [
        (None, (32, 64), None, "there are no pairs to load"),
        (("a", "b", "c"), (32, 64), None, r"a pair is two paths, \(x, y\), not \('a', 'b', 'c'\)"),
        ("ab", (32, 64), None, "a pair is two paths, .*, not 'ab'"),
        (("a", 5), (32, 64), None, "a path must be a string or a Path; got int"),
        (("folder", "pipe"), (32, 64), None, "folder: a folder; pipe: not a regular file$"),
        (("a", "b"), (32, 64), (0, 0), r"^crop=\(0, 0\) must be \(height, width\), whole numbers of 1 or more"),
        (("a", "b"), (32, 64), "370", "^crop='370' must be"),
        (("a", "b"), 32, None, "^size=32 must be"),
    ],
)
def test_arguments_of_another_kind_are_named(pair, size, crop, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(ndic.NDICError, match=message):
        load_pairs([pair] if pair else [], size, crop)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_pair_in_two_splits_is_refused(swapped, blocks, tmp_path):
    """Also in folders of its own, under another name, in the other order; one image in two splits is accepted."""
    folders = {"train": "", "val": "", "test": ""} if blocks else {split: split for split in ("train", "val", "test")}
    sides = ("left", "right")
    for number, folder in enumerate(folders.values()):
        for seed, side in enumerate(sides):
            save(tmp_path / folder / side / f"{number}.png", seed=seed if side == "left" else 10 + number)
    own = teaching(tmp_path, tmp_path / "out")
    assert [len(load_split(own, split)) for split in folders] == [1, 1, 1]
    source, target = tmp_path / folders["train"], tmp_path / folders["test"]
    for side, other in zip(sides, reversed(sides) if swapped else sides, strict=True):
        (target / side / "2.png").write_bytes((source / other / "0.png").read_bytes())
    assert len(load_split(own, "val")) == 1
    for split, number, other in (("train", 0, "2.png (test)"), ("test", 2, "0.png (train)")):
        with pytest.raises(ndic.NDICError) as error:
            load_split(own, split)
        first = tmp_path / folders[split] / "left" / f"{number}.png"
        assert str(error.value).startswith(f"two splits have the same pair: {first} ({split}) and ")
        assert str(error.value).endswith(f"{other}; keep each pair in one split")


def test_a_faulty_other_split_does_not_matter(tmp_path):
    for seed, side in enumerate(("left", "right")):
        save(tmp_path / "test" / side / "1.png", seed=seed)
    save(tmp_path / "train/left/1.png")
    assert len(load_split(teaching(tmp_path, tmp_path / "out"), "test")) == 1

"""Pairs from files, and the cache behind them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PATIENCE, teaching, wait_until
from PIL import Image

import ndic_core as ndic
from ndic_core.data import cache, pairs
from ndic_core.data.datasets import load_split
from ndic_core.data.pairs import load_pairs


@pytest.fixture
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


def test_crop_and_resize_are_the_published_ones(tmp_path, cache_folder):
    file = save(tmp_path / "a.png", (375, 1242))
    x, _ = load_pairs([(file, file)], (128, 256), crop=(370, 740))[0]
    image = Image.open(file)
    top, left = round((375 - 370) / 2), round((1242 - 740) / 2)
    wanted = image.crop((left, top, left + 740, top + 370)).resize((256, 128), Image.Resampling.BILINEAR)
    assert torch.equal((x * 255).round().byte(), torch.from_numpy(np.array(wanted)).permute(2, 0, 1))


def test_without_crop_the_largest_centre_is_taken(tmp_path, cache_folder):
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 50:250] = 255  # the centre 2:1
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    x, _ = load_pairs([(tmp_path / "wide.png",) * 2], (32, 64))[0]
    assert x.min() == 1


def test_photographs_are_turned_upright(tmp_path, cache_folder):
    image = Image.new("RGB", (100, 200), "red")
    image.paste("blue", (0, 0, 50, 200))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise: the left half comes to the top
    image.save(tmp_path / "a.png", exif=exif)
    x, _ = load_pairs([(tmp_path / "a.png",) * 2], (32, 64), crop=(100, 200))[0]
    assert torch.equal(x[:, 0, 0], torch.tensor([0.0, 0, 1]))
    assert torch.equal(x[:, -1, 0], torch.tensor([1.0, 0, 0]))


def test_both_orders_share_their_pictures(tmp_path, cache_folder):
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", seed=1)
    loaded = load_pairs([(a, b), (b, a)], (32, 64))
    assert len(loaded.images) == 2
    assert torch.equal(loaded[0][0], loaded[1][1])
    x, y = loaded.batch([1, 0])
    assert torch.equal(x[1], loaded[0][0])
    assert torch.equal(y[0], loaded[1][1])
    assert loaded.names == ["a.png with b.png", "b.png with a.png"]


def test_everything_odd_is_named_at_once(tmp_path, cache_folder):
    good = save(tmp_path / "good.png")
    grey, deep = save(tmp_path / "grey.png", mode="L"), save(tmp_path / "deep.png", mode="I;16")
    other = save(tmp_path / "other.png", (100, 220))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no picture")
    small = save(tmp_path / "small.png", (20, 30))
    paths = [(good, grey), (good, deep), (good, other), (broken, good), (small, small)]
    with pytest.raises(ndic.NDICError) as error:
        load_pairs(paths, (32, 64), crop=(90, 180))
    message = str(error.value)
    assert message.startswith("5 pictures cannot be used: ")
    assert f"{grey}: no colour (mode L)" in message
    assert f"{deep}: more than 8 bits a channel" in message
    assert f"{good} and {other}: 100 × 200 and 100 × 220, a pair must have one size" in message
    assert f"{broken}: no picture that Pillow can read" in message
    assert f"{small}: 20 × 30, smaller than the crop of 90 × 180" in message
    assert not list(cache_folder.glob("*.npy"))


def test_truncated_pictures_are_all_named(tmp_path, cache_folder):
    files = [save(tmp_path / f"{i}.png", seed=i) for i in range(4)]
    for file in files[1:3]:
        file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ndic.NDICError) as error:
        load_pairs([(file, file) for file in files], (32, 64))
    assert str(error.value) == (
        f"2 pictures cannot be used: {files[1]}: truncated or damaged; {files[2]}: truncated or damaged"
    )
    assert not [file for file in cache_folder.iterdir() if file.suffix in (".npy", ".part")]


def test_missing_pictures_are_all_named(tmp_path, cache_folder):
    with pytest.raises(ndic.NDICError, match=r"2 pictures cannot be used: .*a\.png: no such file; .*b\.png: no such"):
        load_pairs([(tmp_path / "a.png", tmp_path / "b.png")], (32, 64))


def test_pictures_are_decoded_once(tmp_path, cache_folder, monkeypatch):
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", seed=1)
    before = load_pairs([(a, b)], (32, 64))[0]
    monkeypatch.setattr(pairs, "_prepare", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(cache, "_digest", lambda *_: pytest.fail("read again"))
    after = load_pairs([(a, b)], (32, 64))[0]
    assert torch.equal(before[0], after[0])


def test_the_cache_is_keyed_by_content(tmp_path, cache_folder):
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png", seed=1)
    first = load_pairs([(a, b)], (32, 64))[0][0]
    copied = tmp_path / "elsewhere" / "a.png"
    copied.parent.mkdir()
    copied.write_bytes(a.read_bytes())
    load_pairs([(copied, b)], (32, 64))
    assert len(list(cache_folder.glob("*.npy"))) == 1  # the same content elsewhere
    save(a, seed=7)
    assert not torch.equal(load_pairs([(a, b)], (32, 64))[0][0], first)
    load_pairs([(a, b)], (48, 96))
    assert len(list(cache_folder.glob("*.npy"))) == 3


BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from ndic_core.data.cache import cached_images

def images():
    with Path(sys.argv[1]).open("a") as log:
        log.write("built\\n")
    for i in range(20):
        time.sleep(float(sys.argv[2]))
        yield np.full((8, 8, 3), i, np.uint8)

array = cached_images(["race"], (20, 8, 8, 3), images, progress=False)
assert array[:, 0, 0, 0].tolist() == list(range(20))
"""


def test_two_processes_build_once(tmp_path, cache_folder):
    run = [sys.executable, "-c", BUILD, str(tmp_path / "log"), "0.05"]
    processes = [subprocess.Popen(run) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_killed_builder_leaves_nothing_in_the_way(tmp_path, cache_folder):
    run = [sys.executable, "-c", BUILD, str(tmp_path / "log")]
    killed = subprocess.Popen([*run, "1000"])
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and bool(log.read_text()), killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE)
    assert list(cache_folder.glob("*.part"))
    assert not list(cache_folder.glob("*.npy"))
    subprocess.run([*run, "0"], check=True, timeout=PATIENCE)
    assert not list(cache_folder.glob("*.part"))
    assert (tmp_path / "log").read_text() == "built\nbuilt\n"


def test_a_full_disk_is_said(tmp_path, cache_folder, monkeypatch):
    file = save(tmp_path / "a.png")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: _Free())
    with pytest.raises(ndic.NDICError, match=r"the cache in .* needs 0 MB \(free some, or set NDIC_CACHE\), 0 MB are"):
        load_pairs([(file, file)], (32, 64))
    monkeypatch.undo()
    monkeypatch.setenv("NDIC_CACHE", str(cache_folder))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(ndic.NDICError, match="No space left on device"):
        load_pairs([(file, file)], (32, 64))
    assert not [f for f in cache_folder.iterdir() if f.suffix in (".npy", ".part")]


class _Free:
    free = 10


def test_a_damaged_digest_index_is_made_again(tmp_path, cache_folder):
    file = save(tmp_path / "a.png")
    load_pairs([(file, file)], (32, 64))
    for content in ("not json", "[1, 2]"):
        (cache_folder / "digests.json").write_text(content)
        load_pairs([(file, file)], (32, 64))
        assert len(json.loads((cache_folder / "digests.json").read_text())) == 1


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png")
    monkeypatch.setenv("NDIC_CACHE", str(file / "cache"))
    with pytest.raises(ndic.NDICError, match="cannot be made or written to"):
        load_pairs([(file, file)], (32, 64))


def test_a_full_cache_may_be_read_only(tmp_path, cache_folder, monkeypatch):
    file = save(tmp_path / "a.png")
    before = load_pairs([(file, file)], (32, 64))[0][0]
    (cache_folder / "digests.json").unlink()

    def refuse(*_):
        raise ndic.NDICError("read-only")

    monkeypatch.setattr(cache, "make_folder", refuse)
    assert torch.equal(load_pairs([(file, file)], (32, 64))[0][0], before)


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_cache_file_is_made_again(damage, tmp_path, cache_folder):
    file = save(tmp_path / "a.png")
    before = load_pairs([(file, file)], (32, 64))[0][0]
    (cached,) = cache_folder.glob("*.npy")
    cached.write_bytes(cached.read_bytes()[:-100] if damage is None else damage)
    assert torch.equal(load_pairs([(file, file)], (32, 64))[0][0], before)


def test_a_file_put_in_anothers_place_is_noticed(tmp_path, cache_folder):
    red, blue = tmp_path / "red.bmp", tmp_path / "blue.bmp"
    for path, colour in ((red, "red"), (blue, "blue")):
        Image.new("RGB", (64, 32), colour).save(path)
        os.utime(path, (1e9, 1e9))
    load_pairs([(red, red)], (32, 64))
    os.replace(blue, red)  # of the same size and time of change
    assert load_pairs([(red, red)], (32, 64))[0][0][2].min() == 1


def test_splits_of_every_data_set(tmp_path, cache_folder, own_folder):
    folder = load_split(teaching(own_folder, tmp_path), "train", progress=False)
    assert len(folder) == 16
    assert folder.size == (32, 64)
    two = teaching(own_folder, tmp_path, dataset_path=[str(own_folder / "right"), str(own_folder / "left")])
    assert torch.equal(load_split(two, "train", progress=False)[3][1], folder[3][0])
    for part, frames in (("training", (10, 11)), ("testing", (10, 11))):
        for camera in ("image_2", "image_3"):
            for frame in frames:
                save(tmp_path / "data_scene_flow_multiview" / part / camera / f"000000_{frame}.png", (370, 740))
    stereo = teaching(own_folder, tmp_path, dataset_name="KITTI_Stereo", dataset_path=str(tmp_path))
    assert [len(load_split(stereo, split, progress=False)) for split in ("train", "val", "test")] == [4, 2, 2]
    for side, city in (("leftImg8bit", "leftImg8bit"), ("rightImg8bit", "rightImg8bit")):
        save(tmp_path / side / "val" / "ulm" / f"ulm_0_0_{city}.png", (64, 128))
    train = load_split(stereo, "train", progress=False)
    assert train.show_the_same(0, 3)  # frames 10 and 11 of one scene
    cityscape = teaching(own_folder, tmp_path, dataset_name="Cityscape", dataset_path=str(tmp_path))
    assert len(load_split(cityscape, "val", progress=False)) == 1


def test_the_street_as_a_data_set(tmp_path, cache_folder, own_folder):
    config = teaching(own_folder, tmp_path, dataset_name="Street", street_pairs=[3, 2, 2], street={"noise": 0.0})
    splits = [load_split(config, split, progress=False) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [3, 2, 2]
    assert not np.array_equal(splits[0].images[0], splits[1].images[0])
    from ndic_core.data.street import Street

    pair = Street(size=(32, 64), noise=0.0).pair(1)
    assert (splits[0][1][1] - pair.y).abs().max() < 0.5 / 255 + 1e-6
    with pytest.raises(ndic.NDICError, match=r"street: unknown knob 'rain'; it has baseline, noise, .*seed"):
        load_split(teaching(own_folder, tmp_path, dataset_name="Street", street={"rain": 1}), "val")


def test_first(own_folder, tmp_path):
    whole = load_split(teaching(own_folder, tmp_path), "train", progress=False)
    assert len(whole.first(3)) == 3
    assert whole.first(3).names == whole.names[:3]

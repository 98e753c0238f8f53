"""The disk cache of decoded images: keys, damaged files, concurrent and killed processes, full and read-only disks."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PATIENCE, wait_until
from PIL import Image

import ndic_core as ndic
from ndic_core.data import cache, pairs
from ndic_core.data.pairs import load_pairs


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NDIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)).save(file)
    return file


def first_image(file) -> torch.Tensor:
    return load_pairs([(file, file)], (32, 64))[0][0]


def test_images_are_decoded_once(file, monkeypatch):
    before = first_image(file)
    monkeypatch.setattr(pairs, "_prepare", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(cache, "_digest", lambda *_: pytest.fail("read again"))
    assert torch.equal(before, first_image(file))


def test_the_key_is_the_content_and_the_size(file, tmp_path, cache_folder):
    before = first_image(file)
    copied = tmp_path / "elsewhere.png"
    copied.write_bytes(file.read_bytes())
    first_image(copied)
    assert len(list(cache_folder.glob("*.npy"))) == 1  # the same content
    Image.new("RGB", (200, 100)).save(file)
    assert not torch.equal(first_image(file), before)
    load_pairs([(file, file)], (48, 96))
    assert len(list(cache_folder.glob("*.npy"))) == 3


def test_files_that_vanish_or_cannot_be_read_are_named(file, monkeypatch):
    with pytest.raises(ndic.NDICError, match=r"gone\.png cannot be read: No such file or directory"):
        cache.content_digests([file.with_name("gone.png")])

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(ndic.NDICError, match=r"a\.png cannot be read: Permission denied"):
        cache.content_digests([file])


def test_a_file_that_replaces_another_is_noticed(tmp_path):
    red, blue = tmp_path / "red.bmp", tmp_path / "blue.bmp"
    for path, colour in ((red, "red"), (blue, "blue")):
        Image.new("RGB", (64, 32), colour).save(path)
        os.utime(path, (1e9, 1e9))
    first_image(red)
    os.replace(blue, red)  # of the same size and modification time
    assert first_image(red)[2].min() == 1


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", None])
def test_damaged_files_of_the_cache_are_made_again(damage, file, cache_folder):
    before = first_image(file)
    for cached in (*cache_folder.glob("*.npy"), cache_folder / "digests.json"):
        cached.write_bytes(cached.read_bytes()[:-10] if damage is None else damage)
    assert torch.equal(first_image(file), before)
    assert len(json.loads((cache_folder / "digests.json").read_text())) == 1


BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from ndic_core.data.cache import cached_arrays
def images():
    with Path(sys.argv[1]).open("a") as log:
        log.write("built\\n")
    for i in range(20):
        time.sleep(float(sys.argv[2]))
        yield (np.full((8, 8, 3), i, np.uint8),)
(array,) = cached_arrays(["race"], [((20, 8, 8, 3), "uint8")], images, progress=False)
assert array[:, 0, 0, 0].tolist() == list(range(20))
"""


def test_two_processes_build_once(tmp_path):
    run = [sys.executable, "-c", BUILD, str(tmp_path / "log"), "0.05"]
    processes = [subprocess.Popen(run) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_killed_process_does_not_block_the_next_one(tmp_path, cache_folder):
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


def test_a_full_disk(file, cache_folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda _: type("usage", (), {"free": 10}))
        with pytest.raises(ndic.NDICError, match=r"the cache in .* needs 0 MB \(free some, or set NDIC_CACHE\), 0 MB"):
            first_image(file)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(ndic.NDICError, match="No space left on device"):
        first_image(file)
    assert not [f for f in cache_folder.iterdir() if f.suffix in (".npy", ".part")]


def test_folders_without_write_permission(file, cache_folder, monkeypatch):
    before = first_image(file)
    (cache_folder / "digests.json").unlink()

    def refuse(*_):
        raise ndic.NDICError("read-only")

    monkeypatch.setattr(cache, "make_folder", refuse)
    assert torch.equal(first_image(file), before)  # what is cached can be read
    monkeypatch.undo()
    monkeypatch.setenv("NDIC_CACHE", str(file / "cache"))
    with pytest.raises(ndic.NDICError, match="cannot be made or written to"):
        first_image(file)

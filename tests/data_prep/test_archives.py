"""Unsafe and damaged archives, full disks, interruptions: no incomplete file remains."""

import errno
import io
import os
import random
import re
import shutil
import stat
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from zips import kitti_images, make_zip, tree

from data_prep import archives, common, kitti
from ndic_core import NDICError

OUTSIDE = ["../evil.png", "/etc/evil", "a/../../evil", "..\\evil", "\\evil", "d:evil", "a/.."]
OUTSIDE += [
    "a\\..\\..\\evil",
    "a/..\\../evil",
    "C:\\evil",
    "c:/evil",
    "\\\\host\\share\\evil",
    "training\\image_2\\..\\evil",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_paths_outside_the_target_folder_are_refused(name, fail, tmp_path):
    make_zip(tmp_path / "x_stereo_flow.zip", kitti_images() | {name: b"evil"})
    said = fail(kitti, tmp_path / "x_stereo_flow.zip", "--out", tmp_path / "out")
    assert f"is refused, nothing was written: {name!r} has a path outside the target folder; download it" in said
    assert os.listdir(tmp_path) == ["x_stereo_flow.zip"]


def test_links_and_other_unsafe_entries_are_all_named(tmp_path):
    link, device, packed = (zipfile.ZipInfo(name) for name in ("link", "device", "packed"))
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    device.external_attr = (stat.S_IFCHR | 0o666) << 16
    packed.compress_type = zipfile.ZIP_LZMA
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr(device, "")
        file.writestr(packed, "abc")
        file.writestr("encrypted", "")
        file.writestr("nul-name", "")
        file.writestr("twice", "a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("twice", "b")
    patched(tmp_path / "x.zip", "encrypted", 8, b"\x01")
    patched(tmp_path / "x.zip", "nul-name", 49, b"\0")
    with pytest.raises(NDICError) as error:
        archives.contents(tmp_path / "x.zip")
    named = "'link' is a link or device, 'device' is a link or device, 'packed' has an unsupported compression method, "
    named += "'encrypted' is encrypted, 'nul' has a path outside the target folder, 'twice' occurs twice"
    assert named in str(error.value)


def patched(path: Path, name: str, offset: int, value: bytes) -> Path:
    """Overwrite bytes of an entry's record in the central directory."""
    content = bytearray(path.read_bytes())
    record = re.compile(rb"PK\x01\x02.{42}" + re.escape(name.encode()), re.DOTALL)  # a name alone may occur by chance
    start = record.search(content).start() + offset
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("declared", "free", "needed"), [(None, common.RESERVE, "67.1MB"), (0xFFFFFFFE, 10**9, "4.36GB")]
)
def test_too_little_disk_space_is_reported_beforehand(declared, free, needed, fail, tmp_path, monkeypatch):
    """Also where an archive only declares a large size."""
    files = kitti_images()
    archive = make_zip(tmp_path / "stereo_flow.zip", files)
    if declared:
        patched(archive, next(iter(files)), 24, declared.to_bytes(4, "little"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": free}))
    said = fail(kitti, archive, "--out", tmp_path / "deep" / "out")
    assert f"out needs {needed} but its disk has" in said
    assert "free some space first" in said
    assert not (tmp_path / "deep").exists()


def test_names_that_are_equal_once_backslashes_are_slashes(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {"a/b": b"1", "a\\b": b"2", "a\\": b"", "c\\d": b"3"})
    with pytest.raises(NDICError, match=r"'a/b' occurs twice, 'a\\\\b' occurs twice"):
        archives.contents(archive)
    archive = make_zip(tmp_path / "x.zip", {"a\\b": b"2", "a\\": b"", "c\\d": b"3"})
    assert archives.contents(archive) == ["a/b", "c/d"]
    archives.extract([(archive, {"a/b": "b", "c/d": "deep/d"})], tmp_path / "out")
    assert tree(tmp_path / "out") == {"b": b"2", "deep/d": b"3"}


def test_of_many_unsafe_entries_ten_are_named(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {f"../{n:04d}": b"" for n in range(3000)} | {"../" + "x" * 60_000: b""})
    with pytest.raises(NDICError, match=r"'\.\./0009' has a path outside the target folder and 2991 more; download"):
        archives.contents(archive)


def test_more_bytes_than_declared_are_not_written(tmp_path):
    """A zip bomb that declares a small size: reading ends there, and the checksum is wrong."""
    bomb = patched(make_zip(tmp_path / "x.zip", {"a": bytes(10**6), "b": b"good"}), "a", 24, b"\x10\0\0\0")
    with pytest.raises(NDICError, match=f"damaged: a in {bomb}; download that"):
        archives.extract([(bomb, {"a": "a", "b": "b"})], tmp_path / "out")
    assert tree(tmp_path / "out") == {"b": b"good"}


def test_damaged_files_are_all_named_and_the_others_extracted(fail, tmp_path):
    files = kitti_images()
    stored = make_zip(tmp_path / "stereo_flow.zip", files, zipfile.ZIP_STORED)
    content = stored.read_bytes()
    damaged = [name for name in files if "000004_10" in name]
    for name in damaged:
        content = content.replace(name.encode() * 20, b"x" * 20 * len(name))
    stored.write_bytes(content)
    said = fail(kitti, stored, "--out", tmp_path / "out")
    named = ", ".join(f"{name} in {stored}" for name in damaged)
    assert said.startswith(f"kitti: damaged: {named}; download that archive again, then run the same command again")
    assert len(tree(tmp_path / "out")) == len(files) - 2
    assert not list((tmp_path / "out").glob("*.txt"))


def test_archives_with_random_bytes_changed(tmp_path):
    """Every archive is extracted or refused with an error message, and no temporary file remains."""
    good = make_zip(tmp_path / "x.zip", {name: os.urandom(20) + bytes(200) for name in "abc"}).read_bytes()
    chance = random.Random(1)
    for _ in range(500):
        content = bytearray(good)
        content[chance.randrange(len(content))] = chance.randrange(256)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (tmp_path / "x.zip").write_bytes(content)
        with suppress(NDICError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = archives.contents(tmp_path / "x.zip")
            archives.extract([(tmp_path / "x.zip", {name: str(n) for n, name in enumerate(names)})], tmp_path / "out")
        assert not list(tmp_path.rglob("*.part"))
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


class Sink(io.FileIO):
    """A file whose writing fails after a hundred bytes: a full disk or Ctrl-C."""

    def __init__(self, path, failure: BaseException):
        super().__init__(path, "w")
        self.failure = failure

    def write(self, content):
        if self.tell() + len(content) > 100:
            super().write(content[:100])
            raise self.failure
        return super().write(content)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written: No space left on device; fix this and"),
        (KeyboardInterrupt(), "interrupted; complete files are kept: run the same command again"),
    ],
)
def test_no_incomplete_file_remains(failure, said, succeed, fail, both, tmp_path, monkeypatch):
    out = tmp_path / "out"
    opened = []

    def breaking_open(path, mode="r", *rest):
        opened.append(path)
        return Sink(path, failure) if mode == "wb" and len(opened) == 6 else open(path, mode, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "open", breaking_open, raising=False)
        assert said in fail(kitti, both[0], "--out", out)
    there = tree(out)
    assert len(there) == 5
    assert all(name.endswith(".png") for name in there)
    assert "27 images extracted" in succeed(kitti, both[0], "--out", out)
    assert there.items() <= tree(out).items()


def test_a_folder_that_cannot_be_made(fail, both, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written: " in fail(kitti, both[0], "--out", tmp_path / "file")

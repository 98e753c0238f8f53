"""From archives to folders: tiny archives, hostile ones, broken ones, a full disk, a bad server."""

import errno
import http.server
import io
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import threading
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from data_prep import archives, check, cityscape, common, download, kitti
from ndic_core import NDICError
from ndic_core.data import kitti as listing

OLD, NEW = listing.SCENES


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def pictures(cameras=("image_2", "image_3"), above="", training=(0, 1), testing=(0, 4), frames=(9, 10, 11, 12)) -> dict:
    """What a KITTI archive holds, in small: each picture says its name."""
    return {
        name: name.encode() * 20
        for part, scenes in (("training", training), ("testing", testing))
        for camera in cameras
        for scene in scenes
        for frame in frames
        for name in [f"{above}{part}/{camera}/{scene:06d}_{frame:02d}.png"]
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def command(monkeypatch, capsys):
    """Run one of the commands as a user would: its exit status, what it printed, its errors."""

    def run(module, *arguments) -> tuple[int, str, str]:
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            common.run(module.app, name)
        output = capsys.readouterr()
        return end.value.code, output.out, output.err

    return run


@pytest.fixture
def both(tmp_path) -> list[Path]:
    """The two archives, under other names than the official ones; 2012 as it comes, with grey pictures."""
    old = pictures(("image_0", "image_1", "colored_0", "colored_1")) | {"testing/calib/000000.txt": b"P0"}
    return [
        make_zip(tmp_path / "a.zip", old),
        make_zip(tmp_path / "b.zip", pictures(training=(0, 199), testing=(29, 30))),
    ]


# KITTI, from archives to pairs


def test_kitti_from_archives_to_pairs(command, both, tmp_path):
    out = tmp_path / "out"
    status, said, errors = command(kitti, *both, "--out", out)
    assert (status, errors) == (0, "")
    assert f"{both[0]} is KITTI 2012: 32 colour pictures" in said
    assert f"{both[1]} is KITTI 2015: 32 colour pictures" in said
    assert f"64 pictures extracted to {out}, 0 were there already" in said
    assert "KITTI Stereo train: 16 of 1,576 pairs" in said
    assert "missing: data_scene_flow_multiview/testing: frames 10 and 11 of 000000, 000001" in said
    assert len(list(out.rglob("*.png"))) == 64
    assert {path.parent.name for path in out.rglob("*.png")} == {"image_2", "image_3"}
    assert (out / OLD / "testing/image_3/000004_10.png").read_bytes() == b"testing/colored_1/000004_10.png" * 20
    for split, count in {"train": 16, "val": 8, "test": 8}.items():
        lines = (out / f"KITTI_stereo_{split}.txt").read_bytes().decode().split("\n")
        assert len(lines) == 2 * count + 1
        assert lines[-1] == ""
        assert listing.stereo_pairs(out, split) == listing.stereo_pairs(out, split, lists=False)
        assert listing.general_pairs(out, split) == listing.general_pairs(out, split, lists=False)
    assert (
        (out / "KITTI_stereo_val.txt").read_text().startswith(f"{OLD}/testing/image_2/000000_11.png\n{OLD}/testing/im")
    )
    assert not list(out.rglob("*.part"))


def test_full_counts_are_told(command, tmp_path, monkeypatch):
    """A collection of the expected size lacks nothing."""
    monkeypatch.setattr(listing, "SCENES", {OLD: {"training": 2, "testing": 2}, NEW: {"training": 2, "testing": 2}})
    monkeypatch.setattr(listing, "HELD_OUT", {OLD: (0,), NEW: ()})
    monkeypatch.setattr(listing, "STEREO_PAIRS", {"train": 16, "val": 8, "test": 8})
    monkeypatch.setattr(listing, "GENERAL_PAIRS", {"train": 168, "val": 4, "test": 20})
    files = [pictures(above=f"{name}/", testing=(0, 1)) for name in (OLD, NEW)]
    given = [make_zip(tmp_path / f"{n}.zip", content) for n, content in enumerate(files)]
    status, said, _ = command(kitti, *given, "--out", tmp_path / "out")
    assert (status, "missing" in said) == (0, False)
    status, said, _ = command(check, tmp_path / "out")
    assert (status, "missing" in said) == (0, False)
    assert "data_scene_flow_multiview/testing: 2 of 2 scenes, 8 of 42 frames" in said
    assert "KITTI General test: 20 of 20 pairs" in said


def test_a_second_run_writes_only_what_lacks(command, both, tmp_path):
    out = tmp_path / "out"
    command(kitti, both[0], "--out", out)
    before = tree(out)
    base = out / OLD / "testing" / "image_2"
    (base / "000000_10.png").unlink()
    (base / "000000_11.png").write_bytes(b"short")
    (base / "000004_10.png").write_bytes(bytes(len(before[f"{OLD}/testing/image_2/000004_10.png"])))  # size is right
    kept = (base / "000004_11.png").stat().st_mtime_ns
    assert f"3 pictures extracted to {out}, 29 were there" in command(kitti, both[0], "--out", out)[1]
    assert tree(out) == before
    assert (base / "000004_11.png").stat().st_mtime_ns == kept
    status, said, _ = command(kitti, both[1], "--out", out)  # the other year: our own lists grow
    assert (status, "left as it is" in said) == (0, False)
    assert len(listing.stereo_pairs(out, "train")) == 16


def test_lists_of_others_stay(command, both, tmp_path):
    out = tmp_path / "out"
    own = f"{OLD}/testing/image_2/000004_10.png\n{OLD}/testing/image_3/000004_11.png\n"
    (out / "data_paths").mkdir(parents=True)
    (out / "data_paths" / "KITTI_general_test.txt").write_text(own)
    (out / "KITTI_stereo_test.txt").write_text(own)
    for _ in range(2):
        status, said, _ = command(kitti, both[0], "--out", out)
        assert status == 0
        assert len(re.findall("another than this command makes and is left as it is", said)) == 2
    assert (out / "data_paths" / "KITTI_general_test.txt").read_text() == own
    assert not (out / "KITTI_general_test.txt").exists()
    assert len(listing.stereo_pairs(out, "test")) == len(listing.general_pairs(out, "test")) == 1


@pytest.mark.parametrize(
    ("files", "name", "year"),
    [
        (pictures(("image_0", "image_1", "image_2", "image_3")), "x", OLD),
        (pictures(training=[194]), "x", NEW),
        (pictures(testing=[195]), "x", NEW),
        (pictures(above=f"{OLD}/"), "data_scene_flow_multiview", OLD),
        (pictures(above=f"{NEW}/"), "data_stereo_flow_multiview", NEW),
        (pictures(), "my data_scene_flow_multiview (1)", NEW),
        (pictures(), "data_stereo_flow", OLD),
    ],
)
def test_which_year_an_archive_is(files, name, year):
    assert kitti.which_year(Path(f"{name}.zip"), list(files)) == year


def test_archives_that_are_not_told(command, both, tmp_path):
    def refusal(*given) -> str:
        status, _, said = command(kitti, *given, "--out", tmp_path / "out")
        assert status == 1
        assert said.startswith("kitti: ")
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return said

    assert "rename it to data_stereo_flow_multiview.zip or" in refusal(make_zip(tmp_path / "x.zip", pictures()))
    assert "holds no KITTI pictures" in refusal(make_zip(tmp_path / "x.zip", {"readme.txt": b""}))
    assert "are both KITTI 2012" in refusal(both[0], shutil.copy(both[0], tmp_path / "again.zip"))
    assert "lacks colour pictures of two" in refusal(make_zip(tmp_path / "x.zip", pictures(("image_0", "image_1"))))
    twice = pictures(above="a_stereo_flow/") | pictures(above="b_stereo_flow/")
    assert "same pictures in several folders" in refusal(make_zip(tmp_path / "x.zip", twice))
    assert "cannot be read: No such file" in refusal(tmp_path / "nowhere.zip")
    (tmp_path / "x.zip").write_bytes(b"<html>")
    assert "is no zip archive, or was cut short" in refusal(tmp_path / "x.zip")
    (tmp_path / "x.zip").write_bytes(both[0].read_bytes()[:-500])
    assert "is no zip archive, or was cut short" in refusal(tmp_path / "x.zip")


# Hostile, damaged, too large


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil", "a/../../evil", "..\\evil", "\\evil", "C:\\evil", "d:evil", "..", "a/.."]
)
def test_archives_that_leave_their_folder_are_refused(name, command, tmp_path):
    make_zip(tmp_path / "x_stereo_flow.zip", pictures() | {name: b"evil"})
    status, _, said = command(kitti, tmp_path / "x_stereo_flow.zip", "--out", tmp_path / "out")
    assert status == 1
    assert f"is refused, nothing was written: {name!r} leaves its folder; get it" in said
    assert os.listdir(tmp_path) == ["x_stereo_flow.zip"]


def test_links_and_other_odd_entries_are_all_named(tmp_path):
    link, device, packed = (zipfile.ZipInfo(name) for name in ("link", "device", "packed"))
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    device.external_attr = (stat.S_IFCHR | 0o666) << 16
    packed.compress_type = zipfile.ZIP_LZMA
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr(device, "")
        file.writestr(packed, "abc")
        file.writestr("twice", "a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("twice", "b")
    with pytest.raises(NDICError) as error:
        archives.contents(tmp_path / "x.zip")
    for said in ("'link' is a link or device", "'device' is a", "'packed' is packed by a", "'twice' is there twice"):
        assert said in str(error.value)


def patched(path: Path, name: str, offset: int, value: bytes) -> Path:
    """Overwrite bytes of an entry's record in the central directory."""
    content = bytearray(path.read_bytes())
    start = content.rindex(name.encode()) - 46 + offset
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


def test_encrypted_and_nul_names(tmp_path):
    patched(make_zip(tmp_path / "x.zip", {"abc": b"", "d-e": b""}), "abc", 8, b"\x01")
    patched(tmp_path / "x.zip", "d-e", 47, b"\0")
    with pytest.raises(NDICError, match=r"'abc' is encrypted, 'd' leaves its folder"):
        archives.contents(tmp_path / "x.zip")


def test_a_declared_size_beyond_the_disk(command, tmp_path):
    files = pictures()
    name = next(iter(files))
    patched(make_zip(tmp_path / "stereo_flow.zip", files), name, 24, b"\xfe\xff\xff\xff")
    free = shutil.disk_usage(tmp_path).free
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": min(free, 10**9)}))
        status, _, said = command(kitti, tmp_path / "stereo_flow.zip", "--out", tmp_path / "out")
    assert (status, "needs 4.4 GB but its disk has" in said) == (1, True)
    assert not (tmp_path / "out").exists()


def test_more_bytes_than_declared_are_not_written(tmp_path):
    """A bomb that declares a small size: reading ends there, and the checksum is wrong."""
    bomb = patched(make_zip(tmp_path / "x.zip", {"a": bytes(10**6), "b": b"good"}), "a", 24, b"\x10\0\0\0")
    with pytest.raises(NDICError, match=f"damaged: a in {bomb}; delete that"):
        archives.extract([(bomb, {"a": "a", "b": "b"})], tmp_path / "out")
    assert tree(tmp_path / "out") == {"b": b"good"}


def test_damaged_pictures_are_all_named(command, tmp_path):
    files = pictures()
    stored = make_zip(tmp_path / "stereo_flow.zip", files, zipfile.ZIP_STORED)
    content = stored.read_bytes()
    spoilt = [name for name in files if "000004_10" in name]
    for name in spoilt:
        content = content.replace(name.encode() * 20, b"x" * 20 * len(name))
    stored.write_bytes(content)
    status, _, said = command(kitti, stored, "--out", tmp_path / "out")
    assert status == 1
    named = ", ".join(f"{name} in {stored}" for name in spoilt)
    assert said == f"kitti: damaged: {named}; delete that archive and download it again, the rest is extracted\n"
    assert len(tree(tmp_path / "out")) == len(files) - 2
    assert not list((tmp_path / "out").glob("*.txt"))
    deflated = make_zip(tmp_path / "b.zip", {"a": os.urandom(500)})
    deflated.write_bytes(deflated.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x09"))
    with pytest.raises(NDICError, match="damaged: a in"):
        archives.extract([(deflated, {"a": "a"})], tmp_path / "b")


def test_archives_with_random_bytes_changed(tmp_path):
    """Whatever the archive, it is extracted or refused with a sentence, and nothing unfinished stays."""
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


# The disk is full, the user stops


class Sink(io.FileIO):
    """A file on a disk with room for a hundred bytes, or under a user who presses Ctrl-C."""

    failure: BaseException

    def write(self, content):
        if self.tell() + len(content) > 100:
            super().write(content[:100])
            raise self.failure
        return super().write(content)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written: No space left on device; mend that and"),
        (KeyboardInterrupt(), "stopped; what is complete stays, run the same command again"),
    ],
)
def test_nothing_half_written_stays(failure, said, command, both, tmp_path, monkeypatch):
    out = tmp_path / "out"
    opened = []

    def breaking_open(path, mode="r", *rest):
        if mode == "wb" and len(opened) == 5:
            sink = Sink(path, "w")
            sink.failure = failure
            return sink
        opened.append(path)
        return open(path, mode, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "open", breaking_open, raising=False)
        status, _, errors = command(kitti, both[0], "--out", out)
    assert (status, errors.count("\n")) == (1, 1)
    assert said in errors
    there = tree(out)
    assert len(there) == 5
    assert all(name.endswith(".png") for name in there)
    status, said, _ = command(kitti, both[0], "--out", out)
    assert (status, "27 pictures extracted" in said) == (0, True)
    assert there.items() <= tree(out).items()


def test_too_little_room_is_said_beforehand(command, both, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": common.RESERVE}))
    status, _, said = command(kitti, both[0], "--out", tmp_path / "deep" / "out")
    assert (status, "out needs 67.1 MB but its disk has 67.1 MB free: make room first" in said) == (1, True)
    assert not (tmp_path / "deep").exists()


def test_a_folder_that_cannot_be_made(command, both, tmp_path):
    (tmp_path / "file").touch()
    status, _, said = command(kitti, both[0], "--out", tmp_path / "file")
    assert (status, "cannot be written: " in said, said.count("\n")) == (1, True, 1)


def test_ctrl_c_of_the_real_process(both, tmp_path):
    """Exit status 1 and one sentence, also where the interruption is a signal."""
    code = (
        "import os, signal, sys; from data_prep import archives, common, kitti\n"
        "def stop(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "archives._is_there = stop; common.run(kitti.app, 'kitti')"
    )
    command = [sys.executable, "-c", code, str(both[0]), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "kitti: stopped; what is complete stays, run the same command again to go on\n"


# Download


@pytest.fixture
def server(monkeypatch):
    """A local server whose behaviour the tests set: which file, whether it knows ranges, where it breaks off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        files: dict[str, bytes] = {}
        asked: list[str | None] = []
        cuts: list[int] = []  # one answer each: bytes after which it breaks off
        statuses: list[int] = []
        ranges = True

        def do_GET(self):
            content = self.files.get(self.path)
            self.asked.append(self.headers["Range"])
            status = self.statuses.pop(0) if self.statuses else 200 if content is not None else 404
            start = 0
            if status == 200 and self.ranges and self.headers["Range"]:
                start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
                status = 206 if start < len(content) else 416
            self.send_response(status)
            body = content[start:] if status in (200, 206) else b""
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(download, "CHUNK", 500)
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
        thread.start()
        Handler.url = f"http://127.0.0.1:{server.server_port}"
        yield Handler
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(server, tmp_path) -> bytes:
    """What the server has under /a.zip."""
    server.files["/a.zip"] = make_zip(tmp_path / "made.zip", {"a": os.urandom(5000)}).read_bytes()
    return server.files["/a.zip"]


def test_kitti_is_downloaded_and_extracted(command, both, server, tmp_path, monkeypatch):
    server.files.update({f"/mirror/{name}.zip": path.read_bytes() for name, path in zip((OLD, NEW), both, strict=True)})
    monkeypatch.setenv("NDIC_KITTI_URL", f"{server.url}/mirror/")
    status, said, errors = command(kitti, both[0], "--download", "--out", tmp_path / "out")
    assert (status, errors, len(server.asked)) == (0, "", 1)  # only the year that was not given
    assert "64 pictures extracted" in said
    assert command(kitti, "--download", "--out", tmp_path / "out")[0] == 0
    assert len(server.asked) == 2  # the other one; what is there is not fetched again


def test_a_download_goes_on_where_it_broke_off(server, archive, tmp_path):
    server.cuts[:] = [1000, 0, 2000]
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "new" / "a.zip")
    assert (tmp_path / "new" / "a.zip").read_bytes() == archive
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]
    assert os.listdir(tmp_path / "new") == ["a.zip"]


def test_a_later_run_continues_an_earlier_one(server, archive, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(archive[:4000])
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert ((tmp_path / "a.zip").read_bytes(), server.asked) == (archive, ["bytes=4000-"])
    (tmp_path / "b.zip.part").write_bytes(archive)  # complete, but not yet renamed
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == archive


def test_a_server_that_knows_no_ranges(server, archive, tmp_path):
    server.ranges = False
    (tmp_path / "a.zip.part").write_bytes(b"x" * 4000)
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == archive


def test_what_is_larger_than_the_servers_file_is_begun_anew(server, archive, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(bytes(10**5))
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == archive


def test_a_server_that_always_breaks_off(server, archive, tmp_path):
    server.cuts[:] = [1000] + [0] * 10
    with pytest.raises(NDICError, match=r"a\.zip broke off after 1\.0 kB .*: run the same command again to go on"):
        download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert ((tmp_path / "a.zip").exists(), (tmp_path / "a.zip.part").read_bytes()) == (False, archive[:1000])
    server.cuts.clear()
    server.statuses[:] = [503, 429]
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == archive


def test_answers_that_are_no_archive(server, archive, tmp_path, monkeypatch):
    server.files["/page.zip"] = b"<html>log in first</html>"
    for name, said in (("page.zip", "is no zip archive"), ("gone.zip", r"answers 404 \(Not Found\)")):
        with pytest.raises(NDICError, match=said):
            download.fetch_zip(f"{server.url}/{name}", tmp_path / name)
        assert not list(tmp_path.glob(f"{name}*"))
    with pytest.raises(NDICError, match="cannot be downloaded"):
        download.fetch_zip("nonsense", tmp_path / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": 10**6}))
    with pytest.raises(NDICError, match=r"has 1\.0 MB free: make room first"):
        download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")


def test_nobody_answers(server, tmp_path, command):
    url = "http://127.0.0.1:1"
    status, _, said = command(kitti, "--download", "--base-url", url, "--out", tmp_path / "out")
    assert (status, said.count("\n")) == (1, 1)
    assert f"the download of {url}/data_stereo_flow_multiview.zip broke off after 0 B (ConnectionError)" in said


# Cityscapes, and the check


def city_files(side: str) -> dict[str, bytes]:
    return {
        f"{side}/{split}/ulm/ulm_{n:06d}_000019_{side}.png": f"{split}{n}".encode()
        for split in ("train", "val", "test")
        for n in range(3)
    } | {"README": b"", f"{side}/train_extra/ulm/ulm_000000_000000_{side}.png": b""}


def test_cityscape_from_archives_to_pairs(command, tmp_path, monkeypatch):
    given = [make_zip(tmp_path / f"{side}.zip", city_files(side)) for side in ("leftImg8bit", "rightImg8bit")]
    out = tmp_path / "out"
    status, said, _ = command(cityscape, *given, "--out", out)
    assert (status, "18 pictures extracted" in said, "Cityscape val: 3 of 500 pairs" in said) == (0, True, True)
    assert "missing: Cityscape train: 2,972 pairs" in said
    assert len(list(out.rglob("*.png"))) == 18
    assert command(check, out)[0] == 1
    monkeypatch.setattr("ndic_core.data.cityscape.PAIRS", dict.fromkeys(("train", "val", "test"), 3))
    assert command(check, out)[0] == 0


def test_cityscape_refusals(command, tmp_path):
    status, said, _ = command(cityscape)
    assert status == 0
    assert "asks for a login" in said
    assert command(cityscape, tmp_path / "a.zip")[0] == 2
    left = make_zip(tmp_path / "left.zip", city_files("leftImg8bit"))
    assert "hold the same pictures" in command(cityscape, left, left, "--out", tmp_path / "out")[2]
    extra = make_zip(tmp_path / "extra.zip", {"leftImg8bit/train_extra/ulm/ulm_0_leftImg8bit.png": b""})
    assert "holds no pictures of Cityscapes' train" in command(cityscape, extra, "--out", tmp_path / "out")[2]
    assert not (tmp_path / "out").exists()


def test_check_of_own_pictures_and_of_nothing(command, tmp_path):
    assert "there is no folder" in command(check, tmp_path / "nowhere")[2]
    status, _, said = command(check, tmp_path)
    assert (status, "holds no data set: expected are" in said) == (1, True)
    for name in ("test/left/a.png", "test/right/a.png", "test/right/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    status, said, _ = command(check, tmp_path)
    assert (status, "b.png" in said) == (1, True)
    (tmp_path / "test/right/b.png").unlink()
    status, said, _ = command(check, tmp_path)
    assert (status, said) == (0, f"Own pictures in {tmp_path}:\n  own pictures test: 1 pair\n")


def test_check_names_every_partner_that_lacks(command, both, tmp_path):
    out = tmp_path / "out"
    command(kitti, *both, "--out", out)
    for name in ("testing/image_2/000000_10.png", "training/image_3/000001_12.png"):
        (out / OLD / name).unlink()
    status, said, _ = command(check, out)
    assert status == 1
    assert "training/image_3: 000001_12.png" in said
    assert "testing/image_2: 000000_10.png" in said


def test_wrong_usage(command):
    for module, *arguments in ((kitti,), (kitti, "--out", "x"), (check,), (cityscape, "--nonsense")):
        assert command(module, *arguments)[0] == 2


def test_torch_is_not_imported():
    modules = ", ".join(f"data_prep.{name}" for name in ("kitti", "cityscape", "check", "download"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

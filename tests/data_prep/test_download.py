"""Interrupted downloads and faulty servers, on localhost."""

import http.server
import os
import re
import shutil
import threading

import pytest
from zips import make_zip

from data_prep import download, kitti
from ndic_core import NDICError
from ndic_core.data import kitti as listing

OLD, NEW = listing.SCENES


@pytest.fixture
def server(monkeypatch):
    """A local server; tests set its files, its support of ranges, and where it breaks off."""

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


def test_kitti_is_downloaded_and_extracted(succeed, both, server, tmp_path, monkeypatch):
    server.files.update({f"/mirror/{name}.zip": path.read_bytes() for name, path in zip((OLD, NEW), both, strict=True)})
    monkeypatch.setenv("NDIC_KITTI_URL", f"{server.url}/mirror/")
    said = succeed(kitti, both[0], "--download", "--out", tmp_path / "out")
    assert len(server.asked) == 1  # only the year that was not given
    assert "64 images extracted" in said
    succeed(kitti, "--download", "--out", tmp_path / "out")
    assert len(server.asked) == 2  # the other one; what is there is not fetched again


def test_a_download_resumes_where_it_broke_off(server, archive, tmp_path):
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


@pytest.mark.parametrize(("ranges", "length"), [(False, 4000), (True, 10**5)])
def test_a_part_of_no_use_is_discarded(ranges, length, server, archive, tmp_path):
    """The server has no ranges, or its file is shorter."""
    server.ranges = ranges
    (tmp_path / "a.zip.part").write_bytes(bytes(length))
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == archive


def test_a_server_that_always_breaks_off(server, archive, tmp_path):
    server.cuts[:] = [1000] + [0] * 10
    with pytest.raises(NDICError, match=r"a\.zip broke off after 1\.00kB .*: run the same command again to continue"):
        download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert ((tmp_path / "a.zip").exists(), (tmp_path / "a.zip.part").read_bytes()) == (False, archive[:1000])
    server.cuts.clear()
    server.statuses[:] = [503, 429]
    download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == archive


def test_unusable_answers(server, archive, tmp_path, monkeypatch):
    server.files["/page.zip"] = b"<html>log in first</html>"
    for name, said in (("page.zip", "is not a zip archive"), ("gone.zip", r"answers 404 \(Not Found\)")):
        with pytest.raises(NDICError, match=said):
            download.fetch_zip(f"{server.url}/{name}", tmp_path / name)
        assert not list(tmp_path.glob(f"{name}*"))
    with pytest.raises(NDICError, match="cannot be downloaded"):
        download.fetch_zip("nonsense", tmp_path / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": 10**6}))
    with pytest.raises(NDICError, match=r"has 1\.00MB free: free some space first"):
        download.fetch_zip(f"{server.url}/a.zip", tmp_path / "a.zip")


def test_no_server(server, tmp_path, fail):
    url = "http://127.0.0.1:1"
    said = fail(kitti, "--download", "--base-url", url, "--out", tmp_path / "out")
    assert f"the download of {url}/data_stereo_flow_multiview.zip broke off after 0.00B (ConnectionError)" in said

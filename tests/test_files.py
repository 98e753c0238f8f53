"""Paths that users write, text files of any encoding, and atomic writes."""

import os

import pytest

from ndic_core import NDICError, files
from ndic_core.files import expand_path, read_text, write_whole


def test_writing_is_atomic(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_whole(file, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(NDICError, match="No space left"):
        write_whole(file, b"new")
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a"])
    with pytest.raises(NDICError, match="No such file or directory"):
        write_whole(tmp_path / "no" / "a", b"")


@pytest.mark.parametrize("open_for", [2, 9])
def test_a_file_that_is_open_on_windows_is_tried_again(open_for, tmp_path, monkeypatch):
    """A scanner of new files has one open for a moment; a viewer of images keeps it open."""
    file, tries, real = tmp_path / "a", [], os.replace

    def replace(source, target):
        tries.append(target)
        if len(tries) <= open_for:
            raise PermissionError(13, "Access is denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(NDICError, match=r"cannot be written: Access is denied$"):  # at once on other systems
        write_whole(file, b"new")
    tries.clear()
    monkeypatch.setattr(files, "_WAITS", (0.0, 0.0, 0.0))
    if open_for == 9:
        with pytest.raises(NDICError, match="Access is denied; if another program has it open, close that"):
            write_whole(file, b"new")
        assert (len(tries), os.listdir(tmp_path)) == (4, [])
    else:
        write_whole(file, b"new")
        assert (len(tries), file.read_bytes(), os.listdir(tmp_path)) == (3, b"new", ["a"])


def test_an_existing_file_keeps_its_permissions(tmp_path):
    write_whole(tmp_path / "a", b"old")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    (tmp_path / "a").chmod(0o600)
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127])
def test_the_longest_names_can_be_written(name, tmp_path):
    write_whole(tmp_path / name, b"new")
    assert os.listdir(tmp_path) == [name]


def test_links_are_followed_and_devices_are_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / ("a" * 300)):
        with pytest.raises(NDICError, match=r"cannot be written: (Symlink loop|Too many levels|File name too long)"):
            write_whole(path, b"new")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(NDICError, match="it is not an ordinary file"):
            write_whole(path, b"new")


@pytest.mark.parametrize("written", ["~/a.png", "$PLACE/a.png", "${PLACE}/a.png", "~/${PLACES}/a.png"])
def test_home_and_environment_variables_are_expanded(written, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE", "PLACE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PLACES", ".")
    assert expand_path(written) == tmp_path / "a.png"


def test_a_dollar_in_an_existing_name_stays_and_an_unknown_variable_is_refused(tmp_path, monkeypatch):
    (tmp_path / "$PLACE").mkdir()
    monkeypatch.setenv("PLACE", "elsewhere")
    assert expand_path(tmp_path / "$PLACE") == tmp_path / "$PLACE"
    monkeypatch.setenv("PLACE", "")
    with pytest.raises(NDICError, match="the environment variable PLACE is empty"):
        expand_path("$PLACE/a.png")
    with pytest.raises(NDICError, match=r"there is no user nobody-here; write \./~nobody-here/a\.png for"):
        expand_path("~nobody-here/a.png")
    with pytest.raises(NDICError, match="a path is empty"):
        expand_path("")
    monkeypatch.delenv("PLACE")
    with pytest.raises(NDICError, match="the environment variable PLACE is not set"):
        expand_path("$PLACE/a.png")
    with pytest.raises(NDICError, match="NUL character"):
        expand_path("a\0b")
    with pytest.raises(NDICError, match=r"'\\ud800' is no character of a file name"):
        expand_path("a\ud800.pt")
    assert os.fsencode(expand_path(b"Stra\xdfe")) == b"Stra\xdfe"  # Latin-1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_with_any_byte_order_mark(encoding, tmp_path):
    (tmp_path / "a.csv").write_bytes("Straße,1\r\nc,2\r\n".encode(encoding))
    assert read_text(tmp_path / "a.csv") == "Straße,1\nc,2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nStraße".encode("latin-1"), r"byte 0xdf in line 2, perhaps Latin-1 or Windows-1252\): save it as UTF-8"),
        ("name".encode("utf-16-le"), r"NUL characters, perhaps UTF-16 or no text\): save it as UTF-8"),
        ("name".encode("utf-16")[:-1], "begins as UTF-16-LE but is damaged"),
    ],
)
def test_text_of_another_encoding_is_refused_in_one_line(content, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(NDICError, match=message) as error:
        read_text(tmp_path / "a.csv")
    assert "a.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_write_protected_file_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a.ndic").write_bytes(b"kept")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write everything
    with pytest.raises(NDICError, match=r"a\.ndic cannot be written: it is write-protected; choose another name"):
        write_whole(tmp_path / "a.ndic", b"new")
    assert (tmp_path / "a.ndic").read_bytes() == b"kept"

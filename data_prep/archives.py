"""Safe extraction of zip archives: every entry is validated first, every file is written atomically."""

import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from data_prep.common import need_space
from ndic_core.errors import NDICError, listing
from ndic_core.files import replace_file


def contents(archive: Path) -> list[str]:
    """Names of the files in a zip archive, backslashes as slashes, after a validation of every entry.

    Raises:
        NDICError: the file is not a zip archive or is truncated; or an entry has a path outside the target folder, is a
            link or device, is encrypted, has a rare compression method or occurs twice (all such entries are named).
    """
    with _opened(archive) as file:
        entries = file.infolist()
    count = Counter(map(_name, entries))
    bad = {entry.filename: reason for entry in entries if (reason := _objection(entry, count[_name(entry)]))}
    if bad:
        named = listing(f"{name[:200]!r} {reason}" for name, reason in bad.items())
        raise NDICError(f"{archive} is refused, nothing was written: {named}; download it from the official site")
    return [name for name in map(_name, entries) if not name.endswith("/")]


def extract(jobs: list[tuple[Path, dict[str, str]]], out: Path) -> int:
    """Extract files from archives; existing files of the right size and checksum are kept.

    Each file is written under a temporary name and renamed after its checksum is verified.

    Args:
        jobs: archives that `contents` accepts, each with its files to extract: name by `contents` to path below `out`.
        out: the folder to extract to.

    Returns:
        The number of files written.

    Raises:
        NDICError: the disk has too little space (checked before anything is written), files in the archives are damaged
            (all of them are named; the others are in `out`), or a file cannot be written.
    """
    todo, needed = [], 0
    for archive, wanted in jobs:
        with _opened(archive) as file:
            entries = {_name(entry): entry for entry in file.infolist()}
        for name, target in wanted.items():
            todo.append((archive, entries[name], out / target))
            needed += 0 if _has_size(out / target, entries[name]) else entries[name].file_size
    need_space(out, needed)
    written, damaged = 0, []
    total = sum(entry.file_size for _, entry, _ in todo)
    with tqdm(total=total, unit="B", unit_scale=True, desc="extracting", disable=None) as bar:
        for archive, _ in jobs:
            with _opened(archive) as file:
                for entry, target in ((entry, target) for source, entry, target in todo if source == archive):
                    if not _is_extracted(target, entry):
                        try:
                            _write(file, entry, target)
                            written += 1
                        except (zipfile.BadZipFile, zlib.error, EOFError):
                            damaged.append(f"{entry.filename} in {archive}")
                    bar.update(entry.file_size)
    if damaged:
        raise NDICError(f"damaged: {listing(damaged)}; download that archive again, then run the same command again")
    return written


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = zipfile.ZipFile(archive)
    except OSError as error:
        raise NDICError(f"{archive} cannot be read: {error.strerror or error}; check its name") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise NDICError(f"{archive} is not a zip archive or is truncated: download it again") from error
    with file:
        yield file


def _name(entry: zipfile.ZipInfo) -> str:
    """The name of an entry; some programs on Windows write backslashes."""
    return entry.filename.replace("\\", "/")


def _objection(entry: zipfile.ZipInfo, count: int) -> str | None:
    """The reason why an entry must not be extracted, or None."""
    name = entry.orig_filename.replace("\\", "/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name) or "\0" in name:
        return "has a path outside the target folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or device"
    if entry.flag_bits & 0x41:  # by one of two methods
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 0x20:  # a patch
        return "has an unsupported compression method"
    return "occurs twice" if count > 1 else None


def _has_size(target: Path, entry: zipfile.ZipInfo) -> bool:
    return target.is_file() and target.stat().st_size == entry.file_size


def _is_extracted(target: Path, entry: zipfile.ZipInfo) -> bool:
    return _has_size(target, entry) and zlib.crc32(target.read_bytes()) == entry.CRC


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")  # the same at every attempt, so that at most one remains
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open(entry) as source, open(temporary, "wb") as sink:
            shutil.copyfileobj(source, sink)
        replace_file(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise NDICError(f"{target} cannot be written: {reason}; fix this and run the same command again") from error
    finally:
        with suppress(OSError):  # it exists only if the extraction did not finish
            temporary.unlink()

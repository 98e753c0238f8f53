"""Disk cache of decoded and rendered images as memory-mapped arrays, shared by all processes.

A cache file is a `.npy` array, named by a hash of everything that it depends on, including the content of the source
files, so it cannot become outdated; any file may be deleted at any time. The folder is the user's cache folder, or the
value of the environment variable `NDIC_CACHE`.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir
from tqdm.auto import tqdm

from ndic_core.errors import NDICError
from ndic_core.files import expand_path, make_folder, read_bytes, replace_file, write_whole


def cache_folder() -> Path:
    """The folder of the cache files; it need not exist yet."""
    chosen = os.environ.get("NDIC_CACHE")
    return expand_path(chosen) if chosen else Path(user_cache_dir("ndic"))


def cached_arrays(
    depends_on: Sequence,
    layouts: Sequence[tuple[tuple[int, ...], str]],
    rows: Callable[[], Iterable[tuple[np.ndarray, ...]]],
    what: str = "prepare",
    progress: bool = True,
) -> list[np.ndarray]:
    """Arrays that are computed together, each with its own cache file.

    If another process is building one of these arrays, this one waits for it. A file is renamed when it is complete,
    so an interrupted build leaves no cache file. A damaged file is built again; complete files may be in a folder
    without write permission.

    Args:
        depends_on: everything the content depends on, serialisable as JSON.
        layouts: shape and dtype of each array, all of one length. All callers use the same order, so that no two of
            them wait for each other.
        rows: called only if an array must be built; yields for each index a tuple with the row of every array.
        what: label of the progress bar, which `progress` shows on stderr.

    Returns:
        The arrays, read-only, memory-mapped.

    Raises:
        NDICError: the folder cannot be written to, the disk is full, or `rows` raises it.
    """
    folder, arrays = cache_folder(), []
    for column, (shape, dtype) in enumerate(layouts):
        key = [*depends_on, list(shape), *([dtype] if dtype != "uint8" else [])]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        arrays.append(_Array(folder / f"{digest}.npy", column, shape, np.dtype(dtype)))
    if missing := [array for array in arrays if array.load() is None]:
        make_folder(folder)
        with ExitStack() as locks:
            for array in missing:
                locks.enter_context(FileLock(array.file.with_suffix(".lock")))
            # Another process may have built it in the meantime.
            if missing := [array for array in missing if array.load() is None]:
                _build(folder, missing, rows, what, progress)
    return [np.load(array.file, mmap_mode="r") for array in arrays]


class _Array(NamedTuple):
    """The content of a cache file; `column` is its position in the tuples of `rows`."""

    file: Path
    column: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def load(self) -> np.ndarray | None:
        """The array, unless the file is missing or damaged."""
        with suppress(OSError, ValueError, EOFError):
            array = np.load(self.file, mmap_mode="r")
            return array if (array.shape, array.dtype) == (self.shape, self.dtype) else None


def _build(folder: Path, arrays: list[_Array], rows: Callable, what: str, progress: bool) -> None:
    for array in arrays:
        for stale in folder.glob(f"{array.file.stem}.*.part"):  # left by a killed process: this one has the lock
            stale.unlink(missing_ok=True)
    needed = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NDICError(f"{_full(folder, needed)}, {free / 1e6:.0f} MB are free")
    try:
        with ExitStack() as files:
            parts = []
            for array in arrays:
                handle, part = tempfile.mkstemp(dir=folder, prefix=f"{array.file.stem}.", suffix=".part")
                files.callback(Path(part).unlink, missing_ok=True)
                out = files.enter_context(os.fdopen(handle, "wb"))
                # Not `open_memmap`: on a full disk, writing to a memory map kills the process (SIGBUS).
                header = dict(descr=array.dtype.str, fortran_order=False, shape=array.shape)
                np.lib.format.write_array_header_1_0(out, header)
                parts.append((array, part, out))
            count = arrays[0].shape[0]
            for row in tqdm(rows(), what, count, disable=None if progress else True, leave=False):
                for array, _, out in parts:
                    out.write(np.ascontiguousarray(row[array.column], dtype=array.dtype).data)
            for array, part, out in parts:
                out.flush()
                os.fsync(out.fileno())  # so that a power failure cannot leave the name without the content
                out.close()
                replace_file(part, array.file)
    except OSError as error:
        raise NDICError(f"{_full(folder, needed)}: {error.strerror}") from error


def _full(folder: Path, needed: int) -> str:
    return f"the cache in {folder} needs {needed / 1e6:.0f} MB (free some, or set NDIC_CACHE)"


def content_digests(files: Sequence[Path]) -> list[str]:
    """A hash of every file's content, cached by path, size, times and inode, so that an unchanged file is read once.

    Raises:
        NDICError: a file is missing or cannot be read.
    """
    index = cache_folder() / "digests.json"
    try:
        known = dict(json.loads(index.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    keys = []
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:
            raise NDICError(f"{file} cannot be read: {error.strerror}") from error
        keys.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}")
    if new := {key: file for key, file in zip(keys, files, strict=True) if key not in known}:
        with ThreadPoolExecutor() as pool:
            known.update(zip(new, pool.map(_digest, new.values()), strict=True))
        with suppress(NDICError):  # without write permission it only takes longer
            make_folder(index.parent)
            write_whole(index, json.dumps(known).encode())
    return [known[key] for key in keys]


def short_digest(content: object) -> str:
    """A hash of what JSON can hold, 16 characters."""
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _digest(file: Path) -> str:
    return hashlib.blake2b(read_bytes(file), digest_size=16).hexdigest()

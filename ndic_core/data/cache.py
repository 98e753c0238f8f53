"""Decoded pictures on disk, mapped into memory: paid for once, by whichever run or process comes first.

A cache file is a `.npy` array, mostly of 8-bit pixels, named by a hash of all that it depends on, the content of files
included, so it does not go out of date; what is no longer wanted may be deleted at any time. It lies in the user's
cache folder, or where the environment variable `NDIC_CACHE` says.
"""

import hashlib
import json
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
from ndic_core.io import make_folder, write_whole


def cache_folder() -> Path:
    """Where cache files lie; it need not exist yet."""
    return Path(os.environ.get("NDIC_CACHE") or user_cache_dir("ndic"))


def cached_images(
    depends_on: Sequence,
    shape: tuple[int, int, int, int],
    images: Callable[[], Iterable[np.ndarray]],
    what: str = "prepare",
    progress: bool = True,
) -> np.ndarray:
    """`cached_arrays` of one array: images, `shape` (count, height, width, 3), uint8."""
    (array,) = cached_arrays(depends_on, [(shape, "uint8")], lambda: ((image,) for image in images()), what, progress)
    return array


def cached_arrays(
    depends_on: Sequence,
    layouts: Sequence[tuple[tuple[int, ...], str]],
    rows: Callable[[], Iterable[tuple[np.ndarray, ...]]],
    what: str = "prepare",
    progress: bool = True,
) -> list[np.ndarray]:
    """Arrays that are made together, each from its own cache file where there is one.

    A process that finds another one building one of these arrays waits for it. A file gets its name when it is
    complete: one that was interrupted leaves nothing that looks like a cache. One that is damaged is made again; one
    that is whole may lie in a folder that cannot be written to.

    Args:
        depends_on: everything the content depends on, as JSON can write it.
        layouts: shape and dtype of each array, all of one length. Whoever asks for some of the arrays names them in
            one order, so that no two wait for each other.
        rows: called only if an array must be made; gives a tuple for each index of that length, what every array has
            there.
        what: shown beside the progress bar.
        progress: show a bar on stderr.

    Returns:
        The arrays, read-only, mapped into memory.

    Raises:
        NDICError: the folder cannot be written to, the disk is full, or `rows` raises it.
    """
    folder = cache_folder()
    arrays = []
    for place, (shape, dtype) in enumerate(layouts):
        # Images are named as they always were, without their dtype.
        key = [*depends_on, list(shape), *([dtype] if dtype != "uint8" else [])]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        arrays.append(_Array(folder / f"{digest}.npy", place, shape, np.dtype(dtype)))
    if wanted := [array for array in arrays if not array.whole()]:
        make_folder(folder)
        with ExitStack() as locks:
            for array in wanted:
                locks.enter_context(FileLock(array.file.with_suffix(".lock")))
            # While this process waited, another may have built it.
            if wanted := [array for array in wanted if not array.whole()]:
                _build(folder, wanted, rows, what, progress)
    return [np.load(array.file, mmap_mode="r") for array in arrays]


class _Array(NamedTuple):
    """What belongs into a cache file, and its place in the tuples of `rows`."""

    file: Path
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def whole(self) -> bool:
        """Whether the file is there and undamaged."""
        try:
            array = np.load(self.file, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return array.shape == self.shape and array.dtype == self.dtype


def _build(folder: Path, arrays: list[_Array], rows: Callable, what: str, progress: bool) -> None:
    for array in arrays:
        for stale in folder.glob(f"{array.file.stem}.*.part"):  # of a process that was killed: the lock is ours
            stale.unlink(missing_ok=True)
    needed = sum(int(np.prod(array.shape)) * array.dtype.itemsize for array in arrays)
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
                # Written in order, not through a memory map: a full disk is then an error, not a crash.
                header = dict(descr=array.dtype.str, fortran_order=False, shape=array.shape)
                np.lib.format.write_array_header_1_0(out, header)
                parts.append((array, part, out))
            count = arrays[0].shape[0]
            for row in tqdm(rows(), what, count, disable=None if progress else True, leave=False):
                for array, _, out in parts:
                    out.write(np.ascontiguousarray(row[array.place], dtype=array.dtype).data)
            for array, part, out in parts:
                out.flush()
                os.fsync(out.fileno())  # a power cut must not leave the name without the content
                out.close()
                os.replace(part, array.file)
    except OSError as error:
        raise NDICError(f"{_full(folder, needed)}: {error.strerror}") from error


def _full(folder: Path, needed: int) -> str:
    return f"the cache in {folder} needs {needed / 1e6:.0f} MB (free some, or set NDIC_CACHE)"


def content_digests(files: Sequence[Path]) -> list[str]:
    """A hash of every file's content; remembered, so that a file is read only once until its size, place on the disk or
    one of its times change."""
    index = cache_folder() / "digests.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    keys = []
    for file in files:
        stat = file.stat()
        keys.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}")
    new = [(key, file) for key, file in zip(keys, files, strict=True) if key not in known]
    if new:
        with ThreadPoolExecutor() as pool:
            known.update(zip([key for key, _ in new], pool.map(_digest, [file for _, file in new]), strict=True))
        with suppress(NDICError):  # a folder that cannot be written to costs time, no more
            make_folder(index.parent)
            write_whole(index, json.dumps(known).encode())
    return [known[key] for key in keys]


def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()

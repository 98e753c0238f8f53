"""Decoded pictures on disk, mapped into memory: paid for once, by whichever run or process comes first.

A cache file is a `.npy` array of 8-bit pixels, named by a hash of all that it depends on, the content of files
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
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir
from tqdm.auto import tqdm

from ndic_core.errors import NDICError
from ndic_core.files import make_folder, write_whole


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
    """An array of images, from its cache file where there is one.

    A process that finds another one building the same array waits for it. A file gets its name when it is complete:
    one that was interrupted leaves nothing that looks like a cache. One that is damaged is made again; one that is
    whole may lie in a folder that cannot be written to.

    Args:
        depends_on: everything the pixels depend on, as JSON can write it.
        shape: (count, height, width, 3).
        images: called only if they must be made; gives `count` arrays (height, width, 3), uint8.
        what: shown beside the progress bar.
        progress: show a bar on stderr.

    Returns:
        uint8, read-only, mapped into memory.

    Raises:
        NDICError: the folder cannot be written to, the disk is full, or `images` raises it.
    """
    folder = cache_folder()
    digest = hashlib.sha256(json.dumps([*depends_on, list(shape)]).encode()).hexdigest()[:32]
    file = folder / f"{digest}.npy"
    found = _load(file, shape)
    if found is None:
        make_folder(folder)
        with FileLock(folder / f"{digest}.lock"):
            found = _load(file, shape)  # while this process waited, another may have built it
            if found is None:
                _build(file, shape, images, what, progress)
                found = np.load(file, mmap_mode="r")
    return found


def _load(file: Path, shape: tuple[int, int, int, int]) -> np.ndarray | None:
    """The array of a file that is there and whole."""
    try:
        array = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _build(file: Path, shape: tuple[int, int, int, int], images: Callable, what: str, progress: bool) -> None:
    for stale in file.parent.glob(f"{file.stem}.*.part"):  # of a process that was killed: the lock is ours
        stale.unlink(missing_ok=True)
    needed, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
    if needed > free:
        raise NDICError(f"{_full(file, needed)}, {free / 1e6:.0f} MB are free")
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f"{file.stem}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            # Written in order, not through a memory map: a full disk is then an error, not a crash.
            np.lib.format.write_array_header_1_0(out, dict(descr="|u1", fortran_order=False, shape=shape))
            bar = tqdm(images(), what, shape[0], unit="image", disable=None if progress else True, leave=False)
            for image in bar:
                out.write(np.ascontiguousarray(image, dtype=np.uint8).data)
            out.flush()
            os.fsync(out.fileno())  # a power cut must not leave the name without the content
        os.replace(part, file)
    except OSError as error:
        raise NDICError(f"{_full(file, needed)}: {error.strerror}") from error
    finally:
        Path(part).unlink(missing_ok=True)


def _full(file: Path, needed: int) -> str:
    return f"the cache in {file.parent} needs {needed / 1e6:.0f} MB (free some, or set NDIC_CACHE)"


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

"""Decoded pictures on disk, mapped into memory: paid for once, by whichever run or process comes first.

A cache file is a `.npy` array of 8-bit pixels, named by a hash of all that it depends on, so it is never out of date;
what is no longer wanted may be deleted at any time. It lies in the user's cache folder, or where the environment
variable `NDIC_CACHE` says.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir
from tqdm.auto import tqdm

from ndic_core.errors import NDICError
from ndic_core.files import make_folder, write_whole


def cache_folder() -> Path:
    """Where cache files lie; made if it isn't there.

    Raises:
        NDICError: it cannot be made.
    """
    folder = Path(os.environ.get("NDIC_CACHE") or user_cache_dir("ndic"))
    make_folder(folder)
    return folder


def cached_images(
    depends_on: Sequence,
    shape: tuple[int, int, int, int],
    images: Callable[[], Iterable[np.ndarray]],
    what: str = "prepare",
    progress: bool = True,
) -> np.ndarray:
    """An array of images, from its cache file where there is one.

    A process that finds another one building the same array waits for it. A file gets its name when it is complete:
    one that was interrupted leaves nothing that looks like a cache.

    Args:
        depends_on: everything the pixels depend on, as JSON can write it.
        shape: (count, height, width, 3).
        images: called only if they must be made; gives `count` arrays (height, width, 3), uint8.
        what: shown beside the progress bar.
        progress: show a bar on stderr.

    Returns:
        uint8, read-only, mapped into memory.

    Raises:
        NDICError: the disk is full, or `images` raises it.
    """
    folder = cache_folder()
    digest = hashlib.sha256(json.dumps([*depends_on, list(shape)]).encode()).hexdigest()[:32]
    file = folder / f"{digest}.npy"
    if not file.exists():
        with FileLock(folder / f"{digest}.lock"):
            if not file.exists():  # while this process waited, another may have built it
                _build(file, shape, images, what, progress)
    return np.load(file, mmap_mode="r")


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
        os.replace(part, file)
    except OSError as error:
        raise NDICError(f"{_full(file, needed)}: {error.strerror}") from error
    finally:
        Path(part).unlink(missing_ok=True)


def _full(file: Path, needed: int) -> str:
    return f"the cache in {file.parent} needs {needed / 1e6:.0f} MB (free some, or set NDIC_CACHE)"


def content_digests(files: Sequence[Path]) -> list[str]:
    """A hash of every file's content; remembered by path, size and time of change, so that it is read only once."""
    index = cache_folder() / "digests.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    keys = []
    for file in files:
        stat = file.stat()
        keys.append(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}")
    new = [(key, file) for key, file in zip(keys, files, strict=True) if key not in known]
    if new:
        with ThreadPoolExecutor() as pool:
            known.update(zip([key for key, _ in new], pool.map(_digest, [file for _, file in new]), strict=True))
        write_whole(index, json.dumps(known).encode())
    return [known[key] for key in keys]


def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()

"""The memory that encoding and decoding need, compared with what is free before they start."""

import re
from pathlib import Path

from ndic_core.errors import NDICError
from ndic_core.models.bands import BAND_PIXELS
from ndic_core.models.coding.tiling import Tiling

_IMAGE = 12  # bytes of a pixel in float32
_CODER = 1.3  # bytes per pixel and channel that the range coder and its buffer take while they decode


def memory_needed(model, tiling: Tiling, task: str) -> int:
    """About how many bytes `encode` or `decode` allocates at most, as measured by `benchmarks/memory.py`.

    Args:
        model: the `Codec`.
        tiling: of the image.
        task: "encode" or "decode".
    """
    pixels = tiling.rows * tiling.tile[0] * tiling.columns * tiling.tile[1]
    channels = model.config["num_filters"]
    band = min(tiling.tile[0] * tiling.tile[1], BAND_PIXELS) * channels * model.band_bytes[task]
    features = pixels * channels / 4 if pixels > BAND_PIXELS else 0  # at 1/4 of the resolution
    if task == "encode":
        return round(_IMAGE * pixels + features + band)
    return round(max(_CODER * channels * pixels, 3 * _IMAGE * pixels + features + band))


def check_memory(model, tiling: Tiling, task: str) -> None:
    """Raise `NDICError` if more memory is needed than is free. A GPU, and a system that does not say, is not asked."""
    available = available_memory() if model.device.type == "cpu" else None
    needed = memory_needed(model, tiling, task)
    if available is not None and needed > available:
        raise NDICError(
            f"to {task} an image of {tiling.height} × {tiling.width} with {model.name} needs about {needed / 1e9:.1f} "
            f"GB of memory, and {available / 1e9:.1f} GB are free: close other programs, or make the image smaller"
        )


def available_memory() -> int | None:
    """Bytes that can be allocated, on Linux; of a container, within its limit. None where the system does not say."""
    try:
        free = 1024 * int(re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[1])
    except (OSError, TypeError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        used = int((group / "memory.current").read_text())
        cache = int(re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)[1])
        return min(free, int((group / "memory.max").read_text()) - used + cache)
    except (OSError, TypeError, ValueError):  # no such group, or no limit: "max"
        return free

"""Procedural textures of the generated street without aliasing: multi-scale noise and stripes.

Everything is a function of a position on a surface and of the *footprint*, the length of surface that one pixel covers
there. Detail finer than the footprint is averaged, so that the two cameras see the same texture although their pixels
sample different positions of it.
"""

from functools import lru_cache

import numpy as np

SIDE = 512  # texels along each side of a noise tile
_LEVELS = 10  # 512, 256, ..., 1


class Noise:
    """A tile of seamless random texture, stored at all resolutions in both directions.

    The resolutions are halved along the two axes independently (a rip-map), because a road seen from a car is
    compressed far more along the line of sight than across it.

    Args:
        exponent: the amplitude of a wave falls with its frequency to this power; 0 is white, 1 grainy, 1.7 cloudy.
        seed: of the tile.

    Example:
        >>> noise = Noise(exponent=1.0, seed=0)
        >>> u = np.linspace(0, 5000, 1000, dtype=np.float32)
        >>> bool(noise(u, u, 1.0, 1.0).std() > 3 * noise(u, u, 64.0, 64.0).std())  # coarse pixels average more
        True
    """

    def __init__(self, exponent: float, seed: int):
        white = np.random.Generator(np.random.PCG64(seed)).standard_normal((SIDE, SIDE))
        frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)) * SIDE
        frequency[0, 0] = np.inf  # mean 0
        tile = np.fft.irfft2(np.fft.rfft2(white) * frequency**-exponent, s=(SIDE, SIDE))
        tile /= tile.std()
        parts, self._start, start = [], np.zeros((_LEVELS, _LEVELS), np.int32), 0
        for i in range(_LEVELS):
            level = tile.reshape(SIDE >> i, 1 << i, SIDE).mean(1)
            for j in range(_LEVELS):
                parts.append(level.reshape(SIDE >> i, SIDE >> j, 1 << j).mean(2).ravel())
                self._start[i, j] = start
                start += parts[-1].size
        self._texels = np.concatenate(parts).astype(np.float32)

    def __call__(self, u: np.ndarray, v: np.ndarray, fu, fv) -> np.ndarray:
        """The texture, float32, at positions u across and v along, with footprints `fu` and `fv`; all in texels.

        Its mean is about 0, and its standard deviation about 1 where the footprint is small.
        """
        i, j = _level(fv), _level(fu)
        width, height = SIDE >> j, SIDE >> i
        x = u * _SHRINK[j] - 0.5
        y = v * _SHRINK[i] - 0.5
        left, top = np.floor(x), np.floor(y)
        x -= left
        y -= top
        left, top = left.astype(np.int32), top.astype(np.int32)
        start = self._start[i, j]
        here = start + (top & (height - 1)) * width
        below = start + ((top + 1) & (height - 1)) * width
        right = (left + 1) & (width - 1)
        left &= width - 1
        texels = self._texels
        above = texels[here + left]
        above += x * (texels[here + right] - above)
        beneath = texels[below + left]
        beneath += x * (texels[below + right] - beneath)
        beneath -= above
        beneath *= y
        above += beneath
        return above


_SHRINK = 0.5 ** np.arange(_LEVELS, dtype=np.float32)


def _level(footprint):
    """The level of a tile whose texels are about as large as the footprint."""
    level = np.log2(np.maximum(1, footprint)) + 0.5
    return np.minimum(level, np.float32(_LEVELS - 1)).astype(np.int32)


grit = lru_cache(lambda: Noise(exponent=0.45, seed=3))  # asphalt: mostly fine detail
grain = lru_cache(lambda: Noise(exponent=0.75, seed=1))  # leaves, plaster, bricks: much fine detail
cloud = lru_cache(lambda: Noise(exponent=1.6, seed=2))  # clouds, stains, patches: soft detail


def band(x: np.ndarray, low, high, footprint) -> np.ndarray:
    """The share of a pixel at `x` between `low` and `high`: a box-filtered stripe, in [0, 1].

    Example:
        >>> band(np.float32([0.0, 0.5, 1.0, 3.0]), 0.5, 2.0, 1.0).tolist()
        [0.0, 0.5, 1.0, 0.0]
    """
    half = 0.5 * footprint
    covered = np.minimum(x + half, high) - np.maximum(x - half, low)
    return np.clip(covered / footprint, 0, 1)


def bars(x: np.ndarray, period, width, footprint) -> np.ndarray:
    """Stripes of a `width` in the middle of every `period`; their mean where the footprint is near the period."""
    inside = band(x - np.floor(x / period) * period, (period - width) / 2, (period + width) / 2, footprint)
    blurred = np.clip(2 * footprint / period - 0.6, 0, 1)
    return inside + blurred * (width / period - inside)


def dice(i: np.ndarray, j: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """A reproducible random number in [0, 1) for each cell (i, j) of the pattern `seed`.

    Example:
        >>> seed = np.array([5])
        >>> bool(dice(np.array([9, 3]), np.array([4]), seed)[1] == dice(np.array([3]), np.array([4]), seed)[0])
        True
    """
    h = np.asarray(i).astype(np.int32).astype(np.uint32) * np.uint32(0x9E3779B1)
    h = h ^ (np.asarray(j).astype(np.int32).astype(np.uint32) * np.uint32(0x85EBCA77))
    h = h ^ (np.asarray(seed).astype(np.int32).astype(np.uint32) * np.uint32(0xC2B2AE3D))
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    return ((h ^ (h >> np.uint32(15))) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)

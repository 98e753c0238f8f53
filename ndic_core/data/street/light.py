"""Illumination of the generated street: sun, sky, haze, and shadow maps on the ground."""

import math
from dataclasses import dataclass

import numpy as np

from ndic_core.data.street.geometry import RECTANGLE, extents, inside
from ndic_core.data.street.textures import cloud


@dataclass(frozen=True)
class Weather:
    """The light of a scene; colours are linear RGB, 1 saturates a sensor at exposure 1."""

    sun: np.ndarray  # (3,) unit vector towards the sun
    sunlight: np.ndarray  # colour of its light; 0 behind clouds
    skylight: np.ndarray  # colour of the ambient light
    zenith: np.ndarray  # colours of the clear sky
    horizon: np.ndarray
    clouds: float  # 0 (none) to 1 (closed)
    haze: float  # distance at which 63 % of the light comes from the haze, metres
    exposure: float  # factor of every radiance
    seed: int  # of the clouds

    def sky(self, ray: np.ndarray) -> np.ndarray:
        """Colour (3, N) of the sky along rays (3, N) in the world's axes; the clouds are at infinity."""
        x, y, z = ray / np.sqrt((ray**2).sum(0))
        up = np.clip(y, 0, 1)
        horizon, zenith, sunlight = (colour[:, None] for colour in (self.horizon, self.zenith, self.sunlight))
        colour = horizon + np.sqrt(up) * (zenith - horizon)
        # A plane of clouds, seen more obliquely towards the horizon.
        far = 60 / (up + 0.12)
        cover = 0.35 * cloud()(x * far + self.seed, z * far, 1.0, 1.0) + self.clouds
        cover = np.clip(cover * 2 - 0.55, 0, 1)
        white = self.horizon.max() * (0.8 + 0.25 * up)
        glare = np.maximum(x * self.sun[0] + y * self.sun[1] + z * self.sun[2], 0) ** 24
        return colour + cover * (white - colour) + glare * sunlight * 0.35

    def through_haze(self, colour: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Colours (3, N) seen through `distance` metres of haze."""
        clear = np.exp(distance * (-1 / self.haze))
        haze = self.horizon[:, None]
        return haze + clear * (colour - haze)


class Shadows:
    """Shadow map of the ground, computed once per scene from the panels that cast shadows, combined with `under`.

    Panels are projected along the sun's rays onto the ground, which maps their two edges to two vectors there. The
    height of the map's rows grows with the distance from the camera.
    """

    _REACH, _STEP = 24.0, 0.1  # metres to both sides; metres per column
    _FIRST, _LAST, _ROWS = 4.0, 110.0, 300

    def __init__(self, panels: np.ndarray, sun: np.ndarray, under: "Shadows | None" = None):
        self._rate = self._ROWS / math.log(self._LAST / self._FIRST)
        x = np.arange(-self._REACH, self._REACH, self._STEP, dtype=np.float32)
        z = (self._FIRST * np.exp(np.arange(self._ROWS) / self._rate)).astype(np.float32)
        self._slide = (-sun[[0, 2]] / sun[1]).astype(np.float32)  # offset of the shadow of a point at height 1

        p, a, b = (panels[edge][:, [0, 2]] + panels[edge][:, 1:2] * self._slide for edge in ("corner", "across", "up"))
        corners = np.stack([p, p + a, p + b, p + a + b], 1)
        left, right = np.searchsorted(x, [corners[..., 0].min(1), corners[..., 0].max(1)])
        near, far = np.searchsorted(z, [corners[..., 1].min(1), corners[..., 1].max(1)])
        size = extents(panels)
        area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        drawn = (np.abs(area) > 1e-3) & (left < right) & (near < far)  # inside the map and not edge-on
        with np.errstate(divide="ignore", invalid="ignore"):
            to_s = np.stack([b[:, 1], -b[:, 0]], 1) * (size[:, :1] / area[:, None])
            to_t = np.stack([-a[:, 1], a[:, 0]], 1) * (size[:, 1:] / area[:, None])

        lit = np.ones((len(z), len(x)), np.float32)
        for k in np.flatnonzero(drawn):
            dx = x[None, left[k] : right[k]] - p[k, 0]
            dz = z[near[k] : far[k], None] - p[k, 1]
            s, t = to_s[k, 0] * dx + to_s[k, 1] * dz, to_t[k, 0] * dx + to_t[k, 1] * dz
            dark = (s > 0) & (s < size[k, 0]) & (t > 0) & (t < size[k, 1])
            if panels["cut"][k] != RECTANGLE:
                dark[dark] = inside(panels[k], s[dark], t[dark], size[k], 0.15)
            lit[near[k] : far[k], left[k] : right[k]][dark] = 0
        for axis in (0, 1):  # soft edges, since the sun is a disc
            lit = (np.roll(lit, 1, axis) + 2 * lit + np.roll(lit, -1, axis)) / 4
        self._lit = lit if under is None else np.minimum(lit, under._lit)

    def lit(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The visible share of the sun's disc at positions (N,), in [0, 1]; 1 outside the map.

        A position above the ground is looked up at its own shadow, which is correct if no panel that casts a shadow is
        between the two.
        """
        x, z = x + y * self._slide[0], z + y * self._slide[1]
        rows, columns = self._lit.shape
        c = (x + self._REACH) * (1 / self._STEP)
        r = np.log(np.maximum(z, self._FIRST) * (1 / self._FIRST)) * self._rate
        known = (z > 0.8 * self._FIRST) & (c > 0) & (c < columns - 1) & (r < rows - 1)
        c, r = np.clip(c, 0, columns - 1.001), np.clip(r, 0, rows - 1.001)
        i, j = np.floor(r), np.floor(c)
        r, c = r - i, c - j
        at, flat = i.astype(np.int32) * columns + j.astype(np.int32), self._lit.ravel()
        above = flat[at] + c * (flat[at + 1] - flat[at])
        below = flat[at + columns] + c * (flat[at + columns + 1] - flat[at + columns])
        return np.where(known, above + r * (below - above), 1)

"""Rendering of the generated street: every ray is shaded, four rays per pixel are averaged."""

import numpy as np

from ndic_core.data.street.geometry import CROWN, Camera, View, cast, extents
from ndic_core.data.street.light import Shadows, Weather
from ndic_core.data.street.materials import REFLECTANCE, Places
from ndic_core.data.street.objects import CAR_FACE, CAR_SIDE, GLASS, GRASS, LEAF, PAINT, PAVEMENT, ROAD, ROUND, WALL

SKY = 255  # its number among the materials
_FOOTPRINT = 0.9  # of a texture, in pixels: the finest detail that is kept under subpixel shifts


def render(panels: np.ndarray, light: "Light", camera: Camera) -> tuple[np.ndarray, View]:
    """The radiance (3, H, W) that reaches a camera from an array of `PANEL`, and the hits of the rays."""
    view = cast(panels, camera)
    alpha, beta = (np.broadcast_to(ray, view.panel.shape).ravel() for ray in camera.rays())
    which, inverse = view.panel.ravel(), view.inverse_depth.ravel()
    # Rays are shaded by material; the sky, panel -1, has the last one.
    kinds = np.append(panels["material"], np.uint8(SKY))[which]
    order = np.argsort(kinds, kind="stable")
    ends = np.searchsorted(kinds[order], np.arange(SKY + 2))
    size = extents(panels)
    forward, right, up = camera.axes[:, :, None]
    radiance = np.empty((3, which.size), np.float32)
    for kind in (*REFLECTANCE, SKY):
        at = order[ends[kind] : ends[kind + 1]]
        if at.size == 0:
            continue
        a, b = alpha[at], beta[at]
        ray = forward + a * right + b * up
        if kind == SKY:
            colour = light.weather.sky(ray)
        else:
            k, w = which[at], inverse[at]
            places = _places(panels, view, size, k, a, b, w, camera.focal)
            hit = camera.place[:, None] + ray / w
            colour = REFLECTANCE[kind](places) * light(kind, k, places, hit)
            colour = light.weather.through_haze(colour, 1 / w)
        for channel in range(3):
            radiance[channel, at] = colour[channel]
    return radiance.reshape(3, 4, *camera.size).mean(1) * light.weather.exposure, view


def _places(panels, view: View, size, k, a, b, w, focal) -> Places:
    """Positions and footprints of rays (a, b) that hit panels k at inverse depths w."""
    forms = np.ascontiguousarray(view.planes.reshape(-1, 9).T)
    wa, wb, pixel = forms[1][k], forms[2][k], np.float32(_FOOTPRINT / focal)

    def along(row):
        constant, da, db = (form[k] for form in forms[3 * row : 3 * row + 3])
        value = (constant + da * a + db * b) / w
        slope = np.abs(da - value * wa) + np.abs(db - value * wb)
        return value, np.maximum(slope * pixel / w, np.float32(1e-4))

    (s, fs), (t, ft) = along(1), along(2)
    return Places(panels, k, size, s, t, fs, ft)


class Light:
    """The illumination of a scene's panels: sun with shadows, and sky; lit on the side towards the left camera."""

    def __init__(self, panels: np.ndarray, weather: Weather, camera: Camera):
        self.weather = weather
        normal = np.cross(panels["across"], panels["up"])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        middle = panels["corner"] + (panels["across"] + panels["up"]) / 2
        towards = np.sign((normal * (camera.place - middle)).sum(1, keepdims=True))
        normal *= np.where(towards == 0, 1, towards)
        sun = weather.sun
        self._facing = np.maximum(normal @ sun, 0)
        self._open = 0.62 + 0.38 * normal[:, 1]  # visible share of the sky
        casts = panels["casts"]
        # An object above the ground would be in its own shadow. So cars and people receive only the shadows of taller
        # objects, façades only those of trees and of objects across the street.
        tall = casts & (panels["corner"][:, 1] + panels["up"][:, 1] > 2.5)
        across = (middle[:, 0] * sun[0] > 0) | (panels["cut"] == CROWN)
        self._sideways = np.abs(normal[:, 0]) > 0.5
        self._facade = Shadows(panels[tall & across], sun)
        self._tall = Shadows(panels[tall & ~across], sun, under=self._facade)
        self._ground = Shadows(panels[casts & ~tall], sun, under=self._tall)
        self._foot = self._tall.lit(middle[:, 0], 0 * middle[:, 0], middle[:, 2] - 0.4)
        axes = camera.axes
        self._sun_right, self._sun_up, self._sun_back = axes[1] @ sun, sun[1], -axes[0] @ sun
        self._crown = panels["cut"] == CROWN

    def __call__(self, kind: int, k: np.ndarray, p: Places, hit: np.ndarray) -> np.ndarray:
        """The light (3, N) at positions of material `kind`: `p` on the panels `k` (N,), `hit` (3, N) in metres."""
        cosine, sky = self._facing[k], self._open[k]
        lit = 1
        if kind in (ROAD, PAVEMENT, GRASS):
            lit = self._ground.lit(*hit)
        elif kind in (CAR_SIDE, CAR_FACE, GLASS, PAINT):
            lit = self._tall.lit(*hit)
        elif kind == ROUND:
            lit = self._foot[k]
            x = p.s / p.size[0] * 2 - 1
            depth = np.sqrt(np.maximum(1 - x * x, 0))
            cosine = np.maximum(x * self._sun_right + depth * self._sun_back, 0)
            sky = sky * (0.6 + 0.4 * depth)
        elif kind == LEAF:
            length, height = p.size
            x, y = p.s / length * 2 - 1, p.t / height * 2 - 1
            depth = np.sqrt(np.maximum(1 - x * x - y * y, 0.05))
            ball = x * self._sun_right + y * self._sun_up + depth * self._sun_back
            lit = np.where(self._crown[k], lit, self._tall.lit(*hit))
            cosine = np.where(self._crown[k], np.clip(ball * 0.7 + 0.25, 0.06, 1), cosine)
            sky = sky * np.where(self._crown[k], 0.5 + 0.4 * y, 0.35 + 0.5 * p.t / height)
        elif kind == WALL:
            lit = np.where(self._sideways[k], self._facade.lit(*hit), 1)
            sky = sky * (0.7 + 0.3 * np.clip(hit[1] / 3, 0, 1))
        w = self.weather
        return cosine * lit * w.sunlight[:, None] + sky * w.skylight[:, None]

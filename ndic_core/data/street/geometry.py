"""Ray casting of the generated street: the first surface that each ray hits, and the position on it.

The scene consists of *panels*: flat rectangles anywhere in space, some cut to a shape (a gable, a wheel, a crown of
leaves). A ray α to the right and β upwards of the optical axis (per metre ahead) hits the plane of a panel at an
inverse depth, and at positions on it times that inverse depth, that are all linear in (1, α, β). So an intersection
takes three dot products per panel and ray, and the disparity, focal length × baseline × inverse depth, is exact.

World axes: x to the right across the street, y up from the road, z along the street; metres.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ndic_core.data.street.textures import grain

RECTANGLE, DISC, TRIANGLE, TRAPEZE, CROWN, SKYLINE, CAR, CAR_END = range(8)  # the shapes of a panel
WHEEL, SILL = 0.31, 0.24  # a wheel's radius and the height of a car's underside, metres
TWIGS = 13  # texels of noise a metre in a crown

PANEL = np.dtype(
    [
        ("corner", "f4", 3),  # lower left, metres
        ("across", "f4", 3),  # edge from the corner: direction and length of the first coordinate
        ("up", "f4", 3),  # edge from the corner, at right angles to `across`: second coordinate
        ("material", "u1"),
        ("cut", "u1"),
        ("casts", "?"),  # casts a shadow on the ground
        ("shown", "?"),  # seen by the cameras
        ("speed", "f4"),  # along z, metres a second
        ("seed", "f4"),  # of its texture: an integer below 2**16
        ("colour", "f4", 3),  # reflectance
        ("trim", "f4", 3),  # reflectance of a second part
        ("detail", "f4", 6),  # parameters of its material and its cut
    ]
)

_BLUR = 1.1  # width of the lens blur, pixels
# Positions of the rays in a pixel: no two share a row or a column, so that edges of any slope are antialiased.
_RAYS = np.float32([[-0.375, 0.125], [-0.125, -0.375], [0.125, 0.375], [0.375, -0.125]]) * _BLUR
_NEAR = 0.3  # near plane, metres


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the direction of the street."""

    size: tuple[int, int]  # height and width in pixels
    focal: float  # focal length in pixels
    horizon: float  # row of the horizon
    yaw: float  # direction of view, radians to the right of the street's z axis
    place: np.ndarray  # (3,) metres

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): forward, right and up as rows, so that a ray is axes[0] + α axes[1] + β axes[2]."""
        s, c = np.sin(self.yaw), np.cos(self.yaw)
        return np.float32([[s, 0, c], [c, 0, -s], [0, 1, 0]])

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """α (4, 1, W) and β (4, H, 1) of the four rays of every pixel."""
        h, w = self.size
        across = np.arange(w, dtype=np.float32) - np.float32((w - 1) / 2)
        upwards = np.float32(self.horizon) - np.arange(h, dtype=np.float32)
        alpha = (across + _RAYS[:, 0, None])[:, None, :]
        beta = (upwards - _RAYS[:, 1, None])[:, :, None]
        return alpha / np.float32(self.focal), beta / np.float32(self.focal)


class View(NamedTuple):
    """The hits of the rays of one camera."""

    panel: np.ndarray  # (4, H, W) int16: index of the panel, -1 for the sky
    inverse_depth: np.ndarray  # (4, H, W) float32: 1 / metres along the optical axis, 0 for the sky
    planes: np.ndarray  # (panels, 3, 3) float32: rows inverse depth w, w × across, w × up; columns times (1, α, β)


def cast(panels: np.ndarray, camera: Camera) -> View:
    """Find the nearest panel along every ray of a camera."""
    alpha, beta = camera.rays()
    h, w = camera.size
    planes, size = _planes(panels, camera)
    boxes = _boxes(panels, camera)
    nearest = np.zeros((4, h, w), np.float32)
    which = np.full((4, h, w), -1, np.int16)
    shown = panels["shown"] & (boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3])
    order = np.flatnonzero(shown)
    order = order[np.argsort(-boxes[order, 4], kind="stable")]  # nearest first: hidden panels are skipped early
    for k in order:
        top, bottom, left, right = boxes[k, :4].astype(int)
        a, b = alpha[:, :, left:right], beta[:, top:bottom]
        (w0, wa, wb), (s0, sa, sb), (t0, ta, tb) = planes[k]
        depth = (w0 + wa * a) + wb * b
        behind = nearest[:, top:bottom, left:right]
        hit = depth > behind
        if not hit.any():
            continue
        s = (s0 + sa * a) + sb * b  # positions times inverse depth, which is positive for hits
        t = (t0 + ta * a) + tb * b
        hit &= s > 0
        hit &= s < size[k, 0] * depth
        hit &= t > 0
        hit &= t < size[k, 1] * depth
        if panels["cut"][k] != RECTANGLE:
            near, footprint = depth[hit], np.float32(1 / (camera.focal * boxes[k, 4]))
            hit[hit] = inside(panels[k], s[hit] / near, t[hit] / near, size[k], footprint)
        np.copyto(behind, depth, where=hit)
        np.copyto(which[:, top:bottom, left:right], np.int16(k), where=hit)
    return View(which, nearest, planes)


def inside(panel, s: np.ndarray, t: np.ndarray, size, footprint) -> np.ndarray:
    """Whether positions (s, t), metres from the corner of a panel, are inside its shape.

    `panel` is a row of `PANEL`, `size` the lengths of its edges; a pixel covers `footprint` metres of it.
    """
    length, height = size
    x, y = s * np.float32(2 / length) - 1, t * np.float32(1 / height)  # -1 to 1, 0 to 1
    cut, detail = panel["cut"], panel["detail"]
    if cut == DISC:
        return x**2 + (2 * y - 1) ** 2 < 1
    if cut == TRIANGLE:
        return y < 1 - np.abs(x)
    if cut == TRAPEZE:  # narrower at the top by `detail[0]`
        return np.abs(x) < 1 - detail[0] * y
    if cut == CROWN:  # a ball of leaves; noise of the size of twigs eats its rim
        rough = grain()(s * TWIGS + panel["seed"], t * TWIGS, footprint * TWIGS, footprint * TWIGS)
        return 1 - x**2 - (2 * y - 1) ** 2 + 0.18 * rough > 0.2
    if cut == SKYLINE:  # ups and downs of a line of far trees or hills
        rough = grain()(0.25 * s + panel["seed"], 0 * s, 0.25 * footprint, 1.0)
        return y < 0.6 + 0.1 * rough
    if cut == CAR_END:  # a car from behind or in front: the tyres below
        return (t > SILL) | (np.abs(np.abs(x) - 0.83) < 0.12)
    outline = profile(detail, s, length, height)  # CAR: from the side, wheels below
    return ((t < outline) & (t > SILL)) | (axle(s, t, length) < WHEEL)


def profile(detail, s: np.ndarray, length, top) -> np.ndarray:
    """Height of a car at `s` metres from its near end: bonnet, cabin and boot as a polyline."""
    near, belt, start, screen, far_screen, far_deck = (float(value) for value in detail)
    places = [0, start, start + screen, length - far_screen - far_deck, length - far_deck, length]
    return np.interp(s, places, [near, belt, top, top - 0.03, belt, belt - 0.15]).astype(np.float32)


def axle(s: np.ndarray, t: np.ndarray, length) -> np.ndarray:
    """Distance from the middle of the nearer wheel of a car seen from the side, metres."""
    middle = np.abs(s - length * 0.5) - length * 0.31
    return np.sqrt(middle**2 + (t - WHEEL) ** 2)


def extents(panels: np.ndarray) -> np.ndarray:
    """(panels, 2): the lengths of the two edges, metres."""
    return np.stack([np.linalg.norm(panels["across"], axis=1), np.linalg.norm(panels["up"], axis=1)], 1)


def _planes(panels: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The linear forms of every panel, and the lengths of its two edges (panels, 2)."""
    size = extents(panels)
    s, t = panels["across"] / size[:, :1], panels["up"] / size[:, 1:]
    normal = np.cross(s, t)
    away = panels["corner"] - np.float32(camera.place)
    distance = (normal * away).sum(1, keepdims=True)
    distance = np.where(np.abs(distance) < 1e-4, np.float32(1e-4), distance)  # seen edge-on: invisible
    axes = camera.axes.T
    w = normal @ axes / distance
    rows = [w, s @ axes - (s * away).sum(1, keepdims=True) * w, t @ axes - (t * away).sum(1, keepdims=True) * w]
    return np.stack(rows, 1).astype(np.float32), size


def _boxes(panels: np.ndarray, camera: Camera) -> np.ndarray:
    """(panels, 5): bounding box in the image (rows [top, bottom), columns [left, right)), largest inverse depth."""
    h, w = camera.size
    p, a, b = panels["corner"] - np.float32(camera.place), panels["across"], panels["up"]
    corners = np.stack([p, p + a, p + a + b, p + b], 1) @ camera.axes.T  # (panels, 4, depth right up)
    nexts = np.roll(corners, -1, 1)
    z, z_next = corners[..., 0], nexts[..., 0]
    visible, crosses = z >= _NEAR, (z >= _NEAR) != (z_next >= _NEAR)
    along = (_NEAR - z) / np.where(crosses, z_next - z, 1)
    cuts = corners + along[..., None] * (nexts - corners)  # intersections of the edges with the near plane
    points = np.concatenate([corners, cuts], 1)
    seen = np.concatenate([visible, crosses], 1)
    depth = np.where(seen, np.maximum(points[..., 0], _NEAR), 1)
    column = (w - 1) / 2 + camera.focal * points[..., 1] / depth
    row = camera.horizon - camera.focal * points[..., 2] / depth

    def bounds(values, limit):
        low = np.where(seen, values, np.inf).min(1)
        high = np.where(seen, values, -np.inf).max(1)
        return np.clip(np.floor(low), 0, limit), np.clip(np.ceil(high) + 1, 0, limit)

    with np.errstate(invalid="ignore"):
        (top, bottom), (left, right) = bounds(row, h), bounds(column, w)
    return np.stack([top, bottom, left, right, np.where(seen, 1 / depth, 0).max(1)], 1)

"""Synthetic stereo pairs of street scenes from a seed, with ground-truth disparity and occlusion.

    seed, index ─▶ scene.build ─▶ objects.Builder ─┬─▶ render.render, left ──▶ lens, sensor ─▶ x
                   layout         panels           ├─▶ render.render, right ─▶ lens, sensor ─▶ y
                                                   └─▶ depths of both views ─▶ disparity, occluded

    render.render: geometry.cast (rays) ─▶ materials (textures) × render.Light (light.Weather, light.Shadows)

The cameras are KITTI's (Geiger et al. 2013, "Vision meets robotics", section 2): two, 0.54 m apart, 1.65 m above the
road, with the field of view of a centre crop of 370 × 740 pixels. Light and textures are fixed to the surfaces, so
two views differ only in the positions of objects, in occlusion and in the sensors.
"""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from torch import Tensor, from_numpy

from ndic_core.data.street.geometry import Camera, View, cast
from ndic_core.data.street.render import Light, render
from ndic_core.data.street.scene import build
from ndic_core.errors import NDICError

_FOCAL = 721 / 740  # KITTI's focal length over the width of the crop
_HORIZON = 0.46  # of the height: where KITTI's principal point is in the crop
_VIGNETTING = 0.04  # how much less light reaches the corners
_METER = 0.24  # target of the exposure control for the median; it corrects half of the difference on a log scale
_ONE_SURFACE = 0.6  # pixels: rays with a smaller difference in disparity meet the same surface
_MIN_TAP = 0.2  # a pixel of y with a smaller weight in the match may show another surface


@dataclass(frozen=True)
class StreetPair:
    """Two views of one street.

    `occluded` is what is visible in x but not in y, because it is hidden or outside y's frame; also True where a depth
    edge passes through the pixel or its match, which then has no single position in y.
    """

    x: Tensor  # (3, H, W) float32 in [0, 1], the left camera: the image to send
    y: Tensor  # (3, H, W) float32 in [0, 1], the right camera: the side information
    disparity: Tensor  # (H, W) float32, pixels, ≥ 0: x at column u corresponds to y at column u − disparity. 0: sky
    occluded: Tensor  # (H, W) bool


@dataclass(frozen=True)
class Street:
    """A collection of street scenes and the parameters of the cameras.

    The scenes depend on `seed` and the index only: a camera parameter does not change the street, the weather or the
    traffic.

    With `noise` and `exposure` 0, y at u − disparity predicts x outside occlusions with a PSNR of about 35 dB on
    average, and 30 dB or more in all but one scene of 200. Three effects limit it: a surface seen obliquely from close
    by has fewer pixels in one view than in the other; edges on a surface (a window, a marking) are interpolated
    between pixels; and two surfaces less than 0.6 pixels of disparity apart count as one.

    Args:
        size: height and width of the images, pixels, each from 16 to 2048. The horizontal field of view is the same
            at every width.
        baseline: from the left camera to the right one, metres, 0 to 2; 0 gives identical viewpoints.
        noise: standard deviation of the sensors' noise, in the units of the images, 0 to 1.
        exposure: largest relative difference in exposure between the two cameras, 0 to 0.9; random per scene.
        time_offset: seconds from x to y, −3 to 3; driving cars, people and the cameras move in between.
        vertical_misalignment: downward shift of y, pixels, at most a quarter of the height in both directions.
        seed: of the collection, 0 or more.

    `disparity` and `occluded` always describe the rectified pair taken at one time, as without `time_offset` and
    `vertical_misalignment`.

    Raises:
        NDICError: a parameter is out of its range.

    Example:
        >>> pair = Street(size=(64, 128)).pair(3)
        >>> pair.x.shape, pair.disparity.shape
        (torch.Size([3, 64, 128]), torch.Size([64, 128]))
        >>> same = Street(size=(64, 128), baseline=0, noise=0, exposure=0).pair(3)
        >>> bool((same.x == same.y).all())
        True
    """

    size: tuple[int, int] = (128, 256)
    baseline: float = 0.54
    noise: float = 0.008
    exposure: float = 0.05
    time_offset: float = 0.0
    vertical_misalignment: float = 0.0
    seed: int = 0

    def __post_init__(self):
        sides = self.size if isinstance(self.size, tuple | list) else ()
        if len(sides) != 2 or not all(_whole(side) and 16 <= side <= 2048 for side in sides):
            raise NDICError(f"size is {self.size!r}; give (height, width), whole numbers from 16 to 2048")
        object.__setattr__(self, "size", (int(sides[0]), int(sides[1])))
        shift = self.size[0] / 4
        ranges = dict(
            baseline=(0, 2, "metres"),
            noise=(0, 1, "of the range of an image"),
            exposure=(0, 0.9, "relative to the other camera"),
            time_offset=(-3, 3, "seconds"),
            vertical_misalignment=(-shift, shift, "pixels"),
        )
        for name, (low, high, unit) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
                raise NDICError(f"{name} is {value!r}; give a number from {low:g} to {high:g} ({unit})")
        _natural("seed", self.seed)

    def pair(self, index: int) -> StreetPair:
        """Scene number `index` (0 or more): deterministic, the same on every machine up to float rounding.

        Raises:
            NDICError: the index is negative or not a whole number.
        """
        _natural("index", index)
        streams = np.random.SeedSequence([self.seed, index]).spawn(3)
        layout, gains, sensors = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
        scene = build(layout)
        height, width = self.size
        focal = width * _FOCAL
        left = Camera(self.size, focal, _HORIZON * height - 0.5 + focal * scene.pitch, scene.yaw, scene.place)
        light = Light(scene.panels, scene.weather, left)
        x, seen_left = render(scene.panels, light, left)
        metered = np.float32(np.clip((_METER / np.median(x)) ** 0.5, 0.7, 2))  # one exposure for both cameras

        right = self._beside(left)
        if self.time_offset == 0 and self.vertical_misalignment == 0:
            y, seen_right = render(scene.panels, light, right)
        else:
            seen_right = cast(scene.panels, right)
            later = scene.after(self.time_offset)
            left = replace(left, place=later.place, horizon=left.horizon + self.vertical_misalignment)
            y, _ = render(later.panels, Light(later.panels, later.weather, left), self._beside(left))

        disparity, occluded = _match(seen_left, seen_right, left.focal * self.baseline, self.baseline)
        gain = 1 + self.exposure * gains.uniform(-1, 1)
        x, y = (self._develop(radiance, sensors) for radiance in (x * metered, y * metered * np.float32(gain)))
        return StreetPair(from_numpy(x), from_numpy(y), from_numpy(disparity), from_numpy(occluded))

    def _beside(self, left: Camera) -> Camera:
        return replace(left, place=left.place + np.float32(self.baseline) * left.axes[1])

    def _develop(self, radiance: np.ndarray, sensor: np.random.Generator) -> np.ndarray:
        """Radiance (3, H, W) to an image: vignetting, a steep tone curve, noise, clipping."""
        height, width = self.size
        across, down = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        light = radiance * (1 - np.float32(_VIGNETTING / 2) * (across**2 + down[:, None] ** 2))
        tone = light.clip(0, 1) ** np.float32(1 / 1.65)
        tone += np.float32(0.6) * tone * (1 - tone) * (2 * tone - 1)
        tone += np.float32(self.noise) * sensor.standard_normal(tone.shape, dtype=np.float32)
        return tone.clip(0, 1)


def _match(left: View, right: View, pixels: float, baseline: float) -> tuple[np.ndarray, np.ndarray]:
    """Ground-truth disparity and occlusion of the left view, (H, W) each; `pixels` is the disparity at 1 metre.

    The tangent of a ray times `baseline`, in metres, is the slope of the disparity on a plane.
    """
    here, there = left.inverse_depth * np.float32(pixels), right.inverse_depth * np.float32(pixels)
    middle = np.argsort(here, 0)[2:3]  # of a pixel's four rays, the upper median represents it
    median, panel = np.take_along_axis(here, middle, 0)[0], np.take_along_axis(left.panel, middle, 0)[0]
    slopes = np.append(np.abs(left.planes[:, 0, 1:]).max(1), np.float32(0))[panel] * np.float32(baseline)
    tolerance = np.float32(_ONE_SURFACE) + 2 * slopes  # pixels: an oblique plane is not an edge

    same = np.abs(here - median) < tolerance
    disparity = np.mean(here, 0, where=same)
    height, width = disparity.shape
    rows, column = np.arange(height)[:, None], np.arange(width, dtype=np.float32) - disparity
    seen = same.all(0) & (column >= 0) & (column <= width - 1)
    for tap in (np.floor(column + np.float32(_MIN_TAP)), np.ceil(column - np.float32(_MIN_TAP))):
        tap = np.clip(tap, 0, width - 1).astype(int)
        seen &= (np.abs(there[:, rows, tap] - disparity) < tolerance).all(0)
    return disparity, ~seen


def _whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _natural(name: str, value) -> None:
    if not _whole(value) or value < 0:
        raise NDICError(f"{name} is {value!r}; give a whole number, 0 or more")

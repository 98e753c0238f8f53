"""Layout of a generated scene: positions of all objects, and the weather."""

from dataclasses import dataclass, replace

import numpy as np

from ndic_core.data.street.light import Weather
from ndic_core.data.street.objects import GRASS, PAINT, PAVEMENT, ROAD, Builder

_BEHIND = -25.0  # start of the street, metres along it; the camera is at 0
GREENS = [(0.075, 0.115, 0.03), (0.05, 0.085, 0.028), (0.11, 0.13, 0.035), (0.045, 0.07, 0.03), (0.14, 0.11, 0.035)]


@dataclass(frozen=True)
class Scene:
    """A street at one moment."""

    panels: np.ndarray  # of `PANEL`
    weather: Weather
    place: np.ndarray  # (3,) position of the left camera, metres
    yaw: float  # its direction, radians to the right
    pitch: float  # its tilt upwards, radians
    speed: float  # of the camera along the street, metres a second

    def after(self, seconds: float) -> "Scene":
        """The same street some time later: driving cars, people and the camera have moved."""
        panels, place = self.panels.copy(), self.place.copy()
        panels["corner"][:, 2] += np.float32(seconds) * panels["speed"]
        place[2] += seconds * self.speed
        return replace(self, panels=panels, place=place)


def build(rng: np.random.Generator) -> Scene:
    """A random scene."""
    yaw, pitch = rng.normal(0, 0.025), rng.normal(0, 0.006)
    kind = ("city", "suburb", "green")[rng.choice(3, p=[0.36, 0.36, 0.28])]
    half = {"city": rng.uniform(3.6, 6.8), "suburb": rng.uniform(3.1, 5.4), "green": rng.uniform(3.4, 6.0)}[kind]
    parking = kind != "green" and half > 4.4
    lane = half - (rng.uniform(2.9, 3.3) if parking else rng.uniform(1.5, 2.1))
    weather = _weather(rng)
    builder = Builder(rng, (np.cos(yaw), 0, -np.sin(yaw)))
    _ground(builder, kind, half)
    for side in (-1, 1):
        {"city": _city, "suburb": _suburb, "green": _green}[kind](builder, side, half)
    _traffic(builder, half, lane, parking)
    dark = np.array(builder.pick(GREENS)) * 0.8
    builder.far(280.0, rng.uniform(10, 34), dark)
    place = np.array([lane, rng.normal(1.65, 0.03), 0.0], np.float32)
    return Scene(builder.panels(), weather, place, yaw, pitch, rng.uniform(6, 14))


def _weather(rng: np.random.Generator) -> Weather:
    """A random time of day and cloud cover."""
    azimuth = rng.uniform(-np.pi, np.pi)  # 0 is straight ahead
    height = np.radians(rng.uniform(22, 62))
    sun = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    overcast = rng.random() < 0.2
    low = np.clip((40 - np.degrees(height)) / 20, 0, 1)
    warmth = np.array([1.0, 0.95 - 0.08 * low, 0.86 - 0.22 * low])
    strength = rng.uniform(0.0, 0.25) if overcast else rng.uniform(2.8, 4.4)
    sky = (1.0 if overcast else rng.uniform(0.36, 0.66)) * np.array([0.88, 0.98, 1.1])
    bright = rng.uniform(0.95, 1.8)
    zenith = np.array([0.2, 0.5, 0.95]) * bright
    horizon = np.array([0.8, 0.95, 1.0]) * bright
    if overcast:
        zenith, horizon = np.full(3, 0.75) * bright, np.full(3, 0.9) * bright
    return Weather(
        sun=sun.astype(np.float32),
        sunlight=np.float32(strength * warmth),
        skylight=sky.astype(np.float32),
        zenith=zenith.astype(np.float32),
        horizon=horizon.astype(np.float32),
        clouds=1.0 if overcast else rng.uniform(-0.1, 0.65),
        haze=float(np.exp(rng.uniform(np.log(500), np.log(5000)))),
        exposure=float(rng.uniform(0.65, 1.1) * (2.4 / (strength * sun[1] + sky[1])) ** 0.8),
        seed=int(rng.integers(1 << 16)),
    )


def _ground(b: Builder, kind: str, half: float):
    """The road, its kerbs and pavements, and the ground beyond them."""
    rng = b.rng
    asphalt = np.array([1.0, 0.98, 0.96]) * rng.uniform(0.1, 0.19)
    lane, dash = half, b.pick([1.5, 2.0, 4.0])
    zebra = rng.uniform(12, 35) if rng.random() < 0.18 else -99.0
    start, long = (-half, 0, _BEHIND), (0, 0, 700.0)
    marks = (half, lane, dash, float(kind == "green" or rng.random() < 0.3), zebra - _BEHIND)
    b.panel(start, (2 * half, 0, 0), long, ROAD, asphalt, detail=marks)
    stone = np.array([1.0, 0.97, 0.92]) * rng.uniform(0.22, 0.36)
    walk = {"city": rng.uniform(2.2, 4.5), "suburb": rng.uniform(1.5, 2.5), "green": rng.uniform(0, 2.2)}[kind]
    meadow, straw = np.array(b.pick([(0.08, 0.13, 0.025), (0.1, 0.14, 0.03)])), (0.2, 0.17, 0.07)
    for side in (-1, 1):
        kerb = side * half
        b.panel((kerb, 0, _BEHIND), long, (0, 0.13, 0), PAINT, stone * 1.2)
        path = kerb if side > 0 else kerb - walk
        if walk > 1:
            b.panel((path, 0.13, _BEHIND), (walk, 0, 0), long, PAVEMENT, stone)
        beyond = kerb + side * walk if walk > 1 else kerb
        left = beyond if side > 0 else beyond - 120
        material = PAVEMENT if kind == "city" else GRASS
        b.panel((left, 0.13, _BEHIND), (120, 0, 0), long, material, stone if kind == "city" else meadow, trim=straw)


def _city(b: Builder, side: int, half: float):
    """Tall terraced houses with a few side streets."""
    rng = b.rng
    front = half + rng.uniform(2.5, 5.5)
    z = _BEHIND + rng.uniform(0, 10)
    tall = rng.uniform(2.5, 5)
    while z < 110:
        length = rng.uniform(9, 20)
        storeys = int(np.clip(round(rng.normal(tall, 0.8)), 2, 7))
        front_here, roof = front + rng.choice([0, 0, 0.4]), b.pick(["street", "street", "flat"])
        b.house(side, front_here, z, length, storeys, roof, shop=rng.random() < 0.45)
        z += length + (rng.uniform(6, 12) if rng.random() < 0.22 else 0.02)
    if rng.random() < 0.55:
        _avenue(b, side, half + rng.uniform(0.8, 1.5), rng.uniform(10, 20))
    _furniture(b, side, half)
    _gardens(b, side, front + 3)


def _suburb(b: Builder, side: int, half: float):
    """Houses behind hedges and garden walls, trees between them."""
    rng = b.rng
    z = _BEHIND + rng.uniform(0, 10)
    walk = half + 2.3
    green = np.array(b.pick(GREENS))
    hedges = rng.random() < 0.6
    while z < 120:
        length, front = rng.uniform(8, 14), half + rng.uniform(4.5, 9)
        b.house(side, front, z, length, int(rng.integers(1, 4)), b.pick(["street", "gable", "street"]))
        gap = rng.uniform(3, 11)
        border = rng.random()
        if hedges and border < 0.6:
            b.hedge(side, walk + rng.uniform(0.1, 0.4), z - 1, length + 1, rng.uniform(0.8, 1.7), green)
        elif hedges or border < 0.3:
            b.garden_wall(side, walk + 0.2, z - 1, length + 1, rng.uniform(0.6, 1.4))
        for _ in range(rng.integers(0, 2)):
            size, x = rng.uniform(3.5, 9), rng.uniform(walk + 1.0, walk + 6)
            at = z + length + rng.uniform(0, gap)
            b.tree(side * x, at, size, size * rng.uniform(0.6, 0.9), b.pick(GREENS))
        z += length + gap
    if rng.random() < 0.3:
        _avenue(b, side, half + rng.uniform(0.8, 1.5), rng.uniform(10, 18))
    _furniture(b, side, half)
    _gardens(b, side, half + 9)


def _green(b: Builder, side: int, half: float):
    """A country road: dense trees, or fields with a few houses."""
    rng = b.rng
    dense = rng.random() < 0.65
    z = rng.uniform(4, 14)
    edge = half + rng.uniform(2.0, 6.0)
    while z < 140:
        size = rng.uniform(6, 13) if dense else rng.uniform(4, 10)
        b.tree(side * (edge + rng.uniform(0, 4)), z, size, size * rng.uniform(0.55, 0.85), b.pick(GREENS))
        z += rng.uniform(3.5, 7.5) if dense else rng.uniform(9, 30)
    if dense and rng.random() < 0.6:
        b.hedge(side, edge + 3.5, _BEHIND, 160, rng.uniform(1.5, 3.0), np.array(b.pick(GREENS)) * 0.7)
    if not dense:
        for _ in range(rng.integers(0, 3)):
            front, start, length = rng.uniform((14, 25, 9), (30, 100, 20))
            b.house(side, front, start, length, int(rng.integers(1, 4)), "street")
        for at in np.arange(rng.uniform(30, 60), 140, 9.0):
            b.tree(side * rng.uniform(25, 60), at, rng.uniform(5, 10), rng.uniform(4, 8), b.pick(GREENS))
    if rng.random() < 0.35:  # guard rail
        grey = np.full(3, rng.uniform(0.35, 0.5))
        x = side * (half + 0.7)
        for y in (0.5, 0.68):
            b.panel((x, y, 3.0), (0, 0, 140), (0, 0.14, 0), PAINT, grey, casts=True)
        for at in np.arange(6, 60, 4.0):
            b.facing(x + side * 0.1, 0, at, 0.12, 0.75, PAINT, grey * 0.6, casts=True)
    _furniture(b, side, half)


def _gardens(b: Builder, side: int, x: float):
    """Trees in the gaps between houses."""
    for z in np.arange(b.rng.uniform(20, 30), 130, 17.0):
        size = b.rng.uniform(5, 11)
        b.tree(side * (x + b.rng.uniform(0, 12)), z, size, size * b.rng.uniform(0.6, 0.9), b.pick(GREENS))


def _avenue(b: Builder, side: int, x: float, step: float):
    """A row of trees along the kerb."""
    size, green = b.rng.uniform(5, 9), b.pick(GREENS)
    for z in np.arange(b.rng.uniform(7, 16), 110, step):
        height = size * b.rng.uniform(0.85, 1.15)
        b.tree(side * x, z, height, height * b.rng.uniform(0.5, 0.65), green)


def _furniture(b: Builder, side: int, half: float):
    """Lamps, signs and people on the pavement."""
    rng = b.rng
    if rng.random() < 0.45:
        for z in np.arange(rng.uniform(6, 30), 90, rng.uniform(26, 36)):
            b.lamp(side, half + 0.6, z)
    for z in rng.uniform(7, 60, rng.integers(0, 3)):
        b.person(side * (half + rng.uniform(0.7, 2.0)), z, rng.choice([-1.3, 1.3]))
    for z in np.cumsum(rng.uniform(8, 40, 3)):
        if rng.random() < 0.55:
            b.sign(side, half + rng.uniform(0.5, 1.0), z)


def _traffic(b: Builder, half: float, lane: float, parking: bool):
    """Parked cars at the kerbs and driving ones in both lanes; the camera drives on the right."""
    rng = b.rng
    for side in (-1, 1):
        if parking and rng.random() < 0.85:
            z = rng.uniform(-3.5, 7)
            while z < 90:
                if rng.random() < 0.7:
                    b.car(side * (half - 1.0), z, away=side > 0)
                z += rng.uniform(5.5, 7.0)
    for side in (-1, 1):
        z = rng.uniform(9, 40) if side > 0 else rng.uniform(0, 40)
        while z < 100:
            if rng.random() < 0.75:
                b.car(side * max(lane, 1.1), z, away=side > 0, speed=side * rng.uniform(6, 14))
            z += rng.uniform(12, 50)

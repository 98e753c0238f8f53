"""Materials of the generated street: reflectance as a function of the position on a panel.

Reflectance depends on nothing else, so there are no specular reflections and both cameras see the same colour at the
same position.
"""

import numpy as np

from ndic_core.data.street import objects
from ndic_core.data.street.geometry import TWIGS, WHEEL, axle
from ndic_core.data.street.textures import band, bars, cloud, dice, grain, grit


class Places:
    """N positions on panels of one material.

    Attributes:
        s, t: (N,) metres from the panel's corner.
        fs, ft: (N,) footprint of a pixel along both, metres.
        size: (2, N) lengths of the panel's edges, metres.

    `places["colour"]`, or any other field of `PANEL`, is that field of their panels: (N,), or (3, N) for a colour.
    """

    def __init__(self, panels, which, size, s, t, fs, ft):
        self._panels, self._which, self._cache = panels, which, {}
        self.s, self.t, self.fs, self.ft = s, t, fs, ft
        self.size = size[which].T

    def __getitem__(self, field: str) -> np.ndarray:
        if field not in self._cache:
            self._cache[field] = self._panels[field].T[..., self._which]
        return self._cache[field]

    def noise(self, texture, texels, stretch=1.0):
        """A texture (N,) at `texels` per metre, `stretch` times as many upwards."""
        u, v = np.float32(texels), np.float32(texels * stretch)
        return texture(self.s * u + self["seed"], self.t * v, self.fs * u, self.ft * v)


def mix(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Alpha blending of colours (3, N), or a grey, over others; `cover` (N,) is the alpha."""
    return below + cover * (above - below)


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """A colour (3, 1) for all positions."""
    return np.float32([[red], [green], [blue]])


def road(p: Places) -> np.ndarray:
    """Asphalt with grain, patches, tyre tracks and markings; s from the left kerb, t along the street."""
    half, lane, dash, edge, zebra, _ = p["detail"]
    x = p.s - half
    patches = p.noise(cloud(), 3.0, 0.3)
    value = 1 + 0.36 * p.noise(grit(), 30) + 0.1 * patches
    tracks = bars(np.abs(x), lane, 0.9, p.fs)
    colour = p["colour"] * (value * (1 - 0.1 * tracks))
    seam = band(np.abs(x + 0.35) + 0.25 * patches, 0, 0.05, p.fs)
    colour = mix(colour, 0.04, seam * 0.55)

    # Some cells of half a lane by 7 metres have been repaired, some have a manhole.
    width = lane / 2
    column, row = np.floor(x / width), np.floor(p.t / 7)
    across, along = x - column * width, p.t - row * 7
    luck = dice(column, row, p["seed"])
    repaired = band(across, 0.12 * width, (0.35 + luck) * width, p.fs) * band(along, 0.7, 2.1 + 14 * luck, p.ft)
    colour = colour * (1 - 0.4 * repaired * (luck < 0.3))
    lid = band(np.hypot(across - 0.9, along - 3), -1, 0.33, np.maximum(p.fs, p.ft))
    colour = colour * (1 - 0.6 * lid * (luck > 0.88))

    paint = band(np.abs(x), -0.07, 0.07, p.fs) * bars(p.t, 3 * dash, dash, p.ft)
    paint += band(half - np.abs(x), 0.32, 0.46, p.fs) * edge
    crossing = band(p.t, zebra, zebra + 3.5, p.ft) * (np.abs(x) < half - 0.3)
    paint += bars(x, 1, 0.5, p.fs) * crossing
    worn = np.clip(0.85 + 0.25 * p.noise(grain(), 12), 0.3, 1)
    return mix(colour, 0.72, np.clip(paint, 0, 1) * worn)


def pavement(p: Places) -> np.ndarray:
    """Slabs with joints."""
    joint = bars(p.s, 0.5, 0.04, p.fs) + bars(p.t, 0.5, 0.04, p.ft)
    value = 1 + 0.25 * p.noise(grit(), 20) + 0.12 * p.noise(cloud(), 4)
    return p["colour"] * (value * (1 - 0.35 * np.clip(joint, 0, 1)))


def grass(p: Places) -> np.ndarray:
    """A lawn or a field, yellow in places."""
    value = 1 + 0.55 * p.noise(grit(), 12) + 0.15 * p.noise(grain(), 5)
    dry = np.clip(0.4 + 0.45 * p.noise(cloud(), 2.2), 0, 1)
    return mix(p["colour"], p["trim"], dry) * np.maximum(value, 0.15)


def plain(p: Places) -> np.ndarray:
    """One colour with a few stains."""
    return p["colour"] * (1 + 0.08 * p.noise(grain(), 10))


def masonry(p: Places) -> np.ndarray:
    """Plaster or bricks with joints; darker at the bottom."""
    brick = p["detail"][5]
    stain = 0.16 * p.noise(grain(), 14) + 0.06 * p.noise(cloud(), 3, 0.4)
    joints = bars(p.t, 0.075, 0.012, p.ft) + bars(p.s, 0.24, 0.012, p.fs)
    rough = brick * (0.22 * p.noise(grain(), 20, 3.2) - 0.12 * np.clip(joints, 0, 1))
    return p["colour"] * (1 + stain + rough) * (1 - 0.35 * band(p.t, -1, 0.6, p.ft))


def wall(p: Places) -> np.ndarray:
    """A façade: masonry, windows with frames, sills and shutters, doors or shop windows on the ground floor."""
    pitch, storey, width, height, ground, _ = p["detail"]
    length, top = p.size
    seed, colour = p["seed"], masonry(p)
    ledge = bars(p.t - 0.05, storey, 0.16, p.ft) * (ground > 0)
    colour = mix(colour, p["trim"] * 0.75, ledge * 0.45)

    cells = np.maximum(np.floor(length / pitch), 1)
    pitch = length / cells
    column, row = np.floor(p.s / pitch), np.floor(p.t / storey)
    luck = dice(column, row, seed)
    x = np.abs(p.s - (column + 0.5) * pitch)  # from the centre of the cell
    y = p.t - row * storey  # above the floor
    door = (row == 0) & (ground == 1) & (dice(column, 0 * column, seed) < 0.3)
    shop = (row == 0) & (ground == 2)
    half = np.where(shop, pitch * 0.44, np.where(door, 0.55, width / 2))
    sill = np.where(shop, 0.45, np.where(door, 0.1, storey * 0.3))
    head = np.where(shop, storey * 0.78, np.where(door, 2.2, sill + height))
    fits = (row + 1) * storey < top + 0.2
    blurred = np.clip(p.fs / pitch * 2 - 0.5, 0, 1)  # far away: the mean of window and wall

    def pane(margin):
        across = band(x, -half - margin, half + margin, p.fs)
        across += blurred * (2 * half / pitch - across)
        return across * band(y, sill - margin, head + margin, p.ft) * fits

    beside = band(x, half + 0.06, half * 1.75, p.fs) * band(y, sill, head, p.ft) * fits
    has_shutters = (dice(seed, seed, 0 * seed) < 0.45) & ~door & ~shop & (half * 2 < pitch * 0.55)
    colour = mix(colour, p["trim"] * 0.55, beside * has_shutters)
    colour = mix(colour, 0.62, pane(0.09) * 0.9)  # frames

    glass = 0.02 + 0.1 * luck**2 + 0.07 * (y - sill) / (head - sill)
    glass = glass * rgb(0.85, 0.95, 1.1)
    curtain = (luck > 0.55) & ~door & ~shop
    drawn = 0.5 * curtain.astype(np.float32) * np.maximum(band(x, half * 0.5, 9, p.fs), luck > 0.85)
    glass = mix(mix(glass, 0.5, drawn), p["trim"] * 0.5, door)
    bar = band(x, -0.035, 0.035, p.fs) * ~shop
    colour = mix(colour, mix(glass, 0.5, 0.9 * bar), pane(0))
    shade = band(y, sill - 0.2, sill - 0.1, p.ft) * band(x, -half, half, p.fs) * fits
    colour = colour * (1 - 0.3 * shade)

    board = shop * band(y, storey * 0.8, storey * 0.97, p.ft)
    sign = np.stack([dice(seed, seed, seed + k) for k in range(3)]) ** 2
    letters = np.clip(p.noise(grain(), 9) - 0.3, 0, 1) * band(y, storey * 0.84, storey * 0.93, p.ft)
    return mix(mix(colour, sign, board), 0.8, board * letters)


def roof(p: Places) -> np.ndarray:
    """Rows of tiles with moss."""
    rows = bars(p.t, 0.3, 0.09, p.ft) + 0.4 * bars(p.s, 0.25, 0.05, p.fs)
    value = 1 - 0.4 * np.clip(rows, 0, 1) + 0.28 * p.noise(grain(), 10)
    return p["colour"] * (value + 0.12 * p.noise(cloud(), 4))


def leaf(p: Places) -> np.ndarray:
    """Leaves in lighter and darker clumps."""
    leaves, clumps = p.noise(grain(), TWIGS), p.noise(cloud(), 24)
    value = np.exp(leaves + 0.4 * clumps) * 0.75
    tint = np.clip(0.5 + 0.3 * clumps, 0, 1)
    return mix(p["colour"], p["colour"] * rgb(1.5, 1.15, 0.6), tint) * value


def rounded(p: Places) -> np.ndarray:
    """Bark or paint of cylinders (`render.Light` shades them as such)."""
    return p["colour"] * (1 + 0.2 * p.noise(grain(), 40, 0.25))


def car_side(p: Places) -> np.ndarray:
    """Doors, side windows, wheels."""
    length, top = p.size
    _, belt, start, screen, far_screen, far_deck = p["detail"]

    def strips(places, before, after):
        return sum(band(p.s, length * k - before, length * k + after, p.fs) for k in places)

    colour = p["colour"] * (0.75 + 0.35 * np.clip(p.t, 0, 1))
    colour = mix(colour, 0.02, band(p.t, -1, 0.33, p.ft) * 0.8)
    slope = np.clip((p.t - belt) / (top - belt), 0, 1)
    low, high = start + slope * screen, length - far_deck - slope * far_screen
    glass = band(p.s, low + 0.16, high - 0.16, p.fs)
    glass = glass * band(p.t, belt + 0.04, top - 0.1, p.ft)
    shine = (0.015 + 0.1 * slope) * rgb(0.9, 1, 1.1)
    colour = mix(colour, shine, glass * (1 - strips((0.36, 0.58), 0.05, 0.05)))
    doors = strips((0.3, 0.53, 0.72), 0.02, 0.02) * band(p.t, 0.3, 0.93, p.ft)
    handles = strips((0.46, 0.66), 0, 0.16) * band(p.t, 0.72, 0.77, p.ft)
    colour = mix(colour * (1 - 0.5 * doors), 0.04, handles)
    lamp = strips((0,), 0, 0.14) * band(p.t, 0.62, 0.78, p.ft)
    colour = mix(colour, rgb(0.4, 0.05, 0.04), lamp)
    away, foot = axle(p.s, p.t, length), np.maximum(p.fs, p.ft)
    colour = mix(colour, 0.008, band(away, -1, WHEEL + 0.06, foot))
    return mix(colour, 0.3, 0.8 * band(away, -1, WHEEL * 0.66, foot))


def car_face(p: Places) -> np.ndarray:
    """The rear or front of a car: lights, number plate, bumper, tyres."""
    length, top = p.size
    rear = p["detail"][0]
    x = np.abs(p.s / length * 2 - 1)
    fx = p.fs / length * 2
    colour = p["colour"] * (0.7 + 0.35 * np.clip(p.t, 0, 1))
    colour = colour * (1 - 0.6 * band(p.t, 0.5, 0.53, p.ft) - 0.5 * band(x, 0.94, 0.97, fx))
    bumper = band(p.t, 0.24, 0.45, p.ft)
    colour = mix(colour, 0.03, bumper * 0.75)
    grille = band(p.t, 0.42, top - 0.14, p.ft) * band(x, -1, 0.4, fx) * (1 - rear)
    colour = mix(colour, 0.015, grille)
    lamps = band(p.t, top - 0.3, top - 0.1, p.ft) * band(x, 0.6, 0.96, fx)
    colour = mix(colour, p["trim"], lamps)
    plate_at = 0.36 + 0.2 * rear
    plate = band(p.t, plate_at, plate_at + 0.13, p.ft) * band(x, -1, 0.3, fx)
    colour = mix(colour, 0.75, plate)
    return mix(colour, 0.006, band(p.t, -1, 0.24, p.ft))


def glass(p: Places) -> np.ndarray:
    """A windscreen in its frame: dark inside, with the sky reflected at the top."""
    length, top = p.size
    y = p.t / top
    x = np.abs(p.s / length * 2 - 1)
    pane = band(y, 0.06, 0.9, p.ft / top) * band(x, -1, 0.93 - 0.12 * y, p.fs / length * 2)
    seats = band(np.abs(x - 0.45), -1, 0.17, p.fs / length * 2) * band(y, -1, 0.5, p.ft / top)
    inside = 0.02 + 0.16 * y**2 - 0.015 * seats
    return mix(p["colour"], inside * rgb(0.9, 1.0, 1.12), pane)


def sign(p: Places) -> np.ndarray:
    """A traffic sign with a rim and a symbol."""
    length, top = p.size
    kind = p["detail"][0]
    x, y = np.abs(p.s / length * 2 - 1), p.t / top * 2 - 1
    foot = np.maximum(p.fs / length, p.ft / top) * 2
    disc, triangle, square = np.sqrt(x**2 + y**2), np.maximum(-y, (y + 2 * x) * 0.75), np.maximum(x, np.abs(y))
    from_middle = np.select([kind <= 1, kind == 2], [disc, triangle], square)
    inner, ink = np.float32([(0.72, 0.02), (0.88, 0.8), (0.6, 0.02), (0.88, 0.8)])[kind.astype(int)].T
    colour = mix(p["trim"], p["colour"], band(from_middle, -1, inner, foot))
    symbol = band(x, -1, 0.16, foot) * band(np.abs(y + 0.15), -1, 0.4, foot)
    return mix(colour, ink, symbol)


def far(p: Places) -> np.ndarray:
    """Distant trees."""
    value = np.exp(0.4 * p.noise(grain(), 0.9)) * (0.5 + 0.5 * p.t / p.size[1])
    return p["colour"] * value


REFLECTANCE = {
    objects.ROAD: road,
    objects.PAVEMENT: pavement,
    objects.GRASS: grass,
    objects.PLAIN: plain,
    objects.PAINT: plain,
    objects.WALL: wall,
    objects.ROOF: roof,
    objects.LEAF: leaf,
    objects.ROUND: rounded,
    objects.CAR_SIDE: car_side,
    objects.CAR_FACE: car_face,
    objects.GLASS: glass,
    objects.SIGN: sign,
    objects.FAR: far,
}

"""Objects of the generated street as panels: houses, cars, trees, people, lamps, signs."""

import numpy as np

from ndic_core.data.street.geometry import CAR, CAR_END, CROWN, DISC, PANEL, RECTANGLE, SKYLINE, TRAPEZE, TRIANGLE

# Materials. PAINT looks like PLAIN and also receives the shadows of houses and trees.
ROAD, PAVEMENT, GRASS, PLAIN, WALL, ROOF, LEAF, ROUND, CAR_SIDE, CAR_FACE, GLASS, PAINT, SIGN, FAR = range(14)

PLASTER = [(0.62, 0.55, 0.42), (0.7, 0.68, 0.62), (0.55, 0.42, 0.3), (0.5, 0.53, 0.52), (0.66, 0.5, 0.36)]
PLASTER += [(0.42, 0.22, 0.15), (0.36, 0.2, 0.15), (0.78, 0.74, 0.62), (0.47, 0.5, 0.55), (0.6, 0.36, 0.28)]
TILES = [(0.3, 0.1, 0.06), (0.2, 0.09, 0.06), (0.1, 0.1, 0.11), (0.36, 0.16, 0.09), (0.16, 0.13, 0.12)]
LACQUER = [(0.02, 0.02, 0.025), (0.4, 0.42, 0.44), (0.75, 0.75, 0.75), (0.06, 0.09, 0.22), (0.35, 0.03, 0.03)]
LACQUER += [(0.13, 0.14, 0.15), (0.25, 0.27, 0.28), (0.04, 0.16, 0.1), (0.05, 0.05, 0.06), (0.55, 0.5, 0.4)]
# Types of cars: length, height, belt line and width; then height, deck and screen of the nose, and of the tail; metres.
CARS = [
    *3 * [(3.9, 1.48, 0.93, 1.74, (0.74, 1.05, 0.8), (0.9, 0.1, 0.45))],  # hatchback
    *2 * [(4.5, 1.43, 0.93, 1.74, (0.74, 1.05, 0.8), (0.9, 0.85, 0.6))],  # saloon
    *2 * [(4.5, 1.5, 0.93, 1.74, (0.74, 1.05, 0.8), (0.9, 0.08, 0.3))],  # estate
    (5.0, 2.2, 1.15, 1.95, (0.85, 0.6, 0.7), (1.1, 0.06, 0.08)),  # van
]
SHUTTERS = [(0.8, 0.8, 0.78), (0.12, 0.2, 0.13), (0.25, 0.1, 0.06), (0.75, 0.74, 0.7), (0.13, 0.17, 0.25)]


class Builder:
    """Collects the panels of a scene.

    `right`, a unit vector (3,), is to the right of the cameras: round objects are panels that face the cameras.
    """

    def __init__(self, rng: np.random.Generator, right: np.ndarray):
        self.rng = rng
        self.right = np.asarray(right, float)
        self._rows = []

    def panels(self) -> np.ndarray:
        """All panels so far, an array of `PANEL`."""
        return np.array(self._rows, PANEL)

    def pick(self, choices):
        """A random element of a list."""
        return choices[self.rng.integers(len(choices))]

    def panel(
        self,
        corner,
        across,
        up,
        material,
        colour,
        cut=RECTANGLE,
        trim=(0, 0, 0),
        detail=(),
        casts=False,
        shown=True,
        speed=0.0,
        seed=None,
    ):
        """Add a rectangle: its lower left corner and two edges at right angles, in metres."""
        seed = self.rng.integers(1 << 16) if seed is None else seed
        detail = (*detail, *(0,) * (6 - len(detail)))
        place, looks = (tuple(corner), tuple(across), tuple(up)), (tuple(colour), tuple(trim), detail)
        self._rows.append((*place, material, cut, casts, shown, speed, seed, *looks))

    def facing(self, x, y, z, width, height, material, colour, **options):
        """Add a panel that faces the cameras; `x` is the centre of its lower edge."""
        corner = np.array([x, y, z]) - self.right * (width / 2)
        self.panel(corner, self.right * width, (0, height, 0), material, colour, **options)

    def house(self, side, front, start, length, storeys, pitched, shop=False):
        """A house beside the street, on its left (`side` -1) or right (1).

        `front` is the distance of the façade from the street's middle, metres; `pitched` is "street" (ridge along the
        street), "gable" (gable towards the street) or "flat"; `shop` has shop windows on the ground floor.
        """
        rng, x = self.rng, side * front
        storey = rng.uniform(2.7, 3.4)
        height = storeys * storey + rng.uniform(0.3, 0.8)
        depth = rng.uniform(8, 12)
        colour, tiles = np.array(self.pick(PLASTER)) * rng.uniform(0.75, 1.05), self.pick(TILES)
        window = (rng.uniform(2.0, 3.2), storey, rng.uniform(0.9, 1.35), rng.uniform(1.2, 1.75))
        brick = float(rng.random() < 0.4)
        wall = dict(material=WALL, colour=colour, trim=self.pick(SHUTTERS), seed=rng.integers(1 << 16))
        face = (*window, 1.0 + shop, brick)
        self.panel((x, 0, start), (0, 0, length), (0, height, 0), detail=face, casts=True, **wall)
        wide = (window[0] * 1.4, *window[1:], 0.0, brick)
        self.panel((x, 0, start), (side * depth, 0, 0), (0, height, 0), detail=wide, casts=True, **wall)
        back = (x, 0, start + length), (side * depth, 0, 0), (0, height, 0)
        self.panel(*back, detail=wide, casts=True, shown=False, **wall)
        blank = wall | dict(detail=(3.0, 99.0, 0.9, 1.1, 0.0, brick))
        roof = dict(material=ROOF, colour=tiles, casts=True)
        rise = rng.uniform(2.2, 4.0)
        eaves = height - 0.15
        if pitched == "street":
            edge, run = 0.45, depth / 2
            ridge = (0, 0, length + 2 * edge)
            lower = (x - side * edge, eaves - edge * rise / run, start - edge)
            self.panel(lower, ridge, (side * (run + edge), rise * (1 + edge / run), 0), **roof)
            self.panel((x, height, start), (side * depth, 0, 0), (0, rise, 0), cut=TRIANGLE, casts=True, **blank)
            for at in rng.uniform(0.15, 0.85, rng.integers(0, 3)):
                self.box(x + side * run, height + rise - 0.8, start + at * length, 0.6, 1.8, 0.6, tiles)
            for at in np.arange(2.0, length - 2.0, 4.0) if rng.random() < 0.4 else ():  # dormers
                place = (x + side * 1.0, height + 0.4, start + at)
                self.panel(place, (0, 0, 1.6), (0, 1.7, 0), **(blank | dict(detail=(1.6, 1.7, 1.0, 1.1, 0.0, 0.0))))
                self.panel(place, (side * 1.6, 0, 0), (0, 1.7, 0), PLAIN, tiles)
        elif pitched == "gable":
            self.panel((x, height, start), (0, 0, length), (0, rise, 0), cut=TRIANGLE, casts=True, **blank)
            lower = (x - side * 0.4, eaves, start - 0.4)
            self.panel(lower, (side * depth, 0, 0), (0, rise + 0.3, length / 2 + 0.4), **roof)
        else:
            cornice = (x - side * 0.3, height - 0.5, start - 0.2)
            self.panel(cornice, (0, 0, length + 0.4), (0, 0.6, 0), PLAIN, colour * 0.8)
            self.panel(cornice, (side * depth, 0, 0), (0, 0.6, 0), PLAIN, colour * 0.7)

    def box(self, x, y, z, width, height, depth, colour, **options):
        """A plain box; (x, y, z) is the centre of its lower front edge. Only faces visible from the road."""
        options = dict(material=PLAIN, colour=colour, casts=True) | options
        self.panel((x - width / 2, y, z), (width, 0, 0), (0, height, 0), **options)
        inner = x - np.sign(x) * width / 2
        self.panel((inner, y, z), (0, 0, depth), (0, height, 0), **options)
        self.panel((x - width / 2, y + height, z), (width, 0, 0), (0, 0, depth), **options)

    def car(self, x, z, away, speed=0.0):
        """A car with its near end at z, seen from behind (`away`) or from the front; `speed` along the street."""
        rng = self.rng
        length, top, belt, width, nose, tail = self.pick(CARS)
        length, top = length * rng.uniform(0.95, 1.05), top * rng.uniform(0.97, 1.04)
        near, far = (tail, nose) if away else (nose, tail)
        profile = (near[0], belt, near[1], near[2], far[2], far[1])
        paint = np.array(self.pick(LACQUER)) * rng.uniform(0.85, 1.2)
        same = dict(colour=paint, speed=speed, seed=rng.integers(1 << 16))
        for side in (-1, 1):
            if side * x < 1:  # the side towards the middle of the street, or both
                corner = (x + side * width / 2, 0, z)
                self.panel(corner, (0, 0, length), (0, top, 0), CAR_SIDE, cut=CAR, detail=profile, **same)
        left, across = x - width / 2, (width, 0, 0)
        lights = (0.9, 0.88, 0.8) if not away else (0.5, 0.02, 0.02)
        self.panel((left, 0, z), across, (0, near[0], 0), CAR_FACE, cut=CAR_END, trim=lights, detail=(away,), **same)
        start, screen = near[1], near[2]
        self.panel((left, near[0], z), across, (0, belt - near[0] + 0.01, start), PAINT, **same)
        if far[1] > 0.3:
            self.panel((left, belt, z + length - far[1]), across, (0, -0.15, far[1]), PAINT, **same)
        self.panel((left, belt, z + start), across, (0, top - belt, screen), GLASS, **same)
        roof = length - start - screen - far[1] - far[2]
        self.panel((left + 0.1, top, z + start + screen), (width - 0.2, 0, 0), (0, -0.03, roof), PAINT, **same)
        shade = same | dict(material=PAINT, casts=True, shown=False)  # its floor, a cross-section, both sides
        self.panel((left, 0.3, z), across, (0, 0, length), **shade)
        self.panel((left, 0, z + length / 2), across, (0, top, 0), **shade)
        for flank in (left, left + width):
            self.panel((flank, 0, z), (0, 0, length), (0, top, 0), cut=CAR, detail=profile, **shade)

    def tree(self, x, z, height, spread, colour):
        """A tree: a trunk and several layers of leaves, the nearest one lightest; `spread` is the crown's width."""
        rng = self.rng
        clear = min(2.6, 0.3 * height) * rng.uniform(0.8, 1.1)
        trunk = 0.06 + 0.014 * height
        bark = np.array([0.11, 0.085, 0.06]) * rng.uniform(0.7, 1.3)
        self.facing(x, 0, z, 2 * trunk, clear + 0.3 * height, ROUND, bark, cut=TRAPEZE, detail=(0.3,), casts=True)
        crown = height - clear
        for layer, dz in enumerate((0.08, 0.03, 0.0, -0.04) if z < 40 else (0.08, 0.0)):
            part = 1.0 if layer == 0 else rng.uniform(0.5, 0.72)
            dx = 0 if layer == 0 else rng.uniform(-0.2, 0.2) * spread
            dy = 0 if layer == 0 else rng.uniform(0.05, 0.98 - part) * crown
            place, size = (x + dx, clear + dy, z + dz * spread), (part * spread, part * crown)
            shade = np.array(colour) * (0.55 + 0.17 * layer)
            self.facing(*place, *size, LEAF, shade, cut=CROWN, casts=layer < 2)

    def hedge(self, side, x, start, length, height, colour):
        """A clipped hedge along the street."""
        along, across, up = (0, 0, length), (side * 0.8, 0, 0), (0, height, 0)
        self.panel((side * x, 0, start), along, up, LEAF, colour, casts=True)
        self.panel((side * x, 0, start), across, up, LEAF, colour, casts=True)
        self.panel((side * x, height, start), across, along, LEAF, np.array(colour) * 1.2, casts=True)

    def person(self, x, z, speed):
        """A pedestrian on the pavement."""
        rng = self.rng
        tall, skin = rng.uniform(0.92, 1.08), np.array([0.42, 0.27, 0.19]) * rng.uniform(0.4, 1.2)
        coat, trousers = np.array(self.pick(LACQUER)) + 0.02, np.array(self.pick(LACQUER)) * 0.5 + 0.01
        same = dict(speed=speed, casts=True)
        for side in (-0.1, 0.1):
            self.facing(x + side, 0.1, z, 0.15, 0.85 * tall, PAINT, trousers, **same)
        self.facing(x, 0.82 * tall + 0.1, z, 0.5, 0.62 * tall, PAINT, coat, cut=TRAPEZE, detail=(0.25,), **same)
        self.facing(x, 1.42 * tall + 0.1, z, 0.21, 0.25, PAINT, skin, cut=DISC, **same)

    def garden_wall(self, side, x, start, length, height):
        """A low brick wall along the street."""
        wall = dict(material=WALL, colour=self.pick(PLASTER), detail=(3.0, 99.0, 0.9, 1.1, 0.0, 1.0), casts=True)
        self.panel((side * x, 0, start), (0, 0, length), (0, height, 0), **wall)
        self.panel((side * x, 0, start), (side * 0.25, 0, 0), (0, height, 0), **wall)
        self.panel((side * x, height, start), (side * 0.25, 0, 0), (0, 0, length), PAINT, (0.3, 0.29, 0.27))

    def lamp(self, side, x, z):
        """A street lamp with an arm over the road."""
        height, grey = self.rng.uniform(6, 9), np.full(3, self.rng.uniform(0.15, 0.4))
        self.facing(side * x, 0, z, 0.17, height, ROUND, grey, casts=True)
        self.facing(side * (x - 0.9), height - 0.08, z, 1.9, 0.09, PLAIN, grey)
        self.facing(side * (x - 1.6), height - 0.2, z, 0.75, 0.16, PLAIN, grey * 1.4)

    def sign(self, side, x, z):
        """A traffic sign on its pole."""
        kind = self.rng.integers(4)  # 0 prohibition, 1 obligation, 2 warning, 3 a blue board
        height, size = self.rng.uniform(2.0, 2.6), self.rng.uniform(0.6, 0.8)
        self.facing(side * x, 0, z + 0.05, 0.08, height + size / 2, ROUND, (0.35, 0.36, 0.37), casts=True)
        cut = (DISC, DISC, TRIANGLE, RECTANGLE)[kind]
        colour = ((0.8, 0.8, 0.8), (0.02, 0.09, 0.4), (0.8, 0.8, 0.8), (0.02, 0.12, 0.42))[kind]
        rim = ((0.55, 0.02, 0.02), (0.7, 0.7, 0.7), (0.55, 0.02, 0.02), (0.75, 0.75, 0.75))[kind]
        self.facing(side * x, height, z, size, size, SIGN, colour, cut=cut, trim=rim, detail=(kind,), casts=True)

    def far(self, z, height, colour):
        """The background: a line of distant trees, hills or roofs."""
        self.facing(0, 0, z, 3 * z, height, FAR, colour, cut=SKYLINE)

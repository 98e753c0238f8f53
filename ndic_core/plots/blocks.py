"""Drawing of block diagrams in inches from the top left: regions, boxes with text, arrows, tags, tensor sizes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from ndic_core.plots import style

INK = "#222222"
TITLE, TEXT, SMALL = 9.5, 9.0, 8.5  # sizes of the text, in points
_LINE = 0.165  # inches
_TITLE_LINE = 0.23
_PAD = 0.06
_SIDE = 0.09  # left and right of the text in a box
_DASHES = (0, (3.5, 2.5))


class Tag(NamedTuple):
    """A small coloured label of a box; an outlined one is not filled."""

    words: str
    colour: str
    outlined: bool = False


class Box(NamedTuple):
    """Where a box is, in inches."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


class Canvas:
    """A figure without axes, of a given width; `finish` sets its height."""

    def __init__(self, width: float):
        self.width = width
        self.figure = Figure(figsize=(width, 1.0), layout="none")
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set_axis_off()

    def finish(self, height: float) -> Figure:
        self.figure.set_size_inches(self.width, height)
        self.axis.set(xlim=(0, self.width), ylim=(height, 0))
        return self.figure

    def text(self, x: float, y: float, words: str, size: float = TEXT, width: float | None = None, **look) -> None:
        """A text centred vertically at y; made smaller where it is wider than `width`."""
        if width is not None:
            size *= min(1.0, width / text_width(words, size, look.get("weight", "normal")))
        look = dict(color=INK, va="center", ha="left") | look
        self.axis.text(x, y, words, fontsize=size, zorder=6, **look)

    def region(self, corners: Sequence[tuple[float, float]], name: str, colour: str, at: tuple[float, float]) -> None:
        """An area with rounded corners, which run round it; its name begins at `at`."""
        radius, count = 0.12, len(corners)
        points, codes = [], []
        for i, corner in enumerate(corners):
            before, after = (_towards(corner, corners[j % count], radius) for j in (i - 1, i + 1))
            points += [before, corner, after]
            codes += [Path.LINETO if points[3:] else Path.MOVETO, Path.CURVE3, Path.CURVE3]
        path = Path([*points, points[0]], [*codes, Path.CLOSEPOLY])
        self.axis.add_patch(PathPatch(path, facecolor=colour + "14", edgecolor=colour + "66", zorder=0))
        self.text(*at, name, SMALL, weight="bold", color=colour)

    def box(
        self, at: Box, title: str, lines: Sequence[str], tags: Sequence[Tag], colour: str, dashed: bool = False
    ) -> Box:
        """A block: its title, with the tags to the right, above its lines."""
        look = dict(boxstyle="round,pad=0,rounding_size=0.06", facecolor="white", edgecolor=colour, linewidth=1.3)
        look |= dict(linestyle=_DASHES) if dashed else {}
        self.axis.add_patch(FancyBboxPatch((at.left, at.top), at.width, at.height, zorder=2, **look))
        y = at.top + (_PAD + _TITLE_LINE / 2 if lines else at.height / 2)
        right = self.tags(at.right - 0.06, y, tags) - 0.06
        self.text(at.left + _SIDE, y, title, TITLE, right - at.left - _SIDE, weight="bold", color=colour)
        y += _TITLE_LINE / 2 + _LINE / 2
        for line in lines:
            self.text(at.left + _SIDE, y, line, TEXT, at.width - 2 * _SIDE)
            y += _LINE
        return at

    def tags(self, right: float, y: float, tags: Sequence[Tag]) -> float:
        """Tags that end at `right`; returns where they begin."""
        for tag in reversed(tags):
            right = self.tag(right - tag_width(tag), y, tag) - 0.04
        return right

    def tag(self, left: float, y: float, tag: Tag) -> float:
        """A tag; returns its left side."""
        width, height = tag_width(tag), 0.175
        look = dict(boxstyle="round,pad=0,rounding_size=0.05", edgecolor=tag.colour, linewidth=1.3, zorder=4)
        look |= dict(facecolor="white" if tag.outlined else tag.colour)
        self.axis.add_patch(FancyBboxPatch((left, y - height / 2), width, height, **look))
        self.text(left + width / 2, y, tag.words, SMALL, ha="center")
        return left

    def node(self, at: Box, words: Sequence[str], colour: str) -> Box:
        """A small filled box for an operation without parameters."""
        look = dict(boxstyle="round,pad=0,rounding_size=0.06", facecolor=colour, edgecolor="none")
        self.axis.add_patch(FancyBboxPatch((at.left, at.top), at.width, at.height, zorder=4, **look))
        x, y = at.middle
        for i, line in enumerate(words):
            y_line = y + 0.155 * (i - (len(words) - 1) / 2)
            self.text(x, y_line, line, SMALL, at.width - 0.06, ha="center", color="white")
        return at

    def arrow(
        self, *corners: tuple[float, float], colour: str = INK, width: float = 1.4, dashed: bool = False, head=True
    ) -> None:
        """Along the corners; the head is at the last of them."""
        line = dict(color=colour, lw=width, ls=_DASHES if dashed else "-", zorder=3, solid_joinstyle="round")
        self.axis.plot(*zip(*corners, strict=True), **line)
        if head:
            start, end = corners[-2:]
            tail = _towards(end, start, 0.02)
            look = dict(arrowstyle="-|>", color=colour, lw=width, mutation_scale=11, shrinkA=0, shrinkB=0)
            self.axis.annotate("", end, tail, arrowprops=look, zorder=3)

    def crossed_out(self, x: float, y: float) -> None:
        """A cross over a line at a point."""
        self.axis.plot(x, y, "s", markersize=11, color="white", zorder=4)
        self.axis.plot(x, y, "x", markersize=8, markeredgewidth=2.4, color=style.VERMILION, zorder=5)

    def legend(self, left: float, top: float, right: float, tags: Sequence[tuple[Tag, str]], notes: Sequence[str]):
        """Tags with their meanings, then notes, in lines between `left` and `right`; returns the bottom."""
        x, y = left, top + 0.1
        for tag, words in [*tags, *((None, note) for note in notes)]:
            width = (tag_width(tag) + 0.07 if tag else 0) + text_width(words, SMALL)
            if x > left and (x + width > right or not tag):
                x, y = left, y + 0.22
            if tag:
                self.tag(x, y, tag)
            self.text(x + (tag_width(tag) + 0.07 if tag else 0), y, words, SMALL, right - left)
            x += width + 0.2
        return y + 0.16


def box_height(lines: int) -> float:
    """Height of a box with so many lines below its title."""
    return 2 * _PAD + _TITLE_LINE + lines * _LINE + (0.02 if lines else 0)


def wrapped(lines: Sequence[str], width: float) -> list[str]:
    """The lines of a box of a width in inches; one that is too long continues before its last " + "."""
    found = []
    for line in lines:
        first, plus, last = line.rpartition(" + ")
        if plus and text_width(line, TEXT) > width - 2 * _SIDE:
            found += [first, f"    + {last}"]
        else:
            found.append(line)
    return found


def tag_width(tag: Tag) -> float:
    return max(0.26, text_width(tag.words, SMALL) + 0.1)


@lru_cache(maxsize=4096)
def text_width(words: str, size: float, weight: str = "normal") -> float:
    """Width of a line in inches."""
    if not words.strip():
        return 0.01
    outline = TextPath((0, 0), words, size=size, prop=FontProperties(weight=weight))
    return 1.03 * outline.vertices[:, 0].max() / 72  # the outline begins at 0; hinting may make a text wider


def _towards(start: tuple[float, float], end: tuple[float, float], step: float) -> tuple[float, float]:
    """The point at a distance `step` from the start."""
    (x, y), (u, v) = start, end
    length = ((u - x) ** 2 + (v - y) ** 2) ** 0.5 or 1.0
    return x + (u - x) * step / length, y + (v - y) * step / length

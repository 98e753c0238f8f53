"""Two cameras seen from above: similar triangles give the disparity; a near object hides a part of the background."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ndic_core.plots import style

_BASELINE, _FOCAL = 4.0, 2.2  # of the drawing, in its own units
_POINT = (2.6, 8.0)  # P: position to the right of the left camera, and depth
_BESIDE = 2.4  # baseline of the second panel
_WALL, _NEAR = 9.0, 5.0  # depths of the background and of the object in front of it
_OBJECT = (1.0, 2.9)  # the object's left and right end
_SLOPE = 0.5  # tangent of half the angle of view
_SMALL = dict(fontsize=10, ha="center", va="center")


def two_cameras_from_above() -> Figure:
    """Two panels: the disparity d = f · B / Z by similar triangles, and what only one of the cameras sees."""
    figure, (disparity, hidden) = style.subplots((7.6, 4.3), columns=2, dpi=100, sharey=True)
    _similar_triangles(disparity)
    _occlusion(hidden)
    for axis, left in ((disparity, -3.6), (hidden, -5.0)):
        axis.set(xlim=(left, left + 10.4), ylim=(-1.5, 10.4), aspect="equal")
        axis.set_axis_off()
    return figure


def _similar_triangles(axis: Axes) -> None:
    across, depth = _POINT
    at_x, at_y = _FOCAL * across / depth, _FOCAL * (across - _BASELINE) / depth  # columns of P in x and in y
    axis.set_title("the disparity of a point P", fontsize=11)
    axis.add_patch(Polygon([(0, 0), (_BASELINE, 0), _POINT], facecolor=style.SKY, alpha=0.3))
    axis.add_patch(Polygon([(0, 0), (at_x, _FOCAL), (at_y, _FOCAL)], facecolor=style.ORANGE, alpha=0.6))
    for start in (0.0, _BASELINE):
        axis.plot([start, across], [0, depth], color=style.BLUE, linewidth=1.6)
        axis.plot([start - 1.5, start + 1.5], [_FOCAL, _FOCAL], color=style.BLACK, linewidth=2)
    axis.plot([0, at_y], [0, _FOCAL], color=style.BLUE, linewidth=1.6, linestyle="--")
    axis.plot([at_x, at_y], [_FOCAL, _FOCAL], color=style.VERMILION, linewidth=5, solid_capstyle="butt")
    axis.plot(*_POINT, "o", color=style.BLACK, markersize=7)
    axis.text(across + 0.3, depth + 0.35, "P", fontsize=12, weight="bold")
    axis.text((at_x + at_y) / 2, _FOCAL + 0.45, "d", color=style.VERMILION, weight="bold", **_SMALL | {"fontsize": 13})
    axis.text(_BASELINE + 0.9, _FOCAL - 0.42, "image y", **_SMALL)
    axis.text(-1.35, _FOCAL + 0.45, "image x", **_SMALL)
    _measure(axis, (6.2, 0), (6.2, depth), "Z", style.BLUE)
    _measure(axis, (-2.2, 0), (-2.2, _FOCAL), "f", style.DARK_GREY)
    _measure(axis, (0, -0.95), (_BASELINE, -0.95), "B", style.BLUE)
    _cameras(axis, _BASELINE)
    axis.text(-3.3, 9.3, r"$\dfrac{d}{f} = \dfrac{B}{Z}$", fontsize=14, va="center")


def _occlusion(axis: Axes) -> None:
    axis.set_title("what only the left camera sees", fontsize=11)
    widths = _SLOPE * _WALL  # half the width of a camera's view, on the wall
    seen_by_left, hidden_from_right = (_on_wall(camera, _OBJECT[0]) for camera in (0.0, _BESIDE))
    outside = (-widths, _BESIDE - widths)
    axis.add_patch(Polygon([(0, 0), (-widths, _WALL), (widths, _WALL)], facecolor=style.SKY, alpha=0.25))
    wall = dict(linewidth=6, solid_capstyle="butt", zorder=2)
    axis.plot([-4.9, 5.3], [_WALL, _WALL], color=style.GREY, **wall)
    for ends, name in ((outside, "outside y"), ((hidden_from_right, seen_by_left), "hidden")):
        axis.plot(ends, [_WALL, _WALL], color=style.VERMILION, **wall)
        axis.text(sum(ends) / 2, _WALL + 0.65, name, color=style.VERMILION, **_SMALL)
    axis.text(4.2, _WALL + 0.65, "houses", **_SMALL)
    axis.plot(_OBJECT, [_NEAR, _NEAR], color=style.BLACK, **wall)
    axis.text(sum(_OBJECT) / 2, _NEAR - 0.6, "car", **_SMALL)
    axis.plot([0, seen_by_left], [0, _WALL], color=style.BLUE, linewidth=1.6)
    axis.plot([_BESIDE, hidden_from_right], [0, _WALL], color=style.BLUE, linewidth=1.6, linestyle="--")
    axis.plot([_BESIDE, outside[1]], [0, _WALL], color=style.BLUE, linewidth=1.6, linestyle="--")
    _cameras(axis, _BESIDE)


def _on_wall(camera: float, end: float) -> float:
    """Where the ray from a camera past an end of the object meets the wall."""
    return camera + (end - camera) * _WALL / _NEAR


def _cameras(axis: Axes, baseline: float) -> None:
    for place, name, side in ((0.0, "left", -1), (baseline, "right", 1)):
        axis.plot(place, 0, "o", color=style.BLACK, markersize=8, zorder=3)
        axis.text(place + 0.35 * side, -0.35, name, fontsize=10, va="center", ha="right" if side < 0 else "left")


def _measure(axis: Axes, start: tuple[float, float], end: tuple[float, float], name: str, colour: str) -> None:
    """A dimension line with its letter."""
    axis.annotate("", end, start, arrowprops=dict(arrowstyle="<->", color=colour, lw=1.4, shrinkA=0, shrinkB=0))
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    background = dict(facecolor="white", edgecolor="none", pad=1.5)
    axis.text(*middle, name, color=colour, weight="bold", bbox=background, **_SMALL | {"fontsize": 12})

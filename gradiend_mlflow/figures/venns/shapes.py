"""Shapes of fixed size: ellipses for 4 and 5 sets, crossed bands for 6, in which every region has room."""

from __future__ import annotations

import shapely
from shapely import Polygon, affinity

# Center, width, height, and degrees anticlockwise; found by a search for the largest smallest region.
_FOUR = ((-0.1223, -0.0767, 0.6986, 0.4735, 134.1), (-0.0107, 0.0442, 0.822, 0.3924, 136.7))
_FIVE = (0.0728, -0.0974, 1.0, 0.565, 106.6)
_FINE = 32  # vertices in a quarter of an ellipse

_START, _BRIDGE = -0.25, -0.7  # of the bands, and of the staple, whose bridge lies beyond them
_STOPS = (8.0, 8.15, 8.3)  # one behind the other, so that each end is seen
_ROUNDING = 0.12

# How far along its own width each of three bands can be named at its end: where no other one ends too.
ENDS = (0.083, 0.375, 0.8)


def fixed_shapes(n: int) -> list[Polygon]:
    """The shapes of 4, 5 or 6 sets, in no particular unit; the axis y points up.

    Of six shapes, the first three are columns and the others rows.
    """
    if n == 6:  # noqa: PLR2004
        return _crossed_bands()
    if n == 5:  # noqa: PLR2004
        return [affinity.rotate(_ellipse(*_FIVE), 72 * turn, origin=(0, 0)) for turn in range(5)]
    left = [_ellipse(*numbers) for numbers in _FOUR]
    right = [affinity.scale(ellipse, xfact=-1, origin=(0, 0)) for ellipse in reversed(left)]
    return left + right


def _ellipse(x: float, y: float, width: float, height: float, degrees: float) -> Polygon:
    circle = shapely.Point(0, 0).buffer(0.5, quad_segs=_FINE)
    return affinity.translate(affinity.rotate(affinity.scale(circle, width, height), degrees), x, y)


def _crossed_bands() -> list[Polygon]:
    """Three shapes of columns and three of rows, which cross in 8 x 8 cells of equal size.

    Which of the three shapes a column lies in follows a Gray code, so that neighbors differ in one shape and no two
    edges coincide between cells: the bands hold columns 2 to 5 and 4 to 7, and the staple holds columns 1, 2, 5 and 6,
    joined by a bridge beyond the others. So each region is in one piece. The rows' shapes are the same, turned.
    """
    columns = [_staple(_STOPS[0]), _band(2, 6, _STOPS[1]), _band(4, 8.3, _STOPS[2])]
    rounded = [shape.buffer(-_ROUNDING).buffer(2 * _ROUNDING).buffer(-_ROUNDING) for shape in columns]
    down = [affinity.scale(shape, yfact=-1, origin=(0, 0)) for shape in rounded]
    across = [affinity.affine_transform(shape, [0, 1, -1, 0, 0, 0]) for shape in rounded]
    return down + across


def _band(left: float, right: float, stop: float) -> Polygon:
    return shapely.box(left, _START, right, stop)


def _staple(stop: float) -> Polygon:
    legs = [shapely.box(left, _BRIDGE, left + 2, stop) for left in (1, 5)]
    bridge = shapely.box(3, _BRIDGE, 5, _START - 0.15)
    whole: Polygon = shapely.union_all([*legs, bridge])
    return whole

"""Where the numbers of the regions stand: in the region, or led out of it by a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from shapely import Point, Polygon
from shapely.geometry.base import BaseGeometry

from gradiend_mlflow.figures.venns.regions import deepest, regions_of, room
from gradiend_mlflow.figures.venns.written import Written, size_of

_STEP = 3.0  # points between the places that are tried
_CLEAR = 2.0  # points between a number that is led out and everything else
_HEIGHT = 0.73  # of a line of text as it is measured: digits reach neither its top nor its bottom
_BESIDE = 0.6  # points between a number and the outlines around it, beside the spare width that is measured


def place_counts(
    texts: Mapping[str, str],
    shapes: Sequence[Polygon],
    names: Sequence[Written],
    size: tuple[float, float],
    points: float,
    *,
    led_out: bool,
) -> dict[str, Written]:
    """Place the numbers of regions.

    Args:
        texts: What to write, by the region's code. If its region has no area, a number is led out.
        shapes: In points.
        names: What is written already.
        size: Width and height of the diagram in points.
        points: The font size.
        led_out: Whether numbers may be led out; if not, the first that does not fit ends the attempt.

    Returns:
        The numbers that have room.
    """
    regions = regions_of(shapes)
    lines = [name.line for name in names if name.line is not None]
    taken = shapely.union_all([*lines, *(name.box for name in names)]).buffer(_CLEAR)
    placed: dict[str, Written] = {}
    small: dict[str, Point] = {}  # where the line of a number begins
    for code in sorted(texts, key=lambda code: regions[code].area if code in regions else 0.0):
        if code not in regions:
            small[code] = _almost(code, shapes)
            continue
        width, height = size_of(texts[code], points)
        center = _free_place(regions[code], taken, width + _BESIDE, _HEIGHT * height)
        if center is not None:
            placed[code] = Written(texts[code], (center.x, center.y), (width, height), points)
            # The box is higher than the digits, and may reach into regions above and below.
            over = (1 - _HEIGHT) / 2 * height
            x0, y0, x1, y1 = placed[code].box.bounds
            taken = taken.union(shapely.box(x0, y0 - over, x1, y1 + over))
        elif led_out:
            small[code] = deepest(regions[code])
        else:
            return placed
    whole = shapely.union_all(shapes)
    # Outermost first: their lines are short, and leave the others a way out.
    for code in sorted(small, key=lambda code: -small[code].distance(whole.centroid)) if led_out else ():
        written = [*names, *placed.values()]
        if place := _nearest_place(texts[code], small[code], whole, written, size, points=points):
            placed[code] = place
    return placed


def _free_place(region: BaseGeometry, taken: BaseGeometry, width: float, height: float) -> Point | None:
    """The middle of a region if nothing is there, else the middle of what is left of it."""
    center = room(region, width, height)
    if center is None:
        return None
    x, y = center.x, center.y
    if not taken.intersects(shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)):
        return center
    return room(region.difference(taken), width, height)


def _almost(code: str, shapes: Sequence[Polygon]) -> Point:
    """The point of an outline where a region without an area comes nearest to having one."""
    outlines = shapely.points(np.concatenate([shapely.get_coordinates(shape) for shape in shapes]))
    missed = []  # by how much each point misses what it should be, in or out of each shape
    for bit, shape in zip(code, shapes, strict=True):
        inside = shapely.intersects(shape, outlines)
        missed.append(np.where(inside == (bit == "1"), 0.0, shapely.distance(shape.exterior, outlines)))
    nearest: Point = outlines[int(np.argmin(np.max(missed, axis=0)))]
    return nearest


def _nearest_place(
    text: str,
    anchor: Point,
    whole: BaseGeometry,
    taken: Sequence[Written],
    size: tuple[float, float],
    *,
    points: float,
) -> Written | None:
    """The free place outside of all shapes that is nearest to a point and from which a line to it crosses no text."""
    width, height = size_of(text, points)
    xs = np.arange(width / 2, size[0] - width / 2 + 0.01, _STEP)
    ys = np.arange(height / 2, size[1] - height / 2 + 0.01, _STEP)
    x, y = (axis.ravel() for axis in np.meshgrid(xs, ys))
    half = width / 2 + _CLEAR
    letters = shapely.box(x - half, y - _HEIGHT / 2 * height, x + half, y + _HEIGHT / 2 * height)
    boxes = shapely.box(x - half, y - height / 2 - _CLEAR, x + half, y + height / 2 + _CLEAR)
    lines = [each.line for each in taken if each.line is not None]
    in_the_way = shapely.union_all([*lines, *(each.box for each in taken)])
    free = ~shapely.intersects(letters, whole) & ~shapely.intersects(boxes, in_the_way)
    x, y, letters = x[free], y[free], letters[free]
    for i in np.argsort(shapely.distance(letters, anchor), kind="stable"):
        line = shapely.shortest_line(letters[i], anchor)
        if not line.intersects(in_the_way):
            return Written(text, (float(x[i]), float(y[i])), (width, height), points, line)
    return None

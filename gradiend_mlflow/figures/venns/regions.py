"""The regions that shapes divide the plane into, and where in a region a text has room."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from shapely import Point, Polygon
from shapely.geometry.base import BaseGeometry

_CORNERS = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_NEARLY = 0.9
_COARSE = 0.1  # points: an outline may be simplified by what nobody sees


def regions_of(shapes: Sequence[Polygon]) -> dict[str, BaseGeometry]:
    """The regions of any number of shapes that have an area, by code: "101" is in the first and third shape alone."""
    regions: dict[str, BaseGeometry] = {}
    around: BaseGeometry = Polygon()  # all shapes so far
    for number, shape in enumerate(shapes):
        divided = {"0" * number + "1": shape.difference(around)}
        for code, region in regions.items():
            divided[code + "1"], divided[code + "0"] = region.intersection(shape), region.difference(shape)
        surfaces = {code: _surface(region) for code, region in divided.items()}
        regions = {code: region for code, region in surfaces.items() if not region.is_empty}
        around = around.union(shape)
    return regions


def _surface(geometry: BaseGeometry) -> BaseGeometry:
    """The part of a geometry that has an area: shapes that touch also share points and lines."""
    return shapely.union_all([part for part in shapely.get_parts(geometry) if part.area > 0])


def errors(counts: Mapping[str, int], shapes: Sequence[Polygon]) -> dict[str, float]:
    """How far each region's area is off: its share of what the shapes cover, less its share of the weights.

    Args:
        counts: The number of weights of each region, by code; empty regions may be missing.
        shapes: What is drawn.
    """
    areas = {code: region.area for code, region in regions_of(shapes).items()}
    total, whole = sum(counts.values()), sum(areas.values())
    return {code: areas.get(code, 0.0) / whole - counts.get(code, 0) / total for code in {*areas, *counts}}


def room(region: BaseGeometry, width: float, height: float) -> Point | None:
    """Where the center of a text may be so that the text lies within the region, as far from its edge as can be.

    Args:
        region: In points.
        width: Of the text, in points.
        height: Of the text, in points.

    Returns:
        The center, or None if the region is too small.

    Example:
        >>> cross = shapely.union_all([shapely.box(-9, -2, 9, 2), shapely.box(-2, -9, 2, 9)])
        >>> room(cross, 10, 3), room(cross, 10, 5)
        (<POINT (0 0)>, None)
    """
    simple = region.simplify(_COARSE)
    if simple.is_empty:
        return None
    # A text touches the edge if its center lies in the text's own box around a point of the edge.
    edge = [shapely.get_coordinates(line) for line in shapely.get_parts(shapely.boundary(simple))]
    segments = np.array([segment for line in edge for segment in itertools.pairwise(line)])
    corners = segments[:, :, None, :] + _CORNERS * (width, height)
    swept = shapely.convex_hull(shapely.multipoints(corners.reshape(len(segments), -1, 2)))
    free = _surface(simple.difference(shapely.union_all(swept)))
    return None if free.is_empty else deepest(free)


def deepest(region: BaseGeometry) -> Point:
    """The point of a region that is farthest from its edge, or its middle if that is nearly as far."""
    largest = max(shapely.get_parts(region), key=lambda part: part.area)
    x0, y0, x1, y1 = largest.bounds
    radius = shapely.maximum_inscribed_circle(largest, tolerance=max(min(x1 - x0, y1 - y0) / 100, 1e-9))
    middle = largest.centroid
    if largest.contains(middle) and middle.distance(largest.boundary) > _NEARLY * radius.length:
        return middle
    return Point(radius.coords[0])

"""Where the names of the sets stand: around the shapes, each with a line to its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points

from gradiend_mlflow.figures.venns.shapes import ENDS
from gradiend_mlflow.figures.venns.surroundings import BETWEEN, GAP, Surroundings, outer_edges
from gradiend_mlflow.figures.venns.written import Written, size_of

_SHORTEST_LINE = 2.0  # points


def place_names(around: Surroundings, shapes: Sequence[Polygon], size: tuple[float, float]) -> list[Written]:
    """What is written around the shapes: the names in the order of the sets, then the key, then the note.

    Args:
        around: What it is.
        shapes: The shapes where they will be drawn, in points.
        size: Width and height of the diagram in points.
    """
    if around.right:
        edges: Sequence[BaseGeometry] = [shape.exterior for shape in shapes]
        names = _on_the_right(around, shapes, size)
        extents = [shapes[i].bounds for i in around.below]
        wanted = [x0 + end * (x1 - x0) for end, (x0, _, x1, _) in zip(ENDS, extents, strict=True)]
    else:
        edges = outer_edges(shapes)
        names = _side_by_side(around, around.above, [_extreme(edges[i], np.argmax) for i in around.above], edges, size)
        wanted = [_extreme(edges[i], np.argmin) for i in around.below]
    names += _side_by_side(around, around.below, wanted, edges, (size[0], around.margins[2] - GAP))
    return sorted(names, key=lambda name: name.owner or 0) + _foot(around, size[0])


def _extreme(edge: BaseGeometry, highest_or_lowest: Callable[[Any], Any]) -> float:
    """How far right an edge is where it is highest or lowest."""
    x, y = shapely.get_coordinates(edge).T
    return float(x[highest_or_lowest(y)])


def _side_by_side(
    around: Surroundings,
    band: Sequence[int],
    wanted: Sequence[float],
    edges: Sequence[BaseGeometry],
    corner: tuple[float, float],
) -> list[Written]:
    """Names below a height, left of a width: each as near to where it is wanted as the others' room allows."""
    names, taken = [], 0.0  # from the left
    for position, (i, x) in enumerate(zip(band, wanted, strict=True)):
        wide, high = around.size(i)
        others = sum(around.size(j)[0] + GAP for j in band[position + 1 :])
        center = min(max(x, taken + wide / 2), corner[0] - others - wide / 2)
        name = Written(around.texts[i], (center, corner[1] - high / 2), (wide, high), around.points, owner=i)
        names.append(_with_line(name, edges[i]))
        taken = center + wide / 2 + GAP
    return names


def _on_the_right(around: Surroundings, shapes: Sequence[Polygon], size: tuple[float, float]) -> list[Written]:
    """Names below each other at the ends of rows, moved as far as the others need."""
    names, taken = [], size[1]  # down to where
    for position, (end, i) in enumerate(zip(ENDS, around.right, strict=True)):
        _, bottom, _, top = shapes[i].bounds
        wide, high = around.size(i)
        others = sum(around.size(j)[1] for j in around.right[position + 1 :])
        y = max(min(top - end * (top - bottom), taken - high / 2), others + high / 2)
        center = (size[0] - around.margins[1] + GAP + wide / 2, y)
        name = Written(around.texts[i], center, (wide, high), around.points, owner=i)
        names.append(_with_line(name, shapes[i].exterior))
        taken = y - high / 2
    return names


def _with_line(name: Written, edge: BaseGeometry) -> Written:
    line = LineString(nearest_points(name.box, edge))
    return replace(name, line=line if line.length > _SHORTEST_LINE else None)


def _foot(around: Surroundings, width: float) -> list[Written]:
    """The key, in columns with equal gaps, and the note below it."""
    widths = [max(size_of(entry, around.points)[0] for entry in column) for column in around.key]
    gap = (width - sum(widths)) / (len(widths) + 1)
    written: list[Written] = []
    left = gap
    for column, wide in zip(around.key, widths, strict=True):
        top = around.foot - GAP
        for entry in column:
            own, high = size_of(entry, around.points)
            center = (left + own / 2, top - high / 2)
            written.append(Written(entry, center, (own, high), around.points, owner=len(written), centered=False))
            top -= high + BETWEEN
        left += wide + gap
    if around.note:
        wide, high = size_of(around.note, around.note_points)
        written.append(Written(around.note, (width / 2, high / 2), (wide, high), around.note_points))
    return written

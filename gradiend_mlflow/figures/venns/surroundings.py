"""What stands around the shapes: names that fit into their columns, or numbers with a key, and a note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Names, in_lines, measured, named, widest
from gradiend_mlflow.figures.venns.written import size_of

GAP = 4.0  # points between names, and between names and shapes
BETWEEN = 0.5  # points between the entries of a key
_ABOVE = {2: 2, 3: 2, 4: 2, 5: 3}  # by the number of sets: how many are named above; the others are named below
_MOST_LINES, _MOST_HEIGHT = 5, 0.22  # of a name; of the height that there is
_MOST_AROUND = 0.65  # of the height, for everything that stands above and below the shapes
_AT_END, _LINES_AT_END = 0.2, 3  # of the width that there is, for a name at the end of a band; its lines
_NOTE = 0.85  # of the names' font size
_STEP = 0.5  # points between the font sizes that are tried


@dataclass(frozen=True)
class Surroundings:
    """What is written around the shapes, before it is known where exactly they are.

    Attributes:
        texts: The name or number of each set.
        points: Their font size.
        above: The sets that are named above, from left to right.
        right: The sets that are named on the right, from top to bottom.
        below: The sets that are named below, from left to right.
        key: What the numbers stand for, in columns, one entry per set; empty if names are names.
        note: What is said below everything, in lines; may be empty.
        fit: Whether the names have room.
    """

    texts: Sequence[str]
    points: float
    above: Sequence[int]
    right: Sequence[int]
    below: Sequence[int]
    key: Sequence[Sequence[str]]
    note: str
    fit: bool

    @property
    def note_points(self) -> float:
        """The note's font size."""
        return max(_NOTE * self.points, LEAST_POINTS)

    @cached_property
    def margins(self) -> tuple[float, float, float]:
        """How many points above, right of and below the shapes are taken, gaps included."""
        above = max((self.size(i)[1] + GAP for i in self.above), default=0.0)
        right = max((self.size(i)[0] + GAP for i in self.right), default=0.0)
        below = max((self.size(i)[1] + GAP for i in self.below), default=0.0)
        return above, right, below + self.foot

    @cached_property
    def foot(self) -> float:
        """The height in points of what stands below all names."""
        key = max(
            (sum(size_of(entry, self.points)[1] + BETWEEN for entry in column) for column in self.key), default=0.0
        )
        note = size_of(self.note, self.note_points)[1]
        return sum(height + GAP for height in (key, note) if height)

    def size(self, number: int) -> tuple[float, float]:
        """The width and height of a name in points."""
        return size_of(self.texts[number], self.points)


def surroundings(
    labels: Sequence[str],
    sizes: Sequence[int],
    shapes: Sequence[Polygon],
    size: tuple[float, float],
    preferred: float,
    *,
    least: float = LEAST_POINTS,
    note: str = "",
) -> Surroundings:
    """Divide the names among the sides of the diagram, and fit them.

    Args:
        labels: Of the sets.
        sizes: How many weights each has.
        shapes: In any unit; each is named on the side that it is nearest to.
        size: Width and height of the diagram in points.
        preferred: The font size if there is room.
        least: The smallest font size.
        note: What to say below everything.
    """
    for points in (*np.arange(preferred, least, -_STEP).tolist(), min(preferred, least)):
        found = _fitted(labels, sizes, shapes, size, preferred=points, least=least, note=note)
        above, _, below = found.margins
        if above + below <= _MOST_AROUND * size[1]:
            return found
    return replace(found, fit=False)


def _fitted(
    labels: Sequence[str],
    sizes: Sequence[int],
    shapes: Sequence[Polygon],
    size: tuple[float, float],
    *,
    preferred: float,
    least: float,
    note: str,
) -> Surroundings:
    """The names at the preferred font size, or as much smaller as their columns demand."""
    above, right, below = _sides(shapes)
    if right:
        names = _names_at_ends(labels, size, preferred, least)
    else:
        column = (size[0] / max(len(above), len(below)) - GAP) / 72
        height = (_MOST_HEIGHT * size[1] - size_of("0", preferred)[1]) / 72
        names = named(labels, column, preferred, lines=_MOST_LINES, height=max(height, 0.0), least=least)
    counted = [f"({count:,})" for count in sizes]
    texts, key = names.texts, []
    if names.way == "numbered":
        entries = [f"{line} {count}" for line, count in zip(names.key, counted, strict=True)]
        key = _columns(entries, size[0], names.points)
    else:
        texts = tuple(f"{_balanced(name, names.points)}\n{count}" for name, count in zip(texts, counted, strict=True))
    note = note and in_lines(note, size[0] / 72, max(_NOTE * names.points, LEAST_POINTS), anywhere=True)
    return Surroundings(texts, names.points, above, right, below, key, note, names.fit)


def _sides(shapes: Sequence[Polygon]) -> tuple[list[int], list[int], list[int]]:
    """The sets that are named above, right of and below the shapes, in order."""
    n = len(shapes)
    if n not in _ABOVE:  # columns, which end below, and rows, which end on the right
        return [], [3, 4, 5], [0, 1, 2]
    places = [edge.centroid for edge in outer_edges(shapes)]
    middle = float(np.mean([place.x for place in places]))
    order = sorted(range(n), key=lambda i: (-round(places[i].y, 3), -abs(places[i].x - middle)))
    above, below = (sorted(band, key=lambda i: places[i].x) for band in (order[: _ABOVE[n]], order[_ABOVE[n] :]))
    return above, [], below


def _names_at_ends(labels: Sequence[str], size: tuple[float, float], preferred: float, least: float) -> Names:
    """Names in the little space that bands leave at their ends, or else numbers."""
    height = _MOST_HEIGHT * size[1] - size_of("0", preferred)[1]
    least = min(max(0.8 * preferred, least), preferred)
    return named(
        labels, _AT_END * size[0] / 72, preferred, lines=_LINES_AT_END, height=max(height, 0.0) / 72, least=least,
        ways=("whole", "wrapped", "numbered"),
    )  # fmt: skip


def _balanced(name: str, points: float) -> str:
    """A name in as many lines as it has, none of them longer than it has to be."""
    whole, lines = " ".join(name.split("\n")), name.count("\n")
    widths = np.linspace(0.4, 1.0, 13) * measured(name, points)[0] * 1.001
    narrower = (in_lines(whole, float(width), points) for width in widths)
    return next((text for text in narrower if text.count("\n") <= lines), name)


def _columns(entries: Sequence[str], width: float, points: float) -> list[list[str]]:
    """The entries of a key in as many columns as there is room for; in a single one, wide entries are broken."""
    for number in range(len(entries), 1, -1):
        if 72 * widest(entries, points) <= (width - (number - 1) * 3 * GAP) / number:
            length = -(-len(entries) // number)
            return [list(entries[start : start + length]) for start in range(0, len(entries), length)]
    return [[in_lines(entry, width / 72, points, anywhere=True) for entry in entries]]


def outer_edges(shapes: Sequence[Polygon]) -> list[BaseGeometry]:
    """The part of each shape's outline that lies in no other shape; all of it if there is none."""
    edges = []
    for shape in shapes:
        others = shapely.union_all([other for other in shapes if other is not shape])
        outside = shape.exterior.difference(others.buffer(-1e-6))
        edges.append(shape.exterior if outside.is_empty else outside)
    return edges

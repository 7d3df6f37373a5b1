"""A text of a diagram, and the space that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely import LineString, Polygon

from gradiend_mlflow.figures.drawing.names import measured


@dataclass(frozen=True)
class Written:
    """A text in the diagram, in points from the lower left corner.

    Attributes:
        text: What is written, in one or more lines.
        center: Of its box.
        size: Width and height of its box.
        points: The font size.
        line: From the box to what it is about; None if it is there already.
        owner: The number of the set whose color it has, if any.
        centered: Whether its lines are centered; else they begin below each other.
    """

    text: str
    center: tuple[float, float]
    size: tuple[float, float]
    points: float
    line: LineString | None = None
    owner: int | None = None
    centered: bool = True

    @property
    def box(self) -> Polygon:
        """The space that it takes."""
        (x, y), (width, height) = self.center, self.size
        return shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def size_of(text: str, points: float) -> tuple[float, float]:
    """The width and height of a text in points; nothing has none."""
    if not text:
        return 0.0, 0.0
    width, height = measured(text, points)
    return 72 * width, 72 * height

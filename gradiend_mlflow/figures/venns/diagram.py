"""A whole Venn diagram in points: shapes, names and numbers, arranged so that nothing lies over another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import shapely
from shapely import Polygon, affinity

from gradiend_mlflow.figures.venns.counts import place_counts
from gradiend_mlflow.figures.venns.names import place_names
from gradiend_mlflow.figures.venns.surroundings import Surroundings
from gradiend_mlflow.figures.venns.written import Written

_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the space: numbers that are led out need some
_STRETCH = {4: 1.3, 5: 1.3, 6: 3.0}  # how much wider or higher than they are shapes of fixed size may become


@dataclass(frozen=True)
class Diagram:
    """What is drawn, in points from the lower left corner.

    Attributes:
        shapes: Of the sets.
        names: What is written around the shapes.
        counts: The numbers, by the region's code.
        missing: The codes of the regions whose numbers have no room.
    """

    shapes: Sequence[Polygon]
    names: Sequence[Written]
    counts: Mapping[str, Written]
    missing: Sequence[str]


def arranged(
    shapes: Sequence[Polygon],
    around: Surroundings,
    texts: Mapping[str, str],
    size: tuple[float, float],
    points: Sequence[float],
) -> Diagram:
    """Arrange a diagram: the first way in which all numbers have room, or else that in which most have.

    Args:
        shapes: In any unit.
        around: What is written around them.
        texts: The numbers, by the region's code.
        size: Width and height in points.
        points: The font sizes that the numbers may have, the best first.
    """
    best: Diagram | None = None
    for font, share, led_out in _attempts(len(shapes), points):
        placed = _fitted(shapes, around, size, share)
        names = place_names(around, placed, size)
        counts = place_counts(texts, placed, names, size, font, led_out=led_out)
        if best is None or len(counts) > len(best.counts):
            best = Diagram(placed, names, counts, [code for code in texts if code not in counts])
        if not best.missing:
            break
    assert best is not None  # there is a font size  # noqa: S101
    return best


def _attempts(n: int, points: Sequence[float]) -> Iterator[tuple[float, float, bool]]:
    """Font sizes, shares of the space, and whether numbers are led out.

    Circles may leave no room at any font size, so numbers are led out of them at once. Shapes of fixed size have room
    for all if the font is small enough.
    """
    if n > 3:  # noqa: PLR2004
        yield from ((font, 1.0, False) for font in points)
        points = points[-1:]
    yield from ((font, share, True) for font in points for share in _SHARES)


def _fitted(shapes: Sequence[Polygon], around: Surroundings, size: tuple[float, float], share: float) -> list[Polygon]:
    """The shapes in the middle of the space that the names leave, in a share of its width and height."""
    above, right, below = around.margins
    x0, y0, x1, y1 = shapely.union_all(shapes).bounds
    wide, high = max(size[0] - right - 2, 1.0), max(size[1] - above - below - 2, 1.0)
    across, up = share * wide / (x1 - x0), share * high / (y1 - y0)
    most = _STRETCH.get(len(shapes), 1.0) * min(across, up)
    across, up = min(across, most), min(up, most)
    x, y = 1 + wide / 2 - across * (x0 + x1) / 2, 1 + below + high / 2 - up * (y0 + y1) / 2
    return [affinity.affine_transform(shape, [across, 0, 0, up, x, y]) for shape in shapes]

"""Where names stand beside points: near, over nothing else, and within the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradiend_mlflow.sets.space import Matrix

# To the right, to the left, above, below, at the corners, and between all of these.
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 22.5, 157.5, 337.5, 202.5, 67.5, 112.5, 292.5, 247.5])
_SAMPLES = 25  # of a line, to see what it passes
_NEAR, _FAR = (
    0.6,
    (2.0, 3.5, 5.5, 8.0, 11.0, 14.0),
)  # diameters of a point, between its middle and a name; of one with a line


@dataclass(frozen=True, eq=False)
class Place:
    """Where a name stands.

    Attributes:
        middle: Of the name, in inches, seen from the middle of its point.
        line: Whether it is so far away that a line leads to it.
    """

    middle: tuple[float, float]
    line: bool


def places_beside(points: Matrix, sizes: Matrix, frame: Matrix, dot: float, *, lines: bool) -> list[Place | None]:
    """A place for each name, or None where none is free.

    Args:
        points: The middles of the points in inches; shape (N, 2).
        sizes: Width and height of each name in inches; shape (N, 2).
        frame: The lower left and the upper right corner of the space; shape (2, 2).
        dot: The diameter of a point in inches.
        lines: Whether names may stand farther away, where lines lead to them.

    Example:
        >>> frame = np.array([[0.0, 0.0], [2.0, 2.0]])
        >>> places = places_beside(np.array([[1.0, 1.0], [1.9, 1.0]]), np.full((2, 2), 0.2), frame, 0.1, lines=False)
        >>> [tuple(round(float(side), 2) for side in place.middle) for place in places]
        [(0.16, 0.0), (-0.16, 0.0)]
    """
    taken = np.concatenate([points - dot / 2, points + dot / 2], axis=1)
    apart = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) + np.where(np.eye(len(points)), np.inf, 0.0)
    found: list[Place | None] = [None] * len(points)
    drawn = np.empty((0, 2))  # points of the lines
    for index in np.argsort(-(apart < _FAR[-1] * dot).sum(axis=1), kind="stable").tolist():
        names, second_best = taken[len(points) :], None
        for middle, far in _candidates(sizes[index], dot, lines=lines):
            box = np.concatenate(
                [points[index] + middle - sizes[index] / 2, points[index] + middle + sizes[index] / 2]
            )
            if not _is_free(box, taken, frame):
                continue
            line = points[index] + np.linspace(0, 1, _SAMPLES)[:, None] * middle * far
            second_best = second_best or (middle, far, box, line)
            if not _within(drawn, box[None]) and not _within(line, names):
                break
        else:  # a line through a name is better than no name
            if second_best is None:
                continue
            middle, far, box, line = second_best
        found[index] = Place((float(middle[0]), float(middle[1])), far)
        taken, drawn = np.vstack([taken, box]), np.vstack([drawn, line])
    return found


def _candidates(size: Matrix, dot: float, *, lines: bool) -> Sequence[tuple[Matrix, bool]]:
    """The middles that a name may have, the best first, and whether they are far away."""
    ways = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    # A name touches the circle around its point where it is nearest: at a corner, or at the middle of a side.
    beside = np.where(np.abs(ways) > 1e-9, np.sign(ways), 0.0) * size / 2  # noqa: PLR2004
    near = [(way * _NEAR * dot + half, False) for way, half in zip(ways[:8], beside[:8], strict=True)]
    far = [(way * reach * dot + half, True) for reach in _FAR * lines for way, half in zip(ways, beside, strict=True)]
    return [*near, *far]


def _within(points: Matrix, boxes: Matrix) -> bool:
    """Whether any of some points lies in any of some boxes."""
    return bool(((points[:, None] >= boxes[:, :2]) & (points[:, None] <= boxes[:, 2:])).all(axis=2).any())


def _is_free(box: Matrix, taken: Matrix, frame: Matrix) -> bool:
    """Whether a box (x0, y0, x1, y1) lies in the frame and over none of those that are taken."""
    inside = (box[:2] >= frame[0]).all() and (box[2:] <= frame[1]).all()
    apart = (box[2:] <= taken[:, :2]).any(axis=1) | (box[:2] >= taken[:, 2:]).any(axis=1)
    return bool(inside and apart.all())

"""Two or three circles whose areas, and the areas that they share in pairs, are in proportion to numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

_FINE = 256  # vertices in a quarter of a circle: fine enough for a lens of a millionth of it
_NEGLIGIBLE = 0.01  # of all weights: an error of a smaller area counts as if the area were so large
_GAP = 1.1  # of the least distance of circles that share nothing
_INSET = 0.85  # of the largest distance of a circle that lies in another


def proportional_circles(counts: Mapping[str, int], n: int) -> list[Polygon]:
    """The circles of 2 or 3 sets; the axis y points up, and what they cover has an area of about 1.

    Each circle has the area of its set's share of all weights, and each two circles share the area of their sets'
    shared weights, if three circles can. If not, the shared areas are as near to that as they can be. What three
    circles share follows from this.

    Args:
        counts: The number of weights of each region, by code as in `regions_of`; empty regions may be missing.
        n: 2 or 3.
    """
    shares = {code: count / sum(counts.values()) for code, count in counts.items()}
    radii = [math.sqrt(sum(share for code, share in shares.items() if code[i] == "1") / math.pi) for i in range(n)]
    pairs = [
        _Pair(radii[i], radii[j], sum(share for code, share in shares.items() if code[i] == code[j] == "1"))
        for i, j in _sides(n)
    ]
    return _placed(_distances(pairs), radii)


def equal_circles(n: int) -> list[Polygon]:
    """2 or 3 circles of one size and one distance, in which every region has room."""
    return _placed([1.1] * len(_sides(n)), [1.0] * n)


def _sides(n: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(n), 2))


@dataclass(frozen=True)
class _Pair:
    """Two circles of radii r and s, and the area that they should share."""

    r: float
    s: float
    wanted: float

    def range(self) -> tuple[float, float, float]:
        """The least distance at which they share that area, the one that looks best, and the largest."""
        from scipy.optimize import brentq

        apart, inside = self.r + self.s, abs(self.r - self.s)
        if self.wanted <= 0:
            return apart, _GAP * apart, math.inf
        if self.wanted >= (1 - 1e-9) * math.pi * min(self.r, self.s) ** 2:
            return 0.0, _INSET * inside, inside
        exact = float(brentq(lambda distance: self.shared(distance) - self.wanted, inside, apart))
        return exact, exact, exact

    def shared(self, distance: float) -> float:
        """The area that the circles share at a distance."""
        if distance >= self.r + self.s:
            return 0.0
        if distance <= abs(self.r - self.s):
            return math.pi * min(self.r, self.s) ** 2
        # A segment of each circle, which the line through both crossings cuts off.
        area = 0.0
        for own, other in ((self.r, self.s), (self.s, self.r)):
            cosine = (distance**2 + own**2 - other**2) / (2 * distance * own)
            angle = 2 * math.acos(min(max(cosine, -1.0), 1.0))
            area += own**2 * (angle - math.sin(angle)) / 2
        return area

    def badness(self, distance: float) -> float:
        """The squared relative error of the shared area."""
        return ((self.shared(distance) - self.wanted) / max(self.wanted, _NEGLIGIBLE)) ** 2


def _distances(pairs: Sequence[_Pair]) -> list[float]:
    """The distances of one or three pairs: those that are right, or the nearest that make a triangle."""
    least, best, largest = (list(numbers) for numbers in zip(*(pair.range() for pair in pairs), strict=True))
    if len(pairs) == 1:
        return best
    longest = max(range(3), key=best.__getitem__)
    one, other = (side for side in range(3) if side != longest)
    # Where circles may be nearer or farther, use that.
    best[longest] = max(least[longest], min(best[longest], best[one] + best[other]))
    best[one] = max(best[one], min(largest[one], best[longest] - best[other]))
    best[other] = max(best[other], min(largest[other], best[longest] - best[one]))
    if best[longest] > best[one] + best[other] + 1e-9:
        return _in_a_row(pairs, best, longest)
    return best


def _in_a_row(pairs: Sequence[_Pair], best: Sequence[float], longest: int) -> list[float]:
    """The best distances of three circles in a row: the nearest to a triangle with one side that is too long."""
    from scipy.optimize import minimize

    one, other = (side for side in range(3) if side != longest)

    def badness(two: npt.NDArray[np.float64]) -> float:
        a, b = (abs(float(distance)) for distance in two)
        return pairs[one].badness(a) + pairs[other].badness(b) + pairs[longest].badness(a + b)

    stretch = best[longest] / max(best[one] + best[other], 1e-9)
    starts = [np.array([best[one], best[other]]) * factor for factor in (1, (1 + stretch) / 2, stretch)]
    starts += [np.array([best[longest] - best[other], best[other]]), np.array([best[one], best[longest] - best[one]])]
    tried = [
        minimize(badness, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}) for start in starts
    ]
    distances = [0.0] * 3
    distances[one], distances[other] = np.abs(min(tried, key=lambda result: result.fun).x).tolist()
    distances[longest] = distances[one] + distances[other]
    return distances


def _placed(distances: Sequence[float], radii: Sequence[float]) -> list[Polygon]:
    """Circles at these distances: the two that are farthest from each other side by side, the third below."""
    sides = _sides(len(radii))
    longest = max(range(len(sides)), key=distances.__getitem__)
    left, right = sides[longest]
    centers = {left: (0.0, 0.0), right: (distances[longest], 0.0)}
    for third in set(range(len(radii))) - {left, right}:
        to_left, to_right = (distances[sides.index((min(side, third), max(side, third)))] for side in (left, right))
        wide = distances[longest]
        x = (to_left**2 - to_right**2 + wide**2) / (2 * wide) if wide else 0.0
        centers[third] = (x, -math.sqrt(max(to_left**2 - x**2, 0.0)))
    return [shapely.Point(centers[i]).buffer(radius, quad_segs=_FINE) for i, radius in enumerate(radii)]

"""Circles in proportion."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely

from gradiend_mlflow.figures.venns.circles import equal_circles, proportional_circles
from gradiend_mlflow.figures.venns.regions import errors, regions_of

ORDER = ("100", "010", "001", "110", "101", "011", "111")


def wrong(counts: dict[str, int], n: int) -> float:
    """The largest relative error of a set's or a pair's area, of those above 1 % of the union or wanted to be none."""
    shapes = proportional_circles(counts, n)
    total, covered = sum(counts.values()), shapely.union_all(shapes).area
    held = {i: sum(count for code, count in counts.items() if code[i] == "1") for i in range(n)}
    # Per weight, by the sets: what all cover depends on what three share, which follows from the rest.
    scale = sum(shape.area for shape in shapes) / sum(held.values())
    found = [abs(shapes[i].area / scale / held[i] - 1) for i in range(n) if held[i] > 0.01 * total]
    for i, j in itertools.combinations(range(n), 2):
        both = sum(count for code, count in counts.items() if code[i] == code[j] == "1")
        area = shapes[i].intersection(shapes[j]).area
        if both > 0.01 * total:
            found.append(abs(area / scale / both - 1))
        else:
            found.append(abs(area / scale - both) / total)
    assert covered > 0
    return max(found)


@pytest.mark.parametrize(
    "counts",
    [
        {"10": 58820, "01": 276452, "11": 2},
        {"10": 1, "01": 2, "11": 1_000_000},
        {"11": 5},
        {"01": 3, "11": 5},
        {"10": 3, "01": 1},
        {"10": 1, "01": 10**9},
    ],
)
def test_two_are_always_exact(counts: dict[str, int]) -> None:
    """Identical, disjoint, one in the other, nearly so, and of very different sizes."""
    assert wrong(counts, 2) < 1e-3
    assert max(map(abs, errors(counts, proportional_circles(counts, 2)).values())) < 1e-3


@pytest.mark.parametrize(
    "counts",
    [
        dict(zip(ORDER, (1, 1, 1, 1, 1, 1, 1), strict=True)),
        dict(zip(ORDER, (287, 31, 30, 35, 35, 31, 705), strict=True)),
        {"111": 9},
        {"100": 5, "010": 4, "001": 3},
        {"111": 50, "011": 150, "001": 800},
        {"100": 58820, "010": 276452, "110": 2, "001": 5000},
        {"100": 50, "011": 30, "111": 20},
        {"110": 20, "101": 20, "011": 20},
        {"100": 1, "001": 650, "011": 76, "111": 13},
        {"100": 2957, "010": 196, "001": 87, "101": 115, "011": 1365, "111": 57},
        {"100": 1876, "010": 507, "110": 1422, "001": 274, "011": 709, "111": 77},
    ],
)
def test_three_are_as_wanted(counts: dict[str, int]) -> None:
    """Sets and pairs of the kinds that a layout may stumble over, such as one in the second but not in the third."""
    assert wrong(counts, 3) < 0.05


def test_whatever_circles_can_show_is_shown() -> None:
    """Numbers that are counted in circles: 100 random ones, of which many lie in others or apart."""
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 160), np.linspace(-2, 2, 160)), axis=-1).reshape(-1, 2)
    kinds = set()
    for _ in range(100):
        radii, centers = random.uniform(0.3, 1, 3), random.uniform(-0.8, 0.8, (3, 2))
        held = np.linalg.norm(grid[:, None] - centers, axis=2) < radii
        codes, sizes = np.unique(held[held.any(axis=1)].astype(int), axis=0, return_counts=True)
        counts = {"".join(map(str, code)): int(size) for code, size in zip(codes, sizes, strict=True)}
        kinds.add(frozenset(counts))
        assert wrong(counts, 3) < 0.05, counts
    assert len(kinds) > 10


def test_what_circles_cannot_show_is_nearly_shown() -> None:
    """Two sets apart, with half of each in a third as large: all three give way."""
    counts = {"100": 50, "010": 50, "101": 50, "011": 50}
    assert 0.05 < wrong(counts, 3) < 0.25


def test_only_pairs_leave_no_empty_middle() -> None:
    """The error of a region that is drawn but empty is what `errors` says."""
    counts = {"110": 200, "101": 200, "011": 200}
    off = errors(counts, proportional_circles(counts, 3))
    assert 0.15 < off["111"] < 0.25
    assert sum(off.values()) == pytest.approx(0)


@pytest.mark.parametrize("n", [2, 3])
def test_equal_circles_have_every_region(n: int) -> None:
    """All of one size."""
    shapes = equal_circles(n)
    assert len(regions_of(shapes)) == 2**n - 1
    assert all(math.isclose(shape.area, shapes[0].area) for shape in shapes)

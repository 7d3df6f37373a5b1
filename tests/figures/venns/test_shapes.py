"""Shapes of fixed size."""

from __future__ import annotations

import itertools

import pytest
import shapely
from shapely import affinity

from gradiend_mlflow.figures.venns.regions import regions_of, room
from gradiend_mlflow.figures.venns.shapes import fixed_shapes


@pytest.mark.parametrize("n", [4, 5, 6])
def test_every_region_is_there_in_one_piece(n: int) -> None:
    """That makes it a Venn diagram; each shape is one outline without holes."""
    shapes = fixed_shapes(n)
    regions = regions_of(shapes)
    assert set(regions) == {"".join(code) for code in itertools.product("01", repeat=n)} - {"0" * n}
    assert all(region.geom_type == "Polygon" for region in regions.values())
    assert all(len(shape.interiors) == 0 for shape in shapes)


@pytest.mark.parametrize(("n", "letters", "points"), [(4, 6, 7.5), (5, 3, 5), (6, 6, 5)])
def test_every_region_has_room_in_a_column(n: int, letters: int, points: float) -> None:
    """For numbers of some digits, in shapes 230 points wide and 200 high."""
    shapes = fixed_shapes(n)
    x0, y0, x1, y1 = shapely.union_all(shapes).bounds
    placed = [affinity.scale(shape, 230 / (x1 - x0), 200 / (y1 - y0), origin=(0, 0)) for shape in shapes]
    for region in regions_of(placed).values():
        assert room(region, letters * 0.6 * points, 0.8 * points) is not None

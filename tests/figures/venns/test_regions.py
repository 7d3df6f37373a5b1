"""Regions, and room in them."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import Point, Polygon

from gradiend_mlflow.figures.venns.regions import deepest, errors, regions_of, room


def test_regions_divide_what_shapes_cover() -> None:
    """Two squares that overlap by a quarter; a third that touches one has no region with it."""
    shapes = [shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3), shapely.box(2, 0, 3, 1)]
    areas = {code: region.area for code, region in regions_of(shapes).items()}
    assert areas == {"100": 3, "110": 1, "010": 3, "001": 1}


def test_errors_are_differences_of_shares() -> None:
    """Of all weights, and of all that is covered."""
    shapes = [shapely.box(0, 0, 2, 1), shapely.box(1, 0, 2, 1)]
    assert errors({"10": 1, "11": 3}, shapes) == {"10": pytest.approx(0.25), "11": pytest.approx(-0.25)}
    assert errors({"11": 1, "01": 1}, shapes)["01"] == pytest.approx(-0.5)


def test_a_text_lies_within_its_region() -> None:
    """Of random regions; and where there is no room, no place on a fine grid has any."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        shapes = [Point(*random.uniform(0, 30, 2)).buffer(random.uniform(8, 25)) for _ in range(3)]
        for region in regions_of(shapes).values():
            center = room(region, 9, 4)
            if center is not None:
                found += 1
                box = shapely.box(center.x - 4.5, center.y - 2, center.x + 4.5, center.y + 2)
                assert box.difference(region.buffer(0.11)).area == pytest.approx(0, abs=1e-9)
                continue
            x, y = (axis.ravel() for axis in np.meshgrid(np.arange(-25, 55, 2.0), np.arange(-25, 55, 2.0)))
            boxes = shapely.box(x - 4.5, y - 2, x + 4.5, y + 2)
            assert not shapely.contains(region.buffer(-0.11), boxes).any()
    assert found > 40


def test_too_small_for_anything() -> None:
    """A region smaller than outlines are exact has no room, but a deepest point."""
    speck = Polygon([(0, 0), (0.01, 0), (0, 0.01)])
    assert room(speck, 5, 5) is None
    assert speck.contains(deepest(speck))

"""Trees and maps of runs, against definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.cluster.hierarchy import fcluster, is_valid_linkage
from scipy.spatial.distance import pdist, squareform

from gradiend_mlflow import InvalidInputError, SeedOverlap, SeedPolicy, TopKSet, compute_overlap
from gradiend_mlflow.overlap.statistics.neighbours import map_of, tree_of
from tests.support.sets import weighted_families

LISTS = {"a1": [0, 1, 2, 3], "b1": [9, 8, 7, 6], "a2": [0, 1, 2, 4], "b2": [9, 8, 7, 5], "a3": [0, 1, 3, 4]}


@pytest.fixture
def sets() -> dict[str, TopKSet]:
    """Two families of sets of one size."""
    return {label: TopKSet.from_indices(own, space=20) for label, own in LISTS.items()}


def test_the_tree_is_scipys(sets: dict[str, TopKSet]) -> None:
    """Average linkage of 1 - overlap, whose clusters are the families."""
    overlap = compute_overlap(sets)
    tree = overlap.tree
    assert is_valid_linkage(tree, throw=True)
    assert tree.shape == (4, 4)
    families = fcluster(tree, 2, criterion="maxclust")
    assert [families[0] == families[place] for place in range(5)] == [True, False, True, False, True]
    assert tree[-1, 2] == 1.0  # the families share nothing
    heights = sorted(tree[:, 2])
    assert heights[:3] == pytest.approx([0.25, 0.25, 0.25])
    counts = overlap.tree_of("intersection")
    np.testing.assert_allclose(counts[:, 2], tree[:, 2])


@given(weighted_families(at_least=2))
@settings(max_examples=25, deadline=None)
def test_maps_keep_distances_as_well_as_a_plane_can(family: dict[str, TopKSet]) -> None:
    """The squared distances that two dimensions cannot show are those of the eigenvalues left out."""
    overlap = compute_overlap(family)
    drawn = overlap.map(value="jaccard")
    assert np.allclose(drawn.points.mean(axis=0), 0)
    squared = 1 - overlap.jaccard
    n = len(family)
    centred = np.eye(n) - 1 / n
    products = -centred @ squared @ centred / 2
    sizes = np.sort(np.linalg.eigvalsh(products))[::-1]
    positive = np.maximum(sizes, 0)
    np.testing.assert_allclose(np.sum(drawn.points**2, axis=0), positive[:2], atol=1e-9)
    if positive.sum() > 1e-9:
        np.testing.assert_allclose(drawn.explained, positive[:2] / positive.sum(), atol=1e-9)
    assert np.array_equal(drawn.points, overlap.map(value="jaccard").points)


def test_a_plane_is_enough_for_three_runs(sets: dict[str, TopKSet]) -> None:
    """Then every distance is right."""
    overlap = compute_overlap({label: sets[label] for label in ("a1", "a2", "b1")})
    drawn = overlap.map()
    np.testing.assert_allclose(pdist(drawn.points) ** 2, 1 - squareform(overlap.intersection_frac, checks=False))
    assert sum(drawn.explained) == pytest.approx(1.0)
    assert drawn.to_frame().loc["b1"].tolist() == drawn.points[2].tolist()


def test_the_axes_point_where_they_pointed() -> None:
    """Whatever the order of the runs: the outermost run is on the positive side."""
    lists = {"a": [0, 1, 2, 3], "b": [0, 1, 2, 9], "c": [9, 0, 7, 6]}
    sets = {label: TopKSet.from_indices(own, space=20) for label, own in lists.items()}
    drawn = compute_overlap(sets).map().to_frame()
    assert drawn.max().tolist() == drawn.abs().max().tolist()
    for order in itertools.permutations(sets):
        again = compute_overlap({label: sets[label] for label in order}).map().to_frame()
        np.testing.assert_allclose(again.loc[drawn.index], drawn, atol=1e-12)


def test_runs_that_are_all_the_same_are_one_point() -> None:
    """And one line is one axis."""
    same = {name: TopKSet.from_indices([1, 2], space=9) for name in "abc"}
    drawn = compute_overlap(same).map()
    assert not drawn.points.any()
    assert drawn.explained == (0.0, 0.0)
    two = map_of(("a", "b"), np.array([[1.0, 0.5], [0.5, 1.0]]))
    np.testing.assert_allclose(np.abs(two.points), [[np.sqrt(0.5) / 2, 0]] * 2, atol=1e-12)


def test_aggregated_seeds_are_no_way_from_themselves(sets: dict[str, TopKSet]) -> None:
    """Although their own value is less than the largest."""
    policy = SeedPolicy("all_tried", "mean", seed_pairing_mode="all_pairs")
    seeds = SeedOverlap(("a", "b"), compute_overlap(sets), ((0, 2, 4), (1, 3)), policy)
    assert seeds.values()[0, 0] < 1
    assert seeds.tree[0].tolist() == [0, 1, 1, 2]
    assert pdist(seeds.map().points)[0] == pytest.approx(1.0)


def test_one_run_has_no_neighbours() -> None:
    """Neither a tree nor a map."""
    alone = compute_overlap({"a": TopKSet.from_indices([1], space=9)})
    with pytest.raises(InvalidInputError, match="a tree needs at least two runs; got 1"):
        _ = alone.tree
    with pytest.raises(InvalidInputError, match="a map needs at least two runs; got 1"):
        alone.map()
    assert tree_of(np.eye(2)).shape == (1, 4)

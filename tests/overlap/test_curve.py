"""Curves over k: every point is the overlap of shorter sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from gradiend_mlflow import InvalidInputError, TopKSet, WeightSpace, compute_overlap
from tests.support.sets import families


@given(families(at_most=5))
@settings(max_examples=50)
def test_every_point_is_an_overlap_of_its_own(family: dict[str, TopKSet]) -> None:
    """As if only k weights had been logged."""
    smallest = min(map(len, family.values()))
    curve = compute_overlap(family).overlap_curve(range(1, smallest + 1))
    assert curve.ks.tolist() == list(range(1, smallest + 1))
    for k, shared, expected in zip(curve.ks, curve.intersection, curve.expected, strict=True):
        cut = compute_overlap({label: topk_set.top(int(k)) for label, topk_set in family.items()})
        np.testing.assert_array_equal(shared, cut.intersection)
        np.testing.assert_allclose(expected, cut.chance().expected)
    assert (np.diff(curve.intersection, axis=0) >= 0).all()
    np.testing.assert_array_equal(curve.intersection_frac[-1], curve.intersection[-1] / smallest)


def test_as_a_frame() -> None:
    """One row per pair and k, with the measures that follow from the count."""
    sets = {"a": [0, 1, 2, 3], "b": [1, 0, 5, 4], "c": [9, 8, 7, 6]}
    overlap = compute_overlap({label: TopKSet.from_indices(ids, space=20) for label, ids in sets.items()})
    frame = overlap.overlap_curve([1, 2, 4]).to_frame().set_index(["a", "b", "k"])
    assert frame.loc["a", "b"]["intersection"].tolist() == [0, 2, 2]
    assert frame.loc[("a", "b", 4)].to_dict() == pytest.approx(
        {"intersection": 2, "intersection_frac": 0.5, "jaccard": 1 / 3, "expected": 0.8, "lift": 2.5}
    )
    assert (frame.loc["a", "c"]["lift"] == 0).all()
    assert len(frame) == 9


def test_default_ks_are_log_spaced_up_to_the_smallest_set() -> None:
    """Five per factor of ten."""
    sets = {name: TopKSet.from_indices(range(k), space=20_000) for name, k in (("a", 20_000), ("b", 10_000))}
    ks = compute_overlap(sets).overlap_curve().ks.tolist()
    assert ks == [1, 2, 3, 4, 6, 10, 16, 25, 40, 63, 100, 158, 251, 398, 631, 1000, 1585, 2512, 3981, 6310, 10000]
    assert compute_overlap({"a": TopKSet.from_indices([3], space=5)}).overlap_curve().ks.tolist() == [1]


@pytest.mark.parametrize("ks", [[], [0, 1], [1, 6], [1.5], 3])
def test_other_ks_are_refused(ks: Any) -> None:
    """Outside the sets, or no ints."""
    overlap = compute_overlap({"a": TopKSet.from_indices(range(5), space=9)})
    with pytest.raises(InvalidInputError, match="ks must"):
        overlap.overlap_curve(ks)


def test_an_empty_set_has_no_curve() -> None:
    """As within a layer in which one run has no weight: an error says so."""
    space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
    sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
    within = compute_overlap(sets).by_layer().overlaps["layer_0"]
    with pytest.raises(InvalidInputError, match="one of them is empty"):
        within.overlap_curve()
    with pytest.raises(InvalidInputError, match="k must be an int of at least 1"):
        compute_overlap(sets).top(-1)


def test_values_by_name() -> None:
    """What was found and what chance would give, as the same measure."""
    curve = compute_overlap(
        {"a": TopKSet.from_indices([0, 1], space=4), "b": TopKSet.from_indices([1, 0], space=4)}
    ).overlap_curve([1, 2])
    assert [curve.values(v)[:, 0, 1].tolist() for v in ("intersection", "jaccard")] == [[0, 2], [0, 1]]
    assert curve.values("intersection", by_chance=True)[:, 0, 1].tolist() == [0.25, 1]
    assert curve.values("jaccard", by_chance=True)[1, 0, 1] == pytest.approx(1 / 3)
    with pytest.raises(InvalidInputError, match="value must be one of"):
        curve.values("rbo")  # type: ignore[arg-type]

"""Sums over shared weights: what every pair's number is made of, against plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.overlap.layout import ranked
from gradiend_mlflow.overlap.layout.ranked import distinct

SPACES = (
    WeightSpace(("query", "key"), ((4, 5), (3,))),
    WeightSpace(("key", "value"), ((3,), (7,))),
    WeightSpace(("value", "huge"), ((7,), (2**50,))),
)


@st.composite
def families(draw: st.DrawFn) -> dict[str, TopKSet]:
    """Up to 40 sets of any sizes over different selections of parameters, among them equal and disjoint ones."""
    made: dict[str, TopKSet] = {}
    for number in range(draw(st.integers(1, 40))):
        if made and draw(st.booleans()):
            made[f"run {number}"] = draw(st.sampled_from(list(made.values())))
        else:
            space = draw(st.sampled_from(SPACES))
            indices = draw(st.lists(st.integers(0, min(space.size, 30) - 1), min_size=1, unique=True))
            made[f"run {number}"] = TopKSet.from_indices(indices, space=space)
    return made


def by_identity(topk_set: TopKSet) -> dict[tuple[str, int], int]:
    """Each weight's rank from 0, under its parameter's name and its offset."""
    names = [topk_set.space.names[param] for param in topk_set.param_ids]
    return {weight: rank for rank, weight in enumerate(zip(names, topk_set.offsets.tolist(), strict=True))}


@pytest.mark.parametrize("crowded", [0.0, 1 / 16, 1.0], ids=["dense", "mixed", "sparse"])
@given(family=families(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_products_are_those_of_python(crowded: float, family: dict[str, TopKSet], seed: int) -> None:
    """Counts to the last one, and sums of products, whichever of the two ways they take."""
    random = np.random.default_rng(seed)
    left, right = ([random.normal(size=len(own)) for own in family.values()] for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranked, "_CROWDED", crowded)
        patch.setattr(ranked, "_BLOCK", 3)
        sets = compute_overlap(family).ranked
        counts, sums, squares = (
            sets.products(None, None),
            sets.products(left, right),
            sets.products(left, left),
        )
    plain = [by_identity(own) for own in family.values()]
    for i, a in enumerate(plain):
        for j, b in enumerate(plain):
            both = a.keys() & b.keys()
            assert counts[i, j] == len(both)
            assert sums[i, j] == pytest.approx(sum(left[i][a[w]] * right[j][b[w]] for w in both), abs=1e-9)
            assert squares[i, j] == squares[j, i]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([[3, 1]], [[2]]),
        ([[3, 1], [1, 3]], [[2, 2], [2, 2]]),
        ([[0], [1, 2], [3, 4, 5]], [[1, 0, 0], [0, 2, 0], [0, 0, 3]]),
        ([[0], [1, 0], [2, 1, 0]], [[1, 1, 1], [1, 2, 2], [1, 2, 3]]),
    ],
    ids=["one set", "identical", "disjoint", "nested"],
)
def test_edges(lists: list[list[int]], expected: Any) -> None:
    """A set alone, and those that share all, nothing, or as much as the smaller holds."""
    sets = {str(number): TopKSet.from_indices(indices, space=9) for number, indices in enumerate(lists)}
    assert compute_overlap(sets).intersection.tolist() == expected


@given(
    st.one_of(st.lists(st.integers(0, most), min_size=1, max_size=200) for most in (9, 500, 2**62 - 1)),
    st.sampled_from([1, 7, 2**16]),
)
def test_distinct_keys_are_numpys(keys: list[int], step: int) -> None:
    """As `np.unique`, for small numbers and for those that do not fit beside their places, in steps of any size."""
    array = np.array(keys, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranked, "_STEP", step)
        found = distinct(array, max(keys) + 1)
    for mine, theirs in zip(found, np.unique(array, return_inverse=True), strict=True):
        np.testing.assert_array_equal(mine, theirs)

"""Two overlaps compared: by label, whatever the order and whoever is missing."""

from __future__ import annotations

import numpy as np
import pytest

from gradiend_mlflow import InvalidInputError, Overlap, SeedOverlap, SeedPolicy, TopKSet, compute_overlap


def overlap_of(**lists: list[int]) -> Overlap:
    """Sets over 20 weights."""
    return compute_overlap({label: TopKSet.from_indices(own, space=20) for label, own in lists.items()})


FIRST = overlap_of(a=[0, 1, 2, 3], b=[0, 1, 2, 9], c=[0, 8, 7, 6], d=[5])
SECOND = overlap_of(x=[19], c=[0, 1, 7, 6], b=[0, 1, 3, 9], a=[0, 1, 2, 3])


def test_pairs_are_matched_by_label() -> None:
    """In the order of the first; who is in one only is named."""
    change = FIRST.difference(SECOND)
    assert change.labels == ("a", "b", "c")
    assert change.left_out == ("d", "x")
    assert change.to_frame().loc["a", "b"] == 0.75 - 0.75
    assert change.to_frame().loc["b", "c"] == change.to_frame().loc["c", "b"] == 0.25 - 0.5
    assert np.diag(change.matrix).tolist() == [0, 0, 0]
    np.testing.assert_array_equal(change.matrix, -SECOND.difference(FIRST).to_frame().loc[list("abc"), list("abc")])


def test_the_table_has_the_largest_changes_first() -> None:
    """Up or down."""
    table = FIRST.difference(SECOND, value="intersection").to_pairs()
    assert table.columns.tolist() == ["a", "b", "first", "second", "difference"]
    assert table.to_numpy().tolist() == [["a", "c", 1, 2, -1], ["b", "c", 1, 2, -1], ["a", "b", 3, 3, 0]]


def test_seeds_can_be_compared_with_single_sets() -> None:
    """By their trainings' labels."""
    policy = SeedPolicy("all_tried", "mean", seed_pairing_mode="all_pairs")
    seeds = SeedOverlap(("a", "b"), FIRST, ((0, 1), (2,)), policy)
    change = seeds.difference(SECOND)
    assert change.to_frame().loc["a", "b"] == 0.25 - 0.75
    assert SECOND.difference(seeds).left_out == ("x", "c")
    assert np.isnan(np.diag(change.matrix)).all(), "seeds with each other, and a set with itself"
    assert np.diag(seeds.difference(seeds).matrix).tolist() == [0, 0]


@pytest.mark.parametrize("other", [overlap_of(p=[1], q=[2]), overlap_of(a=[1], q=[2])])
def test_nothing_in_common_is_refused(other: Overlap) -> None:
    """With the labels of both."""
    with pytest.raises(
        InvalidInputError, match=r"at least two labels in common; got (a|none) of a, b, c, d and [ap], q"
    ):
        FIRST.difference(other)
    with pytest.raises(InvalidInputError, match="names must be two different strings"):
        FIRST.difference(SECOND, names=("k", "k"))
    with pytest.raises(InvalidInputError, match="value must be one of"):
        FIRST.difference(SECOND, value="same")  # type: ignore[arg-type]

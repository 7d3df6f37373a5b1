"""What ties leave open of an overlap: against every order that equally important weights could have had."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import Overlap, TopKSet, compute_overlap

INPUTS = 7
importances = st.lists(st.integers(0, 3), min_size=INPUTS, max_size=INPUTS)


def ranked(importance: list[int], k: int, *, kept: int | None = None) -> TopKSet:
    """The first k weights of a GRADIEND of these importances, of a file that has more of them."""
    order = np.argsort(-np.array(importance), kind="stable")[: kept or k]
    values = np.array(importance)[order]
    whole = TopKSet.from_indices(order, space=INPUTS, importance=values)
    return replace(whole, ties_at_cut=importance.count(values[-1])).top(k)


def every_set(importance: list[int], k: int) -> list[set[int]]:
    """Each set of k weights of which none is less important than one that is left out."""
    return [
        set(chosen)
        for chosen in combinations(range(INPUTS), k)
        if min(importance[i] for i in chosen) >= max([importance[i] for i in range(INPUTS) if i not in chosen] or [0])
    ]


def drawn(a: list[int], b: list[int], sizes: tuple[int, int], kept: int) -> Overlap:
    """The overlap of two such sets."""
    pairs = zip("ab", (a, b), sizes, strict=True)
    return compute_overlap({label: ranked(values, k, kept=max(k, kept)) for label, values, k in pairs})


@given(a=importances, b=importances, sizes=st.tuples(st.integers(1, 7), st.integers(1, 7)), kept=st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_bounds_hold_for_every_order(a: list[int], b: list[int], sizes: tuple[int, int], kept: int) -> None:
    """They are the formula's, hold for whatever could have been in, and are the overlap itself where nothing ties."""
    overlap = drawn(a, b, sizes, kept)
    ties = overlap.ties
    possible = [every_set(values, k) for values, k in zip((a, b), sizes, strict=True)]
    sure = [set.intersection(*sets) for sets in possible]
    arbitrary = [k - len(own) for k, own in zip(sizes, sure, strict=True)]
    assert ties.sets["k"].tolist() == list(sizes)
    assert ties.sets["sure"].tolist() == [len(own) for own in sure]
    assert ties.sets["arbitrary"].tolist() == arbitrary
    assert ties.sets["tied"].tolist() == [
        values.count(sorted(values)[-k]) for values, k in zip((a, b), sizes, strict=True)
    ]
    least = len(sure[0] & sure[1])
    (row,) = ties.to_frame().to_dict("records")
    assert (row["lower"], row["upper"]) == (least, min(*sizes, least + sum(arbitrary)))
    assert all(row["lower"] <= len(x & y) <= row["upper"] for x, y in product(*possible))
    assert row["lower"] <= row["shared"] <= row["upper"]
    of_smaller = [float(matrix[0, 1]) for matrix in overlap.tie_bounds() or ()]
    assert of_smaller == [row["lower"] / min(sizes), row["upper"] / min(sizes)]
    assert [matrix[0, 1] for matrix in overlap.tie_bounds("jaccard") or ()] == [
        row[end] / (sum(sizes) - row[end]) for end in ("lower", "upper")
    ]
    assert overlap.tie_bounds("rbo") is None
    if not any(arbitrary):
        assert row["lower"] == row["shared"] == row["upper"]
    assert np.diag(ties.lower).tolist() == np.diag(ties.upper).tolist() == list(sizes)
    assert ties.unknown == ()


@given(a=importances, b=importances, k=st.integers(1, 7))
@settings(deadline=None)
def test_first_weights_of_an_overlap_tie_as_those_of_its_sets(a: list[int], b: list[int], k: int) -> None:
    """`Overlap.top` knows what `TopKSet.top` knows."""
    whole = drawn(a, b, (7, 5), 0)
    direct = drawn(a, b, (k, min(k, 5)), 0)
    pd.testing.assert_frame_equal(whole.top(k).ties.sets, direct.ties.sets)
    pd.testing.assert_frame_equal(whole.top(k).ties.to_frame(), direct.ties.to_frame())


def test_what_is_not_known_is_missing() -> None:
    """Of sets that do not say so, until a cut above the ties at their end; of their pairs; of parts of sets."""
    plain = TopKSet.from_indices([0, 1, 2, 3], space=9, importance=[2, 2, 1, 1])
    overlap = compute_overlap(
        {"old": plain, "new": replace(plain, ties_at_cut=3), "newer": replace(plain, ties_at_cut=2)}
    )
    ties = overlap.ties
    assert ties.unknown == ("old",)
    assert "1 of 3 unknown" in repr(ties)
    assert "unknown" in ties._repr_html_()
    assert "0 of 0" not in repr(compute_overlap({"old": plain}).ties)
    assert ties.sets.loc["old"].isna().tolist() == [False, True, True, False, True]
    frame = ties.to_frame().set_index(["a", "b"])
    assert frame.loc[("old", "new"), ["lower", "upper"]].isna().all()
    assert frame.loc[("new", "newer")].tolist() == [4, 2, 4]
    assert ties.lower[0].tolist() == pytest.approx([4, np.nan, np.nan], nan_ok=True)
    assert overlap.top(3).ties.unknown == ("old",)
    above = overlap.top(1).ties
    assert above.unknown == ()
    assert above.sets.loc["old"].to_dict() == {"k": 1, "sure": 0, "arbitrary": 1, "at_end": 1, "tied": 2}
    (part,) = overlap.by_param().overlaps.values()
    assert part.ties.unknown == overlap.labels

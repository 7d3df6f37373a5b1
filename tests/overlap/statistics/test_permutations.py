"""Exchanged labels: every one once, as often as chance would have it, and what a p-value of them is worth."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow.overlap.statistics import permutations as module
from gradiend_mlflow.overlap.statistics.group_means import mean_against_rest, mean_difference, pair_values
from gradiend_mlflow.overlap.statistics.permutations import Labelings, PermutationTest, permutation_test


def exchanged(labels: list[int], strata: list[int]) -> set[tuple[int, ...]]:
    """All labelings, by trying every permutation: slow and plain."""
    return {
        tuple(labels[place] for place in order)
        for order in itertools.permutations(range(len(labels)))
        if all(strata[a] == strata[b] for a, b in enumerate(order))
    }


def partition(labels: tuple[int, ...]) -> frozenset[frozenset[int]]:
    """Who is with whom."""
    return frozenset(frozenset(place for place, own in enumerate(labels) if own == label) for label in set(labels))


@st.composite
def designs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Labels of up to 7 trainings without gaps, and their strata."""
    drawn = draw(st.lists(st.integers(0, 2), min_size=2, max_size=7))
    labels = np.unique(drawn, return_inverse=True)[1].tolist()
    strata = draw(st.lists(st.integers(0, 1), min_size=len(labels), max_size=len(labels)))
    return labels, np.unique(strata, return_inverse=True)[1].tolist()


@given(designs())
@settings(max_examples=40, deadline=None)
def test_every_labeling_comes_once(design: tuple[list[int], list[int]]) -> None:
    """As brute force finds them; without names, those that group alike are one."""
    labels, strata = (np.array(own) for own in design)
    named, nameless = Labelings(labels, strata, nameless=False), Labelings(labels, strata, nameless=True)
    expected = exchanged(*design)
    found = [tuple(row) for row in named.all().tolist()]
    assert len(found) == named.number == len(expected)
    assert set(found) == expected
    found = [partition(tuple(row)) for row in nameless.all().tolist()]
    assert len(found) == nameless.number == len(set(found))
    assert set(found) == {partition(labeling) for labeling in expected}


@pytest.mark.parametrize(
    ("sizes", "number"),
    [((2, 2), 3), ((3, 3), 10), ((4, 4), 35), ((2, 2, 2), 15), ((3, 2, 1, 1), 210), ((99, 2), 5050)],
)
def test_groups_of_one_size_can_change_places(sizes: tuple[int, ...], number: int) -> None:
    """So that 2 + 2 trainings have three ways to group them, not six."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    labelings = Labelings(labels, np.zeros_like(labels), nameless=True)
    assert labelings.number == number == len(np.unique(labelings.all(), axis=0))


def test_random_labelings_are_equally_likely() -> None:
    """And stay inside their strata."""
    labels, strata = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, 0, 1])
    labelings = Labelings(labels, strata, nameless=False)
    drawn = labelings.drawn(9000, np.random.default_rng(0))
    kinds, counts = np.unique(drawn, axis=0, return_counts=True)
    assert {tuple(kind) for kind in kinds.tolist()} == exchanged(labels.tolist(), strata.tolist())
    expected = 9000 / labelings.number
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


def overlaps(rng: np.random.Generator, n: int) -> npt.NDArray[Any]:
    """Trainings without groups that differ in how much they share with everybody, as sets of weights."""
    held = rng.random((n, 40)) < rng.uniform(0.2, 0.8, (n, 1))
    shared = held.astype(float) @ held.T
    sizes = np.maximum(held.sum(axis=1), 1)
    return shared / np.minimum.outer(sizes, sizes)


@pytest.mark.parametrize(
    ("sizes", "strata", "permutations"),
    [
        ((4, 4), (0,) * 8, 10_000),
        ((2, 3, 2), (0,) * 7, 10_000),
        ((4, 4), (0, 0, 1, 1) * 2, 10_000),
        ((5, 5), (0,) * 10, 19),
    ],
)
def test_no_p_value_is_too_small(sizes: tuple[int, ...], strata: tuple[int, ...], permutations: int) -> None:
    """Where groups mean nothing, p <= a happens in at most the share a of studies, at every a that p can take."""
    studies, rng = 1500, np.random.default_rng(1)
    labels, own = np.repeat(np.arange(len(sizes)), sizes), np.array(strata)
    labelings = Labelings(labels, own, nameless=True)
    p_values = np.empty(studies)
    for study in range(studies):
        matrix = overlaps(rng, len(labels))
        result = permutation_test(
            mean_difference(matrix, labels), labelings, permutations=permutations, rounding=1e-12, rng=rng
        )
        p_values[study] = result.p_value
    number = result.tried if result.exact else 1 + result.tried
    for level in np.arange(1, number + 1) / number:
        error = math.sqrt(level * (1 - level) / studies)
        found = np.mean(p_values <= level + 1e-9)
        assert found <= level + 4 * error, f"P(p <= {level:.3f}) = {found:.3f}"
    assert np.mean(p_values <= 0.5) > 0.4, "p-values that are never small would pass too"


def test_pairs_as_units_would_find_what_is_not_there() -> None:
    """The same studies, with labels exchanged among pairs: far too often significant, because pairs share trainings.

    One training that overlaps with everybody lifts all the pairs that it is in.
    """
    studies, rng, labels = 300, np.random.default_rng(2), np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
    by_pairs, by_trainings = 0, 0
    labelings = Labelings(labels, np.zeros_like(labels), nameless=True)
    for _ in range(studies):
        matrix = overlaps(rng, len(labels))
        within, between = pair_values(matrix, labels)
        pooled = np.concatenate([within, between])
        shuffled = rng.permuted(np.tile(pooled, (199, 1)), axis=1)
        means = shuffled[:, : len(within)].mean(axis=1) - shuffled[:, len(within) :].mean(axis=1)
        by_pairs += (1 + np.count_nonzero(means >= within.mean() - between.mean())) / 200 <= 0.05
        statistic = mean_difference(matrix, labels)
        result = permutation_test(statistic, labelings, permutations=199, rounding=1e-12, rng=rng)
        by_trainings += result.p_value <= 0.05
    assert by_pairs / studies > 0.12
    assert by_trainings / studies < 0.05 + 4 * math.sqrt(0.05 * 0.95 / studies)


@given(designs(), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_statistics_by_definition(design: tuple[list[int], list[int]], seed: int) -> None:
    """Of many labelings at once, as pair by pair."""
    labels = np.array(design[0])
    sizes = np.bincount(labels)
    matrix = overlaps(np.random.default_rng(seed), len(labels))
    labelings = Labelings(labels, np.array(design[1]), nameless=False).all()
    pairs = list(itertools.combinations(range(len(labels)), 2))
    if len(sizes) > 1 and sizes.max() > 1:
        found = mean_difference(matrix, labels)(labelings)
        for own, difference in zip(labelings, found, strict=True):
            within = [matrix[a, b] for a, b in pairs if own[a] == own[b]]
            between = [matrix[a, b] for a, b in pairs if own[a] != own[b]]
            assert difference == pytest.approx(np.mean(within) - np.mean(between), abs=1e-12)
    if len(sizes) == 2 and sizes[1] > 1:
        found = mean_against_rest(matrix, int(sizes[1]))(labelings)
        for own, difference in zip(labelings, found, strict=True):
            within = [matrix[a, b] for a, b in pairs if own[a] == own[b] == 1]
            across = [matrix[a, b] for a, b in pairs if own[a] != own[b]]
            assert difference == pytest.approx(np.mean(within) - np.mean(across), abs=1e-12)


@pytest.mark.parametrize("permutations", [500, 100])
def test_blocks_change_nothing_but_the_memory(permutations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of all labelings nor of random ones."""
    labels = np.repeat([0, 1], [29, 2])  # 465 ways
    labelings = Labelings(labels, np.zeros_like(labels), nameless=True)
    statistic = mean_difference(overlaps(np.random.default_rng(0), 31), labels)

    def result() -> PermutationTest:
        rng = np.random.default_rng(3)
        return permutation_test(statistic, labelings, permutations=permutations, rounding=1e-12, rng=rng)

    at_once = result()
    monkeypatch.setattr(module, "_CELLS", 31 * 7)
    assert result() == at_once
    assert (at_once.exact, at_once.tried) == ((True, 465) if permutations == 500 else (False, 100))
    if not at_once.exact:
        assert at_once.mc_error == pytest.approx(math.sqrt(at_once.p_value * (1 - at_once.p_value) / 100))

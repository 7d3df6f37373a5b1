"""Chance levels: scipy's distribution, a permutation test, and which weights count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import false_discovery_control, hypergeom

from gradiend_mlflow import InvalidInputError, TopKSet, WeightSpace, compute_overlap
from tests.support.sets import SIZE, families


@given(families(at_most=6))
@settings(max_examples=50)
def test_equals_scipys_hypergeometric(family: dict[str, TopKSet]) -> None:
    """Mean, lift and upper tail of every pair; with sets of all sizes."""
    overlap = compute_overlap(family)
    chance = overlap.chance()
    for (i, a), (j, b) in itertools.product(enumerate(overlap.sizes.tolist()), repeat=2):
        observed = overlap.intersection[i, j]
        assert chance.population[i, j] == SIZE
        assert chance.expected[i, j] == pytest.approx(a * b / SIZE)
        assert chance.lift[i, j] == pytest.approx(observed * SIZE / (a * b))
        tail = np.nan if i == j else hypergeom.sf(observed - 1, SIZE, a, b)
        assert chance.p_value[i, j] == pytest.approx(tail, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(("size", "k", "shared"), [(10**8, 10_000, 1), (10**8, 10_000, 60), (10**9, 10_000, 300)])
def test_as_large_as_it_gets(size: int, k: int, shared: int) -> None:
    """A base model of billions of weights."""
    a = TopKSet.from_indices(np.arange(k), space=size)
    b = TopKSet.from_indices(np.arange(k) + k - shared, space=size)
    found = compute_overlap({"a": a, "b": b}).chance().p_value[0, 1]
    assert found == pytest.approx(hypergeom.sf(shared - 1, size, k, k), rel=1e-6)


def test_equals_a_permutation_test() -> None:
    """The share of 20,000 random selections that share as much or more."""
    random = np.random.default_rng(0)
    sets = {
        "a": TopKSet.from_indices(range(12), space=40),
        "b": TopKSet.from_indices(range(6, 21), space=40),
    }
    overlap = compute_overlap(sets)
    draws = np.argsort(random.random((20_000, 40)), axis=1)[:, :15]
    at_random = np.isin(draws, np.arange(12)).sum(axis=1)
    chance = overlap.chance()
    assert chance.expected[0, 1] == pytest.approx(at_random.mean(), rel=0.01)
    assert chance.p_value[0, 1] == pytest.approx((at_random >= overlap.intersection[0, 1]).mean(), abs=0.01)


@given(families(at_most=6))
@settings(max_examples=50)
def test_q_values_are_benjamini_and_hochbergs(family: dict[str, TopKSet]) -> None:
    """By their definition: the smallest p_j m / rank_j among the p-values from this one up."""
    chance = compute_overlap(family).chance()
    above = np.triu_indices(len(family), k=1)
    p, q = chance.p_value[above], chance.q_value[above]
    for value, corrected in zip(p, q, strict=True):
        candidates = [other * len(p) / (p <= other).sum() for other in p if other >= value]
        assert corrected == pytest.approx(min(candidates))
    np.testing.assert_array_equal(chance.q_value, chance.q_value.T)


def test_only_parameters_that_both_have_count() -> None:
    """Weights that the other run could not choose are neither in N nor in k."""
    whole = TopKSet.from_indices([0, 1, 4, 5, 6], space=WeightSpace(("query", "key"), ((2, 2), (3, 2))))
    half = TopKSet.from_indices([0, 5], space=WeightSpace(("key",), ((3, 2),)))
    chance = compute_overlap({"whole": whole, "half": half}).chance()
    assert chance.population.tolist() == [[10, 6], [6, 6]]
    assert chance.expected[0, 1] == pytest.approx(3 * 2 / 6)
    assert chance.p_value[0, 1] == pytest.approx(hypergeom.sf(0, 6, 3, 2))


def test_nothing_in_common_is_no_surprise() -> None:
    """No common parameter: nothing expected, nothing found, nothing to test; other pairs are corrected without it."""
    spaces = {"a": ("x",), "b": ("y",), "c": ("x", "y")}
    sets = {
        label: TopKSet.from_indices([0], space=WeightSpace(names, ((3,),) * len(names)))
        for label, names in spaces.items()
    }
    chance = compute_overlap(sets).chance()
    assert (chance.population[0, 1], chance.expected[0, 1]) == (0, 0)
    assert np.isnan([chance.lift[0, 1], chance.p_value[0, 1], chance.q_value[0, 1]]).all()
    tested = chance.p_value[[0, 1], [2, 2]]
    np.testing.assert_allclose(chance.q_value[[0, 1], [2, 2]], false_discovery_control(tested))


def test_a_population_of_ones_own() -> None:
    """Such as what a common pruning left; it cannot be smaller than a set."""
    overlap = compute_overlap({name: TopKSet.from_indices([0, 1, 2], space=100) for name in "ab"})
    assert overlap.chance(population=9).expected[0, 1] == 1
    assert overlap.chance(population=9).lift[0, 1] == 3
    with pytest.raises(InvalidInputError, match=r"'a' and 'a' must hold at least the 3 weights .* got 2"):
        overlap.chance(population=2)
    disjoint = {"a": TopKSet.from_indices([0, 1, 2], space=9), "b": TopKSet.from_indices([3, 4, 5], space=9)}
    with pytest.raises(InvalidInputError, match="'a' and 'b' must hold at least the 6 weights"):
        compute_overlap(disjoint).chance(population=5)
    with pytest.raises(InvalidInputError, match=r"population must be an int of at least 0; got 9\.5"):
        overlap.chance(population=9.5)


def test_one_set_alone() -> None:
    """No pair, nothing to test."""
    chance = compute_overlap({"a": TopKSet.from_indices([0], space=3)}).chance()
    assert np.isnan(chance.p_value).all()
    assert chance.to_frame("expected").loc["a", "a"] == pytest.approx(1 / 3)
    with pytest.raises(InvalidInputError, match="population, expected, lift, p_value, q_value; got 'p'"):
        chance.to_frame("p")

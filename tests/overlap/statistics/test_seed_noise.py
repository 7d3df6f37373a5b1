"""How far seeds agree: trainings with known noise give back what was planted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gradiend_mlflow import InvalidInputError, Overlap, SeedOverlap, SeedPolicy, TopKSet, compute_overlap

POLICY = SeedPolicy("all_tried", "mean", seed_pairing_mode="all_pairs")
SPACE = 1_000_000
K, KEPT, COMMON, OF_SEED = 400, 300, 200, 40


def noisy(seeds: int, *, trainings: int = 3, seed: int = 0) -> SeedOverlap:
    """Trainings that have half of their weights in common, of which each seed finds three quarters.

    Seed number s of every training also holds the same `OF_SEED` weights, as from one initialisation; the rest of a
    seed's set is its own. So two seeds of a training share 300 x 300 / 400 weights of 400, and two of different
    trainings half as many, and 40 more if they have one number.
    """
    rng = np.random.default_rng(seed)
    sets = {}
    for training in range(trainings):
        true = np.concatenate([np.arange(COMMON), 1000 * (training + 1) + np.arange(K - COMMON)])
        for number in range(seeds):
            found = rng.choice(true, KEPT, replace=False)
            of_seed = 50_000 + OF_SEED * number + np.arange(OF_SEED)
            own = rng.choice(np.arange(100_000, SPACE), K - KEPT - OF_SEED, replace=False)
            sets[f"{training}, {number}"] = TopKSet.from_indices(np.concatenate([found, of_seed, own]), space=SPACE)
    members = tuple(tuple(range(training * seeds, (training + 1) * seeds)) for training in range(trainings))
    return SeedOverlap(tuple("abc"[:trainings]), compute_overlap(sets), members, POLICY)


def by_hand(matrix: Any, members: tuple[tuple[int, ...], ...], numbers: Any = None) -> SeedOverlap:
    """Seeds with these numbers of shared weights, 100 each."""
    free = itertools.count(10_000)
    lists: list[list[int]] = [[] for _ in matrix]
    for a, b in itertools.combinations(range(len(matrix)), 2):
        for _ in range(matrix[a][b]):
            weight = next(free)
            lists[a].append(weight)
            lists[b].append(weight)
    sets = {
        str(row): TopKSet.from_indices([*own, *(next(free) for _ in range(100 - len(own)))], space=SPACE)
        for row, own in enumerate(lists)
    }
    return SeedOverlap(tuple("abcd"[: len(members)]), compute_overlap(sets), members, POLICY, numbers)


def test_known_noise_gives_back_its_ceiling() -> None:
    """And, relative to it, the half that the trainings truly have in common."""
    seeds = noisy(12)
    ceiling = seeds.ceiling
    assert ceiling["pairs"].tolist() == [66, 66, 66]
    np.testing.assert_allclose(ceiling["mean"], KEPT**2 / K / K, atol=0.01)
    found = seeds.relative()
    np.testing.assert_allclose(found[np.triu_indices(3, k=1)], COMMON / K, atol=0.02)
    assert np.diag(found).tolist() == [1, 1, 1]
    # What one initialisation brings is in the numbers over all pairs, and not in the relative ones.
    expected = KEPT**2 / K / K * COMMON / K
    np.testing.assert_allclose(seeds.noise().different[0, 1], expected, atol=0.01)
    np.testing.assert_allclose(seeds.values()[0, 1], expected + OF_SEED / K / 12, atol=0.01)
    assert not seeds.at_ceiling()[np.triu_indices(3, k=1)].any()


def test_the_same_training_twice_is_at_its_ceiling() -> None:
    """Relative to what seeds allow, all of it is the same."""
    one = noisy(8, trainings=1)
    halves = SeedOverlap(("a", "b"), one.overlap, ((0, 1, 2, 3), (4, 5, 6, 7)), POLICY, tuple(range(8)))
    assert halves.relative()[0, 1] == pytest.approx(1.0, abs=0.05)
    assert halves.at_ceiling().all()


def test_ceiling_by_hand() -> None:
    """Every pair of seeds once; a single pair has no std, a single seed nothing."""
    matrix = [
        [0, 20, 30, 5, 6, 7],
        [20, 0, 10, 8, 9, 10],
        [30, 10, 0, 1, 2, 3],
        [5, 8, 1, 0, 15, 4],
        [6, 9, 2, 15, 0, 3],
        [7, 10, 3, 4, 3, 0],
    ]
    seeds = by_hand(matrix, ((0, 1, 2), (3, 4), (5,)))
    ceiling = seeds.ceiling_of("intersection")
    assert ceiling.index.tolist() == ["a", "b", "c"]
    assert ceiling.columns.tolist() == ["mean", "std", "min", "max", "pairs"]
    assert ceiling.loc["a"].tolist() == [20, 10, 10, 30, 3]
    np.testing.assert_array_equal(ceiling.loc["b"], [15, np.nan, 15, 15, 1])
    np.testing.assert_array_equal(ceiling.loc["c"], [np.nan, np.nan, np.nan, np.nan, 0])
    # Seeds 0, 1, 2 and 0, 1: six pairs, of which (0, 0) and (1, 1) may share their initialisation.
    different = np.mean([6, 8, 1, 2])
    assert seeds.relative("intersection")[0, 1] == pytest.approx(different / np.sqrt(20 * 15))
    assert np.isnan(seeds.relative("intersection")[:, 2]).all()
    assert seeds.to_frame("intersection", relative=True).loc["a", "b"] == seeds.relative("intersection")[0, 1]
    assert not seeds.at_ceiling("intersection")[:, 2].any()


def test_at_ceiling_is_at_least_the_less_alike_seeds() -> None:
    """Of either training: the smaller of the two smallest."""
    matrix = np.zeros((4, 4), dtype=int)
    matrix[0, 1], matrix[2, 3] = 30, 12
    matrix[0, 3] = matrix[1, 2] = 12
    assert by_hand(matrix, ((0, 1), (2, 3))).at_ceiling()[0, 1]
    matrix[0, 3] = 11
    assert not by_hand(matrix, ((0, 1), (2, 3))).at_ceiling()[0, 1]


def test_seeds_are_told_apart_by_their_numbers() -> None:
    """Not by their places, if some did not converge; a seed without a number is known to differ from none."""
    matrix = np.zeros((4, 4), dtype=int)
    matrix[0, 1] = matrix[2, 3] = 50
    matrix[0, 2], matrix[0, 3], matrix[1, 2], matrix[1, 3] = 1, 2, 4, 8
    members = ((0, 1), (2, 3))
    assert by_hand(matrix, members).noise("intersection").different[0, 1] == (2 + 4) / 2
    assert by_hand(matrix, members, (0, 1, 1, 2)).noise("intersection").different[0, 1] == (1 + 2 + 8) / 3
    assert by_hand(matrix, members, (0, 1, 1, None)).noise("intersection").different[0, 1] == 1
    unknown = by_hand(matrix, members, (None,) * 4)
    assert np.isnan(unknown.relative()[0, 1])
    assert not unknown.at_ceiling()[0, 1]
    assert unknown.ceiling["mean"].tolist() == [0.5, 0.5]


def test_nothing_is_relative_to_nothing() -> None:
    """Seeds that share nothing are no ceiling; signed measures have none."""
    seeds = by_hand(np.zeros((4, 4), dtype=int), ((0, 1), (2, 3)))
    assert np.isnan(seeds.relative()).all()
    for value in ("cosine_signed", "spearman_signed"):
        with pytest.raises(InvalidInputError, match=f"a measure that is never negative; got '{value}'"):
            seeds.relative(value)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="value must be one of"):
        seeds.ceiling_of("same")  # type: ignore[arg-type]


def test_means_and_spreads_by_hand() -> None:
    """Over all pairs of seeds of two trainings; the spread within is pooled."""
    matrix = np.zeros((5, 5), dtype=int)
    matrix[0, 2], matrix[0, 3], matrix[1, 2], matrix[1, 3] = 1, 2, 4, 9
    matrix[:4, 4] = [10, 12, 20, 24]
    noise = by_hand(matrix, ((0, 1), (2, 3), (4,))).noise("intersection")
    means = [4, 11, 22]
    assert noise.means()[np.triu_indices(3, k=1)].tolist() == means
    within = np.var([1, 2, 4, 9]) * 4 + np.var([10, 12]) * 2 + np.var([20, 24]) * 2
    between, pooled = noise.spreads()
    assert between == pytest.approx(np.std(means, ddof=1))
    assert pooled == pytest.approx(np.sqrt(within / (3 + 1 + 1)))
    assert np.isnan(by_hand(np.zeros((2, 2), dtype=int), ((0,), (1,))).noise().spreads()).all()


def test_gradiends_numbers_stay_as_they_are() -> None:
    """The ceiling is beside them."""
    seeds = noisy(3)
    overlap: Overlap = seeds.overlap
    rows = list(seeds.members[0])
    assert seeds.values()[0, 0] == pytest.approx(overlap.intersection_frac[np.ix_(rows, rows)].mean())
    assert seeds.to_frame().equals(seeds.to_frame(relative=False))

"""Groups of trainings: what the test says of structure that was planted, of none, and of too little."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from gradiend_mlflow import GroupTest, InvalidInputError, Overlap, SeedOverlap, SeedPolicy, TopKSet, compute_overlap
from gradiend_mlflow.overlap.statistics.group_means import holm, jackknife_interval, mean_difference, pair_values
from gradiend_mlflow.overlap.statistics.group_test import group_test
from gradiend_mlflow.overlap.statistics.groups import grouped_trainings

SPACE = 100_000


def planted(sizes: dict[str, int], *, shared: int = 30, k: int = 50, seed: int = 0) -> Overlap:
    """Trainings called after their group, of which each holds `shared` weights of the group's own."""
    rng = np.random.default_rng(seed)
    sets = {}
    for place, (group, size) in enumerate(sizes.items()):
        for number in range(size):
            own = rng.choice(np.arange(10_000, SPACE), k - shared, replace=False)
            indices = np.concatenate([place * 100 + np.arange(shared), own])
            sets[f"{group}{number}"] = TopKSet.from_indices(indices, space=SPACE)
    return compute_overlap(sets)


def by_letter(overlap: Overlap) -> dict[str, str]:
    """The group of each label."""
    return {label: label[0] for label in overlap.labels}


def answer_of(matrix: npt.NDArray[Any], groups: str, **options: Any) -> GroupTest:
    """The test of a matrix, whose trainings are in the groups that a string has a letter each for."""
    labels = [f"{group}{number}" for number, group in enumerate(groups)]
    control, strata = options.pop("control", None), options.pop("strata", None)
    trainings = grouped_trainings(labels, matrix, dict(zip(labels, groups, strict=True)), control, strata)
    settings = {"value": "jaccard", "classes": None, "permutations": 10_000, "random_state": 0}
    return group_test(trainings, **(settings | options))


def random_matrix(n: int, seed: int) -> npt.NDArray[Any]:
    """Overlaps of trainings of which some overlap more with everybody."""
    held = np.random.default_rng(seed).random((n, 5))
    matrix: npt.NDArray[Any] = np.round(held @ held.T / 5, 3)
    return matrix


class TestKnownAnswers:
    """Where it is clear what must come out."""

    @pytest.mark.parametrize(("sizes", "least"), [((2, 2), 1 / 3), ((3, 3), 1 / 10), ((4, 4), 1 / 35)])
    def test_planted_groups_reach_the_smallest_p_value(self, sizes: tuple[int, int], least: float) -> None:
        """Which depends on how many trainings there are, and on nothing else."""
        overlap = planted(dict(zip("ab", sizes, strict=True)))
        test = overlap.test_groups(by_letter(overlap))
        assert test.p_value == test.min_p == pytest.approx(least)
        assert (test.exact, test.mc_error, test.tried) == (True, 0.0, round(1 / least))
        assert test.within == pytest.approx(0.6, abs=0.02)
        assert test.between < 0.02
        assert test.difference == test.within - test.between
        assert test.effect_size == 1.0
        assert ("too few runs to tell" in str(test)) == (least > 0.05)

    def test_more_ways_than_permutations_are_drawn(self) -> None:
        """Then p is never 0, and random states decide what is drawn, and only that."""
        overlap = planted({"a": 9, "b": 9})
        test = overlap.test_groups(by_letter(overlap), permutations=999)
        assert (test.exact, test.tried, test.p_value, test.min_p) == (False, 999, 0.001, 0.001)
        assert 0 < test.mc_error < 0.002
        assert "p = 0.001, of 999 random ways" in str(test)
        few = overlap.test_groups(by_letter(overlap), permutations=9)
        assert str(few).endswith("These are too few permutations to tell: no p-value below 0.1 is possible.")

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize(("groups", "strata"), [("aabbb", None), ("aabbcd", None), ("ababab", "xxyyyy")])
    def test_equals_brute_force(self, seed: int, groups: str, strata: str | None) -> None:
        """Every order of the trainings, one by one; those that group alike are one."""
        matrix, n = random_matrix(len(groups), seed), len(groups)
        labels = [f"{group}{number}" for number, group in enumerate(groups)]
        blocks = strata or "x" * n
        found = {}
        for order in itertools.permutations(range(n)):
            if any(blocks[a] != blocks[b] for a, b in enumerate(order)):
                continue
            own = [groups[place] for place in order]
            same = tuple(own[a] == own[b] for a, b in itertools.combinations(range(n), 2))
            values = [matrix[a, b] for a, b in itertools.combinations(range(n), 2)]
            within = [x for x, y in zip(values, same, strict=True) if y]
            between = [x for x, y in zip(values, same, strict=True) if not y]
            found[same] = sum(within) / len(within) - sum(between) / len(between)
            if order == tuple(range(n)):
                observed = found[same]
        test = answer_of(matrix, groups, strata=strata and dict(zip(labels, strata, strict=True)))
        assert test.tried == len(found)
        assert test.difference == pytest.approx(observed)
        assert test.p_value == sum(x >= observed - 1e-12 for x in found.values()) / len(found)

    @pytest.mark.parametrize(
        ("seed", "sizes", "statistic", "p_value"),
        [
            (7, (3, 4), 0.2199393934804818, 0.07425),
            (8, (2, 3, 3), 0.22629946492251599, 0.055622),
            (9, (5, 5), 0.16036451349265482, 0.021071),
        ],
    )
    def test_equals_scikit_bio(self, seed: int, sizes: tuple[int, ...], statistic: float, p_value: float) -> None:
        """What its `mantel`, version 0.7.4, returns with a million orders, for distances 3 - overlap and 0 or 1.

        Its statistic is the correlation of the two matrices, which grows with the difference of means. It compares
        without a tolerance, so the given order counts in full or in part: p lies between that of larger differences
        and that of differences at least as large.
        """
        groups = np.repeat(np.arange(len(sizes)), sizes)
        held = np.random.default_rng(seed).random((len(groups), 3))
        matrix = np.round(held @ held.T + 0.2 * (groups[:, None] == groups), 3)
        test = answer_of(matrix, "".join("abc"[group] for group in groups))
        within, between = pair_values(matrix, groups)
        pairs = len(within) + len(between)
        spread = np.concatenate([within, between]).std()
        correlation = test.difference * math.sqrt(len(within) * len(between)) / pairs / spread
        assert correlation == pytest.approx(statistic)
        error = 4 * math.sqrt(p_value * (1 - p_value) / 1e6)
        assert test.p_value - test.min_p - error < p_value < test.p_value + error

    def test_seeds_are_averaged_to_trainings(self) -> None:
        """Over all pairs of seeds; ten seeds of a training are one training."""
        overlap = planted({"a": 6, "b": 6})
        members = tuple((place, place + 1, place + 2) for place in range(0, 12, 3))
        policy = SeedPolicy("all_tried", "max", seed_pairing_mode="matched")
        seeds = SeedOverlap(("a0", "a1", "b0", "b1"), overlap, members, policy)
        test = seeds.test_groups({"a": ["a0", "a1"], "b": ["b0", "b1"]})
        assert test.min_p == pytest.approx(1 / 3)
        within = [overlap.intersection_frac[np.ix_(a, b)].mean() for a, b in (members[:2], members[2:])]
        assert test.within == pytest.approx(np.mean(within))
        assert len(test.pairs) == 6

    def test_counts_are_tested_as_shares_are(self) -> None:
        """Rounding does not depend on the unit."""
        overlap = planted({"a": 4, "b": 4}, shared=2)
        groups = by_letter(overlap)
        share, count = overlap.test_groups(groups), overlap.test_groups(groups, value="intersection")
        assert count.p_value == share.p_value
        assert count.difference == pytest.approx(50 * share.difference)
        assert "Trainings of one group overlap by 2." in str(count)


class TestControlAndGroups:
    """A control, each group on its own, strata, classes."""

    def test_control_runs_enter_nothing_but_the_groups_rows(self) -> None:
        """The answer is that of the other groups alone; each of them is then compared with the control."""
        overlap = planted({"a": 4, "b": 4, "c": 3}, shared=3, seed=4)
        groups = by_letter(overlap)
        with_control = overlap.test_groups(groups, control="c")
        alone = planted({"a": 4, "b": 4}, shared=3, seed=4)
        without = alone.test_groups(by_letter(alone))
        for name in ("within", "between", "p_value", "min_p", "effect_size", "confidence_interval"):
            assert getattr(with_control, name) == getattr(without, name)
        table = with_control.per_group
        assert table.index.tolist() == ["a", "b"]
        assert table["min_p"].tolist() == [1 / 35, 1 / 35]  # 4 of 7
        own, control = [0, 1, 2, 3], [8, 9, 10]
        assert table.loc["a", "against"] == pytest.approx(overlap.intersection_frac[np.ix_(own, control)].mean())
        assert without.per_group["min_p"].tolist() == [
            1 / 70,
            1 / 70,
        ]  # 4 of 8, of which one may do better than the other
        relations = with_control.pairs["relation"].value_counts().to_dict()
        assert relations == {"within": 12, "between": 16, "control": 3 + 3 * 8}

    def test_each_group_has_a_p_value_of_its_own(self) -> None:
        """Adjusted for their number; a group of one has none."""
        overlap = planted({"a": 5, "b": 5, "c": 1}, seed=2)
        test = overlap.test_groups(by_letter(overlap))
        table = test.per_group
        assert table.columns.tolist() == [
            "trainings", "within", "against", "difference", "p_value", "p_holm", "min_p", "exact",
        ]  # fmt: skip
        assert table.loc[["a", "b"], "p_value"].max() <= 2 / 462  # the other group may do as well
        assert table.loc[["a", "b"], "p_holm"].tolist() == holm(table["p_value"].to_numpy()).tolist()[:2]
        assert table.loc["c", ["within", "difference", "p_value", "p_holm", "min_p"]].isna().all()
        assert "Groups of one training, which count between groups only: c." in test.notes

    def test_one_group_is_told_from_another_that_has_none(self) -> None:
        """By brute force: within group a against between a and the others."""
        matrix = random_matrix(7, 3)
        test = answer_of(matrix, "aaabbbb")
        differences = []
        for chosen in itertools.combinations(range(7), 3):
            rest = [place for place in range(7) if place not in chosen]
            within = [matrix[a, b] for a, b in itertools.combinations(chosen, 2)]
            differences.append(np.mean(within) - matrix[np.ix_(chosen, rest)].mean())
        share = np.mean([x >= differences[0] - 1e-12 for x in differences])
        assert test.per_group.loc["a", "p_value"] == pytest.approx(share)

    def test_strata_keep_what_is_known_apart(self) -> None:
        """Groups that differ by base model alone are no groups."""
        rng = np.random.default_rng(0)
        labels = [f"{model}{number}" for model in "xy" for number in range(6)]
        sets = {
            label: TopKSet.from_indices(rng.permutation(60)[:30] + 1000 * (label[0] == "x"), space=SPACE)
            for label in labels
        }
        overlap = compute_overlap(sets)
        groups = {label: "a" if place in (0, 1, 2, 3, 4, 6) else "b" for place, label in enumerate(labels)}
        assert overlap.test_groups(groups).p_value < 0.05
        inside = overlap.test_groups(groups, strata={label: label[0] for label in labels})
        assert inside.tried == 6 * 6
        assert inside.p_value > 0.2
        alone = overlap.test_groups(
            {label: label[0] for label in labels}, strata={label: label[0] for label in labels}
        )
        assert (alone.tried, alone.p_value, alone.min_p) == (1, 1.0, 1.0)
        assert "too few" not in str(alone)

    def test_strata_that_are_the_groups_leave_nothing_to_exchange(self) -> None:
        """Which is not for want of runs; and strata of one group among others say nothing."""
        overlap = planted({"a": 4, "b": 4})
        groups = by_letter(overlap)
        test = overlap.test_groups(groups, strata={label: f"{group} {label[-1]}" for label, group in groups.items()})
        assert (test.nothing_to_exchange, test.min_p, test.p_value) == (True, 1, 1)
        assert "There is no p-value: inside each stratum all trainings are of one group" in str(test)
        assert str(test).endswith("Test with coarser strata, or without.")
        assert "too few" not in str(test) + repr(test)
        strata = {label: "x" if group == "a" or label[-1] in "01" else "y" for label, group in groups.items()}
        mixed = overlap.test_groups(groups, strata=strata)
        assert not mixed.nothing_to_exchange
        assert "Of 2 strata 1 has trainings of one group only, among which nothing is exchanged." in mixed.notes

    def test_pairs_that_share_a_class_are_set_aside(self) -> None:
        """All that a shared class brings is then gone."""
        lists = {
            "a1": [0, 1, 2, 3], "a2": [0, 1, 8, 9], "a3": [20, 21, 22, 23],
            "b1": [30, 31, 32, 33], "b2": [30, 41, 42, 43],
        }  # fmt: skip
        overlap = compute_overlap({label: TopKSet.from_indices(own, space=99) for label, own in lists.items()})
        classes = {"a1": ("he", "she"), "a2": ("she", "it"), "a3": ("we",), "b1": ("I",), "b2": ("you", "they")}
        test = overlap.test_groups(by_letter(overlap), classes=classes)
        assert test.within == pytest.approx((0.5 + 0 + 0 + 0.25) / 4)
        assert test.disjoint_difference == pytest.approx(0.25 / 3)
        assert math.isnan(overlap.test_groups(by_letter(overlap)).disjoint_difference)
        unknown = overlap.test_groups(by_letter(overlap), classes=classes | {"b2": ()})
        assert unknown.disjoint_difference == 0.0

    def test_a_series_is_a_mapping_and_other_is_no_group(self) -> None:
        """Missing values of a Series are runs in no group; "Other" can be no group, but be the control."""
        overlap = planted({"a": 3, "b": 3})
        groups = by_letter(overlap)
        told = pd.Series({**groups, "b2": None})
        test = overlap.test_groups(told, strata=pd.Series(dict.fromkeys(groups, "x")))
        assert test.p_value == overlap.test_groups({label: groups[label] for label in list(groups)[:5]}).p_value
        named = {"a": ["a0", "a1"], "b": ["b0", "b1"], "Other": ["a2", "b2"]}
        with pytest.raises(InvalidInputError, match="'Other' is what runs are called that are in no group"):
            overlap.test_groups(named)
        assert overlap.test_groups(named, control="Other").pairs["relation"].eq("control").sum() == 9
        with pytest.raises(InvalidInputError, match="a Series that names runs must name each once"):
            overlap.test_groups(pd.Series(["a", "b"], index=["a0", "a0"]))

    def test_runs_in_no_group_are_left_out_and_named(self) -> None:
        """As "Other", which is what gradiend calls them."""
        overlap = planted({"a": 2, "b": 2, "z": 2})
        groups = {label: group for label, group in by_letter(overlap).items() if group != "z"}
        test = overlap.test_groups(groups)
        assert test.notes[0].startswith("In no group, so left out of the test: z0, z1.")
        assert len(test.pairs) == 6
        as_control = overlap.test_groups(groups, control="Other")
        assert as_control.per_group.loc["a", "against"] < 0.05
        assert not any(note.startswith("In no group") for note in as_control.notes)


class TestInterval:
    """The jackknife."""

    @pytest.mark.parametrize(("sizes", "most"), [((4, 5, 8), 0.985), ((6, 6), 1.0)])
    def test_it_covers_what_is_true(self, sizes: tuple[int, ...], most: float) -> None:
        """In 95 % of studies or somewhat more, where some trainings overlap more with everybody."""
        studies, rng = 1200, np.random.default_rng(5)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        covered = 0
        for _ in range(studies):
            lift = rng.normal(size=len(groups))
            noise = np.triu(rng.normal(scale=0.5, size=(len(groups), len(groups))), k=1)
            matrix = lift[:, None] + lift + noise + noise.T + (groups[:, None] == groups)
            low, high = jackknife_interval(matrix, groups, groups)
            covered += low <= 1.0 <= high
        assert 0.93 < covered / studies <= most

    def test_by_definition(self) -> None:
        """Leaving out one training at a time, group by group."""
        matrix, groups = random_matrix(9, 1), np.repeat([0, 1], [4, 5])
        variance = 0.0
        for group in (0, 1):
            without = []
            for place in np.flatnonzero(groups == group):
                rest = np.delete(np.arange(9), place)
                own, labels = matrix[np.ix_(rest, rest)], groups[rest]
                without.append(mean_difference(own, labels)(labels[None])[0])
            variance += (len(without) - 1) / len(without) * np.sum((np.array(without) - np.mean(without)) ** 2)
        low, high = answer_of(matrix, "aaaabbbbb").confidence_interval
        assert (high - low) / 2 == pytest.approx(2.364624 * math.sqrt(variance), rel=1e-6)  # Student's, 7 degrees
        assert (high + low) / 2 == pytest.approx(mean_difference(matrix, groups)(groups[None])[0])

    def test_small_groups_have_none(self) -> None:
        """And a note says why; so have groups that a stratum has one training of."""
        test = answer_of(random_matrix(7, 0), "aaaabbb")
        assert np.isnan(test.confidence_interval).all()
        assert test.notes == ("No confidence interval: it needs 4 trainings in every group, and b has 3.",)
        strata = {f"{'aaaabbbb'[place]}{place}": "x" if place else "y" for place in range(8)}
        thin = answer_of(random_matrix(8, 0), "aaaabbbb", strata=strata)
        assert np.isnan(thin.confidence_interval).all()
        assert "a group has only one in a stratum" in thin.notes[-1]


def test_effect_size_counts_ties_half() -> None:
    """P(within > between) + P(equal) / 2."""
    matrix = np.array([[1, 3, 2, 1], [3, 1, 3, 0], [2, 3, 1, 2], [1, 0, 2, 1]], dtype=float)
    test = answer_of(matrix, "aabb")  # within 3, 2; between 2, 1, 3, 0
    assert test.effect_size == (3 + 1 / 2 + 2 + 1 / 2) / 8


def test_holm_by_hand() -> None:
    """The smallest times their number, and never below one before it; NaN is not counted."""
    assert holm(np.array([0.03, np.nan, 0.01, 0.02])).tolist() == pytest.approx(
        [0.04, np.nan, 0.03, 0.04], nan_ok=True
    )
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_the_random_state_is_ones_own() -> None:
    """The same for the same seed, another for another; NumPy's global generator stays as it is."""
    matrix, groups = random_matrix(24, 0), "a" * 12 + "b" * 12
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again = (answer_of(matrix, groups, permutations=99).p_value for _ in range(2))
    others = {answer_of(matrix, groups, permutations=99, random_state=seed).p_value for seed in range(1, 6)}
    given = answer_of(matrix, groups, permutations=99, random_state=np.random.default_rng(0)).p_value
    answer_of(matrix, groups, permutations=99, random_state=None)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert first == again == given
    assert len(others) > 1


def test_two_hundred_trainings_take_about_a_second() -> None:
    """10,000 exchanges, each group on its own included."""
    labels = [f"{'abcd'[place % 4]}{place}" for place in range(200)]
    trainings = grouped_trainings(labels, random_matrix(200, 0), {label: label[0] for label in labels}, None, None)
    start = time.process_time()
    group_test(trainings, value="jaccard", classes=None, permutations=10_000, random_state=0)
    assert time.process_time() - start < 6  # 0.7 on an idle machine


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({"a": ["a0", "a1"]}, {}, r"needs at least two groups; got a"),
        ({"a": ["a0", "a1"], "b": ["b0"]}, {"control": "b"}, r"two groups beside the control 'b'; got a"),
        ({"a": ["a0"], "b": ["b0"]}, {}, r"no two trainings are in one group.*one training: a, b"),
        ({"a": ["a0"], "b": ["b0"], "c": ["a1", "b1"]}, {"control": "c"}, r"no two trainings are in one group"),
        ({"a": ["a0", "a1"], "b": ["b0"]}, {"control": "c"}, r"control must be one of the groups, a, b; got 'c'"),
        ({"a": ["a0", "nobody"], "b": ["b0"]}, {}, "groups names nobody; the runs are: a0, a1, b0, b1"),
        ("model", {}, "groups must be"),
        ({}, {}, r"needs at least two groups; got none"),
        (None, {"permutations": 0}, "permutations must be an int of at least 1; got 0"),
        (
            None,
            {"random_state": -1},
            r"random_state must be an int of at least 0; got -1; a numpy.random.Generator or",
        ),
        (None, {"random_state": True}, "random_state must be an int"),
        (None, {"random_state": np.random.RandomState(0)}, "random_state must be an int"),
        (None, {"strata": {"a0": "x"}}, "strata must name every training that is tested; it lacks a1, b0, b1"),
        (None, {"strata": "model"}, "strata must be a mapping from label to stratum; got str"),
        (None, {"value": "same"}, "value must be one of"),
    ],
)
def test_what_cannot_be_tested_is_refused(groups: Any, options: dict[str, Any], message: str) -> None:
    """With what came, and what was wanted."""
    overlap = planted({"a": 2, "b": 2})
    with pytest.raises(InvalidInputError, match=message):
        overlap.test_groups(by_letter(overlap) if groups is None else groups, **options)


def test_labels_that_say_nothing_about_order() -> None:
    """The order of the trainings, and of the groups, changes nothing."""
    overlap = planted({"a": 4, "b": 4, "c": 3}, shared=2, seed=8)
    order = np.random.default_rng(0).permutation(11)
    sets = {overlap.labels[place]: place for place in order}
    moved = replace(overlap, labels=tuple(sets), ranked=replace(
        overlap.ranked,
        labels=tuple(sets),
        columns=tuple(overlap.ranked.columns[place] for place in order),
        importance=tuple(overlap.ranked.importance[place] for place in order),
        weights=tuple(overlap.ranked.weights[place] for place in order),
    ), selects=overlap.selects[order])  # fmt: skip
    one, two = (each.test_groups(by_letter(each), permutations=20_000) for each in (overlap, moved))
    assert one.p_value == two.p_value
    assert one.difference == pytest.approx(two.difference)
    assert one.confidence_interval == pytest.approx(two.confidence_interval, nan_ok=True)

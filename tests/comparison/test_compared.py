"""What a comparison's numbers answer, from logged runs: groups, seeds, neighbours, another comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from mlflow import MlflowClient
from scipy.cluster.hierarchy import is_valid_linkage

from gradiend_mlflow import Comparison, GroupTest, InvalidInputError, TopKSet, compare, load_comparison
from gradiend_mlflow.comparison.said.answers import summary_of
from gradiend_mlflow.comparison.said.description import description_of
from tests.support.sets import log_training

K, SPACE = 40, 100_000
CASES = {"nom": 4, "acc": 4, "mix": 2}


def weights(case: str, rng: np.random.Generator, *, shared: int = 24) -> TopKSet:
    """A set that has most of its weights in common with its case; "mix" has none."""
    start = {"nom": 100, "acc": 200, "mix": 0}[case]
    common = start + rng.choice(30, shared, replace=False) if start else rng.choice(90_000, shared) + 5_000
    own = rng.choice(np.arange(95_001, SPACE), K - shared, replace=False)
    return TopKSet.from_indices(np.concatenate([np.unique(common), own]), space=SPACE)


def log_trainings(client: MlflowClient, folder: Path, *, seeds: int = 0, same_model: bool = True) -> list[str]:
    """Trainings of the cases, maybe with child runs for their seeds, whose ids are returned."""
    rng, ids = np.random.default_rng(0), []
    for case, number in CASES.items():
        for place in range(number):
            tags = {
                "gradiend.run_id": f"{case}{place}",
                "gradiend.base_model": "bert" if same_model else f"bert-{case}",
                "gradiend.target_classes": json.dumps([f"{case}{place}", f"{case}{(place + 1) % number}"]),
                "case": case,
                "half": str(place % 2),
            }
            run_id = log_training(client, folder, weights(case, rng), **tags)
            ids.append(run_id)
            for seed in range(seeds):
                child = {"gradiend.kind": "seed", "mlflow.parentRunId": run_id, "gradiend.seed": str(seed)}
                log_training(client, folder, weights(case, rng), **(tags | child))
    return ids


@pytest.fixture
def runs(tracking: MlflowClient, tmp_path: Path) -> list[str]:
    """Ten trainings of three cases."""
    return log_trainings(tracking, tmp_path)


def compared(runs: list[str], **options: Any) -> Comparison:
    """Not logged, by default."""
    return compare(runs, **({"topk": 30, "log": False, "groups": "tags.case"} | options))


class TestGroups:
    """`Comparison.test_groups`."""

    def test_by_column_and_by_mapping(self, runs: list[str]) -> None:
        """As the comparison's overlap says, with the classes of its runs."""
        comparison = compared(runs)
        test = comparison.test_groups(control="mix", strata="tags.half")
        classes = dict(zip(comparison.runs["label"], comparison.runs["target_classes"], strict=True))
        assert classes["nom3"] == ("nom3", "nom0")
        by_hand = comparison.overlap.test_groups(
            comparison.groups,
            control="mix",
            strata={label: str(int(label[-1]) % 2) for label in classes},
            classes=classes,
        )
        for name in ("within", "between", "p_value", "disjoint_difference", "notes", "tried"):
            assert getattr(test, name) == getattr(by_hand, name)
        assert (test.tried, test.value) == (
            18,
            "intersection_frac",
        )  # 2 of 4 in each half; the cases can change places
        assert test.p_value == test.min_p == pytest.approx(1 / 18)
        assert not np.isnan(test.disjoint_difference)
        other = {"even": ["nom0", "nom2", runs[4]], "odd": ["nom1", "nom3", "acc1"]}
        groups = comparison.test_groups(other).pairs[["group_a", "group_b"]].stack().unique()
        assert sorted(groups) == ["even", "odd"]

    def test_the_measure_is_the_one_that_is_shown(self, runs: list[str]) -> None:
        """Not the default."""
        comparison = compared(runs, value="jaccard")
        within = [comparison.overlap.jaccard[a, b] for a in range(10) for b in range(a) if b // 4 == a // 4]
        assert comparison.test_groups().within == pytest.approx(np.mean(within))

    def test_seeds_count_as_their_training(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Aggregated in any way or one by one: two trainings overlap by the mean over all pairs of their seeds."""
        ids = log_trainings(tracking, tmp_path, seeds=2)
        rows = compared(ids, seeds="all_tried")
        assert len(rows.runs) == 20
        assert rows.trainings.labels == tuple(f"{case}{place}" for case in CASES for place in range(CASES[case]))
        tests = [
            compared(ids, seeds="all_tried", **options).test_groups(control="mix")
            for options in (
                {},
                {"seed_aggregate": "max"},
                {"seed_aggregate": "mean", "seed_pairing_mode": "all_pairs"},
            )
        ]
        assert len({test.within for test in tests}) == len({test.p_value for test in tests}) == 1
        assert tests[0].min_p == 1 / 35
        matrix = rows.overlap.intersection_frac
        first = [matrix[a : a + 2, b : b + 2].mean() for a in range(0, 8, 2) for b in range(0, a, 2)]
        assert tests[0].per_group.loc["nom", "within"] == pytest.approx(np.mean(first))
        apart = dict.fromkeys(rows.overlap.labels, "x") | {"nom0 (seed 1)": "y", "acc0 (seed 0)": "y"}
        with pytest.raises(InvalidInputError, match=r"groups must be the same for all seeds.*of 'nom0' they are x, y"):
            rows.test_groups(apart)

    def test_groups_that_are_something_else_are_noted(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Nothing tells a rule from a base model if each case has its own."""
        ids = log_trainings(tracking, tmp_path, same_model=False)
        notes = compared(ids).test_groups().notes
        assert notes[-1] == (
            "Each group has one base model, of 3 that there are: what looks like the groups may be the base model."
        )
        same = compared(ids).test_groups("tags.half")
        assert not any("base model" in note for note in same.notes)

    def test_what_cannot_be_tested_is_refused(self, runs: list[str]) -> None:
        """With what to pass instead."""
        with pytest.raises(InvalidInputError, match="no groups to test: pass groups to test_groups, or to compare"):
            compared(runs, groups=None).test_groups()
        with pytest.raises(InvalidInputError, match="strata names the column 'nothing'"):
            compared(runs).test_groups(strata="nothing")
        with pytest.raises(InvalidInputError, match="strata must name every training that is tested; it lacks nom1"):
            compared(runs).test_groups(strata={"nom0": "x"})
        with pytest.raises(InvalidInputError, match="control must be one of the groups, nom, acc, mix; got 'dat'"):
            compared(runs).test_groups(control="dat")


class TestLogged:
    """What a comparison's run says of it."""

    def test_groups_are_answered(self, runs: list[str], tracking: MlflowClient) -> None:
        """As metrics and as a sentence; the loaded comparison answers the same."""
        comparison = compared(runs, log=True)
        test = comparison.test_groups()
        data = tracking.get_run(str(comparison.run_id)).data
        assert data.metrics["overlap/within"] == pytest.approx(test.within)
        assert data.metrics["overlap/between"] == pytest.approx(test.between)
        assert data.metrics["overlap/group_p"] == pytest.approx(test.p_value)
        note = data.tags["mlflow.note.content"]
        assert str(test) in note
        assert " among pairs without a target class in common" in note
        assert "it needs 4 trainings in every group, and mix has 2." in note
        loaded = load_comparison(str(comparison.run_id)).test_groups()
        assert (loaded.p_value, loaded.within) == (test.p_value, test.within)

    def test_groups_that_cannot_be_tested_do_no_harm(self, runs: list[str]) -> None:
        """The reason is on the page."""
        comparison = compared(runs[:3])
        reason = "The groups are not tested: a test of groups needs at least two groups; got nom."
        assert reason in description_of(comparison)
        assert "overlap/group_p" not in summary_of(comparison)

    @pytest.mark.long
    def test_seeds_are_answered(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Their ceiling, how many pairs are at it, and whether pairs differ by more than seeds do."""
        ids = log_trainings(tracking, tmp_path, seeds=3)
        comparison = compared(ids[:4], groups=None, seeds="all_tried", seed_aggregate="mean", log=True)
        ceiling = comparison.ceiling
        assert ceiling["pairs"].tolist() == [3] * 4
        note = tracking.get_run(str(comparison.run_id)).data.tags["mlflow.note.content"]
        assert f"Two seeds of one training agree to {ceiling['mean'].mean():.1%} on average" in note
        assert "of 6 pairs of trainings are at it." in note  # which all are one case
        assert "so their order is below seed noise." in note
        loaded = load_comparison(str(comparison.run_id))
        assert loaded.ceiling.equals(ceiling)
        relative = loaded.to_frame("matrix", relative=True)
        assert relative.equals(comparison.to_frame("matrix", relative=True))
        assert 0.7 < relative.loc["nom0", "nom1"] < 1.3
        rows = compared(ids[:4], groups=None, seeds="all_tried")
        assert rows.ceiling.equals(ceiling)
        across = compared(ids[:2] + ids[4:6], groups=None, seeds="all_tried", seed_aggregate="mean")
        assert "below seed noise" not in description_of(across)

    def test_relative_overlap_is_drawn_of_trainings(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Whether their seeds are rows of the comparison or aggregated, with the groups of the trainings."""
        ids = log_trainings(tracking, tmp_path, seeds=2)
        rows = compared(ids[:6], seeds="all_tried")
        wanted = [f"{100 * number:.0f}" for number in rows.to_frame("matrix", relative=True).to_numpy().ravel()]
        for comparison in (rows, compared(ids[:6], seeds="all_tried", seed_aggregate="median")):
            figure = comparison.plot_heatmap(relative=True)
            assert [text.get_text() for text in figure.axes[0].texts][:36] == wanted
            assert {"nom", "acc"} <= {text.get_text() for text in figure.findobj(Text)}

    def test_without_seeds_there_is_no_ceiling(self, runs: list[str]) -> None:
        """And the error says how to have one."""
        with pytest.raises(InvalidInputError, match=r"no training has two seeds here.*compare with seeds='all_tried'"):
            _ = compared(runs).ceiling
        for ask in (
            lambda comparison: comparison.ceiling,
            lambda comparison: comparison.to_frame("matrix", relative=True),
            lambda comparison: comparison.plot_heatmap(relative=True),
        ):  # the same, also where the advice was followed and one seed is logged
            for options in ({}, {"seeds": "all_tried"}, {"seeds": "all_tried", "seed_aggregate": "mean"}):
                with pytest.raises(InvalidInputError, match="train with max_seeds=2 or more, min_conv"):
                    ask(compared(runs, **options))


class TestOtherAnswers:
    """Another comparison, and neighbours."""

    def test_difference_of_two_comparisons(self, runs: list[str]) -> None:
        """By label, in whatever order and of whatever k."""
        large, small = compared(runs), compared(runs[::-1][:6], topk=10)
        change = large.difference(small)
        assert change.labels == large.shown.labels[4:]
        assert change.left_out == ("nom0", "nom1", "nom2", "nom3")
        expected = large.matrix.loc["acc0", "acc1"] - small.matrix.loc["acc0", "acc1"]
        assert change.to_frame().loc["acc0", "acc1"] == pytest.approx(expected)
        with pytest.raises(InvalidInputError, match="different measures, 'intersection_frac' and 'jaccard'"):
            large.difference(compared(runs, value="jaccard"))
        with pytest.raises(InvalidInputError, match="difference needs another comparison; got DataFrame"):
            large.difference(large.matrix)  # type: ignore[arg-type]

    def test_tree_and_map(self, runs: list[str]) -> None:
        """Of what `matrix` shows."""
        comparison = compared(runs, value="jaccard")
        assert is_valid_linkage(comparison.tree)
        np.testing.assert_array_equal(comparison.tree, comparison.overlap.tree_of("jaccard"))
        points = comparison.map().to_frame()
        assert points.index.tolist() == list(comparison.matrix.index)
        cases = [label[:3] for label in points.index]
        centres = points.groupby(cases).mean()
        for label, case in zip(points.index, cases, strict=True):
            if case != "mix":
                assert np.linalg.norm(centres - points.loc[label], axis=1).argmin() == list(centres.index).index(case)


class TestTies:
    """Sets that agree because nothing told their weights apart."""

    @staticmethod
    def notes(tracking: MlflowClient, folder: Path, *importances: list[float]) -> tuple[str, ...]:
        """Of a comparison of the first four weights of sets of six."""
        ids = [
            log_training(
                tracking,
                folder,
                TopKSet.from_indices(range(len(values)), space=50, importance=values),
                **{"gradiend.run_id": f"run {place}"},
            )
            for place, values in enumerate(importances)
        ]
        return compare(ids, topk=4, log=False).notes

    def test_they_are_noted(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """With what ties, and how many."""
        accident = "so that the order of the base model's parameters decides which weights are in the set"
        alone = (
            "By measures of importances or signed weights they agree with nothing, and not with themselves: 0, as in "
            "gradiend."
        )
        found = self.notes(
            tracking, tmp_path, [0] * 6, [2] * 6, [3, 2, 1, 1, 1, 0], [3, 2, 2, 1, 1, 1], [6, 5, 4, 3, 2, 1]
        )
        assert found[:2] == (
            f"All importances are 0, {accident}: run 0. {alone}",
            f"All importances are equal, {accident}: run 1.",
        )
        cut = "run 2 (2 of 3 tied weights are in), run 3 (1 of at least 3 tied weights are in)"
        assert found[2:] == (f"Importances tie at the cut, {accident}: {cut}.",)

    def test_ties_above_the_cut_decide_nothing(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Nor does a tie that ends at it."""
        assert self.notes(tracking, tmp_path, [3, 3, 3, 2, 1, 1], [3, 2, 1, 1, 0, 0]) == ()

    def test_files_tell_of_weights_that_they_do_not_hold(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """The whole number of tied weights; where it is not known, that is said."""
        values = [3, 2, 1, 1]
        ids = [
            log_training(
                tracking,
                tmp_path,
                replace(TopKSet.from_indices(range(4), space=50, importance=values), ties_at_cut=ties),
                **{"gradiend.run_id": name},
            )
            for name, ties in (("tied", 40), ("alone", 2), ("older", None))
        ]
        comparison = compare(ids, topk=4, log=False)
        tied, unknown = comparison.notes
        assert tied.endswith("weights are in the set: tied (2 of 40 tied weights are in).")
        assert unknown.startswith("Whether more weights tie at the cut than are in the set is not known")
        assert unknown.endswith(": older.")
        assert comparison.overlap.ties.sets.loc["tied"].tolist() == [4, 2, 2, 2, 40]

    def test_all_weights_of_one_importance_are_no_accident(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """If no other weight has it."""
        made = TopKSet.from_indices(range(4), space=50, importance=[2] * 4)
        ids = [
            log_training(tracking, tmp_path, replace(made, ties_at_cut=4), **{"gradiend.run_id": name})
            for name in ("a", "b")
        ]
        assert compare(ids, topk=4, log=False).notes == ()


def test_the_test_of_many_trainings_takes_fewer_permutations(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a comparison is logged; whoever asks for more waits for it."""
    comparison = compared(runs)
    assert isinstance(comparison.tested, GroupTest)
    assert comparison.tested.tried == 1575  # 4, 4 and 2 of ten
    monkeypatch.setattr("gradiend_mlflow.comparison.compared._MANY", 9)
    again = replace(comparison)
    assert isinstance(again.tested, GroupTest)
    assert (again.tested.tried, again.tested.exact) == (999, False)

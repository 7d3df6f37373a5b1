"""What a comparison says of itself first: nothing that its sets cannot bear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradiend_mlflow import Comparison, GroupTest, TopKSet, compute_overlap
from gradiend_mlflow.comparison.report import report_data
from gradiend_mlflow.comparison.said.answers import answer_in_short, answers_of
from gradiend_mlflow.comparison.said.description import description_of, name_of_comparison
from tests.support.comparisons import comparison_of


def of_zeros(comparison: Comparison, ties: int | None) -> Comparison:
    """The same runs, with sets of the first four weights of 20, all of importance 0."""
    made = TopKSet.from_indices(range(4), space=20, importance=[0] * 4)
    sets = {label: replace(made, ties_at_cut=ties) for label in comparison.sets}
    runs = comparison.runs.assign(converged=None, experiment_id="1")
    return replace(comparison, overlap=compute_overlap(sets), sets=sets, stored=sets, topk=4, runs=runs)


@pytest.mark.parametrize("ties", [20, None])
def test_no_overlap_is_claimed_that_is_made_of_ties(ties: int | None) -> None:
    """Neither by the first sentence nor by the name; older files do not say how many tie, but all zeros are enough."""
    comparison = of_zeros(comparison_of(3), ties)
    answer, _, why = answers_of(comparison)[0]
    assert answer == (
        "Two runs share between 0.0% and 100.0% of their top 4 weights on average, because importances tie"
    )
    assert why.startswith("In 3 of 3 sets the order of the base model's parameters, not their importance, decides")
    assert name_of_comparison(comparison).startswith("k4 3 runs 0 to 100 % · ")
    assert f"<strong>{answer}</strong>" in comparison._repr_html_()
    assert description_of(comparison).startswith(f"**{answer}** ")
    assert report_data(comparison)["answer"][0][0] == answer
    assert answer_in_short(comparison).endswith(", of which ties leave open everything from 0.0% to 100.0%")
    by_rank = answers_of(replace(comparison, value="rbo"))[0][0]
    assert by_rank == (
        "Two runs agree to 100.0% (rbo) in their top 4 weights on average, but importances tie: they share between "
        "0.0% and 100.0% of these weights"
    )


def test_ties_that_do_not_show_are_no_part_of_the_answer() -> None:
    """Two of twenty thousand weights."""
    comparison = comparison_of(2)
    made = TopKSet.from_indices(range(20_000), space=50_000, importance=[2] + [1] * 19_999)
    few = TopKSet.from_indices(range(20_000), space=50_000)
    sets = dict(zip(comparison.sets, (replace(few, ties_at_cut=2), replace(made, ties_at_cut=19_999)), strict=True))
    assert answers_of(replace(comparison, overlap=compute_overlap(sets), topk=20_000))[0][0] == (
        "The two runs share 100.0% of their top 20000 weights"
    )


def test_seeds_and_trainings_are_not_mixed() -> None:
    """Rows of seeds: pairs of one training are one number, pairs of two are another; the name has the latter."""
    comparison = comparison_of(3, seeds=2, noise=0.5)
    matrix = comparison.overlap.intersection_frac
    own = np.mean([matrix[0, 1], matrix[2, 3], matrix[4, 5]])
    apart = np.mean([matrix[a, b] for a in range(6) for b in range(a) if a // 2 != b // 2])
    answer, details = answers_of(comparison)[0][:2]
    assert answer == (
        f"Two seeds of one training share {own:.1%} of their top 20 weights on average, two of different trainings "
        f"{apart:.1%}"
    )
    assert details.startswith("(of 6 seeds of 3 trainings; ")
    assert name_of_comparison(comparison).startswith(f"k20 6 seeds {apart:.0%}".replace("%", " % · "))
    assert f"{own:.1%} of two seeds of one training on average, {apart:.1%} of two trainings" in repr(comparison)
    assert answers_of(comparison_of(1, seeds=2))[0][0].startswith("The two seeds of one training share ")


def test_what_is_left_without_common_classes_is_said_everywhere() -> None:
    """In the sentence of the test, so wherever that stands."""
    comparison = comparison_of(4, groups={"run 0": "a", "run 1": "a", "run 2": "b", "run 3": "b"})
    test = comparison.tested
    assert isinstance(test, GroupTest)
    said = f"; {test.disjoint_difference:.1%} among pairs without a target class in common"
    everywhere = [
        str(test),
        repr(test),
        test._repr_html_(),
        *answers_of(comparison)[1],
        *report_data(comparison)["answer"][1],
    ]
    assert all(said in text for text in everywhere)

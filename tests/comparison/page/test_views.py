"""What the rows of a report are, and their orders."""

from __future__ import annotations

import numpy as np
import pytest

from gradiend_mlflow import Comparison
from gradiend_mlflow.comparison.page.views import View, views_of
from tests.support.comparisons import comparison_of


def views(comparison: Comparison) -> list[View]:
    """The views of a comparison, as its report has them."""
    aggregated = comparison.seed_overlap is not None
    return views_of(
        comparison.overlap, comparison.trainings, comparison.value, comparison.groups, aggregated=aggregated
    )


def test_runs_are_the_only_rows_without_seeds() -> None:
    """Few as they come; many by clusters."""
    (view,) = views(comparison_of(3))
    told = view.to_json()
    assert (told["name"], told["members"], told["levels"]) == ("runs", [[0], [1], [2]], [])
    assert (told["order"], told["orders"]["as given"]) == ("as given", [0, 1, 2])
    many = views(comparison_of(30))[0].to_json()
    assert many["order"] == "by cluster"
    assert sorted(many["orders"]["by cluster"]) == list(range(30))


def test_groups_stand_together_in_the_order_of_their_mapping() -> None:
    """As in the heatmap; those that are in none come last."""
    groups = {"run 2": "b", "run 0": "a", "run 3": "b", "run 1": "Other"}
    (view,) = views(comparison_of(4, groups=groups))
    told = view.to_json()
    assert told["order"] == "by group"
    assert told["orders"]["by group"] == [2, 3, 0, 1]
    (level,) = told["levels"]
    assert (level["names"], level["of"], level["other"]) == (["b", "a", "Other"], [1, 2, 0, 0], 2)


@pytest.mark.parametrize("aggregated", [True, False])
def test_seeds_have_their_training_and_its_group(aggregated: bool) -> None:
    """Whichever of them was asked for, which comes first; a training whose seeds are in several groups is in none."""
    of_trainings = {"run 1": "x", "run 0": "y", "run 2": "x"}
    of_seeds = {f"{label} (seed {seed})": group for label, group in of_trainings.items() for seed in range(2)}
    if not aggregated:
        of_seeds["run 2 (seed 1)"] = "y"
    comparison = comparison_of(
        3, seeds=2, aggregate="max" if aggregated else None, groups=of_trainings if aggregated else of_seeds
    )
    found = {view.name: view for view in views(comparison)}
    assert [*found] == (["trainings", "seeds"] if aggregated else ["seeds", "trainings"])
    trainings, seeds = found["trainings"].to_json(), found["seeds"].to_json()
    assert trainings["members"] == [[0, 1], [2, 3], [4, 5]]
    assert trainings["aggregate"] == ("max" if aggregated else "mean")
    assert trainings["orders"]["by group"] == ([1, 2, 0] if aggregated else [1, 0, 2])
    assert trainings["levels"][0]["other"] == (None if aggregated else 2)
    assert [level["name"] for level in seeds["levels"]] == ["group", "training"]
    assert seeds["orders"]["by group"] == ([2, 3, 4, 5, 0, 1] if aggregated else [2, 3, 4, 0, 1, 5])
    np.testing.assert_array_equal(found["trainings"].matrix, comparison.trainings.values(comparison.value))

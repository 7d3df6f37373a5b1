"""Comparisons of neurons, from logged runs: what is asked, answered, said, drawn and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.text import Text
from mlflow import MlflowClient

from gradiend_mlflow import (
    Comparison,
    InvalidInputError,
    TopKSet,
    WeightSpace,
    compare,
    compute_overlap,
    load_comparison,
)
from gradiend_mlflow.cli import main
from gradiend_mlflow.comparison.report import report_data
from gradiend_mlflow.comparison.said.description import description_of, name_of_comparison
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads
from tests.support.sets import log_training

SPACE = WeightSpace(("layer.0.query.weight", "layer.0.query.bias", "layer.1.key.weight"), ((40, 10), (40,), (40, 10)))
K = 50


def some_weights(case: int, rng: np.random.Generator) -> TopKSet:
    """Most of them in the neurons of its case, but rarely the same weights; five are of the bias."""
    neurons = 10 * case + rng.choice(10, 30)
    inside = np.unique(10 * neurons + rng.integers(0, 10, 30))
    others = rng.choice(np.arange(440, 840), K - 5 - len(inside), replace=False)
    made = TopKSet.from_indices(
        rng.permutation(np.concatenate([inside, others, rng.choice(np.arange(400, 440), 5, replace=False)])),
        space=SPACE,
        importance=np.sort(rng.exponential(size=K))[::-1],
    )
    return replace(made, anatomy=Anatomy(Heads(2, 2)))


@pytest.fixture
def runs(tracking: MlflowClient, tmp_path: Path) -> list[str]:
    """Six trainings of two cases, with two seeds each."""
    rng, ids = np.random.default_rng(0), []
    for place in range(6):
        named = {"gradiend.run_id": f"run {place}", "case": f"case {place % 2}"}
        ids.append(log_training(tracking, tmp_path, some_weights(place % 2, rng), **named))
        for seed in range(2):
            child = {"gradiend.kind": "seed", "mlflow.parentRunId": ids[-1], "gradiend.seed": str(seed)}
            log_training(tracking, tmp_path, some_weights(place % 2, rng), **(named | child))
    return ids


@pytest.mark.long
def test_a_logged_comparison_says_and_keeps_its_unit(runs: list[str], tracking: MlflowClient) -> None:
    """In its tags, params, name, description and notes; read back, it has the same numbers."""
    comparison = compare(runs, topk=40, unit="neuron", groups="tags.case")
    assert comparison.unit == "neuron"
    again = compute_overlap(comparison.sets, unit="neuron")
    assert comparison.overlap.intersection.tolist() == again.intersection.tolist()
    run = tracking.get_run(comparison.run_id or "")
    assert run.data.tags["gradiend.unit"] == run.data.params["unit"] == "neuron"
    assert run.info.run_name == name_of_comparison(comparison)
    assert "· intersection_frac · neurons · decoder-weight" in run.info.run_name
    said = run.data.tags["mlflow.note.content"]
    assert said == description_of(comparison)
    assert "of the neurons of their top 40 weights on average" in said
    assert "shared neurons" in said
    assert "q-value" not in said
    # Real weights lie in few neurons, so fewer are shared than by chance, however alike the runs are.
    assert "as chance would give" not in said
    assert "times as many weights as chance would give" in description_of(compare(runs, topk=40, log=False))
    (note,) = [note for note in comparison.notes if note.startswith("Left out")]
    left = (comparison.sets["run 0"].param_ids == 1).sum()
    assert f"{left} of 40 weights of run 0" in note
    loaded = load_comparison(comparison.run_id or "")
    assert loaded.unit == "neuron"
    assert loaded.overlap.sizes.tolist() == comparison.overlap.sizes.tolist()
    assert loaded.pairs.equals(comparison.pairs)
    assert loaded.shared_weights().equals(comparison.shared_weights())
    assert compare(runs, topk=40, unit="neuron", groups="tags.case").run_id == comparison.run_id
    assert compare(runs, topk=40, groups="tags.case").run_id != comparison.run_id


def test_the_curve_goes_to_what_was_logged(runs: list[str]) -> None:
    """By number of weights, so that it meets the matrix where k is what was asked."""
    comparison = compare(runs, topk=40, unit="neuron", log=False)
    curve = comparison.overlap_curve([40, 50])
    assert curve.intersection[0].tolist() == comparison.overlap.intersection.tolist()
    (axes,) = comparison.plot_curve().axes  # type: ignore[union-attr]
    assert axes.get_ylabel().replace("\n", " ") == "shared neurons / smaller set (%)"
    assert any(text.get_text() == "k = 40" for text in axes.texts)


def test_groups_and_seeds(runs: list[str]) -> None:
    """Neurons are what the trainings of a case have in common."""
    test = compare(runs, topk=40, unit="neuron", groups="tags.case", log=False).test_groups()
    assert test.unit == "neuron"
    assert test.p_value == test.min_p
    of_weights = compare(runs, topk=40, groups="tags.case", log=False).test_groups()
    assert test.difference > of_weights.difference
    seeds = compare(runs, topk=40, unit="neuron", seeds="all_tried", seed_aggregate="mean", log=False)
    assert seeds.ceiling["mean"].between(0.3, 1).all()
    assert "of the neurons of their top 40 weights" in description_of(seeds)
    weights = compare(runs, topk=40, seeds="all_tried", seed_aggregate="mean", log=False)
    with pytest.raises(InvalidInputError, match="one of neurons and one of weights"):
        seeds.difference(weights)
    assert seeds.difference(compare(runs, topk=20, unit="neuron", log=False)).labels == tuple(seeds.matrix)


def texts_of(figure: Figure) -> str:
    """All that is written in a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("heatmap", "shared neurons / smaller set (%)"),
        ("upset", "neurons in exactly these sets"),
        ("layers", "in all runs: 0 neurons"),
        ("groups", "shared neurons / smaller set (%)"),
    ],
)
def test_figures_say_what_is_counted(name: str, said: str, runs: list[str]) -> None:
    """Nowhere weights."""
    comparison = compare(runs, topk=40, unit="neuron", groups="tags.case", log=False)
    written = texts_of(getattr(comparison, f"plot_{name}")())
    assert said in written
    assert "weight" not in written


def test_the_report_has_neurons(runs: list[str]) -> None:
    """Where weights have coordinates, their number; importances; no p-value."""
    comparison = compare(runs, topk=40, unit="neuron", log=False)
    data = report_data(comparison)
    json.dumps(data, allow_nan=False)
    assert (data["unit"], data["titles"]["intersection"]) == ("neuron", "shared neurons")
    asked = data["steps"][data["asked"]]
    assert asked["p"] == [None] * 15
    assert asked["shared"] == comparison.overlap.intersection[np.triu_indices(6, k=1)].tolist()
    frame = comparison.shared_weights()
    found = [(data["params"][row[0]][0], row[1], row[6]) for row in data["weights"]]
    assert found == [(row["param"], [row["neuron"]], list(row["ranks"])) for row in frame.to_dict("records")]
    assert data["weights"][0][7] == pytest.approx(list(frame["importances"][0]), rel=1e-2)


def test_what_cannot_be_asked(runs: list[str]) -> None:
    """Is refused before anything is pulled."""
    with pytest.raises(InvalidInputError, match="sign_agreement compares signed weights"):
        compare(["no run"], unit="neuron", value="sign_agreement")
    with pytest.raises(InvalidInputError, match="unit must be one of"):
        compare(runs, unit="head")  # type: ignore[arg-type]


def test_from_a_shell(runs: list[str]) -> None:
    """The matrix is that of neurons."""
    result = CliRunner().invoke(main, ["compare", *runs, "--topk", "40", "--unit", "neuron", "--no-log"])
    assert result.exit_code == 0, result.output
    comparison: Comparison = compare(runs, topk=40, unit="neuron", log=False)
    assert f"{comparison.matrix.iloc[0, 1]:.3f}" in result.output
    assert "have no neurons" in result.output

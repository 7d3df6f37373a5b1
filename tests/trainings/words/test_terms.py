"""gradiend's data in MLflow's terms."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from gradiend_mlflow import CheckpointError
from gradiend_mlflow.trainings.directories import read_json
from gradiend_mlflow.trainings.words.terms import (
    Outcome,
    history,
    key_of,
    outcome_of,
    params_of,
    step_metrics,
)

STATS = {
    "scores": {0: 0.1, 2: -0.9},
    "mean_by_feature_class": {2: {"3SG": 0.5, "he/she": -0.5}},
    "encoder_norms": {1: 1.0, 2: 2.0},
    "decoder_norms": {1: 3.0, 2: float("nan")},
}


def test_metrics_of_a_step_are_those_recorded_for_it() -> None:
    """Loss and norms at every step, evaluation where there was one; NaN says that it diverged."""
    assert step_metrics(1, 0.25, STATS) == {"train/loss": 0.25, "train/encoder_norm": 1.0, "train/decoder_norm": 3.0}
    at_two = step_metrics(2, 0.5, STATS)
    assert at_two["eval/correlation"] == -0.9
    assert at_two["eval/mean/3SG"] == 0.5
    assert math.isnan(at_two["train/decoder_norm"])
    assert step_metrics(0, None, STATS) == {"eval/correlation": 0.1}


def test_history_from_json_is_what_was_logged_live() -> None:
    """JSON turns steps into strings; the metrics are the same."""
    training_file = json.loads(json.dumps({"losses": [0.25, 0.5], "training_stats": STATS}))
    live = [(0, step_metrics(0, None, STATS)), (1, step_metrics(1, 0.25, STATS)), (2, step_metrics(2, 0.5, STATS))]
    # Python's repr tells NaN to be NaN; == does not.
    assert repr(list(history(training_file))) == repr(live)


@given(st.text(max_size=400))
def test_any_name_becomes_a_key_that_mlflow_takes(name: str) -> None:
    """Also under a prefix."""
    _validate_metric_name(f"eval/mean/{key_of(name)}")


@given(st.lists(st.text(alphabet="a>%#/ .é", max_size=6), unique=True, max_size=8))
def test_different_names_become_different_keys(names: list[str]) -> None:
    """Names that had to be changed differ in a hash."""
    assert len({key_of(name) for name in names}) == len(names)


def test_params_are_flat() -> None:
    """Nested settings get dots; empty ones stay."""
    config = {"seed": 0, "pre_prune_config": {"topk": 0.1, "inner": {"a": None}}, "metadata": {}, "params": ["a"]}
    assert params_of(config) == {
        "seed": "0",
        "pre_prune_config.topk": "0.1",
        "pre_prune_config.inner.a": "None",
        "metadata": "{}",
        "params": "['a']",
    }


def test_outcome_of_a_training_file() -> None:
    """The best checkpoint's figures and convergence, where gradiend says them."""
    training_file = {
        "training_stats": STATS,
        "best_score_checkpoint": {"correlation": 0.9, "loss": None, "global_step": 4},
        "convergence_info": {"converged": False},
    }
    assert outcome_of(training_file) == Outcome(converged=False, correlation=0.9, step=4)
    assert outcome_of({}) == Outcome()
    by_loss = {"best_score_checkpoint": {"correlation": None, "loss": 0.5, "global_step": 4}}
    assert outcome_of(by_loss) == Outcome(loss=0.5, step=4)
    never_evaluated = {"training_stats": {"scores": {}}, "best_score_checkpoint": {"correlation": -1.0}}
    assert outcome_of(never_evaluated) == Outcome()
    both = {"training_stats": STATS, "best_score_checkpoint": {"correlation": 0.9, "loss": 0.5, "global_step": 4}}
    assert outcome_of(both) == Outcome(correlation=0.9, step=4)
    assert Outcome(converged=True, correlation=0.5).metrics() == {"best/correlation": 0.5}
    assert Outcome().run_tags() == {}


def test_damaged_files_are_named(tmp_path: Path) -> None:
    """One that does not exist is empty; a broken one is an error."""
    file = tmp_path / "training.json"
    assert read_json(file) == {}
    file.write_text("[")
    with pytest.raises(CheckpointError, match=r"training\.json cannot be read: it is not valid JSON"):
        read_json(file)
    file.write_text("[]")
    with pytest.raises(CheckpointError, match="it must be an object"):
        read_json(file)

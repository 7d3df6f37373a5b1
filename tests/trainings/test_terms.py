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
from gradiend_mlflow.trainings.terms import (
    Outcome,
    history,
    key_of,
    outcome_of,
    params_of,
    read_training_file,
    seed_of,
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
    record = json.loads(json.dumps({"losses": [0.25, 0.5], "training_stats": STATS}))
    live = [(0, step_metrics(0, None, STATS)), (1, step_metrics(1, 0.25, STATS)), (2, step_metrics(2, 0.5, STATS))]
    # Python's repr tells NaN to be NaN; == does not.
    assert repr(list(history(record))) == repr(live)


@given(st.text(max_size=400))
def test_any_name_becomes_a_key_that_mlflow_takes(name: str) -> None:
    """Also under a prefix."""
    _validate_metric_name(f"eval/mean/{key_of(name)}")


@given(st.lists(st.text(alphabet="a>%#/ .é", max_size=6), unique=True, max_size=8))
def test_different_names_become_different_keys(names: list[str]) -> None:
    """What had to be changed is told apart by a hash."""
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


def test_outcome_of_a_record() -> None:
    """The best checkpoint's figures and convergence, where gradiend tells them."""
    record = {
        "training_stats": STATS,
        "best_score_checkpoint": {"correlation": 0.9, "loss": None, "global_step": 4},
        "convergence_info": {"converged": False},
    }
    assert outcome_of(record) == Outcome(converged=False, correlation=0.9, step=4)
    assert outcome_of({}) == Outcome()
    by_loss = {"best_score_checkpoint": {"correlation": None, "loss": 0.5, "global_step": 4}}
    assert outcome_of(by_loss) == Outcome(loss=0.5, step=4)
    never_evaluated = {"training_stats": {"scores": {}}, "best_score_checkpoint": {"correlation": -1.0}}
    assert outcome_of(never_evaluated) == Outcome()
    both = {"training_stats": STATS, "best_score_checkpoint": {"correlation": 0.9, "loss": 0.5, "global_step": 4}}
    assert outcome_of(both) == Outcome(correlation=0.9, step=4)
    assert Outcome(converged=True, correlation=0.5).metrics() == {"best/correlation": 0.5}
    assert Outcome().run_tags() == {}


@pytest.mark.parametrize(
    ("config", "seed"),
    [
        ({"seed": 7, "max_seeds": 1, "output_dir": "runs/seed_3"}, 7),
        ({"seed": 7, "max_seeds": 3, "output_dir": "runs/x/seeds/seed_9"}, 9),
        ({"seed": None, "max_seeds": 1}, None),
    ],
)
def test_seed_is_the_loops_own(config: dict[str, object], seed: int | None) -> None:
    """Among several seeds, only the directory tells."""
    assert seed_of(config) == seed


def test_damaged_records_are_named(tmp_path: Path) -> None:
    """None is fine, broken is not."""
    assert read_training_file(tmp_path) is None
    (tmp_path / "training.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"training\.json is not valid JSON"):
        read_training_file(tmp_path)
    (tmp_path / "training.json").write_text("[]")
    with pytest.raises(CheckpointError, match="should hold a JSON object; it holds a list"):
        read_training_file(tmp_path)

"""Odd names and values: MLflow receives all that it can keep, and the rest is named."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError
from gradiend_mlflow.delivery.journals.journal import find_journals
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.words.terms import key_of, step_metrics
from tests.support.trainings import only_run, train


def test_odd_names_and_values(server: str, request: Any, warnings: Any, tmp_path: Path) -> None:
    """MLflow receives all that it can keep; a warning names the rest."""
    recorder = Recorder(Store(server, once=True), tmp_path)
    run = recorder.start("ä > b % # /", {}, Destination(experiment_name=request.node.name))
    names = ["he>she", "50%", "#1", "a b", "数", "n/a", "x" * 300, "", "."]
    odd = {name: float(index) for index, name in enumerate(names)}
    stats = {
        "mean_by_feature_class": {1: odd},
        "scores": {1: np.float32(0.5)},
        "encoder_norms": {1: torch.tensor(math.nan)},
        "decoder_norms": {1: -math.inf},
    }
    values = step_metrics(1, torch.tensor(math.inf), stats)
    run.metrics(1, values)
    run.params({"long": "x" * 7000, "changed": "a", "kept": "b"})
    run.params({"changed": "c", "kept": "b", "new": "d"})
    run.end("FINISHED")
    recorder.close(30)
    client = MlflowClient(server)
    found = client.get_run(run.run_id(0))
    assert found.info.run_name == "ä > b % # /"
    largest = sys.float_info.max
    assert found.data.metrics == {
        **{f"eval/mean/{key_of(name)}": value for name, value in odd.items()},
        "train/loss": largest,
        "train/encoder_norm": pytest.approx(math.nan, nan_ok=True),
        "train/decoder_norm": -largest,
        "eval/correlation": 0.5,
    }
    assert found.data.params == {"long": "x" * 5999 + "…", "changed": "a", "kept": "b", "new": "d"}
    cut, changed = warnings()
    assert "are cut: long" in cut
    assert "already has other values of these params: changed" in changed
    assert find_journals(tmp_path) == []


def test_an_odd_tag_is_refused_at_once() -> None:
    """Later MLflow would refuse the whole run because of it."""
    for name in ("a>b", "x" * 251, ""):
        with pytest.raises(InvalidInputError, match="in a tag's name"):
            gradiend_mlflow.autolog(extra_tags={name: "1"})
    with pytest.raises(InvalidInputError, match=r"exceed MLflow's 8,000 characters: \['long'\]"):
        gradiend_mlflow.autolog(extra_tags={"long": "x" * 8001, "short": "x" * 8000})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracking_uri": 5}, "tracking_uri must be a non-empty string, or None for the default; got 5"),
        ({"tracking_uri": ""}, "tracking_uri must be a non-empty string"),
        ({"experiment_name": " "}, "experiment_name must be a non-empty string"),
        ({"extra_tags": [("a", "b")]}, "extra_tags must be a mapping from name to value"),
    ],
    ids=str,
)
def test_odd_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    """In a training they could not raise an error."""
    with pytest.raises(InvalidInputError, match=message):
        gradiend_mlflow.autolog(**options)


@pytest.mark.parametrize("odd", ["a\0b", "half \ud800", "\0"])
def test_characters_that_databases_refuse(odd: str, base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """PostgreSQL refuses NUL, and nothing takes half a surrogate pair: they become escapes, also in the journal."""
    expected = odd.encode("unicode_escape").decode()
    gradiend_mlflow.autolog(topk=10, extra_tags={"odd": odd})
    train(base_model, tmp_path, ("3SG", "3PL"), max_seeds=1, metadata={"note": odd})
    run = only_run(tracking)
    assert run.data.tags["odd"] == expected
    assert run.data.params["metadata.note"] == expected
    assert run.data.tags["gradiend.topk"]
    frame = gradiend_mlflow.import_runs(
        tmp_path, experiment_name="imported", topk=10, extra_tags={"odd": odd}, progress=False
    )
    assert tracking.get_run(frame["run_id"][0]).data.tags["odd"] == expected

"""What is odd, imported or large gets to every kind of deployment as it gets to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import import_runs, search_runs
from gradiend_mlflow.delivery.journals.journal import find_journals
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store.store import Store
from tests.support.deployments import Deployment, Deployments
from tests.support.faults import runs_of, state
from tests.support.trainings import MakeTrainer


def log_odd(uri: str, folder: Path) -> dict[str, Any]:
    """A run of odd texts and numbers; returns what the deployment has of it."""
    recorder = Recorder(Store(uri, once=True), folder)
    run = recorder.start("null \0, surrogate \ud800, 数", {"odd": "a\0b\ud800c"}, Destination(experiment_name="odd"))
    run.params({"null": "a\0b", "surrogate": "\ud800", "long": "x" * 7000, "emoji": "🦜", "empty": ""})
    run.metrics(1, {"nan": float("nan"), "infinite": float("inf"), "large": sys.float_info.max, "tiny": 5e-324})
    run.tags({"null": "\0", "quoted": "'\"`;--", "direction": "\u202e"})
    run.end("FINISHED")
    recorder.close(60)
    assert find_journals(folder) == []
    found = MlflowClient(uri).get_run(run.run_id(0))
    own = {key: value for key, value in found.data.tags.items() if not key.startswith(("mlflow.", "gradiend."))}
    return {"name": found.info.run_name, "tags": own, "params": found.data.params, "metrics": repr(found.data.metrics)}


def test_odd_texts_and_numbers(deployment: Deployment, deployments: Deployments, tmp_path: Path) -> None:
    """PostgreSQL takes no NUL, and no database half a character; what is kept instead is the same everywhere."""
    found = log_odd(deployment.uri, tmp_path / "here")
    assert found == log_odd(deployments["sqlite"].uri, tmp_path / "file")
    assert found["tags"]["quoted"] == "'\"`;--"
    assert found["params"]["emoji"] == "🦜"


@pytest.fixture
def untracked(make_trainer: MakeTrainer) -> str:
    """The directory of a training that nobody tracked."""
    trainer = make_trainer()
    trainer.train()
    return str(trainer.experiment_dir)


def test_an_import_is_done_once(deployment: Deployment, untracked: str, request: Any) -> None:
    """And the run can be compared at once."""
    name = request.node.name
    assert import_runs(untracked, experiment_name=name, progress=False)["result"].tolist() == ["imported"]
    assert import_runs(untracked, experiment_name=name, progress=False)["result"].tolist() == ["unchanged"]
    assert len(search_runs(name)) == 1


@pytest.mark.long
def test_a_model_is_logged_and_loaded(deployment: Deployment, make_trainer: MakeTrainer, request: Any) -> None:
    """Through whatever keeps the artifacts."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, log_models=True)
    trainer = make_trainer()
    trainer.train()
    (run_id,) = runs_of(deployment.uri, request.node.name)
    loaded = gradiend_mlflow.load_model(f"runs:/{run_id}/model")
    assert loaded.encode("[MASK] am happy .", "I") == trainer.get_model().encode("[MASK] am happy .", "I")


@pytest.mark.long
def test_seeds_and_steps(deployment: Deployment, make_trainer: MakeTrainer, request: Any) -> None:
    """Two seeds below their training, each with its sets of steps."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, topk_steps="eval")
    make_trainer(max_seeds=2, min_convergent_seeds=2).train()
    gradiend_mlflow.flush()
    seeds = search_runs(request.node.name, kinds=["seed"])
    assert len(seeds) == 2
    assert gradiend_mlflow.load_stability(seeds).shape == (3, 2)  # steps, seeds


@pytest.mark.long
def test_a_journal_of_another_deployment_is_synced(
    deployment: Deployment, deployments: Deployments, make_trainer: MakeTrainer, request: Any
) -> None:
    """What was written for a server that was never there goes where `--tracking-uri` says, and nothing is missing."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri="http://127.0.0.1:9", deadline=0)
    trainer = make_trainer()
    trainer.train()
    gradiend_mlflow.flush()
    gradiend_mlflow.autolog(disable=True)
    frame = gradiend_mlflow.sync(trainer.experiment_dir, tracking_uri=deployment.uri, progress=False)
    assert set(frame["result"]) <= {"synced", "busy"}
    mlflow.set_tracking_uri(deployment.uri)
    if set(frame["result"]) == {"synced"}:
        (run_id,) = runs_of(deployment.uri, request.node.name)
        assert state(deployment.uri, run_id)["status"] == "FINISHED"

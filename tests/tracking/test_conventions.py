"""What MLflow's own `start_run` honours in the environment, a training honours too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from gradiend.trainer.trainer import Trainer
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow.tracking import callback
from tests.support.trainings import MakeTrainer, children_of, only_run

_SCRIPT = """\
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import gradiend_mlflow
from tests.support.trainings import train
gradiend_mlflow.autolog(topk=10)
train({base_model!r}, Path("runs"), ("3SG", "3PL"), max_seeds=1)
"""


@pytest.mark.long
def test_an_mlflow_project(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """`mlflow run .` makes a run, which the training fills; there is no second one beside it."""
    project = tmp_path / "project"
    project.mkdir()
    root = str(Path(__file__).parents[2])
    (project / "train.py").write_text(_SCRIPT.format(paths=[root, f"{root}/examples"], base_model=base_model))
    (project / "MLproject").write_text("name: pronouns\nentry_points:\n  main:\n    command: python train.py\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", "--experiment-name", "project"]
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(), "PYTHONPATH": root}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    experiment = tracking.get_experiment_by_name("project")
    assert experiment is not None
    (run,) = tracking.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["gradiend.kind"] == "training"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    assert "best/correlation" in run.data.metrics
    assert gradiend_mlflow.load_topk([run.info.run_id], topk=10)


def test_a_second_training_does_not_overwrite_the_first(
    make_trainer: MakeTrainer, tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an active run: the first is the run that the environment names, further ones are its children."""
    run = tracking.create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    gradiend_mlflow.autolog(topk=10)
    make_trainer("3SG", "3PL", max_seeds=1).train()
    make_trainer("1SG", "1PL", max_seeds=1).train()
    found = tracking.get_run(run.info.run_id)
    assert found.data.tags["gradiend.run_id"] == "3SG_3PL"
    assert found.info.status == "RUNNING"  # whoever made it ends it
    (child,) = children_of(tracking, found)
    assert child.info.run_name == "1SG_1PL"


def test_a_run_of_another_server_is_none_of_ours(
    make_trainer: MakeTrainer, tracking: MlflowClient, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment speaks of MLflow's current server."""
    run = tracking.create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    gradiend_mlflow.autolog(topk=10, tracking_uri=server, experiment_name="another server")
    make_trainer(max_seeds=1).train()
    assert len(gradiend_mlflow.search_runs("another server", tracking_uri=server)) == 1
    assert "gradiend.kind" not in tracking.get_run(run.info.run_id).data.tags


def test_a_gradiend_without_suites_is_refused_before_anything_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradiend 0.1.0 has none: one sentence, and its trainers stay as they are."""
    monkeypatch.setattr(callback, "find_spec", lambda name: None)
    monkeypatch.setattr(callback, "check_gradiend", callback.check_gradiend.__wrapped__)
    before = dict(vars(Trainer))
    for use in (gradiend_mlflow.autolog, gradiend_mlflow.MLflowCallback):
        with pytest.raises(gradiend_mlflow.InvalidInputError, match=r"^tracking needs gradiend 0\.2\.0 or newer; "):
            use()
    assert dict(vars(Trainer)) == before


def test_a_gradiend_without_a_search_for_learning_rates_is_tracked(
    make_trainer: MakeTrainer, tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradiend 0.2.0 and 0.2.1 have no `tune_learning_rate`."""
    monkeypatch.delattr(Trainer, "tune_learning_rate", raising=False)
    gradiend_mlflow.autolog(topk=10)
    make_trainer(max_steps=2).train()
    assert only_run(tracking).info.status == "FINISHED"

"""Where a page of MLflow's UI is, as people are told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow.delivery import sender
from gradiend_mlflow.store.ui.pages import told
from tests.support.trainings import MakeTrainer


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process that has told nothing yet."""
    monkeypatch.setattr(sender, "_told_of", set())


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package has said at INFO."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "gradiend_mlflow" and record.levelno == logging.INFO
    ]


def test_a_server_has_pages() -> None:
    """Without the password of its address, and with one slash."""
    assert told("#/x", "https://u:secret@host/prefix/") == "https://***@host/prefix/#/x"


def test_a_database_has_none_before_a_ui_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works in any directory and in a shell."""
    folder = tmp_path / "my runs"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert told("#/x", "sqlite:///mlflow.db") == (
        f"http://127.0.0.1:5000/#/x (start `mlflow ui --backend-store-uri 'sqlite:///{folder}/mlflow.db'`)"
    )


def test_trainings_say_where_they_are(
    make_trainer: MakeTrainer, tracking: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The experiment once; each training at its end, its seeds not; then the comparison."""
    with caplog.at_level(logging.INFO):
        gradiend_mlflow.autolog(topk=10, experiment_name="said")
        for pair in (("3SG", "3PL"), ("1SG", "1PL")):
            make_trainer(*pair, max_seeds=2, min_convergent_seeds=None).train()
        comparison = gradiend_mlflow.compare(experiment_names="said", topk=10)
    experiment = tracking.get_experiment_by_name("said")
    assert experiment is not None
    base = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs"
    where, *ends, compared = said(caplog)
    assert where.startswith(f"Runs go to the experiment 'said': {base}?")
    assert "viewStateShareKey=gradiend-trainings" in where
    assert [line.partition(" (start")[0] for line in ends] == [
        f"{name} is FINISHED in MLflow: {base}/{run_id}?workflowType=machine_learning"
        for name, run_id in zip(comparison.runs["run_name"], comparison.runs["run_id"], strict=True)
    ]
    assert f"{base}/{comparison.run_id}" in compared


def test_silence(make_trainer: MakeTrainer, tracking: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    """`silent=True` says nothing, not even a warning, until autologging is not silent any more."""
    logger = logging.getLogger("gradiend_mlflow")
    with caplog.at_level(logging.INFO):
        gradiend_mlflow.autolog(topk=10, silent=True)
        make_trainer("3SG", "3PL", max_seeds=1).train()
        gradiend_mlflow.flush()
        assert said(caplog) == []
        gradiend_mlflow.autolog(topk=10, experiment_name="loud")
        make_trainer("1SG", "1PL", max_seeds=1).train()
        gradiend_mlflow.flush()
        assert len(said(caplog)) == 2
        gradiend_mlflow.autolog(silent=True)
        logger.warning("unheard")
        gradiend_mlflow.autolog(disable=True)
        logger.warning("heard")
    assert [record.getMessage() for record in caplog.records if "heard" in record.getMessage()] == ["heard"]


def test_nothing_is_printed(make_trainer: MakeTrainer, server: str, capfd: pytest.CaptureFixture[str]) -> None:
    """MLflow's own link would show the password of the address."""
    gradiend_mlflow.autolog(topk=10, experiment_name="printed", tracking_uri=server)
    make_trainer(max_seeds=1).train()
    gradiend_mlflow.flush()
    assert "View run" not in capfd.readouterr().out

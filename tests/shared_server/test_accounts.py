"""Accounts: a reader reads everything and writes to experiments of his own; nobody's password is shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import gradiend_mlflow
from gradiend_mlflow import StoreError, compare, search_runs, sync
from tests.shared_server.conftest import become_client
from tests.support.deployments import STUDY, Deployment, Deployments
from tests.support.faults import journals
from tests.support.logs import warned
from tests.support.trainings import MakeTrainer


@pytest.fixture
def reader(deployments: Deployments, tracking: object, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The deployment with accounts; this process is the reader."""
    found = deployments["accounts"]
    assert found.reader is not None
    return become_client(Deployment(found.uri, found.reader.environment, found.reader), monkeypatch)


@pytest.mark.long
def test_a_reader_compares(reader: Deployment, deployments: Deployments) -> None:
    """Without logging, and into an experiment of his own, as the writer does."""
    mine = compare(experiment_names=[STUDY], topk=20, log_to="of the reader")
    assert mine.run_id is not None
    of_file = compare(experiment_names=[STUDY], topk=20, log=False, tracking_uri=deployments["sqlite"].uri)
    order = list(of_file.matrix)
    assert (mine.matrix.loc[order, order] == of_file.matrix).all(axis=None)


@pytest.mark.long
def test_a_reader_trains(
    reader: Deployment, make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Into another's experiment: the training goes on, its journal waits, a warning says 403."""
    caplog.set_level(logging.WARNING, logger="gradiend_mlflow")
    gradiend_mlflow.autolog(topk=50, experiment_name=STUDY)
    trainer = make_trainer(experiment_dir=None)
    trainer.train()
    assert not gradiend_mlflow.flush()
    assert any("403" in said for said in warned(caplog))
    assert len(journals(trainer)) == 1
    assert sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["failed"]
    assert reader.reader is not None
    assert reader.reader.password not in "".join([*warned(caplog), *capfd.readouterr()])


@pytest.mark.long
def test_a_wrong_password(reader: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says 401, at once, and not what was tried."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed-it-wrongly")
    with pytest.raises(StoreError, match="401") as caught:
        search_runs(STUDY)
    assert "guessed-it-wrongly" not in str(caught.value)

"""Accounts: a reader reads everything and writes to experiments of his own; nobody's password is shown."""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import requests

import gradiend_mlflow
from gradiend_mlflow import StoreError, compare, search_runs, sync
from tests.shared_server.conftest import become_client
from tests.support.deployments import STUDY, Deployment, Deployments
from tests.support.faults import journals
from tests.support.logs import warned
from tests.support.proxy import Proxy
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


@pytest.mark.long
def test_a_reader_who_is_given_the_right_to_write(
    reader: Deployment, deployments: Deployments, make_trainer: MakeTrainer
) -> None:
    """The owner of an experiment gives it to him, with EDIT; what waited in his journal is sent, and he trains on."""
    assert reader.reader is not None
    name, owner = "of the writer", deployments["accounts"].environment
    as_owner = (owner["MLFLOW_TRACKING_USERNAME"], owner["MLFLOW_TRACKING_PASSWORD"])

    def asked(path: str, **json: str) -> Any:
        answer = requests.post(f"{reader.uri}/api/{path}", json=json, auth=as_owner, timeout=60)
        answer.raise_for_status()
        return answer.json()

    made = asked("2.0/mlflow/experiments/create", name=name)["experiment_id"]
    gradiend_mlflow.autolog(topk=50, experiment_name=name)
    trainer = make_trainer()
    trainer.train()
    assert not gradiend_mlflow.flush()
    who = {"username": reader.reader.name, "permission": "EDIT"}
    asked("3.0/mlflow/users/permissions/grant", resource_type="experiment", resource_id=made, **who)
    assert sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["synced"]
    make_trainer("1SG", "1PL").train()
    assert gradiend_mlflow.flush()
    assert len(search_runs(name)) == 2


class Gate(Proxy):
    """What stands before a server and lets in who has a token, as a lab's own sign-on does."""

    token = "t0ken-of-wanda"

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Authorization") == f"Bearer {self.token}":
            super()._handle(request)
        else:
            request.rfile.read(int(request.headers.get("Content-Length") or 0))
            self._answer(request, 401, b"who are you?", {})


@pytest.mark.long
def test_a_token(
    server: str,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: Any,
) -> None:
    """MLFLOW_TRACKING_TOKEN opens the way for trainings and readers; without it, 401 names it."""
    gate, name = Gate(server), request.node.name
    try:
        with pytest.raises(StoreError, match=r"401.*MLFLOW_TRACKING_TOKEN"):
            search_runs(search_all_experiments=True, tracking_uri=gate.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", gate.token)
        gradiend_mlflow.autolog(topk=50, experiment_name=name, tracking_uri=gate.uri)
        for pair in (("3SG", "3PL"), ("1SG", "1PL")):
            make_trainer(*pair).train()
        assert gradiend_mlflow.flush()
        assert len(compare(experiment_names=[name], topk=20, tracking_uri=gate.uri).runs) == 2
    finally:
        gate.close()
    assert gate.token not in caplog.text

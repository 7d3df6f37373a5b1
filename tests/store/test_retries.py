"""Readers hear of a fault in time, and no request touches the training's random numbers."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, StoreError
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.store.store import Store
from tests.support.proxy import CUT, HOLE, Proxy, of_artifacts


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


def test_pauses_are_not_drawn_from_the_trainings_generator(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow draws them from Python's global one, as a training may."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    proxy.fault = lambda method, path: 503
    random.seed(7)
    with pytest.raises(StoreError, match="503"):
        Store(proxy.uri).experiments()
    assert len(proxy.requests) > 1
    assert random.random() == random.Random(7).random()


def test_that_would_be_noticed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow by itself does."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setattr("urllib3.util.retry.random", random)  # which we have replaced
    proxy.fault = lambda method, path: 503
    random.seed(7)
    with pytest.raises(MlflowException):
        MlflowClient(proxy.uri).search_experiments()
    assert random.random() != random.Random(7).random()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("down", "Connection refused"),
        (HOLE, "no answer in time"),
        (CUT, "Remote end closed connection without response"),
        (500, "API request to endpoint /api/2.0/mlflow/.*500.*"),
    ],
    ids=["down", "hole", "cut", "500"],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda uri: gradiend_mlflow.search_runs(["pronouns"], tracking_uri=uri),
        lambda uri: gradiend_mlflow.load_topk(["a" * 32] * 1 + ["b" * 32], tracking_uri=uri),
        lambda uri: gradiend_mlflow.compare(experiment_names=["pronouns"], tracking_uri=uri),
    ],
    ids=["search_runs", "load_topk", "compare"],
)
def test_a_reader_hears_of_it_in_time(
    ask: Callable[[str], object], fault: Any, reason: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, with the server, the reason in few words and what sets the time; no thread is left to hold the exit."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    if fault == "down":
        proxy.stop()
    proxy.fault = lambda method, path: fault
    begun = time.monotonic()
    told = (
        f"at MLflow on {re.escape(proxy.uri)}: {reason} \\(asked for 1.5 s; GRADIEND_MLFLOW_DEADLINE changes that\\)"
    )
    with pytest.raises(StoreError, match=told):
        ask(proxy.uri)
    assert time.monotonic() - begun < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_no_artifact_can_be_had(proxy: Proxy, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the server's fault, not the question's."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    frame = gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)
    proxy.fault = lambda method, path: 500 if of_artifacts(method, path) else None
    with pytest.raises(UnavailableError, match="500"):
        gradiend_mlflow.compare(frame, topk=10, tracking_uri=proxy.uri)


@pytest.mark.parametrize("uri", ["localhost:5741", "htp://localhost", "http://localhost:abc", "http:/localhost:5741"])
def test_an_address_that_is_none(uri: str) -> None:
    """It is said at once: asking again would not help."""
    begun = time.monotonic()
    with pytest.raises(StoreError, match=re.escape(f"at MLflow on {uri}: ")):
        gradiend_mlflow.search_runs("x", tracking_uri=uri)
    assert time.monotonic() - begun < 5


def test_a_database_that_is_none(tmp_path: Path) -> None:
    """Whatever SQLAlchemy calls it."""
    (tmp_path / "notes.txt").write_text("no database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        gradiend_mlflow.search_runs("x", tracking_uri=f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_slow_server_is_waited_for(proxy: Proxy, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it answers, a reader goes on."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    proxy.fault = lambda method, path: 0.4
    frame = gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)
    assert len(gradiend_mlflow.load_topk(frame, topk=50, tracking_uri=proxy.uri)) == len(logged)
    proxy.fault = lambda method, path: 2.0
    with pytest.raises(StoreError, match="no answer in time"):
        gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_deadline_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which variable."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", text)
    with pytest.raises(InvalidInputError, match="GRADIEND_MLFLOW_DEADLINE must be a number of seconds"):
        gradiend_mlflow.search_runs()

"""Readers learn of a fault in time, and no request touches the global random generator."""

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
from tests.support.sampling import quick


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


def test_pauses_are_not_drawn_from_the_trainings_generator(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow by itself draws them from Python's global generator, as a training may."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    proxy.fault = lambda method, path: 503
    random.seed(7)
    with pytest.raises(StoreError, match="503"):
        Store(proxy.uri).experiments()
    assert len(proxy.requests) > 1
    assert random.random() == random.Random(7).random()


def test_pauses_from_the_trainings_generator_would_be_noticed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would fail with MLflow's own retries."""
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
    quick(
        [
            lambda uri: gradiend_mlflow.compare(experiment_names=["pronouns"], tracking_uri=uri),
            lambda uri: gradiend_mlflow.load_topk(["a" * 32] * 1 + ["b" * 32], tracking_uri=uri),
            lambda uri: gradiend_mlflow.search_runs(["pronouns"], tracking_uri=uri),
        ],
        first=1,
    ),
    ids=["compare", "load_topk", "search_runs"],
)
def test_a_reader_learns_of_a_fault_in_time(
    ask: Callable[[str], object], fault: Any, reason: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the server, a short reason and the deadline's variable; no thread remains."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    if fault == "down":
        proxy.stop()
    proxy.fault = lambda method, path: fault
    begun = time.monotonic()
    message = (
        f"at MLflow on {re.escape(proxy.uri)}: {reason} \\(asked for 1.5 s; GRADIEND_MLFLOW_DEADLINE changes that\\)"
    )
    with pytest.raises(StoreError, match=message):
        ask(proxy.uri)
    assert time.monotonic() - begun < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


@pytest.mark.long
def test_a_server_without_artifacts_is_unavailable(proxy: Proxy, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the error is about the server, not about the runs."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    frame = gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)
    proxy.fault = lambda method, path: 500 if of_artifacts(method, path) else None
    with pytest.raises(UnavailableError, match="500"):
        gradiend_mlflow.compare(frame, topk=10, tracking_uri=proxy.uri)


@pytest.mark.parametrize("uri", ["localhost:5741", "htp://localhost", "http://localhost:abc", "http:/localhost:5741"])
def test_an_invalid_address(uri: str) -> None:
    """The error comes at once: repeating the request would not help."""
    begun = time.monotonic()
    with pytest.raises(StoreError, match=re.escape(f"at MLflow on {uri}: ")):
        gradiend_mlflow.search_runs("x", tracking_uri=uri)
    assert time.monotonic() - begun < 5


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    """SQLAlchemy's error becomes a StoreError."""
    (tmp_path / "notes.txt").write_text("no database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        gradiend_mlflow.search_runs("x", tracking_uri=f"sqlite:///{tmp_path / 'notes.txt'}")


@pytest.mark.long
def test_a_slow_server_is_waited_for(proxy: Proxy, logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader waits as long as the server answers."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    proxy.fault = lambda method, path: 0.4
    frame = gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)
    assert len(gradiend_mlflow.load_topk(frame, topk=50, tracking_uri=proxy.uri)) == len(logged)
    proxy.fault = lambda method, path: 2.0
    with pytest.raises(StoreError, match="no answer in time"):
        gradiend_mlflow.search_runs(["pronouns"], tracking_uri=proxy.uri)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_an_invalid_deadline(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", text)
    with pytest.raises(InvalidInputError, match="GRADIEND_MLFLOW_DEADLINE must be a number of seconds"):
        gradiend_mlflow.search_runs()

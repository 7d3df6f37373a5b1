"""Sets that lie behind a server which passes artifacts on, and has every fault at them while it answers the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import TopKSet
from gradiend_mlflow.errors import UnavailableError
from tests.support.proxy import CUT, HOLE, Proxy, of_artifacts
from tests.support.sets import log_training


@pytest.fixture(scope="module")
def run_ids(server: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three runs."""
    client = MlflowClient(server)
    made = client.create_experiment("behind a server")
    sets = [TopKSet.from_indices(range(first, first + 20), space=100) for first in range(3)]
    return [log_training(client, tmp_path_factory.mktemp("set"), one, experiment_id=made) for one in sets]


@pytest.fixture
def proxy(server: str, run_ids: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of the server; a reader waits for two seconds."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    proxy = Proxy(server)
    yield proxy
    proxy.close()


def test_one_request_for_each_set(proxy: Proxy, run_ids: list[str]) -> None:
    """Nothing is asked of the files before."""
    gradiend_mlflow.load_topk(run_ids, topk=10, tracking_uri=proxy.uri)
    assert [method for method, path in proxy.requests if of_artifacts(method, path)] == ["GET"] * len(run_ids)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(500, "500"), (503, "503"), (CUT, "without response"), (HOLE, "no answer in time")],
    ids=["down", "503", "cut", "hangs"],
)
def test_a_reader_learns_of_a_fault_in_time(fault: Any, reason: str, proxy: Proxy, run_ids: list[str]) -> None:
    """Under the server's name, and as something that may pass."""
    proxy.fault = lambda method, path: fault if of_artifacts(method, path) else None
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match=rf"at MLflow on {re.escape(proxy.uri)}: .*{reason}.*\(asked for 2 s"):
        gradiend_mlflow.load_topk(run_ids, topk=10, tracking_uri=proxy.uri)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("fault", [503, CUT], ids=["503", "cut"])
def test_a_fault_that_passes_is_waited_for(fault: Any, proxy: Proxy, run_ids: list[str]) -> None:
    """Within the deadline."""
    until = time.monotonic() + 1
    proxy.fault = lambda method, path: fault if of_artifacts(method, path) and time.monotonic() < until else None
    assert len(gradiend_mlflow.load_topk(run_ids, topk=10, tracking_uri=proxy.uri)) == len(run_ids)


def test_a_file_that_is_another_or_longer(proxy: Proxy, run_ids: list[str]) -> None:
    """It is named, and the others are there."""

    def fault(method: str, path: str) -> tuple[int, bytes] | None:
        if not of_artifacts(method, path):
            return None
        return {run_ids[0]: (200, b"another"), run_ids[1]: (200, bytes(18_000_000))}.get(path.split("/")[-5])

    proxy.fault = fault
    frame = gradiend_mlflow.verify_runs(run_ids, tracking_uri=proxy.uri)
    assert frame["result"].tolist() == ["damaged", "missing", "ok"]
    assert "is not the file that was logged" in frame["reason"][0]
    assert "it announces an answer of 18,000,000 bytes" in frame["reason"][1]

"""Sets that lie in Google's Cloud Storage and are read from there, and the store with every fault."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import StoreError
from gradiend_mlflow.errors import DeniedError, UnavailableError
from gradiend_mlflow.store.store import Store
from shared_server.processes import answers, free_port, running
from tests.support.proxy import CUT, HOLE, Proxy
from tests.support.sets import log_trainings

BUCKET, DOWN = "lab", "down"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks as Google's."""
    for module in ("gcp_storage_emulator", "google.cloud.storage"):
        try:
            __import__(module)
        except ImportError:
            if "CI" in os.environ:
                raise
            pytest.skip('pip install gcp-storage-emulator "gradiend-mlflow[gs]"')
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory", f"--default-bucket={BUCKET}"]
    command = [sys.executable, "-m", "gcp_storage_emulator", *options]
    with running(command, folder=tmp_path_factory.mktemp("gcs"), ready=lambda: answers(address)):
        yield address


@pytest.fixture
def gcs(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of it, which is what the environment names."""
    proxy = Proxy(store)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.uri)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "lab")
    yield proxy
    proxy.close()


@pytest.fixture
def runs(tracking: MlflowClient, gcs: Proxy, tmp_path: Path) -> list[str]:
    """Three runs in sqlite, whose sets are in the bucket."""
    made = tracking.create_experiment("in a bucket", artifact_location=f"gs://{BUCKET}/some/where")
    ids = log_trainings(tracking, tmp_path, 3, experiment_id=made)
    gcs.requests.clear()
    return ids


def test_one_request_for_each_set(runs: list[str], gcs: Proxy) -> None:
    """Beside those for the bucket itself, which Google's client makes."""
    random.seed(7)
    assert len(gradiend_mlflow.compare(runs, topk=10, log=False).runs) == len(runs)
    assert random.random() == random.Random(7).random()
    assert ["/o/" in path for _, path in gcs.requests].count(True) == len(runs)


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        pytest.param(DOWN, UnavailableError, "Connection refused", id="down"),
        pytest.param(HOLE, UnavailableError, "no answer in time", id="hangs"),
        pytest.param(CUT, UnavailableError, "without response", id="cut"),
        pytest.param(503, UnavailableError, "503", id="503"),
        pytest.param(403, DeniedError, "403.*GOOGLE_APPLICATION_CREDENTIALS", id="denied"),
        pytest.param(401, DeniedError, "GOOGLE_APPLICATION_CREDENTIALS", id="no account"),
        pytest.param(404, StoreError, "404", id="gone"),
    ],
)
def test_a_reader_learns_of_a_fault_in_time(
    fault: Any, kind: type[StoreError], reason: str, runs: list[str], gcs: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the store's own name; Google's client by itself would try for two minutes."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    if fault == DOWN:
        gcs.stop()
    else:
        gcs.fault = lambda method, path: fault
    random.seed(7)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"at the artifact store gs://{BUCKET}: .*{reason}") as caught:
        gradiend_mlflow.load_topk(runs, topk=10)
    assert type(caught.value) is kind
    assert time.monotonic() - begun < 8
    assert random.random() == random.Random(7).random()


@pytest.mark.parametrize(
    ("uri", "installed_by"),
    [
        ("gs://lab/1", r'pip install "gradiend-mlflow\[gs\]"'),
        ("wasbs://lab@lab.blob.core.windows.net/1", "pip install azure-identity azure-storage-blob"),
        ("abfss://lab@lab.dfs.core.windows.net/1", "pip install azure-identity azure-storage-blob"),
    ],
)
def test_what_to_install(uri: str, installed_by: str, tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of a cloud is one of the package's own needs."""
    for module in ("google.cloud", "azure"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError, match=f"its client is not installed: {installed_by}"):
        Store().fetch(uri, "a", sha256="0" * 64, most=1000)

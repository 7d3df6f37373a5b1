"""Many runs on one server: how often it is asked does not depend on how many experiments they are in."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.searching import fill
from gradiend_mlflow import search_runs
from tests.support.proxy import Proxy
from tests.support.server import mlflow_server


@pytest.mark.long
@pytest.mark.parametrize("number", [3_000, 30_000])
def test_a_search_asks_once_for_a_thousand_runs(number: int, tmp_path: Path) -> None:
    """In 50 experiments: one request lists these, and each further one brings a page of runs."""
    fill(tmp_path / "mlflow.db", number, params=2, experiments=50)
    with mlflow_server(tmp_path) as uri:
        proxy = Proxy(uri)
        found = search_runs(search_all_experiments=True, tracking_uri=proxy.uri)
        proxy.close()
    assert len(found) == number
    assert found["experiment"].nunique() == 50
    assert len(proxy.requests) == 1 + math.ceil(number / 1000)

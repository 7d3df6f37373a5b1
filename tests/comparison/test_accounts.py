"""An account that may read and not write gets its comparison all the same, and learns what was not logged."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradiend_mlflow import compare, search_runs
from gradiend_mlflow.errors import DeniedError
from tests.support.logs import warned
from tests.support.proxy import Proxy

TOKEN = "t0ken-0f-mine"


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


def denying(*endpoints: str) -> Callable[[str, str], int | None]:
    """An account that may not use these."""
    return lambda method, path: 403 if path.endswith(endpoints) else None


def test_a_comparison_that_may_not_be_logged(
    proxy: Proxy, logged: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """It is computed, and the warning says how to log it elsewhere."""
    proxy.fault = denying("runs/create", "experiments/create")
    comparison = compare(experiment_names="pronouns", topk=321, link=True, tracking_uri=proxy.uri)
    assert comparison.run_id is None
    assert comparison.matrix.shape == (3, 3)
    (told,) = warned(caplog)
    for part in ("computed, but not logged", "403", "MLFLOW_TRACKING_USERNAME", "log_to=", "log=False"):
        assert part in told
    assert "runs/set-tag" not in {path for _, path in proxy.requests}


@pytest.mark.usefixtures("undrawn")
def test_runs_that_may_not_be_tagged(proxy: Proxy, logged: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The comparison is logged."""
    ids = list(search_runs("pronouns", tracking_uri=proxy.uri)["run_id"])
    first = compare(ids, topk=322, log_to="answers", tracking_uri=proxy.uri)
    proxy.fault = denying("runs/log-batch", "runs/set-tag")
    again = compare(ids, topk=322, log_to="answers", link=True, tracking_uri=proxy.uri)
    assert again.run_id == first.run_id
    (told,) = warned(caplog)
    assert "not all runs are tagged" in told
    assert "403" in told


def test_an_account_that_is_unknown(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variables, and not what is in them."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    proxy.fault = lambda method, path: (401, f"who is {TOKEN}?".encode())
    with pytest.raises(DeniedError, match=r"MLFLOW_TRACKING_USERNAME.*PASSWORD.*TOKEN") as caught:
        search_runs("pronouns", tracking_uri=proxy.uri)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))

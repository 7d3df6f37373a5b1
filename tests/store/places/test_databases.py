"""Databases that are read without a server: with a deadline, by their own name, and what may pass told apart."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import StoreError
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.store.store import Store
from shared_server.postgres import Postgres
from shared_server.postgres import postgres as running_postgres
from tests.support.databases import frozen, full, locked


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL with MLflow's tables, and an account `lab`."""
    with running_postgres("tracking") as server:
        server.run("createuser", "--superuser", "lab")
        Store(server.uri("tracking")).experiments()
        yield server


def ask(uri: str, *, within: float, says: str) -> StoreError:
    """The error of a reader, which must come in time."""
    random.seed(7)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=says) as caught:
        gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri)
    assert time.monotonic() - begun < within
    assert random.random() == random.Random(7).random()
    return caught.value


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow itself would try for 100 s."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    error = ask(
        "postgresql://me:s3cret-w0rd@127.0.0.1:9/db",
        within=8,
        says=r"at MLflow on postgresql://me:\*\*\*@127.*refused",
    )
    assert type(error) is UnavailableError
    assert error.__cause__ is None, "it has the password"
    assert "(asked for 1.5 s" in str(error)


def test_somebody_is_there_who_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libpq would wait without an end."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"postgresql://me:s3cret-w0rd@127.0.0.1:{deaf.getsockname()[1]}/db"
        assert type(ask(uri, within=10, says="timeout")) is UnavailableError


@pytest.mark.parametrize("change", ["user=nobody-knows", "dbname=nothing"])
def test_what_will_not_pass_is_told_at_once(postgres: Postgres, change: str) -> None:
    """An account or a database that is not there."""
    error = ask(f"{postgres.uri('tracking')}&{change}", within=10, says="does not exist")
    assert type(error) is StoreError


def test_too_many_connections(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """They pass."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    with full(postgres, "lab"):
        error = ask(f"{postgres.uri('tracking')}&user=lab", within=10, says="too many connections")
    assert type(error) is UnavailableError


def test_a_table_that_somebody_has_locked(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL would wait for it without an end; nothing of ours waits there afterwards."""
    uri = postgres.uri("tracking")
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    with locked(postgres, "tracking", "experiments"):
        error = ask(uri, within=6, says=r"at MLflow on postgresql://.* statement timeout .*\(asked for 1.5 s")
        assert type(error) is UnavailableError
        assert waiting(postgres) == 0
    assert gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri).empty


def waiting(postgres: Postgres) -> int:
    """How many statements wait for a lock."""
    with closing(psycopg2.connect(host=str(postgres.folder), user="postgres", dbname="tracking")) as other:
        cursor = other.cursor()
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize(("driver", "opened_by"), [("psycopg", "the user"), ("psycopg2", "us")])
def test_a_database_that_stands_still(
    driver: str, opened_by: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open, and no answer comes: a driver would wait without an end."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    uri = f"{postgres.uri('tracking')}&application_name=still".replace("postgresql:", f"postgresql+{driver}:")
    if opened_by == "us":
        assert gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri).empty
    else:
        MlflowClient(uri).search_experiments()
    with frozen(postgres):
        error = ask(uri, within=12, says=r"at MLflow on postgresql.*\(asked for 1.5 s")
        assert type(error) is UnavailableError
    assert gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri).empty


def test_the_users_own_statements_stay_as_they_are(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for as long as they like, on connections that have served ours."""
    uri = postgres.uri("tracking")
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "0.5")
    assert gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri).empty
    with ThreadPoolExecutor() as pool, locked(postgres, "tracking", "experiments"):
        asked = pool.submit(MlflowClient(uri).search_experiments)
        time.sleep(2.5)
        assert not asked.done()
    assert [found.name for found in asked.result()] == ["Default"]


def test_a_database_that_stops_is_waited_for(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the deadline, in the middle of a process's work."""
    uri = postgres.uri("tracking")
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    postgres.stop()
    assert type(ask(uri, within=10, says=re.escape("(asked for 1.5 s"))) is UnavailableError
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "30")
    later = threading.Timer(1, postgres.start)
    later.start()
    assert gradiend_mlflow.search_runs(search_all_experiments=True, tracking_uri=uri).empty
    later.join()

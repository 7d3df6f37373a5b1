"""Trainings that write to PostgreSQL themselves, while it has a fault: they go on, nothing is lost or waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import sync
from shared_server.postgres import Postgres
from shared_server.postgres import postgres as running_postgres
from shared_server.s3 import BUCKET
from tests.support.databases import altered, frozen, full, locked
from tests.support.faults import At, journals, only, wait_until, weights
from tests.support.proxy import Proxy
from tests.support.trainings import MakeTrainer

DATABASE, ROLE = "tracking", "lab"
_numbers = count()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL with MLflow's tables, and an account `lab`."""
    with running_postgres(DATABASE) as server:
        server.run("createuser", "--superuser", ROLE)
        MlflowClient(server.uri(DATABASE)).search_experiments()
        yield server


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """It hangs up on everybody, and is down within the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def without_room(server: Postgres) -> AbstractContextManager[None]:
    """It hangs up on us, and lets us in no more."""
    return full(server, ROLE)


def with_a_lock(server: Postgres) -> AbstractContextManager[None]:
    """Another client keeps the table of runs to itself."""
    return locked(server, DATABASE, "runs")


def without_account(server: Postgres) -> AbstractContextManager[None]:
    """It hangs up on us, and says that our account may not connect."""
    return altered(server, ROLE, "NOLOGIN", afterwards="LOGIN")


@pytest.fixture
def tracked(postgres: Postgres, s3: Proxy, make_trainer: MakeTrainer, request: Any) -> Callable[..., Any]:
    """Train into PostgreSQL, with artifacts in S3, in an experiment of the test's name; returns the trainer."""

    def run(*callbacks: At) -> Any:
        name, uri = request.node.name, uri_of(postgres)
        MlflowClient(uri).create_experiment(name, artifact_location=f"s3://{BUCKET}/databases/{next(_numbers)}")
        gradiend_mlflow.autolog(topk=50, experiment_name=name, tracking_uri=uri, deadline=20)
        trainer = make_trainer()
        trainer.train(callbacks=list(callbacks))
        return trainer

    return run


def uri_of(server: Postgres) -> str:
    """The address of the tables for the account `lab`."""
    return f"{server.uri(DATABASE)}&user={ROLE}"


@pytest.mark.parametrize(
    "fault",
    [
        frozen,
        stopped,
        pytest.param(with_a_lock, marks=pytest.mark.long),
        pytest.param(without_room, marks=pytest.mark.long),
    ],
)
def test_a_database_with_a_fault(
    fault: Callable[[Postgres], AbstractContextManager[None]],
    postgres: Postgres,
    tracked: Any,
    untracked: str,
    undisturbed: dict[str, Any],
    warnings: Any,
    request: Any,
) -> None:
    """The training is unchanged, waits for nothing; its run is complete without `sync`, with one warning at most."""
    with ExitStack() as during:
        trainer = tracked(At(1, lambda: during.enter_context(fault(postgres))))
        assert weights(trainer) == untracked
        begun = time.monotonic()
        assert not gradiend_mlflow.flush()
        assert time.monotonic() - begun < 15
    wait_until(lambda: not journals(trainer))
    assert only(uri_of(postgres), request.node.name) == undisturbed
    assert len(warnings()) <= 1


@pytest.mark.long
def test_a_database_that_lets_us_in_no_more(
    postgres: Postgres, tracked: Any, untracked: str, undisturbed: dict[str, Any], warnings: Any, request: Any
) -> None:
    """Waiting does not help: the warnings give the reason and the command, and `sync` completes the run later."""
    with ExitStack() as during:
        trainer = tracked(At(1, lambda: during.enter_context(without_account(postgres))))
        assert weights(trainer) == untracked
        assert not gradiend_mlflow.flush()
    first, second = warnings()
    assert "is not permitted to log in" in first
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in second
    frame = sync(trainer.experiment_dir, tracking_uri=uri_of(postgres), progress=False)
    assert frame["result"].tolist() == ["synced"]
    assert only(uri_of(postgres), request.node.name) == undisturbed

"""Trainings that write to PostgreSQL themselves, while it has a fault: they go on, nothing is lost or waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from shared_server.postgres import Postgres
from shared_server.postgres import postgres as running_postgres
from shared_server.s3 import BUCKET
from tests.support.databases import frozen, full, locked
from tests.support.faults import At, journals, only, wait_until, weights
from tests.support.proxy import Proxy
from tests.support.trainings import MakeTrainer

DATABASE, ROLE = "tracking", "lab"


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
    s3: Proxy,
    make_trainer: MakeTrainer,
    untracked: str,
    undisturbed: dict[str, Any],
    warnings: Any,
) -> None:
    """The training is unchanged, waits for nothing; its run is complete without `sync`, with one warning at most."""
    uri, name = f"{postgres.uri(DATABASE)}&user={ROLE}", fault.__name__
    MlflowClient(uri).create_experiment(name, artifact_location=f"s3://{BUCKET}/{name}")
    gradiend_mlflow.autolog(topk=50, experiment_name=name, tracking_uri=uri, deadline=20)
    trainer = make_trainer()
    with ExitStack() as during:
        trainer.train(callbacks=[At(1, lambda: during.enter_context(fault(postgres)))])
        assert weights(trainer) == untracked
        begun = time.monotonic()
        assert not gradiend_mlflow.flush()
        assert time.monotonic() - begun < 15
    wait_until(lambda: not journals(trainer))
    assert only(uri, name) == undisturbed
    assert len(warnings()) <= 1

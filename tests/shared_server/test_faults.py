"""PostgreSQL and S3 go away in the middle of a training: it ends as it would have, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradiend_mlflow
from tests.shared_server.conftest import become_client
from tests.support.deployments import Deployment, Deployments
from tests.support.faults import At, journals, only, runs_of, state, wait_until, weights
from tests.support.proxy import Proxy
from tests.support.soak import soak
from tests.support.trainings import MakeTrainer, train


@pytest.fixture(scope="module")
def untracked(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the model without the plugin."""
    return weights(train(base_model, tmp_path_factory.mktemp("untracked"), ("3SG", "3PL")))


@pytest.fixture(scope="module")
def expected(deployments: Deployments) -> dict[str, Any]:
    """What a file has of the same training."""
    uri = deployments["sqlite"].uri
    return next(
        found for run in runs_of(uri, "pronouns") if (found := state(uri, run))["tags"]["gradiend.run_id"] == "3SG_3PL"
    )


@pytest.fixture
def direct(deployments: Deployments, tracking: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The deployment whose clients have S3 to themselves; yields a proxy in front of S3."""
    found = deployments["direct"]
    proxy = Proxy(found.environment["MLFLOW_S3_ENDPOINT_URL"])
    become_client(Deployment(found.uri, {**found.environment, "MLFLOW_S3_ENDPOINT_URL": proxy.uri}), monkeypatch)
    yield proxy
    proxy.close()


@pytest.mark.long
def test_the_database_stops(
    direct: Proxy, deployments: Deployments, make_trainer: MakeTrainer, untracked: str, expected: Any, request: Any
) -> None:
    """And starts again after the training: the run is as if nothing had happened."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name)
    trainer = make_trainer()
    try:
        trainer.train(callbacks=[At(2, deployments.postgres.stop)])
        assert weights(trainer) == untracked
        assert len(journals(trainer)) == 1
    finally:
        deployments.postgres.start()
    wait_until(lambda: not journals(trainer))
    assert only(deployments["direct"].uri, request.node.name) == expected


@pytest.mark.long
def test_the_object_store_stops(
    direct: Proxy, deployments: Deployments, make_trainer: MakeTrainer, untracked: str, expected: Any, request: Any
) -> None:
    """The same with S3: files wait, the rest is there."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name)
    trainer = make_trainer()
    trainer.train(callbacks=[At(2, direct.stop)])
    assert weights(trainer) == untracked
    assert len(journals(trainer)) == 1
    direct.start()
    wait_until(lambda: gradiend_mlflow.sync(trainer.experiment_dir, progress=False).empty, 120)
    assert only(deployments["direct"].uri, request.node.name) == expected


def test_a_soak_of_a_few_seconds(deployments: Deployments, tracking: object, base_model: str, tmp_path: Path) -> None:
    """Four trainings at once while everything fails now and then; `make soak` has 40 for ten minutes."""
    soaked = soak(deployments, "direct", base_model, tmp_path / "soak", seconds=5, at_once=4)
    assert soaked.trainings >= 4
    assert soaked.requests < 150

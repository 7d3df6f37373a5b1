"""A proxy in front of the server, a tracked training, and the training without the plugin to compare it with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gradiend import TextPredictionTrainer
from gradiend.trainer.core.callbacks import TrainingCallback

import gradiend_mlflow
from tests.support.faults import runs_of, state, weights
from tests.support.logs import warned
from tests.support.proxy import Proxy
from tests.support.trainings import MakeTrainer, train


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The plugin's warnings so far."""
    caplog.set_level(logging.WARNING, logger="gradiend_mlflow")
    return lambda: warned(caplog)


@pytest.fixture(scope="session")
def untracked(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the model that the training produces without the plugin."""
    return weights(train(base_model, tmp_path_factory.mktemp("untracked"), ("3SG", "3PL")))


@pytest.fixture(scope="session")
def undisturbed(server: str, base_model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state of a run whose training met no fault."""
    gradiend_mlflow.autolog(topk=50, experiment_name="undisturbed", tracking_uri=server)
    try:
        train(base_model, tmp_path_factory.mktemp("undisturbed"), ("3SG", "3PL"))
    finally:
        gradiend_mlflow.autolog(disable=True)
    (run_id,) = runs_of(server, "undisturbed")
    return state(server, run_id)


@pytest.fixture
def tracked(proxy: Proxy, make_trainer: MakeTrainer, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Train with autolog through the proxy, into an experiment of the test's name; returns the trainer."""

    def run(*callbacks: TrainingCallback, deadline: float = 20, **options: Any) -> TextPredictionTrainer:
        gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri=proxy.uri, deadline=deadline)
        trainer = make_trainer(**options)
        trainer.train(callbacks=list(callbacks))
        return trainer

    return run

"""Every kind of deployment, with the same study in each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import mlflow
import pytest

from shared_server.postgres import HOW_TO_INSTALL, find_programs
from tests.support.deployments import Deployment, Deployments

KINDS = [
    pytest.param("sqlite", marks=pytest.mark.long),  # what all other tests use
    pytest.param("server", marks=pytest.mark.long),
    pytest.param("proxied", marks=pytest.mark.long),
    "direct",
    pytest.param("accounts", marks=pytest.mark.long),  # proxied, too; what differs with accounts has tests of its own
]


@pytest.fixture(scope="session")
def deployments(tmp_path_factory: pytest.TempPathFactory, base_model: str) -> Iterator[Deployments]:
    """All of them, for tests that need several."""
    _need("moto.server", 'pip install "moto[server]"')
    _need("boto3", 'pip install "gradiend-mlflow[s3]"')
    _need("psycopg2", 'pip install "gradiend-mlflow[postgres]"')
    _need("flask_wtf", 'pip install "mlflow[auth]"')
    try:
        find_programs()
    except RuntimeError:
        _missing(HOW_TO_INSTALL)
    made = Deployments(tmp_path_factory.mktemp("deployments"), base_model)
    yield made
    made.close()


def _need(module: str, command: str) -> None:
    try:
        __import__(module)
    except ImportError:
        _missing(command)


def _missing(command: str) -> None:
    if "CI" in os.environ:  # where everything is installed
        pytest.fail(f"something is missing: {command}")
    pytest.skip(command)


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a deployment."""
    return str(request.param)


@pytest.fixture
def deployment(kind: str, deployments: Deployments, tracking: object, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """It runs, and this process is its client."""
    return become_client(deployments[kind], monkeypatch)


def become_client(found: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Set what a client sets."""
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(found.uri)
    return found

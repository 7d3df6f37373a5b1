"""Real gradiend trainings, real databases, a real server: what the tests share."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.trainings import MakeTrainer, make_trainer_of

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["GRADIEND_MLFLOW_CACHE"] = "off"  # where a test has no folder of its own for it

import mlflow
import pytest
from gradiend import TextPredictionTrainer
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow.store import pending
from quickstart import build_base_model
from tests.support.proxy import Proxy
from tests.support.server import mlflow_server

WITHOUT_MLFLOW = {"figures", "overlap", "sets"}  # folders of tests, unless a test asks for `tracking`


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT that trains in a second."""
    return build_base_model(tmp_path_factory.mktemp("base") / "tiny", hidden_size=16, layers=1)


@pytest.fixture
def make_trainer(base_model: str, tmp_path: Path) -> MakeTrainer:
    """Make a trainer for a pair of pronouns; options override its TrainingArguments."""

    def make(*pair: str, experiment_dir: Path | None = None, **options: Any) -> TextPredictionTrainer:
        return make_trainer_of(base_model, experiment_dir or tmp_path / "runs", pair or ("3SG", "3PL"), **options)

    return make


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> None:
    """Every training collects garbage, some a dozen times: what is loaded by now need not be looked through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database without runs: copying it is quicker than making it."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


class Reader(MlflowClient):
    """MLflow's client, which waits for what this process's trainings have said before it reads."""

    def get_run(self, *args: Any, **kwargs: Any) -> Any:
        gradiend_mlflow.flush()
        return super().get_run(*args, **kwargs)

    def search_runs(self, *args: Any, **kwargs: Any) -> Any:
        gradiend_mlflow.flush()
        return super().search_runs(*args, **kwargs)

    def list_artifacts(self, *args: Any, **kwargs: Any) -> Any:
        gradiend_mlflow.flush()
        return super().list_artifacts(*args, **kwargs)

    def get_experiment_by_name(self, *args: Any, **kwargs: Any) -> Any:
        gradiend_mlflow.flush()
        return super().get_experiment_by_name(*args, **kwargs)


@pytest.fixture(autouse=True)
def _own_tracking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a database of its own, but for the rooms that know nothing of MLflow: there are thousands."""
    room = request.path.relative_to(Path(__file__).parent).parts[0]
    if room in WITHOUT_MLFLOW and "tracking" not in request.fixturenames:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "none://")  # whoever uses it by mistake fails
    else:
        request.getfixturevalue("tracking")


@pytest.fixture
def tracking(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """A fresh sqlite database as MLflow's current one, in a working directory of the test's own, and a fresh cache."""
    folder = tmp_path / "mlflow"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", str(tmp_path / "cache"))
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{folder}/mlflow.db"
    _forget_mlflow_state()
    mlflow.set_tracking_uri(uri)
    yield Reader(tracking_uri=uri)
    gradiend_mlflow.autolog(disable=True)
    gradiend_mlflow.flush()
    pending._undelivered.clear()
    pending._active.clear()  # what a test that failed has left must not fail the next
    while mlflow.active_run():
        mlflow.end_run()
    _forget_mlflow_state()


def _forget_mlflow_state() -> None:
    """MLflow keeps the active experiment in a global and in the environment."""
    mlflow.tracking.fluent._active_experiment_id = None
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged comparisons have no figures: they take most of the time, and the test looks at something else."""
    monkeypatch.setattr("gradiend_mlflow.comparison.files._figures", lambda comparison: iter(()))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real `mlflow server`."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as uri:
        yield uri


@pytest.fixture(scope="session")
def s3_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a client sets to find a server that speaks S3."""
    from shared_server.s3 import s3 as running_s3

    with running_s3(tmp_path_factory.mktemp("s3") / "store") as settings:
        yield settings


@pytest.fixture
def s3(s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of it, which is the S3 that the environment names."""
    proxy = Proxy(s3_settings["MLFLOW_S3_ENDPOINT_URL"])
    for name, value in {**s3_settings, "MLFLOW_S3_ENDPOINT_URL": proxy.uri}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path")
    yield proxy
    proxy.close()


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[[str], str]:
    """Run a script in a fresh interpreter; returns what it prints."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def logged(server: str, base_model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three real trainings, tracked by autolog on the real server: checkpoint directories by gradiend's run_id."""
    folder = tmp_path_factory.mktemp("logged")
    gradiend_mlflow.autolog(topk=2000, experiment_name="pronouns", tracking_uri=server)
    try:
        models = {}
        for pair in (("3SG", "3PL"), ("1SG", "1PL"), ("1SG", "3SG")):
            trainer = make_trainer_of(base_model, folder, pair)
            trainer.train()
            models[trainer.run_id] = Path(trainer.model_path)
        gradiend_mlflow.flush()
        return models
    finally:
        gradiend_mlflow.autolog(disable=True)

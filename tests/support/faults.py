"""What the tests of faults share: the state of a run, and actions in the middle of a training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradiend import TextPredictionTrainer
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow.delivery.journals.journal import find_journals

_OWN = ("gradiend.key", "gradiend.directory", "gradiend.fingerprint", "mlflow.")


_OF_PLACE = ("output_dir", "experiment_dir")


_WITH_TIMES = ("gradiend/training.json", "gradiend/figures/")


def weights(trainer: TextPredictionTrainer) -> str:
    """The digest of a trained model."""
    return hashlib.sha256((Path(trainer.model_path) / "model.safetensors").read_bytes()).hexdigest()


def state(server: str, run_id: str) -> dict[str, Any]:
    """Everything in a run that is the same for every equal training."""
    client = MlflowClient(server)
    run = client.get_run(run_id)
    files: dict[str, str] = {}
    folders = [""]
    while folders:
        for item in client.list_artifacts(run_id, folders.pop()):
            if item.is_dir:
                folders.append(item.path)
            else:
                of_time = item.path.startswith(_WITH_TIMES)
                files[item.path] = "" if of_time else _digest(client, run_id, item.path)
    return {
        "status": run.info.status,
        "params": {key: value for key, value in run.data.params.items() if key not in _OF_PLACE},
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith(_OWN)},
        "metrics": {
            key: [(point.step, point.value) for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        },
        "files": files,
    }


def _digest(client: MlflowClient, run_id: str, path: str) -> str:
    content = Path(client.download_artifacts(run_id, path)).read_bytes()
    return hashlib.sha256(content).hexdigest() if not path.endswith("config.json") else ""


def runs_of(server: str, experiment: str) -> list[str]:
    """The ids of the runs in an experiment, after a flush."""
    gradiend_mlflow.flush()
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else [run.info.run_id for run in client.search_runs([found.experiment_id])]


class At(TrainingCallback):
    """Performs an action at a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    def on_step_end(self, step: int, *args: Any, **kwargs: Any) -> None:
        if step == self.step:
            self.action()


def journals(trainer: Any) -> list[Any]:
    """The journals that a training has left."""
    return find_journals(Path(trainer.experiment_dir))


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds, and fail if it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def only(server: str, experiment: str) -> dict[str, Any]:
    """The state of an experiment's one run."""
    (run_id,) = runs_of(server, experiment)
    return state(server, run_id)

"""The server, experiment and run that MLflow's own calls would use now: read, never changed, without a request."""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.environment_variables import MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID
from mlflow.tracking import fluent
from mlflow.utils.autologging_utils import is_testing

from gradiend_mlflow.store.uris import kept_uri

__all__ = ["active_run_id", "chosen_experiment", "configured_uri", "is_current", "is_testing"]


def is_current(tracking_uri: str | None) -> bool:
    """Whether this is MLflow's current server; None is."""
    return tracking_uri is None or tracking_uri.rstrip("/") == mlflow.get_tracking_uri().rstrip("/")


def configured_uri(kept: str) -> str | None:
    """MLflow's current tracking URI, with its password, if `kept_uri` makes `kept` of it; else None."""
    uri: str = mlflow.get_tracking_uri()
    return uri if kept_uri(uri).rstrip("/") == kept.rstrip("/") else None


def active_run_id(tracking_uri: str | None = None) -> str | None:
    """The id of the run that MLflow's own calls would log to on this server (default: MLflow's current one), or None.

    It is this thread's active run, or else the one that the environment names, as `mlflow run` does for its project.
    """
    if not is_current(tracking_uri):
        return None
    active = mlflow.active_run()
    return MLFLOW_RUN_ID.get() if active is None else str(active.info.run_id)


def chosen_experiment(tracking_uri: str | None = None) -> tuple[str | None, str | None]:
    """The id or the name of the experiment that the user has chosen, or neither.

    It is what `mlflow.set_experiment` or MLflow's environment variables say; the server is not asked.
    """
    if not is_current(tracking_uri):
        return None, None
    chosen: Any = fluent._active_experiment_id  # noqa: SLF001  # the public functions may ask the server
    if chosen is not None:
        return str(chosen), None
    name = MLFLOW_EXPERIMENT_NAME.get()
    return (None if name else MLFLOW_EXPERIMENT_ID.get()), name

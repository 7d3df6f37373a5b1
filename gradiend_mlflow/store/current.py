"""The server, experiment and run that MLflow's own calls would use now: read, never changed, without a request."""

from __future__ import annotations

import os
from typing import Any

import mlflow
from mlflow.environment_variables import (
    MLFLOW_EXPERIMENT_ID,
    MLFLOW_EXPERIMENT_NAME,
    MLFLOW_RUN_ID,
    MLFLOW_TRACKING_URI,
)
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service import utils
from mlflow.utils.autologging_utils import is_testing

from gradiend_mlflow.store.uris import kept_uri

__all__ = ["active_run_id", "chosen_experiment", "configured_uri", "is_current", "is_testing", "origin_of"]


def is_current(tracking_uri: str | None) -> bool:
    """Whether this is MLflow's current server; None is."""
    return tracking_uri is None or tracking_uri.rstrip("/") == mlflow.get_tracking_uri().rstrip("/")


def origin_of(tracking_uri: str | None) -> str:
    """Where an address comes from that was given to a function, or that MLflow has if None was given."""
    if tracking_uri is not None:
        return "which is what tracking_uri says"
    # MLflow writes what its function is given into the environment, too.
    told: Any = utils._tracking_uri  # noqa: SLF001  # MLflow has no public way
    if told is not None:
        return "which mlflow.set_tracking_uri was given"
    if MLFLOW_TRACKING_URI.get():
        return "which the environment variable MLFLOW_TRACKING_URI names"
    return f"which is where MLflow looks in {os.getcwd()} unless it is told an address"  # noqa: PTH109


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

"""Addresses of pages in MLflow's UI, as they are told to people."""

from __future__ import annotations

import shlex
from urllib.parse import quote

from gradiend_mlflow.store.secrets import masked
from gradiend_mlflow.store.ui.views import View
from gradiend_mlflow.store.uris import absolute

_TRAINING = "workflowType=machine_learning"  # else the UI shows a page of its part for language models
_LOCAL_UI = "http://127.0.0.1:5000"  # where `mlflow ui` answers


def page_of_view(experiment_id: str, view: View) -> str:
    """The address of a view of an experiment, below the address of the UI."""
    return f"#/experiments/{quote(experiment_id, '')}/runs?{_TRAINING}&viewStateShareKey={view.key}"


def page_of_run(experiment_id: str, run_id: str) -> str:
    """The address of a run, below the address of the UI."""
    return f"#/experiments/{quote(experiment_id, '')}/runs/{quote(run_id, '')}?{_TRAINING}"


def told(page: str, uri: str) -> str:
    """Where a page is to be seen, without what is secret in the address of the server.

    A database has no page; the text says what to start.

    Example:
        >>> told("#/experiments/1", "http://me:pw@host:5000")
        'http://***@host:5000/#/experiments/1'
        >>> told("#/experiments/1", "sqlite:////tmp/mlflow.db")
        'http://127.0.0.1:5000/#/experiments/1 (start `mlflow ui --backend-store-uri sqlite:////tmp/mlflow.db`)'
    """
    start = command_of_ui(uri)
    return address_of(page, uri) + ("" if start is None else f" (start `{start}`)")


def address_of(page: str, uri: str) -> str:
    """The address of a page; of a database, where it is once the UI was started."""
    return f"{_LOCAL_UI if command_of_ui(uri) else masked(uri).rstrip('/')}/{page}"


def command_of_ui(uri: str) -> str | None:
    """The command that starts the UI of a database; None if a server has it already."""
    if uri.startswith(("http://", "https://")):
        return None
    return f"mlflow ui --backend-store-uri {shlex.quote(masked(absolute(uri)))}"

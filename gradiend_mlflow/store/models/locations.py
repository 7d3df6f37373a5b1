"""Where the files of a model lie, by its address.

MLflow's own functions follow addresses by themselves; here each step is asked of the one server, and artifacts are
read only where it ends, under our checks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.untrusted import quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOGGED = re.compile(r"models:/(m-[A-Za-z0-9]+)")
_VERSION = re.compile(r"models:/([^/@:]+)/(\d+)")
_ALIAS = re.compile(r"models:/([^/@:]+)@([^/@:]+)")
_OF_RUN = re.compile(r"runs:/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9._-]+)")


def check_model_uri(model_uri: str) -> None:
    """Refuse what is no address of a model.

    Raises:
        InvalidInputError: If it is none.
    """
    if not any(kind.fullmatch(model_uri) for kind in (_LOGGED, _VERSION, _ALIAS, _OF_RUN)):
        raise InvalidInputError(
            "a model is addressed by a directory, models:/<model id>, models:/<registered name>/<version>, "
            f"models:/<registered name>@<alias> or runs:/<run id>/model; got {quoted(model_uri)}"
        )


def location_of(client: MlflowClient, model_uri: str) -> str:
    """The address of a model's files, by an address of it that has been checked."""
    if found := _LOGGED.fullmatch(model_uri):
        return str(client.get_logged_model(found[1]).artifact_location)
    if found := _OF_RUN.fullmatch(model_uri):
        return _location_in(client, found[1], found[2])
    if found := _VERSION.fullmatch(model_uri):
        version = client.get_model_version(found[1], found[2])
    else:
        name, _, alias = model_uri.removeprefix("models:/").partition("@")
        version = client.get_model_version_by_alias(name, alias)
    source = str(version.source)
    logged = _LOGGED.fullmatch(source)
    return source if logged is None else str(client.get_logged_model(logged[1]).artifact_location)


def _location_in(client: MlflowClient, run_id: str, name: str) -> str:
    """That of the model of a run, or else of its artifacts of this name."""
    run = client.get_run(run_id)
    for output in [] if run.outputs is None else run.outputs.model_outputs:
        model = client.get_logged_model(output.model_id)
        if model.name == name:
            return str(model.artifact_location)
    return f"{run.info.artifact_uri.rstrip('/')}/{name}"

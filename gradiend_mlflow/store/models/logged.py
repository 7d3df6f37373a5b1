"""Models of runs in MLflow: logged with their files or without, linked to their metrics, and registered."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.disk.trees import files_in
from gradiend_mlflow.errors import logger
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import shortened_param
from gradiend_mlflow.store.models.files import CHECKPOINT, FLAVOR, write_spec

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "model"  # of a model with files, so that runs:/<run id>/model is its address
_NOT_IN_MODEL_NAMES = re.compile(r"[/:.%\"']")
_EXTERNAL = "mlflow.model.isExternal"


@dataclass(frozen=True)
class RunModel:
    """The model of a run.

    Attributes:
        name: What it is called if its files stay where they are.
        directory: The checkpoint.
        params: Its training's params.
        base_model: The id or path of its base model.
        copied: Whether its files are uploaded; if not, it is an external model in MLflow's words.
        registered_as: The name of the registered model that it becomes a version of. None: it is not registered.
    """

    name: str
    directory: Path
    params: Mapping[str, str]
    base_model: str | None = None
    copied: bool = False
    registered_as: str | None = None


def log_model(client: MlflowClient, run_id: str, experiment_id: str, model: RunModel, root: Path) -> str:
    """Log the model of a run, link it to the run, and register it; whatever is done is not done again.

    Links in its directory that lead out of `root` are left out, and named.

    Returns:
        MLflow's id of the model.
    """
    logged = _find_or_create(client, run_id, experiment_id, model)
    if str(logged.status) != "READY":
        with temporary_folder() as folder:
            if model.copied:
                known = {"run_id": run_id, "model_id": logged.model_id, "artifact_path": logged.artifact_location}
                write_spec(folder, base_model=model.base_model, **known)
                _link(model.directory, root, folder / CHECKPOINT)
            else:
                from mlflow.models.utils import get_external_mlflow_model_spec

                get_external_mlflow_model_spec(logged).save(str(folder / "MLmodel"))
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
    outputs = client.get_run(run_id).outputs
    if logged.model_id not in [one.model_id for one in ([] if outputs is None else outputs.model_outputs)]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if model.registered_as is not None:
        _register(client, model.registered_as, logged.model_id, run_id)
    return str(logged.model_id)


def _find_or_create(client: MlflowClient, run_id: str, experiment_id: str, model: RunModel) -> LoggedModel:
    """The run's model; one that an earlier request has made, whose answer was lost, or that was not finished."""
    external = {} if model.copied else {_EXTERNAL: "true"}
    for found in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if found.model_type == FLAVOR and found.tags.get(_EXTERNAL) == external.get(_EXTERNAL):
            return found
    return client.create_logged_model(
        experiment_id,
        name=NAME if model.copied else _NOT_IN_MODEL_NAMES.sub("_", model.name),
        source_run_id=run_id,
        tags=resolve_tags({**external, tags.DIRECTORY: str(model.directory)}),
        params={key: shortened_param(value) for key, value in model.params.items()},
        model_type=FLAVOR,
    )


def _link(directory: Path, root: Path, target: Path) -> None:
    """Make a directory of links to the files of a checkpoint: MLflow 3.13 takes whole directories only."""
    files, left_out = files_in(directory, root)
    if left_out:
        logger.warning("Not uploaded with %s, because they are no regular files in %s: %s", directory, root, left_out)
    for file in files:
        link = target / file.relative_to(directory)
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(file.absolute())
        except OSError:  # Windows allows them to few
            shutil.copy2(file, link)


def _register(client: MlflowClient, name: str, model_id: str, run_id: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not any(version.name == name for version in client.search_model_versions(f"run_id = '{run_id}'")):
        client.create_model_version(
            name, f"models:/{model_id}", run_id=run_id, model_id=model_id, await_creation_for=0
        )

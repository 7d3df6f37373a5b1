"""`log_model()` and `load_model()`: the flavor `gradiend` of MLflow's models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradiend_mlflow.checks import check_names
from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.errors import ArtifactError, CheckpointError, InvalidInputError
from gradiend_mlflow.models.encoder import load_checkpoint
from gradiend_mlflow.sets.weights import open_checkpoint
from gradiend_mlflow.store.current import active_run_id
from gradiend_mlflow.store.models.files import CHECKPOINT
from gradiend_mlflow.store.models.logged import RunModel
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.store import Store


def log_model(
    model: str | os.PathLike[str] | Any,
    *,
    run_id: str | None = None,
    registered_model_name: str | None = None,
    tracking_uri: str | None = None,
) -> str:
    """Log a GRADIEND as an MLflow model of a run, with its files, what it takes and gives, and what it needs.

    Its base model is not copied: the model names it. A run has one such model; logging it again changes nothing.

    Args:
        model: A checkpoint directory, a `ModelWithGradiend`, or a trained Trainer.
        run_id: The run that it is the model of; default the active run.
        registered_model_name: Also make it a new version of this registered model, which is created if needed.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The model's address, ``models:/<model id>``, for `load_model` and `mlflow.pyfunc.load_model`.

    Raises:
        InvalidInputError: If no run is given or active.
        CheckpointError: If `model` is no GRADIEND.
        StoreError: If the run does not exist or MLflow refuses.

    Example:
        ::

            address = gradiend_mlflow.log_model("runs/3SG_3PL/model", run_id=run_id, registered_model_name="pronouns")
            encoder = mlflow.pyfunc.load_model(address)
            encoder.predict(pd.DataFrame({"text": ["[MASK] is happy."], "label": ["he"]}))
    """
    check_names(registered_model_name=registered_model_name)
    flush()
    store = Store(tracking_uri)
    run_id = run_id or active_run_id(tracking_uri)
    if run_id is None:
        raise InvalidInputError(
            "log_model needs a run: pass run_id=..., or call it inside `with mlflow.start_run():`; no run is active"
        )
    run = store.run(run_id)
    with _checkpoint_of(model) as directory:
        base_model = open_checkpoint(directory).space.base_model
        described = RunModel(
            run.name, directory, run.params, base_model=base_model, copied=True, registered_as=registered_model_name
        )
        return f"models:/{store.log_model(run_id, run.experiment_id, described)}"


def load_model(model_uri: str, *, tracking_uri: str | None = None) -> Any:
    """Load a logged GRADIEND as gradiend's `ModelWithGradiend`, with its base model.

    Like every loader of models it trusts the server that the model comes from, and the base model.

    Args:
        model_uri: Its address: ``models:/<model id>``, ``models:/<registered name>/<version>`` or
            ``runs:/<run id>/model`` - also of runs whose `model/` was uploaded before there was this flavor - or a
            local directory.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Raises:
        StoreError: If it cannot be downloaded.
        ArtifactError: If it is no GRADIEND.
        CheckpointError: If it cannot be loaded; for example because its base model is not found.
    """
    flush()
    local = Path(model_uri)
    if local.is_dir():
        return load_checkpoint(_found_in(local))
    with temporary_folder() as folder:
        return load_checkpoint(_found_in(Store(tracking_uri).download_model(model_uri, folder)))


def _found_in(folder: Path) -> Path:
    """The checkpoint of a downloaded model; older runs have it without a folder of its own."""
    for directory in (folder / CHECKPOINT, folder):
        if (directory / "config.json").is_file():
            return directory
    raise ArtifactError(
        f"{folder} is no model of a GRADIEND: it holds no checkpoint; of an external model load its directory"
    )


@contextmanager
def _checkpoint_of(model: Any) -> Iterator[Path]:
    """The checkpoint within the block: where it lies, or as a model in memory is saved."""
    if isinstance(model, (str, os.PathLike)):
        yield Path(model)
    elif hasattr(model, "model_path"):
        yield Path(model.model_path)
    elif hasattr(model, "save_pretrained"):
        with temporary_folder() as folder:
            model.save_pretrained(str(folder))
            yield folder
    else:
        raise CheckpointError(
            "log_model takes a checkpoint directory, a ModelWithGradiend or a trained Trainer; "
            f"got {type(model).__name__}"
        )

"""`log_topk()`: the sets of a GRADIEND that is already there, into a run that is already there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from gradiend.trainer.trainer import Trainer

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS, Part, check_parts, check_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.sets.weights import GradiendWeights, open_checkpoint, open_model
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import active_run_id
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.store.store import MetricPoint, Store, now_ms
from gradiend_mlflow.store.tags import left_out_of, sets_of
from gradiend_mlflow.tracking.trainers import trainer_tags
from gradiend_mlflow.trainings.directories import TRAINING_FILE, read_json
from gradiend_mlflow.trainings.staging import stage_topk
from gradiend_mlflow.trainings.words.terms import outcome_of, version_tags


def log_topk(
    source: str | PathLike[str] | Any,
    *,
    run_id: str | None = None,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    tracking_uri: str | None = None,
) -> dict[Part, TopKSet]:
    """Log the top-k sets of a GRADIEND that is already there; its run then counts as a training run.

    Args:
        source: A checkpoint directory, a `ModelWithGradiend` or `ParamMappedGradiendModel`, or a trained Trainer.
        run_id: The MLflow run to log to; default the active run. Sets that it has of the same parts are replaced.
        topk: How many weights per part, or which fraction of its input_dim.
        parts: Which of gradiend's four importances. One that this GRADIEND lacks (no decoder bias) is left out,
            named in the run's tag `gradiend.topk_left_out` and absent from the result.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The logged set of each part.

    Raises:
        InvalidInputError: If no run is given or active, or an argument is not acceptable.
        CheckpointError: If `source` cannot be read or has none of the parts.
        StoreError: If the run does not exist or MLflow refuses.
    """
    topk, parts = check_topk(topk), check_parts(parts)
    flush()
    weights, run_tags, metrics = _look_into(source)
    run_id = run_id or active_run_id(tracking_uri)
    if run_id is None:
        raise InvalidInputError(
            "log_topk needs a run: pass run_id=..., or call it inside `with mlflow.start_run():`; no run is active"
        )
    existing = Reader(tracking_uri).run(run_id).tags  # which creates no database: the run would not be in it
    if existing.get(tags.KIND) == tags.COMPARISON:
        raise InvalidInputError(f"the run {run_id} is a comparison; log top-k sets to a run of their own")
    store = Store(tracking_uri)
    with temporary_folder() as folder:
        staged = stage_topk(weights, topk=topk, parts=parts, folder=folder)
        for artifact_folder, files in staged.files.items():
            for file in files:
                store.upload(run_id, file, artifact_folder)
    now = now_ms()
    store.log_metrics(run_id, [MetricPoint(key, value, now, 0) for key, value in metrics.items()])
    listed = {**sets_of(existing), **json.loads(staged.run_tags[tags.TOPK])}
    left_out = {part: reason for part, reason in left_out_of(existing).items() if part not in listed}
    store.set_tags(
        run_id,
        {
            tags.KIND: existing.get(tags.KIND, tags.TRAINING),
            **version_tags(),
            **run_tags,
            tags.TOPK_LEFT_OUT: json.dumps(left_out | dict(staged.left_out)),
            tags.TOPK: json.dumps(listed),
        },
    )
    return dict(staged.sets)


def _look_into(source: Any) -> tuple[GradiendWeights, dict[str, str], dict[str, float]]:
    """The weights of whatever `log_topk` takes, with the tags and metrics that are known of them."""
    is_trainer = isinstance(source, Trainer)
    if is_trainer or isinstance(source, (str, PathLike)):
        directory = Path(source.model_path if is_trainer else source)
        weights, training_file = open_checkpoint(directory), read_json(directory / TRAINING_FILE)
    else:
        weights, training_file = open_model(source), {}
    seed, outcome = training_file.get("training_args", {}).get("seed"), outcome_of(training_file)
    known = {tags.BASE_MODEL: weights.space.base_model, tags.SEED: seed}
    run_tags = {key: str(value) for key, value in known.items() if value is not None}
    return weights, run_tags | (trainer_tags(source) if is_trainer else {}) | outcome.run_tags(), outcome.metrics()

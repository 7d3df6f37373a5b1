"""From a GRADIEND's weights to files that a run can hold, and into a run that is already there."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS, Part, check_parts, check_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.tags import _left_out_of
from gradiend_mlflow.trainings.staging import stage_topk
from gradiend_mlflow.trainings.terms import Outcome, outcome_of, read_training_file, trainer_tags, version_tags

if TYPE_CHECKING:
    from gradiend_mlflow.sets.weights import GradiendWeights

logger = logging.getLogger("gradiend_mlflow")


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
    from gradiend_mlflow.store.current import active_run_id
    from gradiend_mlflow.store.store import MetricPoint, Store, now_ms
    from gradiend_mlflow.store.tags import sets_of

    topk, parts = check_topk(topk), check_parts(parts)
    flush()
    weights, run_tags, metrics = _look_into(source)
    store = Store(tracking_uri)
    run_id = run_id or active_run_id(tracking_uri)
    if run_id is None:
        raise InvalidInputError(
            "log_topk needs a run: pass run_id=..., or call it inside `with mlflow.start_run():`; no run is active"
        )
    existing = store.run(run_id).tags
    if existing.get(tags.KIND) == tags.COMPARISON:
        raise InvalidInputError(f"the run {run_id} is a comparison; log top-k sets to a run of their own")
    with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
        staged = stage_topk(weights, topk=topk, parts=parts, folder=Path(folder))
        for file in staged.files:
            store.upload(run_id, file, tags.TOPK_FOLDER)
        for file in staged.figures:
            store.upload(run_id, file, tags.FIGURES_FOLDER)
    now = now_ms()
    store.log_metrics(run_id, [MetricPoint(key, value, now, 0) for key, value in metrics.items()])
    listed = {**sets_of(existing), **json.loads(staged.run_tags[tags.TOPK])}
    left_out = {part: reason for part, reason in _left_out_of(existing).items() if part not in listed}
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
    from gradiend_mlflow.sets.weights import open_checkpoint, open_model

    is_trainer = hasattr(source, "model_path") and hasattr(source, "train") and hasattr(source, "run_id")
    if not isinstance(source, (str, PathLike)) and not is_trainer:
        weights, directory = open_model(source), None
    else:
        directory = Path(source.model_path if is_trainer else source)
        weights = open_checkpoint(directory)
    record = None if directory is None else read_training_file(directory)
    outcome = Outcome() if record is None else outcome_of(record)
    run_tags = trainer_tags(source) if is_trainer else {}
    if weights.space.base_model is not None:
        run_tags.setdefault(tags.BASE_MODEL, weights.space.base_model)
    seed = (record or {}).get("training_args", {}).get("seed")
    if seed is not None:
        run_tags[tags.SEED] = str(seed)
    return weights, run_tags | outcome.run_tags(), outcome.metrics()

"""From a GRADIEND's weights to files that a run can hold, and into a run that is already there."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import save_topk
from gradiend_mlflow.errors import CheckpointError, InvalidInputError, MissingPartError
from gradiend_mlflow.parts import DEFAULT_TOPK, PARTS, Part, check_parts, check_topk
from gradiend_mlflow.pending import flush
from gradiend_mlflow.picture import save_picture
from gradiend_mlflow.topk import TopKSet
from gradiend_mlflow.training import Outcome, outcome_of, read_record, trainer_tags, version_tags

if TYPE_CHECKING:
    from gradiend_mlflow.weights import GradiendWeights

logger = logging.getLogger("gradiend_mlflow")

_PREVIEW_ROWS = 500  # what the MLflow UI shows of a table


@dataclass(frozen=True)
class StagedSets:
    """The sets of one GRADIEND as files, ready to be uploaded.

    `files` belong into `tags.TOPK_FOLDER`, `figures` into `tags.FIGURES_FOLDER`.
    """

    sets: Mapping[Part, TopKSet]
    left_out: Mapping[Part, str]
    files: tuple[Path, ...]
    run_tags: Mapping[str, str]  # to be set when the files are there
    figures: tuple[Path, ...] = ()


def stage_topk(
    weights: GradiendWeights, *, topk: float, parts: Sequence[str], folder: Path, picture: bool = True
) -> StagedSets:
    """Rank, and write one file per part, a preview of all and, if wanted, a picture of where they lie to `folder`.

    A part that this GRADIEND does not have is left out and named.

    Raises:
        CheckpointError: If no part could be ranked.
    """
    from gradiend_mlflow.importance import rank

    sets: dict[Part, TopKSet] = {}
    left_out: dict[Part, str] = {}
    for part in check_parts(parts):
        try:
            sets[part] = rank(weights, part, topk)
        except CheckpointError as error:
            level = logging.INFO if isinstance(error, MissingPartError) else logging.WARNING
            logger.log(level, "No top-k set of the part %s: %s", part, error)
            left_out[part] = str(error)
    if not sets:
        raise CheckpointError(f"no top-k set could be made: {'; '.join(left_out.values())}")
    folder.mkdir(parents=True, exist_ok=True)
    files = {part: folder / f"{part}.parquet" for part in sets}
    for part, file in files.items():
        save_topk(sets[part], file)
    preview = folder / "preview.csv"
    _preview(sets).to_csv(preview, index=False)
    entries = {
        part: {
            "path": f"{tags.TOPK_FOLDER}/{file.name}",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "k": len(sets[part]),
        }
        for part, file in files.items()
    }
    run_tags = {tags.TOPK: json.dumps(entries)}
    if left_out:
        run_tags[tags.TOPK_LEFT_OUT] = json.dumps(left_out)
    figures = save_picture(sets, folder) if picture else ()
    return StagedSets(sets, left_out, (*files.values(), preview), run_tags, figures)


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
    from gradiend_mlflow.fluent import active_run_id
    from gradiend_mlflow.runs import sets_of
    from gradiend_mlflow.store import MetricPoint, Store, now_ms

    topk, parts = check_topk(topk), check_parts(parts)
    flush()
    weights, run_tags, metrics = _look_into(source)
    store = Store(tracking_uri)
    run_id = run_id or active_run_id(tracking_uri)
    if run_id is None:
        raise InvalidInputError(
            "log_topk needs a run: pass run_id=..., or call it inside `with mlflow.start_run():`; no run is active"
        )
    existing = store.run(run_id).data.tags
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


def _left_out_of(run_tags: Mapping[str, str]) -> dict[str, str]:
    try:
        return dict(json.loads(run_tags.get(tags.TOPK_LEFT_OUT, "{}")))
    except (ValueError, TypeError):
        return {}


def _look_into(source: Any) -> tuple[GradiendWeights, dict[str, str], dict[str, float]]:
    """The weights of whatever `log_topk` takes, with the tags and metrics that are known of them."""
    from gradiend_mlflow.weights import open_checkpoint, open_model

    is_trainer = hasattr(source, "model_path") and hasattr(source, "train") and hasattr(source, "run_id")
    if not isinstance(source, (str, PathLike)) and not is_trainer:
        weights, directory = open_model(source), None
    else:
        directory = Path(source.model_path if is_trainer else source)
        weights = open_checkpoint(directory)
    record = None if directory is None else read_record(directory)
    outcome = Outcome() if record is None else outcome_of(record)
    run_tags = trainer_tags(source) if is_trainer else {}
    if weights.space.base_model is not None:
        run_tags.setdefault(tags.BASE_MODEL, weights.space.base_model)
    seed = (record or {}).get("training_args", {}).get("seed")
    if seed is not None:
        run_tags[tags.SEED] = str(seed)
    return weights, run_tags | outcome.run_tags(), outcome.metrics()


def _preview(sets: Mapping[Part, TopKSet]) -> pd.DataFrame:
    """The first weights of every part in one table, few enough that the MLflow UI shows them all."""
    rows = _PREVIEW_ROWS // len(sets)
    frames = []
    for part, topk_set in sets.items():
        frame = topk_set.top(min(rows, len(topk_set))).to_frame()
        frame.insert(0, "part", part)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)

"""A comparison as a run in MLflow, made once for the same question about the same sets."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import installed_version
from gradiend_mlflow.comparison_files import FACTS, sha256_of, write_files
from gradiend_mlflow.comparison_note import name_of_comparison, note_of, summary_of
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.provenance import find_answer, free_name, link_sources, question_of
from gradiend_mlflow.store import MetricPoint, Store, now_ms

if TYPE_CHECKING:
    from gradiend_mlflow.comparison import Comparison

SHARED_EXPERIMENT = "gradiend-comparisons"

_UNFINISHED = "comparison, not finished"
_LISTED_RUNS = 200  # ids that fit into one tag
# The UI shows these side by side for several comparisons.
_IMAGES = {"comparison/heatmap": "overlap_heatmap.png", "comparison/layers": "layers.png"}


def log_comparison(
    comparison: Comparison, store: Store, *, log_to: str | None, run_name: str | None, refresh: bool, link: bool
) -> str:
    """Log a comparison as a run of its own, unless one is there, and return its id; see `compare` for where and what.

    Raises:
        StoreError: If MLflow refuses or cannot be reached; a run that was begun is then FAILED.
    """
    experiments = list(dict.fromkeys(comparison.runs["experiment_id"]))
    if log_to is None and len(experiments) == 1:
        experiment_id = experiments[0]
    else:
        experiment_id = store.experiment_id(log_to or SHARED_EXPERIMENT)
    question = question_of(comparison)
    run_id = None if refresh else find_answer(store, experiment_id, question, run_name=run_name)
    if run_id is None:
        name = run_name or free_name(store, experiment_id, name_of_comparison(comparison))
        run_id = _log(comparison, store, experiment_id, question, name)
    if link:
        link_sources(store, list(comparison.runs["run_id"]), run_id)
    return run_id


def _log(comparison: Comparison, store: Store, experiment_id: str, question: str, name: str) -> str:
    run_tags = {tags.KIND: tags.COMPARISON, tags.PLUGIN_VERSION: installed_version("gradiend-mlflow")}
    if len(comparison.runs) <= _LISTED_RUNS:
        run_tags[tags.SOURCE_RUNS] = json.dumps(list(comparison.runs["run_id"]))
    run_id = store.create_run(experiment_id, name=_UNFINISHED, run_tags=run_tags)
    try:
        store.log_params(
            run_id,
            {
                "part": comparison.part,
                "topk": str(comparison.topk),
                "value": comparison.value,
                "n_runs": str(len(comparison.shown.labels)),
            },
        )
        now = now_ms()
        store.log_metrics(run_id, [MetricPoint(key, value, now, 0) for key, value in summary_of(comparison).items()])
        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as temporary:
            folder = Path(temporary)
            write_files(comparison, folder)
            store.upload(run_id, folder, None)
            _log_images(store, run_id, folder)
            digest = sha256_of(folder / FACTS)
        # Last: only a complete comparison has the answer as its name and description, and is found by its question.
        store.set_tags(run_id, {tags.MLFLOW_RUN_NAME: name, tags.MLFLOW_NOTE: note_of(comparison)})
        store.set_tags(run_id, {tags.COMPARISON_SHA256: digest, tags.QUESTION: question})
    except BaseException:
        with contextlib.suppress(StoreError):  # the first error is the one to tell
            store.end_run(run_id, "FAILED")
        raise
    store.end_run(run_id, "FINISHED")
    return run_id


def _log_images(store: Store, run_id: str, folder: Path) -> None:
    from PIL import Image

    for key, name in _IMAGES.items():
        with Image.open(folder / name) as image:
            store.log_image(run_id, image, key)

"""The names of tags, metrics and artifact folders: training code writes them, and comparisons read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

KIND = "gradiend.kind"
TRAINING = "training"
SEED_RUN = "seed"
COMPARISON = "comparison"
SUITE = "suite"  # the parent of the runs of a TrainerSuite or TrainerCollection

RUN_ID = "gradiend.run_id"
BASE_MODEL = "gradiend.base_model"
TARGET_CLASSES = "gradiend.target_classes"  # JSON list
CONVERGED = "gradiend.converged"  # true or false
SEED = "gradiend.seed"
GRADIEND_VERSION = "gradiend.version"
PLUGIN_VERSION = "gradiend.mlflow_version"
FAILURE = "gradiend.failure"
KEY = "gradiend.key"  # identifies a run before MLflow has given it an id, so that it is started only once
TUNED_LEARNING_RATE = "gradiend.tuned_learning_rate"
# Where the model is, and a digest of its files: by these an import finds out what is logged already.
DIRECTORY = "gradiend.directory"
FINGERPRINT = "gradiend.fingerprint"
IMPORTED = "gradiend.imported"  # true on runs that were recorded from disk
SUPERSEDED_BY = "gradiend.superseded_by"  # the run of a later training in the same directory

# JSON: {part: {"path": artifact path, "sha256": hex digest of the file, "k": weights in it}}.
# Written last: a run that has it is complete.
TOPK = "gradiend.topk"
# JSON: {part: reason}, for requested parts that the model does not have.
TOPK_LEFT_OUT = "gradiend.topk_left_out"

SOURCE_RUNS = "gradiend.source_runs"  # JSON list of run ids, on a comparison
COMPARISON_SHA256 = "gradiend.comparison_sha256"  # of a comparison's comparison.json
QUESTION = "gradiend.question"  # a digest of settings and sets, on a comparison; written last
COMPARISONS = "gradiend.comparisons"  # JSON list of the comparisons that a run is linked to, the newest last

BEST_CORRELATION = "best/correlation"
BEST_STEP = "best/step"
BEST_LOSS = "best/loss"

TOPK_FOLDER = "gradiend/topk"
FIGURES_FOLDER = "gradiend/figures"
FILES_FOLDER = "gradiend"
EVALUATION_FOLDER = "gradiend/evaluation"
MODEL_FOLDER = "model"

MLFLOW_RUN_NAME = "mlflow.runName"
MLFLOW_PARENT = "mlflow.parentRunId"
MLFLOW_DESCRIPTION = "mlflow.note.content"
MLFLOW_AUTOLOGGING = "mlflow.autologging"
MLFLOW_EXPERIMENT_KIND = "mlflow.experimentKind"
# Without this value the UI opens an experiment as one about prompts and traces.
MODEL_TRAINING = "custom_model_development"


def json_of(run_tags: Mapping[str, str], key: str, kind: type[T]) -> T | None:
    """The JSON value of a run's tag; None if the tag is missing, is not JSON or holds another type than `kind`."""
    try:
        value = json.loads(run_tags[key])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, kind) else None


def left_out_of(run_tags: Mapping[str, str]) -> dict[str, str]:
    """The parts that a run does not have, with the reasons, as its tag lists them."""
    try:
        return dict(json.loads(run_tags.get(TOPK_LEFT_OUT, "{}")))
    except (ValueError, TypeError):
        return {}


def sets_of(run_tags: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The sets that a run's tag lists: path, sha256 and k by part; none if the tag is missing or damaged."""
    try:
        sets = json.loads(run_tags.get(TOPK, "{}"))
        return {
            str(part): {"path": str(entry["path"]), "sha256": str(entry["sha256"]), "k": int(entry["k"])}
            for part, entry in sets.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}

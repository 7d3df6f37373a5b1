"""The names of tags, metrics and artifact folders: training code writes them, and comparisons read them.

The values of tags are checked here, because anybody who may write to the server may have written them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gradiend_mlflow.untrusted import as_dict, as_int, as_list, as_str, parse_json, quoted

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
KEY = "gradiend.key"  # a digest of what identifies a run before MLflow has given it an id: see `shown_key`
TUNED_LEARNING_RATE = "gradiend.tuned_learning_rate"
# Where the model is, and a digest of its files: by these an import finds out what is logged already.
DIRECTORY = "gradiend.directory"
FINGERPRINT = "gradiend.fingerprint"
IMPORTED = "gradiend.imported"  # true on runs that were recorded from disk
UNKNOWN_KEYS = "gradiend.unknown_keys"  # JSON list: what a checkpoint's config.json holds that nothing here reads
SUPERSEDED_BY = "gradiend.superseded_by"  # the run of a later training in the same directory

# JSON: {part: {"path": artifact path, "sha256": hex digest of the file, "k": weights in it}}.
# Written last: a run that has it is complete.
TOPK = "gradiend.topk"
K = "gradiend.k"  # of the largest of these sets, for people
# JSON: {part: reason}, for requested parts that the model does not have.
TOPK_LEFT_OUT = "gradiend.topk_left_out"
# JSON: {"part":, "k":, "sha256": {step: hex digest of the file}}; the files are <step>.parquet.
TOPK_STEPS = "gradiend.topk_steps"

UNIT = "gradiend.unit"  # what a comparison compares: weight or neuron
SOURCE_RUNS = "gradiend.source_runs"  # JSON list of run ids, on a comparison
SOURCE_TRAININGS = "gradiend.source_trainings"  # the same of the trainings whose seeds these are
COMPARISON_SHA256 = "gradiend.comparison_sha256"  # of a comparison's comparison.json
QUESTION = "gradiend.question"  # a digest of settings and sets, on a comparison; written last
COMPARISONS = "gradiend.comparisons"  # JSON list of the comparisons that a run is linked to, the newest last

BEST_CORRELATION = "best/correlation"
BEST_STEP = "best/step"
BEST_LOSS = "best/loss"
OVERLAP_MEAN = "overlap/mean"
OVERLAP_MIN = "overlap/min"
OVERLAP_MAX = "overlap/max"
OVERLAP_WITHIN = "overlap/within"
OVERLAP_BETWEEN = "overlap/between"
OVERLAP_LIFT = "overlap/lift"
OVERLAP_WITH_FINAL = "topk/overlap_with_final"
OVERLAP_GROUP_P = "overlap/group_p"

TOPK_FOLDER = "gradiend/topk"
STEPS_FOLDER = "gradiend/topk/steps"
FIGURES_FOLDER = "gradiend/figures"
FILES_FOLDER = "gradiend"
EVALUATION_FOLDER = "gradiend/evaluation"
MODEL_FOLDER = "model"
LISTED_BY = {TOPK_FOLDER: TOPK, STEPS_FOLDER: TOPK_STEPS}  # the tags that claim that the files of a folder are there

MLFLOW_RUN_NAME = "mlflow.runName"
MLFLOW_PARENT = "mlflow.parentRunId"
MLFLOW_DESCRIPTION = "mlflow.note.content"
DATASET_CONTEXT = "mlflow.data.context"
MLFLOW_AUTOLOGGING = "mlflow.autologging"
MLFLOW_EXPERIMENT_KIND = "mlflow.experimentKind"
# Without this value the UI opens an experiment as one about prompts and traces.
MODEL_TRAINING = "custom_model_development"


_LONGEST = 100_000  # characters; MLflow's databases hold 8000 of a tag
_MOST_PARTS = 100
_MOST_WEIGHTS = 2**40  # in a set
_STEP = re.compile(r"0|[1-9][0-9]{0,17}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def shown_key(key: str) -> str:
    """What a run carries of its key: a digest, because whoever knows the key may write to the run from a journal."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def carries_key(run_tags: Mapping[str, str], key: str) -> bool:
    """Whether a run was started with a key; earlier versions tagged it with the key itself."""
    return run_tags.get(KEY) in (shown_key(key), key)


def seed_of(run_tags: Mapping[str, str]) -> int | None:
    """The seed that a run names; None if it names none, or something that is no integer of 64 bits."""
    return _checked(run_tags, SEED, lambda value: as_int(value, "the seed", least=-(2**63)))


def target_classes_of(run_tags: Mapping[str, str]) -> tuple[str, ...]:
    """The classes that a run names; a tag that is no list of strings, as one class: somebody has edited it."""
    classes = _strings_of(run_tags, TARGET_CLASSES)
    edited = [run_tags[TARGET_CLASSES][:_LONGEST]] if TARGET_CLASSES in run_tags else []
    return tuple(edited if classes is None else classes)


def comparisons_of(run_tags: Mapping[str, str]) -> list[str]:
    """The ids of the comparisons that a run is linked to; none if the tag is missing or damaged."""
    return strings_of(run_tags, COMPARISONS)


def strings_of(run_tags: Mapping[str, str], key: str) -> list[str]:
    """The strings that a tag lists; none if it is missing or damaged."""
    return _strings_of(run_tags, key) or []


def left_out_of(run_tags: Mapping[str, str]) -> dict[str, str]:
    """The parts that a run does not have, with the reasons; none if the tag is missing or damaged."""
    return _checked(run_tags, TOPK_LEFT_OUT, _reasons) or {}


def sets_of(run_tags: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The sets that a run's tag lists: path, sha256 and k by part; none if the tag is missing or damaged."""
    return _checked(run_tags, TOPK, checked_sets) or {}


def damage_of_sets(run_tags: Mapping[str, str]) -> str | None:
    """What is wrong with the tag that lists a run's sets; None if there is no such tag, or nothing is."""
    if TOPK not in run_tags:
        return None
    try:
        checked_sets(parse_json(run_tags[TOPK], most=_LONGEST))
    except ValueError as error:
        return str(error)
    return None


def _checked(run_tags: Mapping[str, str], key: str, check: Callable[[Any], T]) -> T | None:
    try:
        return check(parse_json(run_tags[key], most=_LONGEST))
    except (KeyError, ValueError):
        return None


def _strings_of(run_tags: Mapping[str, str], key: str) -> list[str] | None:
    return _checked(run_tags, key, lambda value: as_list(value, key, as_str))


def _reasons(value: Any) -> dict[str, str]:
    return {part: as_str(reason, "a reason") for part, reason in as_dict(value, "it").items()}


def checked_sets(value: Any) -> dict[str, dict[str, Any]]:
    """The sets that a run lists, as `sets_of` returns them, from what JSON has for them.

    Raises:
        ValueError: If it is something else.
    """
    listed = as_dict(value, "it")
    if len(listed) > _MOST_PARTS:
        raise ValueError(f"it lists {len(listed):,} sets; a run has at most {_MOST_PARTS}")
    return {as_str(part, "a part", most=100): _set(as_dict(entry, "an entry")) for part, entry in listed.items()}


def sets_of_steps(run_tags: Mapping[str, str]) -> dict[int, dict[str, Any]]:
    """The sets of steps that a run lists, by step, as `sets_of` has those of parts, and with their part.

    Raises:
        ValueError: If the tag is damaged; a run without it has none.
    """
    if TOPK_STEPS not in run_tags:
        return {}
    listed = as_dict(parse_json(run_tags[TOPK_STEPS], most=_LONGEST), "it")
    part, digests = as_str(listed.get("part"), "part", most=100), as_dict(listed.get("sha256"), "sha256")
    if odd := [step for step in digests if not _STEP.fullmatch(step)]:
        raise ValueError(f"a step must be a number; got {quoted(odd[0])}")
    return {
        int(step): {"part": part, **_set({**listed, "sha256": digest, "path": f"{STEPS_FOLDER}/{step}.parquet"})}
        for step, digest in digests.items()
    }


def _set(entry: Mapping[str, Any]) -> dict[str, Any]:
    digest = as_str(entry.get("sha256"), "sha256")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"sha256 must be 64 hexadecimal digits; got {quoted(digest)}")
    path = as_str(entry.get("path"), "path", most=1000)
    return {"path": path, "sha256": digest, "k": as_int(entry.get("k"), "k", least=1, most=_MOST_WEIGHTS)}

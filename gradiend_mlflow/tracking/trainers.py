"""What gradiend's trainers, suites and collections say of themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.loops.training_data import TrainingData
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.wording import counted

# Columns of gradiend's tables of data: those of its trainers of text prediction and of classification.
_CLASS_COLUMNS, _SPLIT_COLUMN = ("factual_class", "factual_cls"), "split"


def trainer_tags(trainer: Any) -> dict[str, str]:
    """What a trainer is about: its run_id, base model and target classes, as far as it says."""
    try:
        base_model = trainer.base_model_path
    except ValueError:  # a model object without a name
        base_model = None
    found = {
        tags.RUN_ID: trainer.run_id,
        tags.BASE_MODEL: base_model,
        tags.TARGET_CLASSES: json.dumps(list(trainer.target_classes)) if trainer.target_classes else None,
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def suite_tags(suite: Any) -> dict[str, str]:
    """What a TrainerSuite or TrainerCollection is about; its directory is the one that its trainers' share."""
    trainers = list(suite.trainers.values())
    base_models = {trainer_tags(trainer).get(tags.BASE_MODEL) for trainer in trainers}
    parents = {Path(trainer.experiment_dir).resolve().parent for trainer in trainers if trainer.experiment_dir}
    directory = parents.pop() if len(parents) == 1 else None
    found = {
        tags.RUN_ID: getattr(suite, "run_id", None),
        tags.BASE_MODEL: base_models.pop() if len(base_models) == 1 else None,
        tags.DIRECTORY: directory,
    }
    return {key: str(value) for key, value in found.items() if value}


def name_of(trainer: Any) -> str:
    """What a trainer's run is called: its run_id, or else its target classes."""
    return str(trainer.run_id or " vs ".join(map(str, trainer.target_classes or [])) or "gradiend")


def name_of_suite(suite: Any) -> str:
    """What a suite's run is called: its run_id, or else its kind and how many trainings it has."""
    kind = suite.__class__.__name__  # not type(), which is that of a weak proxy
    what = "pair" if kind.endswith("Suite") else "training"  # the trainings of a collection may be of anything
    return str(getattr(suite, "run_id", None) or f"{kind} · {counted(len(suite.trainers), what)}")


def experiment_dir_of(trainer: Any) -> Path | None:
    """Where its results go, if it keeps any."""
    return Path(trainer.experiment_dir) if trainer.experiment_dir else None


def has_trained(trainer: Any) -> bool:
    """Whether it has selected a model, so that its `model_path` is not the base model's any more."""
    return Path(trainer.model_path) != Path(trainer.base_model_path)


def is_cached(trainer: Any) -> bool:
    """Whether its last `train()` took the model from gradiend's cache."""
    return bool(getattr(trainer, "_last_train_used_cache", False))


def directory_of(trainer: Any) -> TrainingDirectory:
    """Where its results lie."""
    return TrainingDirectory.of(Path(trainer.model_path), experiment_dir_of(trainer))


def data_of(trainer: Any) -> TrainingData | None:
    """The data that it is trained on, as far as gradiend has loaded them; None if it keeps them in another way."""
    table = getattr(trainer, "_combined_data", None)  # not its property, which would load them
    columns = [] if table is None else list(table.columns)
    of_classes = next((name for name in _CLASS_COLUMNS if name in columns), None)
    if table is None or of_classes is None:
        return None
    classes = tuple(map(str, trainer.target_classes or sorted(table[of_classes].astype(str).unique())))
    named = (_SPLIT_COLUMN, getattr(trainer.config, "split_col", None))
    split = next((name for name in named if name in columns), None)
    source_type, sources = _source_of(trainer.config, classes)
    return TrainingData(table, of_classes, split, classes, source_type, sources)


def _source_of(config: Any, classes: Sequence[str]) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """Where the data come from, in MLflow's words: a dataset of Hugging Face, a file, or else the program itself."""
    dataset, data = getattr(config, "hf_dataset", None), getattr(config, "data", None)
    if dataset is not None:
        subset = getattr(config, "hf_subset", None)
        named = {"path": str(dataset)} | ({"config_name": subset} if isinstance(subset, str) else {})
        return "hugging_face", dict.fromkeys(classes, named)
    if isinstance(data, Path) or (isinstance(data, str) and Path(data).exists()):
        return "local", {name: {"uri": str(Path(data).resolve())} for name in classes}
    if isinstance(data, str):  # gradiend loads a config for each class, and may merge some into one
        merged = getattr(config, "class_merge_map", None)
        return "hugging_face", {name: {"path": data} | ({} if merged else {"config_name": name}) for name in classes}
    return "code", {}

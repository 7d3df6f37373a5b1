"""What gradiend's trainers, suites and collections say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradiend_mlflow.store import tags
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.wording import counted


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
    kind = type(suite).__name__
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

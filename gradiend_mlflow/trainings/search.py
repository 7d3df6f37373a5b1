"""The trainings below a directory, and what looks like one and is none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradiend_mlflow.disk.trees import LEADS_OUT, Found, Walk, leads_out
from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.trainings.directories import (
    CONFIG,
    LR_SEARCH,
    SEEDS,
    TRAINING_FILE,
    WEIGHTS,
    TrainingDirectory,
    best_of,
    modified,
    read_json,
)

_NOT_TRAININGS = (SEEDS, "lr_search", "cache", "decoder_mlm_head", "classification_head", "custom_prediction_head")
_OF_MLFLOW = re.compile(r"(m-)?[0-9a-f]{32}")  # a run's or a logged model's directory in a local store
_OF_EARLIER_STEP = re.compile(r"(?<=.)_(?:epoch_\d+|step_\d+|temp|best)$")


@dataclass(frozen=True)
class FoundTrainings:
    """What lies below a directory: finished trainings, ordered by their ends, and what cannot be imported.

    `faults` are directories with the reason: trainings that were broken off, and directories that cannot be read;
    `links` are those that were not searched, because a link leads to them that leads out.
    """

    trainings: tuple[TrainingDirectory, ...]
    faults: tuple[Found, ...]
    links: tuple[Found, ...] = ()


def find_trainings(path: Path) -> FoundTrainings:
    """Look for trainings in and below a directory.

    What is no training of its own is passed over: the probes of a learning-rate search, caches, heads, and the models
    of earlier steps beside the selected one. A seed's directory counts only if it is `path` itself.
    """
    faults: list[Found] = []
    trainings: list[TrainingDirectory] = []
    walk = Walk(path)
    for here in _searched(walk):
        try:
            if fault := _fault_of(here, path):
                faults.append((here, fault))
            elif (here / TRAINING_FILE).is_file() and _is_selected(here):
                trainings.append(TrainingDirectory.of(here, root=path))
        except OSError as error:
            faults.append((here, f"it cannot be read: {error}"))
    trainings.sort(key=lambda training: (modified(training.model / TRAINING_FILE), training.model))
    return FoundTrainings(tuple(trainings), (*walk.faults, *faults), tuple(walk.links))


def _searched(walk: Walk) -> Iterator[Path]:
    """The directories in which trainings may lie."""
    for here, below, names in walk:
        # Beside these, such names are gradiend's own; elsewhere they may be anybody's.
        is_experiment = {"model", "model_best", LR_SEARCH, TRAINING_FILE} & {*below, *names} or _has_seeds(here)
        # What runs hold in MLflow's store are copies.
        skip = _NOT_TRAININGS if is_experiment else ("artifacts",) if _OF_MLFLOW.fullmatch(here.name) else ()
        below[:] = sorted(name for name in below if name not in (JOURNALS, *skip))
        yield here


def _is_selected(model: Path) -> bool:
    """Whether this is the training's only model or, where gradiend keeps the best and the last step's, the best."""
    last = _last_of(model)
    is_best = model.name.endswith("_best") and (last / TRAINING_FILE).is_file()
    return best_of(model) == model and (last == model or is_best)


def _fault_of(here: Path, root: Path) -> str | None:
    """Why a directory without a selected model should have one; None if it has, or there is no sign that it should."""
    training_file = here / TRAINING_FILE
    if leads_out(training_file, root):
        return f"{TRAINING_FILE}: {LEADS_OUT.format(root)}"
    if training_file.is_file() and _is_selected(here):
        return None
    if os.path.lexists(training_file) and not training_file.is_file():
        return f"{TRAINING_FILE} is not a regular file"
    if _has_seeds(here):
        selected = any((here / name / TRAINING_FILE).is_file() for name in ("model", "model_best", "."))
        return None if selected else "the training was broken off: there are seeds, but no selected model"
    if (_last_of(here) / TRAINING_FILE).is_file() or not _holds_gradiend(here):
        return None
    return f"there is a model, but no {TRAINING_FILE}: the training was broken off, or copied in part"


def _has_seeds(experiment_dir: Path) -> bool:
    return any((experiment_dir / SEEDS).glob(f"seed_*/{TRAINING_FILE}"))


def _holds_gradiend(directory: Path) -> bool:
    """Whether a directory holds a GRADIEND, and not a base model or a head."""
    try:
        has_weights = any((directory / name).is_file() for name in WEIGHTS)
        return has_weights and "mapping" in read_json(directory / CONFIG)
    except CheckpointError:
        return False


def _last_of(model: Path) -> Path:
    """The directory of the last step's model, if `model` is named like that of an earlier step; else `model`."""
    return model.with_name(_OF_EARLIER_STEP.sub("", model.name)) if model.name else model

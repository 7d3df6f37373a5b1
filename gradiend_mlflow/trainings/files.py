"""What the files of a training say, read once: everything that an account of it is derived from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.trainings.directories import (
    CONFIG,
    LR_SEARCH,
    TRAINING_FILE,
    TrainingDirectory,
    has_weights,
    modified,
    read_json,
)

_ENCODER_RESULT = re.compile(r"encoded_values.*_split_(.+)\.json")


@dataclass(frozen=True)
class ModelFiles:
    """What lies in one model's directory.

    `training_file` is empty if gradiend wrote none of the training's statistics. `end_time` is when the training
    ended, in milliseconds since the epoch.
    """

    directory: Path
    training_file: Mapping[str, Any]
    has_weights: bool
    end_time: int

    @staticmethod
    def read(directory: Path) -> ModelFiles:
        """Read the files of a model.

        Raises:
            CheckpointError: If its training file is damaged, or is missing and there are no weights either.
        """
        return ModelFiles(
            directory=directory,
            training_file=_training_file(directory),
            has_weights=has_weights(directory),
            end_time=int(modified(directory / TRAINING_FILE) * 1000),  # gradiend writes it at the end
        )

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The training arguments."""
        return dict(self.training_file.get("training_args", {}))

    @property
    def start_time(self) -> int:
        """When the training began, in milliseconds since the epoch: the training file says how long it took."""
        seconds = (self.training_file.get("time") or {}).get("total") or 0
        return self.end_time - int(seconds * 1000)


@dataclass(frozen=True)
class SeedFiles:
    """gradiend's report on the choice among several seeds, empty if there is none, and the seeds it is about."""

    report: Mapping[str, Any]
    seeds: tuple[ModelFiles, ...] = ()

    @staticmethod
    def read(directory: TrainingDirectory) -> SeedFiles:
        """Read the report and the files of the seeds.

        Raises:
            CheckpointError: If one of the files is damaged.
        """
        report = read_json(directory.report_file) if directory.seeds else {}
        return SeedFiles(report, tuple(map(ModelFiles.read, directory.seeds)) if report else ())


@dataclass(frozen=True)
class TrainingFiles:
    """All of a training's files.

    `encoder_results` are those of `evaluate_encoder`, by split; `logged` are the files that its run holds, by artifact
    folder.
    """

    directory: TrainingDirectory
    model: ModelFiles
    seeds: SeedFiles
    config: Mapping[str, Any]
    context: Mapping[str, Any]
    lr_search: Mapping[str, Any]
    encoder_results: Mapping[str, Mapping[str, Any]]
    logged: Mapping[str, tuple[Path, ...]]
    fingerprint: str

    @staticmethod
    def read(directory: TrainingDirectory) -> TrainingFiles:
        """Read them.

        Raises:
            CheckpointError: If one of the files is damaged, or the selected model has no training file.
        """
        own = [file for file in directory.evaluation_files() if file.parent == directory.experiment_dir]
        named = [(_ENCODER_RESULT.fullmatch(file.name), file) for file in own]
        return TrainingFiles(
            directory=directory,
            model=ModelFiles.read(directory.model),
            seeds=SeedFiles.read(directory),
            config=read_json(directory.model / CONFIG),
            context=read_json(directory.model / "gradiend_context.json"),
            lr_search=read_json(directory.experiment_dir / LR_SEARCH),
            encoder_results={name.group(1): read_json(file) for name, file in named if name},
            logged=directory.files(),
            fingerprint=directory.fingerprint(),
        )


def _training_file(model: Path) -> Mapping[str, Any]:
    """The training file of a model, or the one in the directory beside it: one of the two may be a stub.

    With save_only_best=False or delete_models=True gradiend writes no statistics into any; then it is empty.
    """
    candidates = dict.fromkeys((model, model.with_name(model.name.removesuffix("_best"))))
    found = [directory / TRAINING_FILE for directory in candidates if (directory / TRAINING_FILE).is_file()]
    for content in map(read_json, found):
        if all(isinstance(content.get(key), Mapping) for key in ("training_args", "training_stats")):
            return content
    if found and has_weights(model):
        return {}
    what = "describes no training: it lacks training_args or training_stats" if found else "does not exist"
    raise CheckpointError(f"{model / TRAINING_FILE} {what}")

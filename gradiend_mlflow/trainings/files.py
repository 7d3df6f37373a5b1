"""What the files of a training say, read once: everything that an account of it is derived from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import CheckpointError, logger
from gradiend_mlflow.trainings.directories import (
    CONFIG,
    CONTEXT,
    LR_SEARCH,
    TRAINING_FILE,
    TrainingDirectory,
    modified,
)
from gradiend_mlflow.untrusted import as_dict, as_float, as_int, as_list, as_str, optional, quoted
from gradiend_mlflow.wording import some_of

_MOST_STEPS = 100_000_000
_LONGEST_TRAINING = 3.2e9  # seconds: a hundred years
_MOST_SEEDS = 100_000
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
    def read(directory: Path, training: TrainingDirectory, *, is_seed: bool = False) -> ModelFiles:
        """Read the files of a model of a training, or of one of its seeds, of which nothing but a stub may be left.

        Raises:
            CheckpointError: If its training file is damaged, or is missing and there are no weights either.
        """
        return ModelFiles(
            directory=directory,
            training_file=_training_file(directory, training, is_seed=is_seed),
            has_weights=training.has_weights(directory),
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
        report = _read(directory, directory.report_file, _check_report) if directory.seeds else {}
        seeds = tuple(ModelFiles.read(seed, directory, is_seed=True) for seed in directory.seeds) if report else ()
        return SeedFiles(report, seeds)


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
        if links := directory.links_out():
            shown = ", ".join(some_of([str(link) for link in links]))
            logger.warning("Left out, because they are links that lead out of %s: %s", directory.root, shown)
        own = [file for file in directory.evaluation_files() if file.parent == directory.experiment_dir]
        named = [(_ENCODER_RESULT.fullmatch(file.name), file) for file in own]
        return TrainingFiles(
            directory=directory,
            model=ModelFiles.read(directory.model, directory),
            seeds=SeedFiles.read(directory),
            config=_read(directory, directory.model / CONFIG, _check_config),
            context=_read(directory, directory.model / CONTEXT, _check_context),
            lr_search=directory.json_of(directory.experiment_dir / LR_SEARCH),
            encoder_results={
                name.group(1): _read(directory, file, _check_encoder_result) for name, file in named if name
            },
            logged=directory.files(),
            fingerprint=directory.fingerprint(),
        )


def _read(training: TrainingDirectory, file: Path, check: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
    """The JSON object in a file, whose types are what the rest of the package relies on; empty if there is none."""
    content = training.json_of(file)
    try:
        check(content)
    except ValueError as error:
        raise CheckpointError(f"{file} is not what gradiend writes: {error}") from error
    return content


def _training_file(model: Path, training: TrainingDirectory, *, is_seed: bool) -> Mapping[str, Any]:
    """The training file of a model, or the one in the directory beside it: one of the two may be a stub.

    With save_only_best=False or delete_models=True gradiend writes no statistics into any; then it is empty.
    """
    candidates = dict.fromkeys((model, model.with_name(model.name.removesuffix("_best"))))
    found = [directory / TRAINING_FILE for directory in candidates if (directory / TRAINING_FILE).is_file()]
    for file in found:
        content = _read(training, file, _check_training_file)
        if all(isinstance(content.get(key), Mapping) for key in ("training_args", "training_stats")):
            return content
    if found and (is_seed or training.has_weights(model)):
        return {}
    what = "describes no training: it lacks training_args or training_stats" if found else "does not exist"
    raise CheckpointError(f"{model / TRAINING_FILE} {what}")


# ----------------------------------------------------------------------- what the rest of the package relies on
# Each raises ValueError, naming the value, if one is of another type; values that are only shown may be anything.


def _check_training_file(content: Mapping[str, Any]) -> None:
    """A training file; gradiend may have written one without arguments and statistics."""
    arguments = optional(content.get("training_args"), "training_args", as_dict) or {}
    statistics = optional(content.get("training_stats"), "training_stats", as_dict) or {}
    optional(arguments.get("metadata"), "training_args.metadata", as_dict)
    optional(arguments.get("max_seeds"), "training_args.max_seeds", as_int)
    for name in ("experiment_dir", "output_dir"):
        optional(arguments.get(name), f"training_args.{name}", as_str)
    _check_keys(statistics.get("scores"), "training_stats.scores", int)
    _check_keys(statistics.get("label_value_to_class_name"), "training_stats.label_value_to_class_name", float)
    optional(content.get("losses"), "losses", _as_any_list)
    best = optional(content.get("best_score_checkpoint"), "best_score_checkpoint", as_dict) or {}
    optional(best.get("global_step"), "best_score_checkpoint.global_step", as_float)
    optional(content.get("convergence_info"), "convergence_info", as_dict)
    time = optional(content.get("time"), "time", as_dict) or {}
    optional(time.get("total"), "time.total", _as_seconds)


def _check_report(content: Mapping[str, Any]) -> None:
    """The report on the choice among several seeds."""
    optional(content.get("runs"), "runs", _as_entries)
    optional(content.get("seeds_tried"), "seeds_tried", _as_any_list)
    optional(content.get("topk_stability"), "topk_stability", as_dict)


def _check_config(content: Mapping[str, Any]) -> None:
    """A model's config."""
    optional(content.get("metadata"), "metadata", as_dict)


def _check_context(content: Mapping[str, Any]) -> None:
    """What a model says of its training."""
    directions = content.get("feature_class_encoding_direction")
    for name, direction in (optional(directions, "feature_class_encoding_direction", as_dict) or {}).items():
        as_float(direction, f"the direction of {quoted(name)}")


def _check_encoder_result(content: Mapping[str, Any]) -> None:
    """The result of an evaluation of the encoder."""
    for name in ("all_data", "training_only", "target_classes_only", "mean_by_feature_class"):
        optional(content.get(name), name, as_dict)


def _check_keys(value: Any, name: str, kind: Callable[[str], float]) -> None:
    """An object whose keys are numbers."""
    for key in optional(value, name, as_dict) or {}:
        if len(key) > 20:  # noqa: PLR2004  # longer than any 64-bit integer
            raise ValueError(f"{name} has the key {quoted(key)}, which is no number")
        try:
            kind(key)
        except ValueError:
            raise ValueError(f"{name} has the key {quoted(key)}, which is no number") from None


def _as_any_list(value: Any, name: str) -> list[Any]:
    return as_list(value, name, lambda item, _: item, most=_MOST_STEPS)


def _as_entries(value: Any, name: str) -> list[Mapping[str, Any]]:
    return as_list(value, name, as_dict, most=_MOST_SEEDS)


def _as_seconds(value: Any, name: str) -> float:
    return as_float(value, name, least=0, most=_LONGEST_TRAINING)

"""What a training left on disk, told as the run that it is: for imports, cached models and the end of a training."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.store import tags
from gradiend_mlflow.trainings.directories import (
    CONFIG,
    LR_SEARCH,
    TRAINING_FILE,
    TrainingDirectory,
    has_weights,
    modified,
    read_json,
    seed_number,
)
from gradiend_mlflow.trainings.terms import (
    Outcome,
    encoder_metrics,
    history,
    outcome_of,
    params_of,
    read_training_file,
    report_metrics,
    seed_metrics,
)

_NO_RECORD: Mapping[str, Any] = {"training_args": {}, "training_stats": {}}
_ENCODER_RESULT = re.compile(r"encoded_values.*_split_(.+)\.json")


@dataclass(frozen=True)
class Account:
    """One finished run in MLflow's terms; `seeds` are its children. Times in milliseconds since the epoch.

    `training` is where all of the training lies, `directory` holds the model, with weights if `has_weights`; `steps`
    are its metrics by step, ascending; `metrics` those without one; `gap` is what its files should say and do not;
    `fingerprint` is that of the training's directory, empty for seeds.
    """

    directory: Path
    training: TrainingDirectory
    name: str
    run_tags: Mapping[str, str]
    params: Mapping[str, str]
    steps: tuple[tuple[int, Mapping[str, float]], ...]
    outcome: Outcome
    metrics: Mapping[str, float]
    files: Mapping[str, tuple[Path, ...]]
    has_weights: bool
    start_time: int
    end_time: int
    gap: str | None = None
    seeds: tuple[Account, ...] = ()
    fingerprint: str = ""


def account_of(
    training: TrainingDirectory, *, name: str | None = None, about: Mapping[str, str] | None = None
) -> Account:
    """Everything that a run of this training says.

    Args:
        training: Where it lies.
        name: The run's name; default what its directories say.
        about: Tags that are known better, such as those of its trainer; default what the files say.

    Raises:
        CheckpointError: If the selected model has no training.json, or one that tells of no training.
    """
    record = _usable_record(training.model)
    arguments = record["training_args"]
    report = training.report() if training.seeds else None
    about = dict(about if about is not None else _about(training, record))
    name = name or about.get(tags.RUN_ID) or _name(about, training)
    seed = arguments.get("seed") if report is None else report.get("best_seed")
    params = params_of(arguments)
    if report is not None:
        params |= {"seed": str(_first_seed(training, arguments)), "experiment_dir": str(training.experiment_dir)}
        params["output_dir"] = str(training.model)
    return Account(
        directory=training.model,
        training=training,
        name=name,
        run_tags={
            **about,
            tags.KIND: tags.TRAINING,
            **({} if seed is None else {tags.SEED: str(seed)}),
            **search_tags(read_json(training.experiment_dir / LR_SEARCH), arguments),
            tags.DIRECTORY: str(training.model.resolve()),
        },
        params=params,
        steps=tuple(history(record)),
        outcome=outcome_of(record),
        metrics={**report_metrics(report or {}), **_evaluation_metrics(training)},
        files=training.files(),
        has_weights=has_weights(training.model),
        start_time=_start_time(training.model, record),
        end_time=_end_time(training.model),
        gap=_gap(training.model, record),
        seeds=seed_accounts(training, name, about),
        fingerprint=training.fingerprint(),
    )


def seed_accounts(training: TrainingDirectory, name: str, about: Mapping[str, str]) -> tuple[Account, ...]:
    """The seeds that were tried for a training of that name, if gradiend has reported on them.

    Raises:
        CheckpointError: If the record of one is damaged.
    """
    report = training.report()
    return (
        () if report is None else tuple(_seed_account(training, path, name, about, report) for path in training.seeds)
    )


def _seed_account(
    training: TrainingDirectory, path: Path, name: str, about: Mapping[str, str], report: Mapping[str, Any]
) -> Account:
    record = _usable_record(path)
    number = seed_number(path)
    entries = {entry.get("seed"): entry for entry in report.get("runs") or []}
    entry = entries.get(number, {})
    return Account(
        directory=path,
        training=training,
        name=f"{name}/seed_{number}",
        run_tags={**about, tags.KIND: tags.SEED_RUN, tags.SEED: str(number), tags.DIRECTORY: str(path.resolve())},
        params={**params_of(record["training_args"]), "seed": str(number)},
        steps=tuple(history(record)),
        outcome=Outcome(**{**vars(outcome_of(record)), "converged": entry.get("converged")}),
        metrics=seed_metrics(entry),
        files={},
        has_weights=has_weights(path),
        start_time=_start_time(path, record),
        end_time=_end_time(path),
    )


# --------------------------------------------------------------------------------------------------------- reading


def search_tags(search: Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The tag of a learning-rate search whose result this training used."""
    tuned = (arguments.get("metadata") or {}).get("learning_rate_tuned")
    best = (search or {}).get("best_lr")
    return {tags.TUNED_LEARNING_RATE: str(best)} if tuned and best is not None else {}


def _usable_record(model: Path) -> Mapping[str, Any]:
    """The record of a model, or of the directory beside it: where there are two, one may hold nothing of use.

    With save_only_best=False or delete_models=True gradiend writes no statistics into any; then the record is empty.
    """
    candidates = dict.fromkeys((model, model.with_name(model.name.removesuffix("_best"))))
    records = [record for record in map(read_training_file, candidates) if record is not None]
    for record in records:
        if all(isinstance(record.get(key), Mapping) for key in ("training_args", "training_stats")):
            return record
    if records and has_weights(model):
        return _NO_RECORD
    what = "tells of no training: it lacks training_args or training_stats" if records else "does not exist"
    raise CheckpointError(f"{model / TRAINING_FILE} {what}")


def _run_id(training: TrainingDirectory, arguments: Mapping[str, Any]) -> str | None:
    """The trainer's run_id: what lies between the experiment_dir that it was given and its own."""
    given, output = arguments.get("experiment_dir"), arguments.get("output_dir")
    if training.seeds or not given or not output:  # the arguments of seeds name the seed's directory only
        return training.experiment_dir.name
    try:
        between = Path(output).relative_to(given).parent
    except ValueError:
        return None
    return between.as_posix() if between.parts else None


def _about(training: TrainingDirectory, record: Mapping[str, Any]) -> dict[str, str]:
    """What the tags of a trainer say, as far as its files know it."""
    config = read_json(training.model / CONFIG) or {}
    classes = _target_classes(training, record)
    found = {
        tags.RUN_ID: _run_id(training, record["training_args"]),
        tags.BASE_MODEL: (config.get("metadata") or {}).get("base_model"),
        tags.TARGET_CLASSES: json.dumps(classes) if classes else None,
    }
    return {key: str(value) for key, value in found.items() if value}


def _target_classes(training: TrainingDirectory, record: Mapping[str, Any]) -> list[str]:
    """The classes that are encoded in opposite directions, the positive one first, as gradiend takes them."""
    context = read_json(training.model / "gradiend_context.json") or {}
    directions = context.get("feature_class_encoding_direction")
    if not directions:  # a pruned model does not say
        labels = record["training_stats"].get("label_value_to_class_name") or {}
        directions = {name: float(label) for label, name in labels.items()}
    return [str(name) for name, direction in sorted(directions.items(), key=lambda item: -item[1]) if direction]


def _name(about: Mapping[str, str], training: TrainingDirectory) -> str:
    classes = json.loads(about.get(tags.TARGET_CLASSES, "[]"))
    return " vs ".join(classes) or training.experiment_dir.name


def _first_seed(training: TrainingDirectory, arguments: Mapping[str, Any]) -> Any:
    """The config of gradiend keeps the first of several seeds; so do all of their records."""
    return arguments.get("seed", seed_number(training.seeds[0]))


def _evaluation_metrics(training: TrainingDirectory) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for file in training.evaluation_files():
        named = _ENCODER_RESULT.fullmatch(file.name)
        if named and file.parent == training.experiment_dir:
            metrics |= encoder_metrics(read_json(file) or {}, named.group(1))
    return metrics


def _gap(model: Path, record: Mapping[str, Any]) -> str | None:
    """What its files should say and do not."""
    gaps = []
    if record is _NO_RECORD:
        gaps.append(
            f"{TRAINING_FILE} holds no params and no metrics: gradiend writes none with save_only_best=False or "
            "delete_models=True"
        )
    if not has_weights(model):
        gaps.append("the weights were not kept, so there are no top-k sets")
    return "; ".join(gaps) or None


def _end_time(directory: Path) -> int:
    """The record is written at the end."""
    return int(modified(directory / TRAINING_FILE) * 1000)


def _start_time(directory: Path, record: Mapping[str, Any]) -> int:
    """The record says how many seconds the training took."""
    seconds = (record.get("time") or {}).get("total") or 0
    return _end_time(directory) - int(seconds * 1000)

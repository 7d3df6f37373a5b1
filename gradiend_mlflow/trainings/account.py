"""What a finished training left on disk, as the run that it is: for imports, cached models, the end of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.sets.reading.signals import unknown_keys
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.models.logged import RunModel
from gradiend_mlflow.store.store import MetricPoint
from gradiend_mlflow.trainings.directories import TRAINING_FILE, TrainingDirectory, seed_number
from gradiend_mlflow.trainings.files import ModelFiles, SeedFiles, TrainingFiles
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.words.terms import (
    Outcome,
    encoder_metrics,
    history,
    is_stitched,
    outcome_of,
    params_of,
    report_metrics,
    seed_metrics,
)
from gradiend_mlflow.untrusted import as_list, parse_json

_MOST_UNKNOWN = 50


@dataclass(frozen=True)
class Account:
    """One finished run in MLflow's terms; `seeds` are its children. Times in milliseconds since the epoch.

    `training` is where all of the training lies, `directory` holds the model, with weights if `has_weights`; `steps`
    are its metrics by step, ascending; `metrics` those without a step; `gap` says what its files should hold and do
    not; `is_resumed` whether gradiend took all of its seeds from its cache; `fingerprint` is that of the training's
    directory, empty for seeds.
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
    is_resumed: bool = False
    seeds: tuple[Account, ...] = ()
    fingerprint: str = ""


def account_of(
    training: TrainingDirectory, *, name: str | None = None, about: Mapping[str, str] | None = None
) -> Account:
    """Everything that a run of this training says.

    Args:
        training: Where it lies.
        name: The run's name; default what its directories suggest.
        about: The tags of its trainer, where they are known; default what the files say of them.

    Raises:
        CheckpointError: If the selected model has no training.json, or one that describes no training.
    """
    return derive_account(TrainingFiles.read(training), name=name, about=about)


def derive_account(
    files: TrainingFiles, *, name: str | None = None, about: Mapping[str, str] | None = None
) -> Account:
    """The same of files that have been read; opens none itself."""
    directory, model, report = files.directory, files.model, files.seeds.report
    about = _about(files) if about is None else about
    classes = " vs ".join(_classes_in(about))
    name = name or about.get(tags.RUN_ID) or classes or directory.experiment_dir.name
    seed = report.get("best_seed") if report else model.arguments.get("seed")
    params = params_of(model.arguments)
    if report:
        # gradiend's config keeps the first of several seeds, and so do the training files of all of them.
        first = model.arguments.get("seed", seed_number(directory.seeds[0]))
        params["seed"] = str(first)
    metrics = report_metrics(report)
    for split, result in files.encoder_results.items():
        metrics |= encoder_metrics(result, split)
    return Account(
        directory=model.directory,
        training=directory,
        name=name,
        run_tags={
            **about,
            tags.KIND: tags.TRAINING,
            **({} if seed is None or is_stitched(model.training_file) else {tags.SEED: str(seed)}),
            **_unknown_tags(files.config),
            **_search_tags(files.lr_search, model.arguments),
            tags.DIRECTORY: str(model.directory.resolve()),
        },
        params=params,
        steps=tuple(history(model.training_file)),
        outcome=_outcome(files),
        metrics=metrics,
        files=files.logged,
        has_weights=model.has_weights,
        start_time=model.start_time,
        end_time=model.end_time,
        gap=_gap(model),
        is_resumed=bool(report) and all(entry.get("used_cache") for entry in report.get("runs") or []),
        seeds=seed_accounts(directory, files.seeds, name, about),
        fingerprint=files.fingerprint,
    )


def seed_accounts(
    training: TrainingDirectory, files: SeedFiles, name: str, about: Mapping[str, str]
) -> tuple[Account, ...]:
    """The seeds that were tried for a training of that name, if gradiend has reported on them."""
    accounts = []
    for model in files.seeds:
        seed = seed_number(model.directory)
        entry = _entry(files.report, seed)
        account = Account(
            directory=model.directory,
            training=training,
            name=f"{name}/seed_{seed}",
            run_tags={
                **about,
                tags.KIND: tags.SEED_RUN,
                tags.SEED: str(seed),
                tags.DIRECTORY: str(model.directory.resolve()),
            },
            params={**params_of(model.arguments), "seed": str(seed)},
            steps=tuple(history(model.training_file)),
            outcome=replace(outcome_of(model.training_file), converged=entry.get("converged")),
            metrics=seed_metrics(entry),
            files={},
            has_weights=model.has_weights,
            start_time=model.start_time,
            end_time=model.end_time,
        )
        accounts.append(account)
    return tuple(accounts)


def _outcome(files: TrainingFiles) -> Outcome:
    """What the training came to: whether it converged is what gradiend's report says of the chosen seed."""
    outcome, report = outcome_of(files.model.training_file), files.seeds.report
    return replace(outcome, converged=_entry(report, report.get("best_seed")).get("converged")) if report else outcome


def _entry(report: Mapping[str, Any], seed: int | None) -> Mapping[str, Any]:
    """What the report on several seeds says of one; nothing if it does not name it."""
    return next((entry for entry in report.get("runs") or [] if entry.get("seed") == seed), {})


def _unknown_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """The tag that names what the config of a checkpoint holds and nothing here reads, cut to what MLflow takes."""
    unknown = unknown_keys(config)
    return {tags.UNKNOWN_KEYS: json.dumps(list(unknown[:_MOST_UNKNOWN]))} if unknown else {}


def _search_tags(search: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The tag of a learning-rate search whose result this training used."""
    tuned = (arguments.get("metadata") or {}).get("learning_rate_tuned")
    best = search.get("best_lr")
    return {tags.TUNED_LEARNING_RATE: str(best)} if tuned and best is not None else {}


def _about(files: TrainingFiles) -> dict[str, str]:
    """The tags of a trainer, as far as its files know them."""
    classes = _target_classes(files)
    found = {
        tags.RUN_ID: _run_id(files),
        tags.BASE_MODEL: (files.config.get("metadata") or {}).get("base_model"),
        tags.TARGET_CLASSES: json.dumps(classes) if classes else None,
    }
    return {key: str(value) for key, value in found.items() if value}


def _classes_in(about: Mapping[str, str]) -> list[str]:
    try:
        return as_list(parse_json(about.get(tags.TARGET_CLASSES, "[]")), "it", lambda name, _: str(name))
    except ValueError as error:
        raise CheckpointError(f"the tag {tags.TARGET_CLASSES} lists no classes: {error}") from error


def _run_id(files: TrainingFiles) -> str | None:
    """The trainer's run_id: what lies between the experiment_dir that it was given and its own."""
    given, output = (files.model.arguments.get(name) for name in ("experiment_dir", "output_dir"))
    if files.directory.seeds or not given or not output:  # the arguments of seeds name the seed's directory only
        return files.directory.experiment_dir.name
    between = Path(output).relative_to(given).parent if Path(output).is_relative_to(given) else Path()
    return between.as_posix() if between.parts else None


def _target_classes(files: TrainingFiles) -> list[str]:
    """The classes that are encoded in opposite directions, the positive one first, as in gradiend."""
    directions = files.context.get("feature_class_encoding_direction")
    if not directions:  # a pruned model does not say
        statistics = files.model.training_file.get("training_stats", {})
        labels = statistics.get("label_value_to_class_name") or {}
        directions = {name: float(label) for label, name in labels.items()}
    return [str(name) for name, direction in sorted(directions.items(), key=lambda item: -item[1]) if direction]


def _gap(model: ModelFiles) -> str | None:
    """What its files should hold and do not."""
    gaps = {
        f"{TRAINING_FILE} holds no params and no metrics: gradiend writes none with save_only_best=False or "
        "delete_models=True": not model.training_file,
        "the weights were not kept, so there are no top-k sets": not model.has_weights,
    }
    return "; ".join(gap for gap, is_there in gaps.items() if is_there) or None


def model_of(account: Account, options: LogOptions, name: str) -> RunModel | None:
    """Its checkpoint as the model of its run, as the options say; None if they say that it is not logged."""
    if not options.log_models:
        return None
    return RunModel(
        name,
        account.directory,
        account.params,
        base_model=account.run_tags.get(tags.BASE_MODEL),
        copied=options.log_models is True,
        registered_as=options.registered_model_name,
    )


def points_of(account: Account) -> list[MetricPoint]:
    """The metrics of an account."""
    return [
        *step_points(account),
        *outcome_points(account),
        *(MetricPoint(key, value, account.end_time, 0) for key, value in account.metrics.items()),
    ]


def outcome_points(account: Account) -> list[MetricPoint]:
    """Those of what it came to."""
    outcome = account.outcome
    return [MetricPoint(key, value, account.end_time, outcome.step or 0) for key, value in outcome.metrics().items()]


def step_points(account: Account) -> list[MetricPoint]:
    """Those by step. When each step was is not known: they are spread evenly over the training."""
    span = account.end_time - account.start_time
    last = max((step for step, _ in account.steps), default=0) or 1
    return [
        MetricPoint(key, value, account.start_time + span * step // last, step)
        for step, values in account.steps
        for key, value in values.items()
    ]

"""Adding one finished training to an experiment from disk, once: as a new run, or to the run that it has."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Literal

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.weights import open_checkpoint
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import as_stored, shortened_param
from gradiend_mlflow.store.reader import LoggedRun
from gradiend_mlflow.store.store import MetricPoint, Store
from gradiend_mlflow.trainings.account import Account, model_of, outcome_points, points_of, step_points
from gradiend_mlflow.trainings.description import description_of, with_ids
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.staging import StagedSets, stage_topk
from gradiend_mlflow.trainings.words.terms import version_tags

HeldValues = Mapping[tuple[str, int], float]  # of metrics, by key and step


@dataclass(frozen=True)
class Added:
    """The run of one training, and whether it is new, was completed or was left as it is."""

    run_id: str
    result: Literal["imported", "updated", "unchanged"]


class Backfill:
    """Adds finished trainings to one experiment. Several threads may use it.

    Args:
        store: The MLflow server or database.
        experiment_id: The experiment.
        options: What to log.
        keep_open: The id of a run that its owner will end.
    """

    def __init__(self, store: Store, experiment_id: str, options: LogOptions, *, keep_open: str | None = None) -> None:
        self.experiment_id = experiment_id
        self._store = store
        self._options = options
        self._keep_open = keep_open
        self._known: list[LoggedRun] | None = None
        self._suites: dict[Path, tuple[str, int]] = {}  # the id of each one's run, and the latest end of a training
        self._lock = Lock()
        self._adding: dict[str, Lock] = defaultdict(Lock)  # by fingerprint: copies of a directory are one training

    def look_up(self) -> None:
        """Read what the experiment holds, once for many trainings."""
        self._known = self._store.search([self.experiment_id], f"tags.`{tags.DIRECTORY}` != ''")

    def add(self, account: Account, *, parent: Callable[[], str] | None = None) -> Added:
        """Add one training with its seeds, or complete the run that it has.

        Args:
            account: The training.
            parent: Returns the id of the run that becomes its parent; only called if the training has no run yet.

        Raises:
            StoreError: If MLflow refuses or cannot be reached.
            CheckpointError: If the checkpoint cannot be read; then nothing is added.
        """
        with self._lock:
            adding = self._adding[account.fingerprint]
        with adding:
            return self._add(account, parent)

    def _add(self, account: Account, parent: Callable[[], str] | None) -> Added:
        candidates = self._candidates(account)
        for run in candidates:
            if run.tags.get(tags.FINGERPRINT) == account.fingerprint:
                self._follow_move(run, account)
                return Added(run.run_id, "unchanged")
        here = [run for run in candidates if _may_be_of(run, account)]
        with temporary_folder() as folder:
            staged = _stage(account, self._options, folder)  # first: what cannot be read leaves no run behind
            for run in here:
                if self._is_of(run, account):
                    return Added(self._write(account, staged, run), "updated")
            run_id = self._write(account, staged, None, parent=None if parent is None else parent())
        for run in here:
            if tags.FINGERPRINT in run.tags:
                self._store.set_tags(run.run_id, {tags.SUPERSEDED_BY: run_id})
        return Added(run_id, "imported")

    # -------------------------------------------------------------------------------------------------------- suites

    def suite(self, directory: Path, account: Account) -> str:
        """The id of the run of the suite that a training belongs to; the run is made if needed."""
        with self._lock:
            run_id, end = self._suites.get(directory) or self._suite_run(directory, account)
            self._suites[directory] = (run_id, max(end, account.end_time))
            return run_id

    def end_suites(self) -> None:
        """End the runs of imported suites at the end of their last training."""
        for run_id, end in self._suites.values():
            if tags.IMPORTED in self._store.run(run_id).tags:
                self._store.end_run(run_id, "FINISHED", end)

    def _suite_run(self, directory: Path, account: Account) -> tuple[str, int]:
        own = {tags.KIND: tags.SUITE, tags.DIRECTORY: str(directory)}
        for run in self._known or ():
            if own.items() <= run.tags.items():
                return run.run_id, run.end_time or 0
        about = {key: account.run_tags[key] for key in (tags.BASE_MODEL,) if key in account.run_tags}
        run_tags = {**about, **own, tags.RUN_ID: directory.name}
        return self._create(directory.name or str(directory), run_tags, account.start_time, None), 0

    # ------------------------------------------------------------------------------------------------------ matching

    def _candidates(self, account: Account) -> list[LoggedRun]:
        """The runs that may be of this content or of this directory."""
        if self._known is not None:
            return self._known
        quote = '"' if "'" in account.run_tags[tags.DIRECTORY] else "'"
        same = self._store.search([self.experiment_id], f"tags.`{tags.FINGERPRINT}` = '{account.fingerprint}'")
        directory = f"tags.`{tags.DIRECTORY}` = {quote}{account.run_tags[tags.DIRECTORY]}{quote}"
        return same + self._store.search([self.experiment_id], directory)

    def _follow_move(self, run: LoggedRun, account: Account) -> None:
        """Tag the run of a directory that was moved with its new place, by which its next change is recognized."""
        if not Path(run.tags.get(tags.DIRECTORY, "")).exists():
            self._store.set_tags(run.run_id, {tags.DIRECTORY: account.run_tags[tags.DIRECTORY]})

    def _is_of(self, run: LoggedRun, account: Account) -> bool:
        """Whether a run can be of this very training: nothing that it holds is contradicted."""
        if run.start_time > account.end_time or (not account.steps and tags.FINGERPRINT in run.tags):
            return False
        params = {key: shortened_param(value) for key, value in account.params.items()}
        if any(run.params.get(key, value) != value for key, value in params.items()):
            return False
        held = self._held(run, account)
        return all((point.key, point.step) not in held or _holds(held, point) for point in step_points(account))

    def _held(self, run: LoggedRun, account: Account) -> HeldValues:
        """What a run holds of the account's metrics."""
        keys = {point.key for point in points_of(account)} & set(run.metrics)
        return {
            (key, step): value for key in keys for step, value in self._store.metric_history(run.run_id, key).items()
        }

    # ------------------------------------------------------------------------------------------------------- writing

    def _write(
        self, account: Account, staged: Mapping[Path, StagedSets], run: LoggedRun | None, *, parent: str | None = None
    ) -> str:
        """Write all of an account that a run does not hold yet, to that run or to a new one; returns its id."""
        is_new = run is None
        run = run or self._new_run(account, parent)
        held = self._held(run, account)
        self._write_values(
            run.run_id,
            {key: value for key, value in account.params.items() if key not in run.params},
            [point for point in points_of(account) if not _holds(held, point)],
        )
        sets = staged.get(account.directory)
        self._upload(run.run_id, account, sets)
        if is_new and sets is not None and account.run_tags[tags.KIND] == tags.TRAINING:
            self._log_model(run.run_id, account)
        children = self._children(run) if account.seeds and not is_new else []
        for seed in account.seeds:
            known = next((child for child in children if _may_be_of(child, seed)), None)
            self._write(seed, staged, known, parent=run.run_id)
        about = {key: value for key, value in account.run_tags.items() if key not in run.tags or key == tags.DIRECTORY}
        known_by = {tags.FINGERPRINT: account.fingerprint} if account.fingerprint else {}
        run_tags = {**about, **account.outcome.run_tags(), **self._listed(sets, run.tags), **known_by}
        if known_by and tags.MLFLOW_DESCRIPTION not in {**run.tags, **(self._options.extra_tags or {})}:
            described = description_of(account, account.outcome)
            run_tags[tags.MLFLOW_DESCRIPTION] = with_ids(described, run.run_id, self.experiment_id)
        self._store.set_tags(run.run_id, run_tags)
        if self._known is not None:  # copies of a directory are one training
            self._known.append(replace(run, tags={**run.tags, **run_tags}))
        if run.run_id != self._keep_open:
            self._store.end_run(run.run_id, "FINISHED", account.end_time)
        return run.run_id

    def _new_run(self, account: Account, parent: str | None) -> LoggedRun:
        """Create the run of an account; it counts as one that holds nothing, so that all is written to it."""
        if self._options.views:
            self._store.add_views(self.experiment_id)
        run_id = self._create(account.name, account.run_tags, account.start_time, parent)
        return LoggedRun(
            run_id=run_id,
            name=account.name,
            experiment_id=self.experiment_id,
            status="RUNNING",
            start_time=account.start_time,
            end_time=None,
            artifact_uri="",
            tags={},
            params={},
            metrics={},
        )

    def _children(self, run: LoggedRun) -> list[LoggedRun]:
        return self._store.search([self.experiment_id], f"tags.`{tags.MLFLOW_PARENT}` = '{run.run_id}'")

    def _create(self, name: str, run_tags: Mapping[str, str], start_time: int, parent: str | None) -> str:
        below = {} if parent is None else {tags.MLFLOW_PARENT: parent}
        # Which version of gradiend trained it is not known.
        own = {tags.PLUGIN_VERSION: version_tags()[tags.PLUGIN_VERSION], tags.IMPORTED: "true"}
        return self._store.create_run(
            self.experiment_id,
            name=name,
            run_tags={**(self._options.extra_tags or {}), **own, **run_tags, **below},
            start_time=start_time,
        )

    def _write_values(self, run_id: str, params: Mapping[str, str], points: list[MetricPoint]) -> None:
        refused_params = self._store.log_params(run_id, params)
        refused_points = self._store.log_metrics(run_id, points)
        if refused_params or refused_points:
            logger.warning(
                "MLflow refuses these params and metrics of the run %s: %s, %s",
                run_id,
                list(refused_params),
                refused_points,
            )

    def _upload(self, run_id: str, account: Account, sets: StagedSets | None) -> None:
        for folder, files in (*account.files.items(), *(() if sets is None else sets.files.items())):
            for file in files:
                self._store.upload(run_id, file, folder)

    def _log_model(self, run_id: str, account: Account) -> None:
        if (model := model_of(account, self._options, account.name)) is not None:
            points, root = outcome_points(account), account.training.root
            self._store.log_model(run_id, self.experiment_id, model, points, root=root)

    def _listed(self, sets: StagedSets | None, run_tags: Mapping[str, str]) -> Mapping[str, str]:
        """The tags that say which sets a run has, now that they are uploaded."""
        if sets is not None:
            return sets.run_tags
        if tags.TOPK in run_tags:  # weights that have been deleted since leave the sets that were logged of them
            return {}
        return {tags.TOPK_LEFT_OUT: json.dumps(dict.fromkeys(self._options.parts, "its weights were not kept"))}


def _may_be_of(run: LoggedRun, account: Account) -> bool:
    """Whether a run is of this directory, and known neither to be of an earlier training there nor to have failed."""
    return (
        all(run.tags.get(key) == account.run_tags[key] for key in (tags.KIND, tags.DIRECTORY))
        and (tags.FINGERPRINT in run.tags or run.status in ("RUNNING", "FINISHED"))
        and tags.SUPERSEDED_BY not in run.tags
    )


def _stage(account: Account, options: LogOptions, folder: Path) -> dict[Path, StagedSets]:
    """The sets of a training and its seeds, by model directory, as far as their weights were kept."""
    return {
        each.directory: stage_topk(
            open_checkpoint(each.directory),
            topk=options.topk,
            parts=options.parts,
            folder=folder / str(number),
            picture=each is account,
        )
        for number, each in enumerate((account, *account.seeds))
        if each.has_weights
    }


def _holds(held: HeldValues, point: MetricPoint) -> bool:
    """Whether a metric has that value at that step already."""
    value, stored = held.get((point.key, point.step)), as_stored(point.value)
    return value is not None and (value == stored or (math.isnan(value) and math.isnan(stored)))

"""Recording one finished training from disk, once: a new run, or what its run lacks."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import as_stored, shortened_param
from gradiend_mlflow.store.store import MetricPoint, Store
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.terms import version_tags

if TYPE_CHECKING:
    from gradiend_mlflow.store.reader import LoggedRun
    from gradiend_mlflow.trainings.staging import StagedSets

logger = logging.getLogger("gradiend_mlflow")

Result = Literal["imported", "updated", "unchanged"]

_OF_PLACE = ("experiment_dir", "output_dir")  # params that change when a directory is moved


@dataclass(frozen=True)
class Added:
    """What became of one training."""

    run_id: str
    result: Result


class Backfill:
    """Records finished trainings into one experiment. Several threads may use it.

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
        self._suites: dict[Path, tuple[str, int]] = {}  # their run and latest end
        self._recorded: dict[str, str] = {}  # by fingerprint: copies of a directory are one training
        self._lock = Lock()

    def look_up(self) -> None:
        """Read what the experiment holds, once for many trainings."""
        self._known = self._store.search([self.experiment_id], f"tags.`{tags.DIRECTORY}` != ''")

    def add(self, account: Account, *, parent: Callable[[], str] | None = None) -> Added:
        """Record one training with its seeds, or complete the run that it has.

        Args:
            account: The training.
            parent: Gives the id of the run to record it below; only asked if it is not recorded yet.

        Raises:
            StoreError: If MLflow refuses or cannot be reached.
            CheckpointError: If the checkpoint cannot be read; then nothing is recorded.
        """
        with self._lock:
            copy = self._recorded.get(account.fingerprint)
        if copy is not None:
            return Added(copy, "unchanged")
        done = self._add(account, parent)
        with self._lock:
            self._recorded[account.fingerprint] = done.run_id
        return done

    def _add(self, account: Account, parent: Callable[[], str] | None) -> Added:
        candidates = self._candidates(account)
        for run in candidates:
            if run.tags.get(tags.FINGERPRINT) == account.fingerprint:
                self._note_move(run, account)
                return Added(run.run_id, "unchanged")
        here = [run for run in candidates if _may_be_of(run, account, tags.TRAINING)]
        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
            staged = _stage(account, self._options, Path(folder))  # first: what cannot be read leaves no run behind
            for run in here:
                if self._is_of(run, account):
                    self._write(account, staged, run)
                    return Added(run.run_id, "updated")
            run_id = self._write(account, staged, None, parent=None if parent is None else parent())
        for run in here:
            if tags.FINGERPRINT in run.tags:
                self._store.set_tags(run.run_id, {tags.SUPERSEDED_BY: run_id})
        return Added(run_id, "imported")

    def suite(self, directory: Path, account: Account) -> str:
        """The id of the run of a suite, which is made if needed."""
        with self._lock:
            if directory not in self._suites:
                self._suites[directory] = self._suite_run(directory, account)
            run_id, end = self._suites[directory]
            self._suites[directory] = (run_id, max(end, account.end_time))
            return run_id

    def end_suites(self) -> None:
        """End the runs of suites that were imported when their last training ended."""
        for run_id, end in self._suites.values():
            if tags.IMPORTED in self._store.run(run_id).tags:
                self._store.end_imported_run(run_id, "FINISHED", end)

    def _suite_run(self, directory: Path, account: Account) -> tuple[str, int]:
        where = str(directory)
        for run in self._known or ():
            if run.tags.get(tags.KIND) == tags.SUITE and run.tags.get(tags.DIRECTORY) == where:
                return run.run_id, run.end_time or 0
        about = {key: account.run_tags[key] for key in (tags.BASE_MODEL,) if key in account.run_tags}
        own = {tags.KIND: tags.SUITE, tags.RUN_ID: directory.name, tags.DIRECTORY: where, tags.IMPORTED: "true"}
        return self._create(directory.name or where, {**about, **own}, account.start_time, None), 0

    # ------------------------------------------------------------------------------------------------------ matching

    def _candidates(self, account: Account) -> list[LoggedRun]:
        """The runs of this content or this directory, newest first."""
        if self._known is not None:
            return self._known
        quote = '"' if "'" in account.run_tags[tags.DIRECTORY] else "'"
        same = self._store.search([self.experiment_id], f"tags.`{tags.FINGERPRINT}` = '{account.fingerprint}'")
        directory = f"tags.`{tags.DIRECTORY}` = {quote}{account.run_tags[tags.DIRECTORY]}{quote}"
        return same + self._store.search([self.experiment_id], directory)

    def _note_move(self, run: LoggedRun, account: Account) -> None:
        """A directory that was moved is known again; its next change must be, too."""
        if not Path(run.tags.get(tags.DIRECTORY, "")).exists():
            self._store.set_tags(run.run_id, {tags.DIRECTORY: account.run_tags[tags.DIRECTORY]})

    def _is_of(self, run: LoggedRun, account: Account) -> bool:
        """Whether a run can be of this very training: nothing that it holds is contradicted."""
        if run.start_time > account.end_time or (not account.steps and tags.FINGERPRINT in run.tags):
            return False
        params = {key: shortened_param(value) for key, value in account.params.items() if key not in _OF_PLACE}
        if any(run.params.get(key, value) != value for key, value in params.items()):
            return False
        logged = self._logged(run, account)
        steps = [((key, step), value) for step, values in account.steps for key, value in values.items()]
        return all(where not in logged or _is_same(logged[where], as_stored(value)) for where, value in steps)

    def _logged(self, run: LoggedRun, account: Account) -> dict[tuple[str, int], float]:
        """What a run holds of the account's metrics, by key and step."""
        keys = {point.key for point in _points(account)} & set(run.metrics)
        return {
            (key, step): value for key in keys for step, value in self._store.metric_history(run.run_id, key).items()
        }

    def _children(self, parent: LoggedRun) -> list[LoggedRun]:
        below = f"tags.`{tags.MLFLOW_PARENT}` = '{parent.run_id}'"
        return self._store.search([self.experiment_id], below)

    # ------------------------------------------------------------------------------------------------------- writing

    def _write(
        self, account: Account, staged: Mapping[Path, StagedSets], run: LoggedRun | None, *, parent: str | None = None
    ) -> str:
        """Bring everything that an account says, and a run does not hold, to that run or to a new one."""
        store, before = self._store, {} if run is None else run.tags
        run_id = self._create_for(account, parent) if run is None else run.run_id
        logged = {} if run is None else self._logged(run, account)
        params = {} if run is None else run.params
        refused = store.log_params(run_id, {key: value for key, value in account.params.items() if key not in params})
        new = [point for point in _points(account) if not _is_logged(point, logged)]
        refused_points = store.log_metrics(run_id, new)
        if refused or refused_points:
            logger.warning("MLflow refuses these of %s: %s %s", account.directory, list(refused), refused_points)
        listed = self._upload(run_id, account, staged.get(account.directory), is_new=run is None)
        children = [] if run is None or not account.seeds else self._children(run)
        for seed in account.seeds:
            known = next((child for child in children if _may_be_of(child, seed, tags.SEED_RUN)), None)
            self._write(seed, staged, known, parent=run_id)
        about = {key: value for key, value in account.run_tags.items() if key not in before or key == tags.DIRECTORY}
        known_by = {tags.FINGERPRINT: account.fingerprint} if account.fingerprint else {}
        if tags.TOPK in before and tags.TOPK not in listed:
            listed = {}  # weights that are gone by now leave the sets that were logged of them
        store.set_tags(run_id, {**about, **account.outcome.run_tags(), **listed, **known_by})
        if run_id != self._keep_open:
            store.end_imported_run(run_id, "FINISHED", account.end_time)
        return run_id

    def _create_for(self, account: Account, parent: str | None) -> str:
        return self._create(account.name, {**account.run_tags, tags.IMPORTED: "true"}, account.start_time, parent)

    def _create(self, name: str, run_tags: Mapping[str, str], start_time: int, parent: str | None) -> str:
        below = {} if parent is None else {tags.MLFLOW_PARENT: parent}
        plugin = {tags.PLUGIN_VERSION: version_tags()[tags.PLUGIN_VERSION]}  # which gradiend trained it is not known
        return self._store.create_run(
            self.experiment_id,
            name=name,
            run_tags={**(self._options.extra_tags or {}), **plugin, **run_tags, **below},
            start_time=start_time,
        )

    def _upload(self, run_id: str, account: Account, staged: StagedSets | None, *, is_new: bool) -> dict[str, str]:
        """The account's files and sets; returns the tags that say that they are there."""
        for folder, files in account.files.items():
            for file in files:
                self._store.upload(run_id, file, folder)
        if staged is None:
            return {tags.TOPK_LEFT_OUT: json.dumps(dict.fromkeys(self._options.parts, "its weights were not kept"))}
        for file in staged.files:
            self._store.upload(run_id, file, tags.TOPK_FOLDER)
        for file in staged.figures:
            self._store.upload(run_id, file, tags.FIGURES_FOLDER)
        if is_new and account.run_tags[tags.KIND] == tags.TRAINING:
            self._log_model(run_id, account)
        return dict(staged.run_tags)

    def _log_model(self, run_id: str, account: Account) -> None:
        if self._options.log_models is True:
            self._store.upload(run_id, account.directory, tags.MODEL_FOLDER)
        elif self._options.log_models:
            self._store.link_model(run_id, self.experiment_id, account.name, account.directory, account.params)


def _may_be_of(run: LoggedRun, account: Account, kind: str) -> bool:
    """Whether a run is of this directory and not known to be of an earlier training there, nor of one that failed."""
    run_tags = run.tags
    return (
        run_tags.get(tags.KIND) == kind
        and run_tags.get(tags.DIRECTORY) == account.run_tags[tags.DIRECTORY]
        and (tags.FINGERPRINT in run_tags or run.status in ("RUNNING", "FINISHED"))
        and tags.SUPERSEDED_BY not in run_tags
    )


def _stage(account: Account, options: LogOptions, folder: Path) -> dict[Path, StagedSets]:
    """The sets of a training and its seeds, by model directory, as far as their weights were kept."""
    from gradiend_mlflow.sets.weights import open_checkpoint
    from gradiend_mlflow.trainings.staging import stage_topk

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


def _is_logged(point: MetricPoint, logged: Mapping[tuple[str, int], float]) -> bool:
    where = (point.key, point.step)
    return where in logged and _is_same(logged[where], as_stored(point.value))


def _is_same(value: float, other: float) -> bool:
    return value == other or (math.isnan(value) and math.isnan(other))


def _points(account: Account) -> list[MetricPoint]:
    """The metrics of an account. When each step was is not known: they are spread evenly over the training."""
    span = account.end_time - account.start_time
    last = max((step for step, _ in account.steps), default=0) or 1
    points = [
        MetricPoint(key, value, account.start_time + span * step // last, step)
        for step, values in account.steps
        for key, value in values.items()
    ]
    outcome = account.outcome.metrics().items()
    points += [MetricPoint(key, value, account.end_time, account.outcome.step or 0) for key, value in outcome]
    points += [MetricPoint(key, value, account.end_time, 0) for key, value in account.metrics.items()]
    return points

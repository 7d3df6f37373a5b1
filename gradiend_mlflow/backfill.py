"""Recording one finished training from disk, once: a new run, or what its run lacks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from gradiend_mlflow import tags
from gradiend_mlflow.finished import Account
from gradiend_mlflow.options import LogOptions
from gradiend_mlflow.store import MetricPoint, Store, as_stored, shortened_param
from gradiend_mlflow.training import version_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

Result = Literal["imported", "updated", "unchanged"]

_OF_PLACE = ("experiment_dir", "output_dir")  # params that change when a directory is moved


@dataclass(frozen=True)
class Recorded:
    """What became of one training."""

    run_id: str
    result: Result


class Backfill:
    """Records finished trainings into one experiment; knows what it holds. Several threads may use it.

    Args:
        store: The MLflow server or database.
        experiment_id: The experiment.
        options: What to log.
    """

    def __init__(self, store: Store, experiment_id: str, options: LogOptions) -> None:
        self.experiment_id = experiment_id
        self._store = store
        self._options = options
        self._suites: dict[Path, tuple[str, int]] = {}  # those that were made here: their run and latest end
        self._lock = Lock()

    @cached_property
    def known(self) -> list[Run]:
        """The experiment's runs that say of which directory they are, newest first."""
        return self._store.search([self.experiment_id], f"tags.`{tags.DIRECTORY}` != ''")

    def record(self, account: Account, *, parent: Callable[[], str] | None = None) -> Recorded:
        """Record one training with its seeds, or complete the run that it has.

        Args:
            account: The training.
            parent: Gives the id of the run to record it below; only asked if it is not recorded yet.

        Raises:
            StoreError: If MLflow refuses or cannot be reached.
            CheckpointError: If the checkpoint cannot be read.
        """
        same = [run for run in self.known if run.data.tags.get(tags.FINGERPRINT) == account.fingerprint]
        if same:
            return Recorded(same[0].info.run_id, "unchanged")
        before = self._run_of(account, tags.TRAINING)
        if before is not None and self._is_of(before, account):
            self._write(account, before)
            return Recorded(before.info.run_id, "updated")
        run_id = self._write(account, None, parent=None if parent is None else parent())
        if before is not None:
            self._store.set_tags(before.info.run_id, {tags.SUPERSEDED_BY: run_id})
        return Recorded(run_id, "imported")

    def suite(self, directory: Path, account: Account) -> str:
        """The id of the run of a suite, which is made if needed."""
        with self._lock:
            if directory not in self._suites:
                self._suites[directory] = (self._suite_run(directory, account), 0)
            run_id, end = self._suites[directory]
            self._suites[directory] = (run_id, max(end, account.end_time))
            return run_id

    def end_suites(self) -> None:
        """End the suites' runs when their last training ended."""
        for run_id, end in self._suites.values():
            self._store.end_imported_run(run_id, "FINISHED", end)

    def _suite_run(self, directory: Path, account: Account) -> str:
        where = str(directory.resolve())
        for run in self.known:
            if run.data.tags.get(tags.KIND) == tags.SUITE and run.data.tags.get(tags.DIRECTORY) == where:
                return str(run.info.run_id)
        about = {key: account.run_tags[key] for key in (tags.BASE_MODEL,) if key in account.run_tags}
        own = {tags.KIND: tags.SUITE, tags.RUN_ID: directory.name, tags.DIRECTORY: where}
        return self._create(directory.name, {**about, **own}, account.start_time, None)

    # ------------------------------------------------------------------------------------------------------ matching

    def _run_of(self, account: Account, kind: str, parent: str | None = None) -> Run | None:
        """The newest run of this directory that is not known to be of an earlier training there."""
        for run in self.known:
            run_tags = run.data.tags
            if (
                run_tags.get(tags.KIND) == kind
                and run_tags.get(tags.DIRECTORY) == account.run_tags[tags.DIRECTORY]
                and (parent is None or run_tags.get(tags.MLFLOW_PARENT) == parent)
                and (tags.FINGERPRINT in run_tags or run.info.status in ("RUNNING", "FINISHED"))
                and tags.SUPERSEDED_BY not in run_tags
            ):
                return run
        return None

    def _is_of(self, run: Run, account: Account) -> bool:
        """Whether a run can be of this very training: nothing that it holds is contradicted."""
        if run.info.start_time > account.end_time:
            return False
        params = {key: shortened_param(value) for key, value in account.params.items() if key not in _OF_PLACE}
        if any(run.data.params.get(key, value) != value for key, value in params.items()):
            return False
        logged = self._logged(run, account)
        steps = [((key, step), value) for step, values in account.steps for key, value in values.items()]
        return all(logged.get(where, as_stored(value)) == as_stored(value) for where, value in steps)

    def _logged(self, run: Run, account: Account) -> dict[tuple[str, int], float]:
        """What a run holds of the account's metrics, by key and step."""
        keys = {point.key for point in _points(account)} & set(run.data.metrics)
        return {
            (key, step): value
            for key in keys
            for step, value in self._store.metric_history(run.info.run_id, key).items()
        }

    # ------------------------------------------------------------------------------------------------------- writing

    def _write(self, account: Account, run: Run | None, *, parent: str | None = None) -> str:
        """Bring everything that an account says, and a run does not hold, to that run or to a new one."""
        store = self._store
        if run is None:
            run_id = self._create(
                account.name, {**account.run_tags, tags.IMPORTED: "true"}, account.start_time, parent
            )
        else:
            run_id = str(run.info.run_id)
        logged = {} if run is None else self._logged(run, account)
        params = {} if run is None else run.data.params
        store.log_params(run_id, {key: value for key, value in account.params.items() if key not in params})
        store.log_metrics(run_id, [point for point in _points(account) if (point.key, point.step) not in logged])
        listed = self._upload(run_id, account)
        for seed in account.seeds:
            known = None if run is None else self._run_of(seed, tags.SEED_RUN, run_id)
            self._write(seed, known, parent=run_id)
        failure = {} if account.failure is None else {tags.FAILURE: account.failure}
        known_by = {tags.FINGERPRINT: account.fingerprint} if account.fingerprint else {}
        store.set_tags(run_id, {**account.run_tags, **account.outcome.run_tags(), **failure, **listed, **known_by})
        store.end_imported_run(run_id, "FINISHED" if account.failure is None else "FAILED", account.end_time)
        return run_id

    def _create(self, name: str, run_tags: Mapping[str, str], start_time: int, parent: str | None) -> str:
        below = {} if parent is None else {tags.MLFLOW_PARENT: parent}
        plugin = {tags.PLUGIN_VERSION: version_tags()[tags.PLUGIN_VERSION]}  # which gradiend trained it is not known
        return self._store.create_run(
            self.experiment_id,
            name=name,
            run_tags={**(self._options.extra_tags or {}), **plugin, **run_tags, **below},
            start_time=start_time,
        )

    def _upload(self, run_id: str, account: Account) -> dict[str, str]:
        """The account's files and sets; returns the tags that say that they are there."""
        from gradiend_mlflow.publish import stage_topk
        from gradiend_mlflow.weights import open_checkpoint

        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as temporary:
            for folder, files in account.files.items():
                for file in files:
                    self._store.upload(run_id, file, folder)
            if not account.has_weights:
                return {
                    tags.TOPK_LEFT_OUT: json.dumps(dict.fromkeys(self._options.parts, "its weights were not kept"))
                }
            weights = open_checkpoint(account.directory)
            staged = stage_topk(
                weights, topk=self._options.topk, parts=self._options.parts, folder=Path(temporary, "topk")
            )
            for file in staged.files:
                self._store.upload(run_id, file, tags.TOPK_FOLDER)
            for file in staged.figures:
                self._store.upload(run_id, file, tags.FIGURES_FOLDER)
            self._log_model(run_id, account)
            return dict(staged.run_tags)

    def _log_model(self, run_id: str, account: Account) -> None:
        if account.run_tags[tags.KIND] != tags.TRAINING:
            return
        if self._options.log_models is True:
            self._store.upload(run_id, account.directory, tags.MODEL_FOLDER)
        elif self._options.log_models:
            self._store.link_model(run_id, self.experiment_id, account.name, account.directory, account.params)


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

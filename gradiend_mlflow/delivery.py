"""Carrying records out in MLflow, one after the other."""

from __future__ import annotations

import logging
import threading

from gradiend_mlflow import tags
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.records import (
    Destination,
    EndRun,
    LinkModel,
    LogMetrics,
    LogParams,
    Record,
    RecordAccount,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.store import Store

logger = logging.getLogger("gradiend_mlflow")


class Delivery:
    """Carries records out, one after the other; knows MLflow's id of every run that it started."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_ids: dict[str, str] = {}
        self._adopted: set[str] = set()
        self._deferred: dict[str, StartRun] = {}
        self._untrue: dict[str, set[str]] = {}  # by run, the tags that say of lost records that they are there
        self._experiments: dict[str, str] = {}  # by MLflow's run id
        self._known = threading.Condition()
        self._warned = False
        self.lost = 0

    def wait_for(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run, or None if it has none within `timeout` seconds."""
        with self._known:
            self._known.wait_for(lambda: key in self._run_ids, timeout)
            return self._run_ids.get(key)

    def deliver(self, record: Record) -> None:
        """Carry one record out; a failure is counted, and the first one told."""
        try:
            self._carry_out(record)
        except Exception as error:
            self._untrue.setdefault(record.key, set()).update(
                {tags.TOPK, tags.FINGERPRINT} if isinstance(record, Upload) else {tags.FINGERPRINT}
            )
            self._lose(len(record.points) if isinstance(record, LogMetrics) else 1, error)

    def _lose(self, count: int, reason: object) -> None:
        self.lost += count
        if not self._warned:
            self._warned = True
            logger.warning("Logging to MLflow failed; the training goes on. %s", reason)

    def _carry_out(self, record: Record) -> None:
        if isinstance(record, StartRun):
            if record.deferred:
                self._deferred[record.key] = record
            else:
                self._start(record)
        elif isinstance(record, RecordAccount):
            self._record(record)
        elif record.key not in self._deferred:
            self._write(record, self._run_id(record.key))

    def _run_id(self, key: str) -> str:
        deferred = self._deferred.pop(key, None)
        if deferred is not None:
            self._start(deferred)
        run_id = self._run_ids.get(key)
        if run_id is None:
            raise StoreError("its run was never started")
        return run_id

    def _write(self, record: LogMetrics | LogParams | SetTags | Upload | LinkModel | EndRun, run_id: str) -> None:
        if isinstance(record, LogMetrics):
            refused_points = self._store.log_metrics(run_id, record.points)
            if refused_points:
                self._lose(len(refused_points), f"MLflow refuses the metric {refused_points[0]}")
        elif isinstance(record, LogParams):
            refused = self._store.log_params(run_id, record.params)
            if refused:
                logger.warning("The run %s already has other values of these params: %s", run_id, ", ".join(refused))
        elif isinstance(record, SetTags):
            self._store.set_tags(run_id, self._true_tags(record))
        elif isinstance(record, Upload):
            self._store.upload(run_id, record.file, record.folder)
        elif isinstance(record, LinkModel):
            self._store.link_model(run_id, self._experiments[run_id], record.name, record.directory, record.params)
        elif record.key not in self._adopted:
            self._store.end_run(run_id, record.status, record.end_time)

    def _true_tags(self, record: SetTags) -> dict[str, str]:
        """The tags without those that say that something is there which was lost."""
        untrue = self._untrue.get(record.key, ())
        return {key: value for key, value in record.run_tags.items() if key not in untrue}

    def _start(self, record: StartRun) -> None:
        adopt = record.destination.adopt
        parent = None if record.parent is None else self._run_id(record.parent)
        if adopt is not None:
            active = self._store.run(adopt)
            if tags.KIND not in active.data.tags:
                self._store.set_tags(adopt, record.run_tags)
                self._adopted.add(record.key)
                self._note(record.key, adopt, active.info.experiment_id)
                return
            # It already holds a training: a second one becomes its child instead of overwriting it.
            parent = adopt
            self._experiments[adopt] = active.info.experiment_id
        run_tags = dict(record.run_tags)
        if parent is not None:
            run_tags[tags.MLFLOW_PARENT] = parent
            experiment_id = self._experiments[parent]
        else:
            experiment_id = self._experiment(record.destination)
        run_id = self._store.create_run(
            experiment_id, name=record.name, run_tags=run_tags, start_time=record.start_time
        )
        self._note(record.key, run_id, experiment_id)

    def _record(self, record: RecordAccount) -> None:
        from gradiend_mlflow.backfill import Backfill

        adopt = record.destination.adopt
        backfill = Backfill(self._store, self._experiment_of(record), record.options, keep_open=adopt)
        parent = record.parent
        done = backfill.record(record.account, parent=None if parent is None else lambda: self._run_id(parent))
        self._note(record.key, done.run_id, backfill.experiment_id)

    def _experiment_of(self, record: RecordAccount) -> str:
        """Where to look for the training: where it would be recorded."""
        started = record.parent is not None and self._run_ids.get(record.parent)
        if started:
            return self._experiments[started]
        if record.destination.adopt is not None:
            return str(self._store.run(record.destination.adopt).info.experiment_id)
        return self._experiment(record.destination)

    def _experiment(self, destination: Destination) -> str:
        if destination.experiment_name is not None:
            return self._store.experiment_id(destination.experiment_name)
        return destination.experiment_id or self._store.active_experiment_id()

    def _note(self, key: str, run_id: str, experiment_id: str) -> None:
        with self._known:
            self._run_ids[key] = run_id
            self._experiments[run_id] = experiment_id
            self._known.notify_all()

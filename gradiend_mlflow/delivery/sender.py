"""Carrying records out in MLflow, one after the other."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path

from gradiend_mlflow.delivery.records import (
    Destination,
    DrawPicture,
    ImportAccount,
    KnownRun,
    LinkModel,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Told,
    Upload,
)
from gradiend_mlflow.errors import StoreError, UnavailableError
from gradiend_mlflow.sets.parts import PARTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import is_long_param
from gradiend_mlflow.store.reader import DEFAULT_EXPERIMENT_ID
from gradiend_mlflow.store.store import Store

logger = logging.getLogger("gradiend_mlflow")


class Sender:
    """Carries records out, one after the other; knows MLflow's id of every run that it started.

    Args:
        store: Where to.
        again: Whether the records may have been carried out before, in part or all: then runs that are there are
            found instead of started. Everything else is the same when it is done twice.
    """

    def __init__(self, store: Store, *, again: bool = False) -> None:
        self._store = store
        self._again = again
        self._run_ids: dict[str, str] = {}
        self._adopted: set[str] = set()
        self._deferred: dict[str, StartRun] = {}
        self._untrue: dict[str, set[str]] = {}  # by run, the tags that say of lost records that they are there
        self._experiments: dict[str, str] = {}  # by MLflow's run id
        self._doubtful: set[str] = set()  # the keys of runs whose start was not confirmed
        self._known = threading.Condition()
        self._warned = False
        self.reason = ""  # of the first failure
        self.refused = 0  # values that MLflow will never take
        self.undelivered = 0  # values and other records that failed for another reason than an outage

    def wait_for(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run, or None if it has none within `timeout` seconds."""
        with self._known:
            self._known.wait_for(lambda: key in self._run_ids, timeout)
            return self._run_ids.get(key)

    def known_runs(self) -> list[KnownRun]:
        """The runs that are there."""
        with self._known:
            return [KnownRun(key, run_id, self._experiments[run_id]) for key, run_id in self._run_ids.items()]

    def deliver(self, record: Record) -> None:
        """Carry one record out; a failure is counted, and the first one told.

        Raises:
            UnavailableError: If it may work later.
        """
        try:
            self._carry_out(record)
        except UnavailableError:
            if isinstance(record, StartRun):
                self._doubtful.add(record.key)
            raise
        except Exception as error:
            self.set_aside(record, error)

    def set_aside(self, record: Record, reason: object) -> None:
        """Give a record up, so that it holds up no other."""
        self._untrue.setdefault(record.key, set()).update(
            {tags.TOPK, tags.FINGERPRINT} if isinstance(record, Upload) else {tags.FINGERPRINT}
        )
        self.undelivered += len(record.points) if isinstance(record, LogMetrics) else 1
        self._tell(reason)

    def _tell(self, reason: object) -> None:
        if not self._warned:
            self._warned = True
            self.reason = str(reason)
            if self._again:  # who sends a journal says so himself, and no training goes on
                return
            logger.warning("Logging to MLflow failed; the training goes on. %s", reason)

    def _carry_out(self, record: Record) -> None:
        if isinstance(record, KnownRun):
            self._remember(record.key, record.run_id, record.experiment_id)
        elif isinstance(record, StartRun):
            if record.deferred:
                self._deferred[record.key] = record
            else:
                self._start(record)
        elif isinstance(record, ImportAccount):
            self._record(record)
        elif record.key not in self._deferred:
            self._write(record, self._run_id(record.key))

    def _run_id(self, key: str) -> str:
        deferred = self._deferred.get(key)
        if deferred is not None:
            try:
                self._start(deferred)
            except UnavailableError:
                self._doubtful.add(key)
                raise
            del self._deferred[key]
        run_id = self._run_ids.get(key)
        if run_id is None:
            raise StoreError("its run was never started")
        return run_id

    def _write(self, record: Told, run_id: str) -> None:
        if isinstance(record, LogMetrics):
            refused_points = self._store.log_metrics(run_id, record.points)
            if refused_points:
                self.refused += len(refused_points)
                self._tell(f"MLflow refuses the metric {refused_points[0]}")
        elif isinstance(record, LogParams):
            self._write_params(record, run_id)
        elif isinstance(record, SetTags):
            self._write_tags(record, run_id)
        elif isinstance(record, Upload):
            self._store.upload(run_id, record.file, record.folder)
        elif isinstance(record, DrawPicture):
            self._draw(record, run_id)
        elif isinstance(record, LinkModel):
            self._store.link_model(run_id, self._experiments[run_id], record.name, record.directory, record.params)
        elif record.key not in self._adopted:
            # A replay prints no links: it may be of a hundred runs.
            end = self._store.end_imported_run if self._again else self._store.end_run
            end(run_id, record.status, record.end_time)

    def _draw(self, record: DrawPicture, run_id: str) -> None:
        """Here and not in the training's thread: drawing takes longer than ranking."""
        from gradiend_mlflow.sets.artifact import load_topk_file
        from gradiend_mlflow.sets.picture import save_picture

        files = {part: record.directory / f"{part}.parquet" for part in PARTS}
        sets = {part: load_topk_file(file) for part, file in files.items() if file.is_file()}
        if not sets:
            raise StoreError(f"the files in {record.directory} are gone")
        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
            for file in save_picture(sets, Path(folder)):
                self._store.upload(run_id, file, tags.FIGURES_FOLDER)

    def _write_params(self, record: LogParams, run_id: str) -> None:
        refused = self._store.log_params(run_id, record.params)
        if refused:
            logger.warning("The run %s already has other values of these params: %s", run_id, ", ".join(refused))
        cut = [key for key, value in record.params.items() if is_long_param(value)]
        if cut:
            logger.warning("MLflow takes no param as long as these; they are cut: %s", ", ".join(cut))

    def _write_tags(self, record: SetTags, run_id: str) -> None:
        untrue = self._untrue.get(record.key, set())
        self._store.set_tags(run_id, {key: value for key, value in record.run_tags.items() if key not in untrue})
        self.undelivered += len(untrue & record.run_tags.keys())

    def _start(self, record: StartRun) -> None:
        adopt = record.destination.adopt
        parent = None if record.parent is None else self._run_id(record.parent)
        if adopt is not None:
            active = self._store.run(adopt)
            if active.tags.get(tags.KEY, record.key if tags.KIND not in active.tags else "") == record.key:
                self._store.set_tags(adopt, {**record.run_tags, tags.KEY: record.key})
                self._adopted.add(record.key)
                self._remember(record.key, adopt, active.experiment_id)
                return
            # It already holds a training: a second one becomes its child instead of overwriting it.
            parent = adopt
            self._experiments[adopt] = active.experiment_id
        run_tags = {**record.run_tags, tags.KEY: record.key}
        if parent is not None:
            run_tags[tags.MLFLOW_PARENT] = parent
            experiment_id = self._experiments[parent]
        else:
            experiment_id = self._experiment(record.destination)
        run_id = self._started_before(experiment_id, record.key) or self._store.create_run(
            experiment_id, name=record.name, run_tags=run_tags, start_time=record.start_time
        )
        self._remember(record.key, run_id, experiment_id)

    def _started_before(self, experiment_id: str, key: str) -> str | None:
        """The run of that key, if it may be there: its start was said before, or the answer to it was lost."""
        if not self._again and key not in self._doubtful:
            return None
        return self._store.run_of_key(experiment_id, key)

    def _record(self, record: ImportAccount) -> None:
        from gradiend_mlflow.trainings.backfill import Backfill

        adopt = record.destination.adopt
        backfill = Backfill(self._store, self._experiment_of(record), record.options, keep_open=adopt)
        parent = record.parent
        done = backfill.add(record.account, parent=None if parent is None else lambda: self._run_id(parent))
        self._remember(record.key, done.run_id, backfill.experiment_id)

    def _experiment_of(self, record: ImportAccount) -> str:
        """Where to look for the training: where it would be recorded."""
        started = record.parent is not None and self._run_ids.get(record.parent)
        if started:
            return self._experiments[started]
        if record.destination.adopt is not None:
            return self._store.run(record.destination.adopt).experiment_id
        return self._experiment(record.destination)

    def _experiment(self, destination: Destination) -> str:
        if destination.experiment_name is not None:
            return self._store.experiment_id(destination.experiment_name)
        if destination.experiment_id is not None:
            return destination.experiment_id
        # What is active now is not what was active when it was said.
        return DEFAULT_EXPERIMENT_ID if self._again else self._store.active_experiment_id()

    def _remember(self, key: str, run_id: str, experiment_id: str) -> None:
        with self._known:
            self._run_ids[key] = run_id
            self._experiments[run_id] = experiment_id
            self._known.notify_all()

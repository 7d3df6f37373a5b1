"""Delivery: what a training says is queued here and sent to MLflow by a thread of its own.

The training's thread only ever puts a record into a queue. Whatever MLflow does - refuse, hang, disappear - happens
in the worker, which reports it once and goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gradiend_mlflow import tags
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.records import (
    Destination,
    EndRun,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.store import MetricPoint, Store, now_ms

logger = logging.getLogger("gradiend_mlflow")

_QUEUE_SIZE = 100_000
# How long the worker waits for more metrics before it sends those that it has: one request a second, not one a step.
_GATHER_SECONDS = 1.0


class RunWriter:
    """One run as the training sees it: every method returns at once and never raises."""

    def __init__(self, recorder: Recorder, key: str) -> None:
        self._recorder = recorder
        self._key = key

    def child(self, name: str, run_tags: Mapping[str, str]) -> RunWriter:
        """Start a run below this one."""
        return self._recorder.start(name, run_tags, Destination(), parent=self._key)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of one step."""
        stamp = now_ms()
        points = tuple(MetricPoint(key, value, stamp, step) for key, value in values.items())
        if points:
            self._recorder.put(LogMetrics(self._key, points))

    def params(self, params: Mapping[str, str]) -> None:
        """Log params."""
        self._recorder.put(LogParams(self._key, dict(params)))

    def tags(self, run_tags: Mapping[str, str]) -> None:
        """Set tags."""
        if run_tags:
            self._recorder.put(SetTags(self._key, dict(run_tags)))

    def upload(self, files: Sequence[Path], folder: str) -> None:
        """Log files that stay unchanged until the recorder is closed."""
        for file in files:
            self._recorder.put(Upload(self._key, file, folder))

    def end(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self._recorder.put(EndRun(self._key, status, now_ms()))

    def run_id(self, timeout: float) -> str | None:
        """MLflow's id of the run, or None if it has none within `timeout` seconds."""
        return self._recorder.run_id(self._key, timeout)


class Recorder:
    """A queue and the worker that empties it into a store.

    Args:
        store: Where to deliver.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._queue: queue.Queue[Record | None] = queue.Queue(_QUEUE_SIZE)
        self._delivery = _Delivery(store)
        self._closing = threading.Event()
        self._dropped = 0
        self._worker = threading.Thread(target=self._work, name="gradiend-mlflow", daemon=True)
        self._worker.start()

    def new_folder(self) -> Path:
        """A new, empty folder whose files live until all is delivered."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gradiend-mlflow-", ignore_cleanup_errors=True)
        return Path(tempfile.mkdtemp(dir=self._temporary.name))

    def start(
        self, name: str, run_tags: Mapping[str, str], destination: Destination, parent: str | None = None
    ) -> RunWriter:
        """Start a run; it is there once the server has answered."""
        key = uuid.uuid4().hex
        self.put(StartRun(key, name, dict(run_tags), now_ms(), destination, parent))
        return RunWriter(self, key)

    def put(self, record: Record) -> None:
        """Queue a record; if the queue is full it is dropped and counted, never waited for."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def run_id(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run, once it is there."""
        return self._delivery.wait_for(key, timeout)

    def close(self, deadline: float) -> None:
        """Deliver what is queued and stop; after `deadline` seconds leave the rest to the worker and say so."""
        self._closing.set()
        with contextlib.suppress(queue.Full):  # then the worker notices the event when it is through
            self._queue.put_nowait(None)
        self._worker.join(deadline)
        if self._worker.is_alive():
            logger.warning(
                "MLflow on %s has not taken everything within %s s; %d records still wait and are sent in the "
                "background while this process lives. A longer wait: deadline=...",
                self._store.shown_uri,
                deadline,
                self._queue.qsize(),
            )
        lost = self._dropped + self._delivery.lost
        if lost:
            logger.warning("%d values could not be logged to MLflow on %s", lost, self._store.shown_uri)

    def _work(self) -> None:
        try:
            while True:
                batch = self._next_batch()
                for record in _joined(record for record in batch if record is not None):
                    self._delivery.deliver(record)
                # Closing without a None: the queue was too full to take it.
                if batch[-1] is None or (self._closing.is_set() and self._queue.empty()):
                    return
        finally:
            if self._temporary is not None:
                self._temporary.cleanup()

    def _next_batch(self) -> list[Record | None]:
        """At least one record, and all that came meanwhile; None, if it is there, is the last."""
        batch = [self._queue.get()]
        if isinstance(batch[0], LogMetrics):
            self._closing.wait(_GATHER_SECONDS)
        while batch[-1] is not None and not self._queue.empty():
            batch.append(self._queue.get())
        return batch


def _joined(records: Iterable[Record]) -> Iterator[Record]:
    """The records in order, with metrics of one run that follow each other made one record."""
    for (key, _), group in itertools.groupby(records, lambda record: (record.key, isinstance(record, LogMetrics))):
        metrics: list[LogMetrics] = []
        for record in group:
            if isinstance(record, LogMetrics):
                metrics.append(record)
            else:
                yield record
        if metrics:
            yield LogMetrics(key, tuple(point for record in metrics for point in record.points))


class _Delivery:
    """Carries records out, one after the other; knows MLflow's id of every run that it started."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_ids: dict[str, str] = {}
        self._adopted: set[str] = set()
        self._experiments: dict[str, str] = {}  # by MLflow's run id
        self._known = threading.Condition()
        self._warned = False
        self.lost = 0

    def wait_for(self, key: str, timeout: float) -> str | None:
        with self._known:
            self._known.wait_for(lambda: key in self._run_ids, timeout)
            return self._run_ids.get(key)

    def deliver(self, record: Record) -> None:
        """Carry one record out; a failure is counted, and the first one told."""
        try:
            self._carry_out(record)
        except Exception as error:
            self._lose(len(record.points) if isinstance(record, LogMetrics) else 1, error)

    def _lose(self, count: int, reason: object) -> None:
        self.lost += count
        if not self._warned:
            self._warned = True
            logger.warning("Logging to MLflow failed; the training goes on. %s", reason)

    def _carry_out(self, record: Record) -> None:
        if isinstance(record, StartRun):
            self._start(record)
            return
        run_id = self._run_ids.get(record.key)
        if run_id is None:
            raise StoreError(f"the run of this record was never started: {record}")
        if isinstance(record, LogMetrics):
            refused_points = self._store.log_metrics(run_id, record.points)
            if refused_points:
                self._lose(len(refused_points), f"MLflow refuses the metric {refused_points[0]}")
        elif isinstance(record, LogParams):
            refused = self._store.log_params(run_id, record.params)
            if refused:
                logger.warning("The run %s already has other values of these params: %s", run_id, ", ".join(refused))
        elif isinstance(record, SetTags):
            self._store.set_tags(run_id, record.run_tags)
        elif isinstance(record, Upload):
            self._store.upload(run_id, record.file, record.folder)
        elif record.key not in self._adopted:
            self._store.end_run(run_id, record.status, record.end_time)

    def _start(self, record: StartRun) -> None:
        adopt = record.destination.adopt
        parent = None if record.parent is None else self._run_ids[record.parent]
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

    def _experiment(self, destination: Destination) -> str:
        if destination.experiment_name is not None:
            return self._store.experiment_id(destination.experiment_name)
        return destination.experiment_id or self._store.active_experiment_id()

    def _note(self, key: str, run_id: str, experiment_id: str) -> None:
        with self._known:
            self._run_ids[key] = run_id
            self._experiments[run_id] = experiment_id
            self._known.notify_all()

"""Delivery: what a training says is queued here and sent to MLflow by a thread of its own.

The training's thread only ever puts a record into a queue. Whatever MLflow does - refuse, hang, disappear - happens
in the worker, which reports it once and goes on.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gradiend_mlflow.delivery import Delivery
from gradiend_mlflow.finished import Account
from gradiend_mlflow.options import LogOptions
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
from gradiend_mlflow.store import MetricPoint, Store, now_ms

logger = logging.getLogger("gradiend_mlflow")

_QUEUE_SIZE = 100_000
# How long the worker waits for more metrics before it sends those that it has: one request a second, not one a step.
_GATHER_SECONDS = 1.0
_IDLE_SECONDS = 2.0  # then a worker with nothing to do ends; the next record starts another


class RunWriter:
    """One run as the training sees it: every method returns at once and never raises."""

    def __init__(self, recorder: Recorder, key: str) -> None:
        self._recorder = recorder
        self.key = key

    def child(self, name: str, run_tags: Mapping[str, str], *, start_time: int | None = None) -> RunWriter:
        """Start a run below this one."""
        return self._recorder.start(name, run_tags, Destination(), parent=self.key, start_time=start_time)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of one step."""
        stamp = now_ms()
        points = tuple(MetricPoint(key, value, stamp, step) for key, value in values.items())
        if points:
            self._recorder.put(LogMetrics(self.key, points))

    def params(self, params: Mapping[str, str]) -> None:
        """Log params."""
        self._recorder.put(LogParams(self.key, dict(params)))

    def tags(self, run_tags: Mapping[str, str]) -> None:
        """Set tags."""
        if run_tags:
            self._recorder.put(SetTags(self.key, dict(run_tags)))

    def upload(self, files: Sequence[Path], folder: str) -> None:
        """Log files that stay unchanged until the recorder is closed."""
        for file in files:
            self._recorder.put(Upload(self.key, file, folder))

    def link_model(self, name: str, directory: Path, params: Mapping[str, str]) -> None:
        """Register a checkpoint that stays where it is as an external model of this run."""
        self._recorder.put(LinkModel(self.key, name, directory, dict(params)))

    def end(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self._recorder.put(EndRun(self.key, status, now_ms()))

    def run_id(self, timeout: float) -> str | None:
        """MLflow's id of the run, or None if it has none within `timeout` seconds."""
        return self._recorder.run_id(self.key, timeout)


class Recorder:
    """A queue and the worker that empties it into a store; the worker starts with the first record.

    Args:
        store: Where to deliver.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._delivery = Delivery(store)
        self._changed = threading.Condition()  # guards all that follows
        self._queue: deque[Record] = deque()
        self._pending = 0  # queued, or being delivered
        self._hurry = False
        self._dropped = 0
        self._told = 0
        self._worker: threading.Thread | None = None

    def new_folder(self) -> Path:
        """A new, empty folder whose files live until all is delivered."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gradiend-mlflow-", ignore_cleanup_errors=True)
        return Path(tempfile.mkdtemp(dir=self._temporary.name))

    def start(
        self,
        name: str,
        run_tags: Mapping[str, str],
        destination: Destination,
        *,
        parent: str | None = None,
        start_time: int | None = None,
        deferred: bool = False,
    ) -> RunWriter:
        """Start a run; it is there once the server has answered."""
        key = uuid.uuid4().hex
        begun = now_ms() if start_time is None else start_time
        self.put(StartRun(key, name, dict(run_tags), begun, destination, parent, deferred))
        return RunWriter(self, key)

    def record(
        self,
        account: Account,
        options: LogOptions,
        destination: Destination,
        *,
        parent: RunWriter | None = None,
    ) -> RunWriter:
        """Record a finished training, unless it is recorded already; the writer is of its run, new or old."""
        key = uuid.uuid4().hex
        below = None if parent is None else parent.key
        self.put(RecordAccount(key, account, options, destination, below))
        return RunWriter(self, key)

    def put(self, record: Record) -> None:
        """Queue a record; if the queue is full it is dropped and counted, never waited for."""
        with self._changed:
            if self._pending >= _QUEUE_SIZE:
                self._dropped += 1
                return
            self._queue.append(record)
            self._pending += 1
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="gradiend-mlflow", daemon=True)
                self._worker.start()
            self._changed.notify_all()

    def run_id(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run, once it is there."""
        return self._delivery.wait_for(key, timeout)

    def close(self, deadline: float) -> None:
        """Wait until all is delivered that is queued; after `deadline` seconds leave the rest to the worker.

        More may be put afterwards, and closed again.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._pending, deadline)
            self._hurry = False
            waiting, lost = self._pending, self._dropped + self._delivery.lost
            told, self._told = self._told, lost
        if not done:
            logger.warning(
                "MLflow on %s has not taken everything within %s s; %d records still wait and are sent in the "
                "background while this process lives. A longer wait: deadline=...",
                self._store.shown_uri,
                deadline,
                waiting,
            )
        elif self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        if lost > told:
            logger.warning("%d values could not be logged to MLflow on %s", lost - told, self._store.shown_uri)

    def _work(self) -> None:
        while batch := self._next_batch():
            for record in _joined(batch):
                self._delivery.deliver(record)
            with self._changed:
                self._pending -= len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[Record]:
        """All that is queued, at least one record; nothing if none came for a while: then the worker is over."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue, _IDLE_SECONDS):
                self._worker = None
                return []
            if isinstance(self._queue[0], LogMetrics):
                self._changed.wait_for(lambda: self._hurry, _GATHER_SECONDS)
            batch = list(self._queue)
            self._queue.clear()
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

"""Sender: what a training says is queued here and sent to MLflow by a thread of its own.

The training's thread writes each record into the journal and puts it into a queue. Whatever MLflow does - refuse,
hang, disappear - happens in the worker, which reports it once and tries again.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gradiend_mlflow.delivery.outages import say_it_is_back, say_outage
from gradiend_mlflow.delivery.records import Destination, EndRun, ImportAccount, LogMetrics, Record, StartRun
from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.delivery.session_journal import SessionJournal
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.pending import Unsent
from gradiend_mlflow.store.store import Store, now_ms
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.options import DEFAULT_DEADLINE, LogOptions

logger = logging.getLogger("gradiend_mlflow")

_QUEUE_SIZE = 100_000
# How long the worker waits for more before it sends what it has. Each request takes processor time from the training,
# of the worker, and of a server on the same machine: so there are few, whose metrics are of many steps.
_GATHER_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_TRIES = 3  # then a record is set aside, if the server answers to others
_LOOK_SECONDS = 0.05  # how often one who waits looks whether waiting is vain


class Recorder:
    """A queue and the worker that empties it into a store; the worker starts with the first record.

    Args:
        store: Where to deliver.
        experiment_dir: Where gradiend puts what the training leaves: there the journal is kept until all is
            delivered. None: there is no journal.
        deadline: How many seconds readers and the process's end wait for what is not delivered then.
    """

    def __init__(
        self, store: Store, experiment_dir: Path | None = None, *, deadline: float = DEFAULT_DEADLINE
    ) -> None:
        self.deadline = deadline
        self._store = store
        self._queue: queue.Queue[Record | None] = queue.Queue(_QUEUE_SIZE)
        self._sender = Sender(store)
        self._journal = SessionJournal(experiment_dir, store, self._sender)
        self._open: set[str] = set()  # the keys of the runs that have not ended
        self._closing = threading.Event()
        self._awaited = threading.Event()  # somebody waits for what is queued
        self._hurry = threading.Event()
        self._dropped = 0
        self._taken: deque[Record] = deque()  # from the queue, and not delivered yet
        self._told = (0, 0)
        self._telling = threading.Lock()
        self._staging = False  # whether files are being written that are not queued yet
        self._worker: threading.Thread | None = None
        self._running = False
        self._lock = threading.Lock()

    def new_folder(self) -> Path:
        """A new, empty folder whose files live until all is delivered."""
        with self._lock:
            self._staging = True
            return self._journal.new_folder()

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

    def import_account(
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
        self.put(ImportAccount(key, account, options, destination, below))
        return RunWriter(self, key)

    def put(self, record: Record) -> None:
        """Write a record down and queue it; if the queue is full it is left to the journal, never waited for."""
        with self._lock:
            if isinstance(record, StartRun):
                self._open.add(record.key)
            elif isinstance(record, EndRun):
                self._open.discard(record.key)
            self._journal.write(record)
            try:
                self._queue.put_nowait(record)
            except queue.Full:
                self._dropped += 1
            self._ensure_worker()

    def run_id(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run, once it is there; None if it is not within `timeout` seconds, or waiting is vain."""
        until = time.monotonic() + timeout
        while True:
            self._awaited.set()
            left = until - time.monotonic()
            found = self._sender.wait_for(key, max(0.0, min(left, _LOOK_SECONDS)))
            if found is not None or left <= 0 or self._store.stalled:
                return found

    # --------------------------------------------------------------------------------------------------------- waiting

    @property
    def server(self) -> str:
        """Where it delivers to, without a password."""
        return self._store.shown_uri

    @property
    def is_closing(self) -> bool:
        """Whether the worker ends when all is delivered."""
        return self._closing.is_set()

    def close(self, deadline: float | None = None) -> None:
        """Nothing more comes for now: the worker delivers what is queued, removes the journal and ends.

        With a `deadline`, wait for that so many seconds and say so if they were not enough. With a journal nothing is
        lost, and so nobody waits for a server that does not answer. More may be put afterwards, and closed again.
        """
        with self._lock:
            self._staging = False
        if deadline is None:
            self._end_when_empty()
        elif not self.wait(deadline):
            self._journal.check()
            self._say_unsent(deadline)

    def wait(self, deadline: float) -> bool:
        """Whether all is delivered within `deadline` seconds; gives up if waiting is vain and nothing is lost."""
        until = time.monotonic() + deadline
        self._store.retries.forgive()
        self._hurry.set()
        while (worker := self._end_when_empty()) is not None:
            worker.join(min(_LOOK_SECONDS, max(0.0, until - time.monotonic())))
            if time.monotonic() >= until or (self._journal.keeps and self._store.stalled):
                break
        through = not self._is_working()
        if through:
            self._say_failed()
        return through

    def unsent(self) -> Unsent:
        """What is not delivered."""
        self._journal.check()
        return self._journal.unsent(self._waiting() + self._dropped + self._sender.undelivered)

    def _end_when_empty(self) -> threading.Thread | None:
        """Let the worker end when it has delivered everything; None if it has."""
        with self._lock:
            if not self._is_working():
                self._settle()
                return None
            self._awaited.set()
            if not self._closing.is_set():
                self._closing.set()
                with contextlib.suppress(queue.Full):  # then the worker notices the event when it is through
                    self._queue.put_nowait(None)
            return self._ensure_worker()

    def _is_working(self) -> bool:
        return self._running or not self._queue.empty()

    def _waiting(self) -> int:
        return len(self._taken) + sum(record is not None for record in tuple(self._queue.queue))

    def _settle(self) -> None:
        """Nothing waits: the journal has done its work, unless more is to come."""
        if not (self._running or self._open or self._staging or self._dropped):
            self._journal.close()

    # --------------------------------------------------------------------------------------------------------- telling

    def _say_unsent(self, deadline: float) -> None:
        if self._journal.keeps and self._store.stalled:
            say_outage(self.server, self._journal.meanwhile, "It does not answer.")
            return
        logger.warning(
            "MLflow on %s has not taken everything within %s s; %d records still wait and are sent in the "
            "background while this process lives; %s. A longer wait: deadline=...",
            self.server,
            deadline,
            self._waiting(),
            self._journal.meanwhile,
        )

    def _say_failed(self) -> None:
        with self._telling:
            refused, kept = self._sender.refused, self._dropped + self._sender.undelivered
            if not self._journal.keeps:
                refused, kept = refused + kept, 0
            before, self._told = self._told, (refused, kept)
            if refused > before[0]:
                logger.warning("%d values could not be logged to MLflow on %s", refused, self.server)
                pending.leave(Unsent(refused, self.server, None))
            if kept > before[1]:
                unsent = self._journal.unsent(kept)
                pending.say_unsent([unsent])
                pending.leave(unsent)

    # ---------------------------------------------------------------------------------------------------------- worker

    def _ensure_worker(self) -> threading.Thread | None:
        if self._worker is None or not self._running:
            worker = threading.Thread(target=self._work, name="gradiend-mlflow", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the interpreter ends; what is queued now is in the journal
                return None
            self._worker, self._running = worker, True
            pending.add(self)
        return self._worker

    def _work(self) -> None:
        while True:
            self._taken.extend(joined(self._next_batch()))
            while self._taken:
                self._carry(self._taken[0])
                self._taken.popleft()
            with self._lock:
                if self._closing.is_set() and self._queue.empty():
                    self._closing.clear()
                    self._running = False
                    self._settle()
                    pending.discard(self)
                    break
        self._say_failed()

    def _next_batch(self) -> list[Record]:
        """At least one record, or word that the end is awaited, and all that came meanwhile."""
        batch = [self._queue.get()]
        if not self._closing.is_set():
            self._awaited.wait(_GATHER_SECONDS)
        self._awaited.clear()
        while not self._queue.empty():
            batch.append(self._queue.get())
        return [record for record in batch if record is not None]

    def _carry(self, record: Record) -> None:
        """Deliver one record, again and again until the server takes it - or takes everything but this one."""
        pause = _FIRST_PAUSE
        for attempt in itertools.count(1):
            self._hurry.clear()
            try:
                if isinstance(record, ImportAccount):
                    pending.wait_for_earlier(self)
                self._sender.deliver(record)
            except UnavailableError as error:
                if self._is_about_this_one(attempt):
                    self._sender.set_aside(record, error)
                    break
                if attempt >= (_TRIES if self._store.retries.answered else 2):
                    say_outage(self.server, self._journal.meanwhile, error)
            else:
                break
            self._hurry.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        say_it_is_back(self.server)

    def _is_about_this_one(self, attempt: int) -> bool:
        """Whether the server is well, and only answers this record with a fault."""
        return attempt >= _TRIES and self._store.retries.answered and self._store.is_answering()


def joined(records: Iterable[Record]) -> Iterator[Record]:
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

"""The recorder: it queues records, and a thread of its own sends them to MLflow.

The training's thread writes each record into the journal and puts it into a queue. Whatever MLflow does - refuse a
request, hang, disappear - happens in the worker, which reports it once and tries again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from gradiend_mlflow.delivery.attempts import Attempts
from gradiend_mlflow.delivery.held_files import HeldFiles
from gradiend_mlflow.delivery.journals.records import (
    Destination,
    EndRun,
    ImportAccount,
    Record,
    StartRun,
    Upload,
    join_metrics,
)
from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.delivery.session_journal import SessionJournal
from gradiend_mlflow.errors import StoreError, logger
from gradiend_mlflow.forks import call_in_child
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.pending import POLL_SECONDS, Unsent
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.options import DEFAULT_DEADLINE, LogOptions

_QUEUE_SIZE = 100_000
# Seconds to wait for more records: few requests, with the metrics of many steps, leave the training its processor.
_GATHER_SECONDS = 5.0
_LAST_PATIENCE = 10.0  # for an answer in a process that may be terminated: nobody can wait for it afterwards


class Recorder:
    """A queue, and a worker that empties it into a store; the worker starts with the first record.

    Args:
        store: Where the records are sent.
        experiment_dir: The training's experiment directory: the journal is kept there until everything is delivered.
            None: there is no journal.
        deadline: For how many seconds readers and the end of the process wait for records that are not delivered.
    """

    def __init__(
        self, store: Store, experiment_dir: Path | None = None, *, deadline: float = DEFAULT_DEADLINE
    ) -> None:
        self.deadline = deadline
        self.server = store.shown_uri
        self.is_foreign = False  # whether it delivers in the process from which this one was forked, and not here
        self._store = store
        self._experiment_dir = experiment_dir
        self._begin()
        call_in_child(self)

    def _begin(self) -> None:
        self._held = HeldFiles()
        self._sender = Sender(self._store, self._held)
        self._journal = journal = SessionJournal(self._experiment_dir, self._store.uri, self._sender)
        self._attempts = Attempts(self._store, self._sender, lambda: journal.whereabouts)
        self._changed = threading.Condition()  # guards what follows, up to the empty line
        self._queue: deque[Record] = deque()
        self._open: set[str] = set()  # the keys of the runs that have not ended
        self._staging = False  # whether files are being written whose records are not queued yet
        self._dropped = 0  # records that did not fit into the queue
        self._awaited = False  # whether somebody waits for what is queued
        self.is_closing = False  # whether the worker ends when the queue is empty
        self._working = False

        self._in_hand: deque[Record] = deque()  # what the worker has taken from the queue and not delivered yet
        self._reported = (0, 0)

    def begin_in_child(self) -> None:
        """In a forked child: begin anew if all its runs have ended and are known; if not, it stays the parent's."""
        self._journal.begin_in_child()
        starting = any(isinstance(record, (StartRun, ImportAccount)) for record in (*self._in_hand, *self._queue))
        known = self._sender.known_runs()
        self.is_foreign = self.is_foreign or bool(self._open or self._staging or starting or not known)
        if self.is_foreign:
            return
        self._store.retries.forget()
        self._begin()
        for run in known:
            self._sender.deliver(run)

    def new_folder(self) -> Path:
        """A new, empty folder, whose files are kept until everything is delivered.

        Raises:
            StoreError: If the recorder belongs to the process from which this one was forked.
        """
        if self.is_foreign:
            raise StoreError(pending.FOREIGN)
        with self._changed:
            self._staging = True
            return self._journal.new_folder()

    def start(
        self,
        name: str,
        run_tags: Mapping[str, str],
        destination: Destination,
        *,
        start_time: int | None = None,
        deferred: bool = False,
    ) -> RunWriter:
        """Start a run, by default now; MLflow has it once the server has answered."""
        return RunWriter.started(self, name, run_tags, destination, start_time=start_time, deferred=deferred)

    def import_account(
        self,
        account: Account,
        options: LogOptions,
        destination: Destination,
        *,
        parent: RunWriter | None = None,
    ) -> RunWriter:
        """Import a finished training, unless MLflow has it already; the writer is that of its run, new or old."""
        run = RunWriter(self)
        self.put(ImportAccount(run.key, account, options, destination, None if parent is None else parent.key))
        return run

    def put(self, record: Record) -> None:
        """Write a record down and queue it; if the queue is full, only the journal has it."""
        if self.is_foreign:
            pending.report_foreign()
            return
        with self._changed:
            if isinstance(record, StartRun):
                self._open.add(record.key)
            elif isinstance(record, EndRun):
                self._open.discard(record.key)
            elif isinstance(record, Upload):
                self._held.hold(record.key, record.file)
            self._journal.write(record)
            if len(self._queue) >= _QUEUE_SIZE:
                self._dropped += 1
            else:
                self._queue.append(record)
            if len(self._queue) == 1:  # the worker waits for the first record only
                self._changed.notify_all()
            self._ensure_worker()

    def run_id(self, key: str, timeout: float) -> str | None:
        """MLflow's id of a run; None if it has none within `timeout` seconds, or if waiting seems pointless."""
        until = time.monotonic() + timeout
        if self.is_foreign:
            return self._sender.run_id(key)
        while True:
            self._send_now()
            left = until - time.monotonic()
            found = self._sender.run_id(key)
            if found is not None or left <= 0 or self._store.retries.stalled:
                return found
            time.sleep(min(left, POLL_SECONDS))

    def close(self, deadline: float | None = None) -> None:
        """Let the worker deliver what is queued, remove the journal and end; close again if more is put afterwards.

        With a `deadline`, wait at most so many seconds, and warn if they were not enough. A process that another one
        started always waits. A server that does not answer is not waited for if a journal keeps the records.
        """
        if self.is_foreign:
            return
        with self._changed:
            self._staging = False
        if pending.is_expendable():
            if not self.wait(self.deadline if deadline is None else deadline, patience=_LAST_PATIENCE):
                pending.warn_of([self.unsent()])
        elif deadline is None:
            if self._end_when_empty() and pending.is_worker():
                self.wait(self.deadline, patience=_LAST_PATIENCE)
        elif not self.wait(deadline):
            self._journal.check()
            self._warn_of_waiting(deadline)

    def wait(self, deadline: float, *, patience: float = 0.0) -> bool:
        """Whether everything is delivered within `deadline` seconds; gives up if waiting is pointless and safe.

        An answer that takes less than `patience` seconds does not make it pointless.
        """
        until = time.monotonic() + deadline
        self._store.retries.forgive()
        self._attempts.hurry()
        while self._end_when_empty():
            left = until - time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: not self._working, max(0.0, min(left, POLL_SECONDS)))
            if left <= 0 or self._waiting_is_pointless(patience):
                break
        return not self._is_busy()

    def unsent(self) -> Unsent:
        """What is not delivered."""
        self._journal.check()
        waiting = len(self._in_hand) + len(self._queue)
        return Unsent(waiting + self._dropped + self._sender.undelivered, self.server, self._journal.kept_in)

    def _end_when_empty(self) -> bool:
        """Let the worker end when it has delivered everything; returns whether it is still at work."""
        with self._changed:
            if not self._is_busy():
                self._close_journal()
                return False
            self.is_closing = True
            self._send_now()
            return self._ensure_worker()

    def _send_now(self) -> None:
        """Let the worker send what is queued without waiting for more."""
        with self._changed:
            self._awaited = True
            self._changed.notify_all()

    def _is_busy(self) -> bool:
        return self._working or bool(self._queue)

    def _waiting_is_pointless(self, patience: float = 0.0) -> bool:
        return self._journal.kept_in is not None and self._store.retries.stalled_for(patience)

    def _close_journal(self) -> None:
        """Everything queued is delivered: end the journal, unless more is to come or only the journal has some."""
        if not (self._open or self._staging or self._dropped):
            self._journal.close()

    def _warn_of_waiting(self, deadline: float) -> None:
        if self._waiting_is_pointless():
            pending.report_outage(self.server, self._journal.whereabouts, "The last request was not answered.")
            return
        logger.warning(
            "MLflow on %s has not taken everything within %s s; %d records still wait and are sent in the "
            "background while this process lives; %s. A longer wait: deadline=...",
            self.server,
            deadline,
            len(self._in_hand) + len(self._queue),
            self._journal.whereabouts,
        )

    def _report_failures(self) -> None:
        """Warn of what was refused and of what could not be delivered, unless that has been reported."""
        refused, kept = self._sender.refused, self._dropped + self._sender.undelivered
        if kept:
            self._journal.check()
        if (refused, kept) != self._reported:
            self._reported = (refused, kept)
            pending.report([Unsent(refused, self.server, None), Unsent(kept, self.server, self._journal.kept_in)])

    def _ensure_worker(self) -> bool:
        """Start the worker if none is at work; returns whether one is."""
        if not self._working:
            worker = threading.Thread(target=self._work, name="gradiend-mlflow", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the interpreter ends; the journal has what is queued now
                return False
            self._working = True
            pending.add(self)
        return True

    def _work(self) -> None:
        while True:
            self._take_batch()
            while self._in_hand:
                if isinstance(self._in_hand[0], ImportAccount):
                    pending.wait_for_earlier(self)
                self._attempts.deliver(self._in_hand[0])
                self._in_hand.popleft()
            if self._is_through():
                self._report_failures()  # before anybody who waits for the end goes on
            with self._changed:
                if self._is_through():
                    self._close_journal()
                    self._held.release()
                    self.is_closing = self._working = False
                    pending.discard(self)
                    self._changed.notify_all()
                    return

    def _is_through(self) -> bool:
        return self.is_closing and not self._queue

    def _take_batch(self) -> None:
        """Take what is queued: at least one record, unless the recorder is closing; waits a while for more."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self.is_closing)
            self._changed.wait_for(lambda: self._awaited or self.is_closing, _GATHER_SECONDS)
            self._awaited = False
            self._in_hand.extend(join_metrics(self._queue))
            self._queue.clear()

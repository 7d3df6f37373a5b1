"""A session's journal as the recorder keeps it: opened when needed, given up when the disk does not take it."""

from __future__ import annotations

import contextlib
import logging
import shlex
import tempfile
from pathlib import Path

from gradiend_mlflow.delivery.journal import Journal, find_journals
from gradiend_mlflow.delivery.records import Record
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.store.pending import Unsent
from gradiend_mlflow.store.store import Store

logger = logging.getLogger("gradiend_mlflow")


class SessionJournal:
    """Where records are written down; without an `experiment_dir`, or a disk that takes them, nowhere."""

    def __init__(self, experiment_dir: Path | None, store: Store, sender: Sender) -> None:
        self._experiment_dir = None if experiment_dir is None else experiment_dir.absolute()
        self._store = store
        self._sender = sender
        self._journal: Journal | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._broken = experiment_dir is None

    @property
    def keeps(self) -> bool:
        """Whether what has been said is written down, all of it."""
        return not self._broken

    @property
    def meanwhile(self) -> str:
        """Where records are until they are sent, as a part of a sentence."""
        if self.keeps:
            return f"until then it is kept in {self._experiment_dir}"
        return "it is kept in memory only, and lost if the process ends before"

    def write(self, record: Record) -> None:
        """Write a record down."""
        if self._broken or self._experiment_dir is None:
            return
        try:
            if self._journal is None:
                self._journal = Journal(self._experiment_dir, self._store.uri)
                for known in self._sender.known_runs():  # their start is not in this journal
                    self._journal.append(known)
                self._tell_of_others(self._journal)
            self._journal.append(record)
        except Exception as error:
            self._give_up(error)

    def _tell_of_others(self, journal: Journal) -> None:
        """Say that earlier trainings of this directory have left journals, which nobody would think of any more."""
        left = 0
        with contextlib.suppress(OSError):
            for found in find_journals(journal.folder.parent):
                if found.folder != journal.folder:
                    with found.held() as is_left:
                        left += is_left
        if left:
            logger.warning(
                "%d earlier trainings have left in %s what MLflow does not know yet; send it with: "
                "gradiend-mlflow sync %s",
                left,
                self._experiment_dir,
                shlex.quote(str(self._experiment_dir)),
            )

    def new_folder(self) -> Path:
        """A new, empty folder: in the journal's, so that its files outlive the process, or else a temporary one."""
        if self._journal is not None and not self._broken:
            try:
                return self._journal.new_folder()
            except OSError as error:
                self._give_up(error)
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gradiend-mlflow-", ignore_cleanup_errors=True)
        return Path(tempfile.mkdtemp(dir=self._temporary.name))

    def check(self) -> None:
        """Say so if somebody has removed the journal."""
        if self._journal is not None and not self._broken and not self._journal.is_there():
            self._give_up("it has vanished")

    def close(self) -> None:
        """Nothing waits any more: remove the journal, or leave it to `sync` if some of it was not delivered."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        if self._sender.undelivered:
            self.check()
        journal, self._journal = self._journal, None
        if journal is None:
            return
        try:
            if self._sender.undelivered:
                journal.close()
            else:
                journal.remove()
        except OSError as error:
            logger.warning("%s could not be removed: %s", journal.folder, error)

    def unsent(self, count: int) -> Unsent:
        """So many records that are not delivered, and where they are kept."""
        return Unsent(count, self._store.shown_uri, self._experiment_dir if self.keeps else None)

    def _give_up(self, reason: object) -> None:
        self._broken = True
        logger.warning(
            "The journal in %s cannot be written; the training goes on, and what MLflow does not take while this "
            "process lives will be lost: %s",
            self._experiment_dir,
            reason,
        )

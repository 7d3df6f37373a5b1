"""The journal of one session: created when it is needed, and given up if the disk does not accept it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gradiend_mlflow.delivery.journals.children import notes
from gradiend_mlflow.delivery.journals.journal import Journal, count_left
from gradiend_mlflow.delivery.journals.records import Record
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.disk.temporary import TemporaryFolder, remove_abandoned
from gradiend_mlflow.errors import logger
from gradiend_mlflow.store.uris import missing_password, sync_command
from gradiend_mlflow.wording import counted


class SessionJournal:
    """Writes records into a journal; without an experiment directory, or on a disk that is full, it does nothing.

    `kept_in` is the experiment directory whose journal keeps every record, or None if no journal does.

    Args:
        experiment_dir: The training's experiment directory; None: there is no journal.
        tracking_uri: Where the records are sent.
        sender: Sends them; it knows the runs that have started, and whether some records could not be delivered.
    """

    def __init__(self, experiment_dir: Path | None, tracking_uri: str, sender: Sender) -> None:
        remove_abandoned()
        self.kept_in = None if experiment_dir is None else experiment_dir.absolute()
        self._tracking_uri = tracking_uri
        self._sender = sender
        self._journal: Journal | None = None
        self._temporary: TemporaryFolder | None = None
        self._named: dict[str, str] = {}  # the experiments whose names the journal has

    @property
    def whereabouts(self) -> str:
        """Where records are until they are sent, as a part of a sentence."""
        if self.kept_in is None:
            return "they are kept in memory only, and will be lost if the process ends first"
        return f"until then they are kept in {self.kept_in}"

    def write(self, record: Record) -> None:
        """Write a record down."""
        if self.kept_in is None:
            return
        try:
            if self._journal is None:
                self._journal = Journal(self.kept_in, self._tracking_uri)
                for run in self._sender.known_runs():  # they started in an earlier journal of the session
                    self._journal.append(run)
                self._warn_of_earlier()
                notes.add(self.kept_in, self._tracking_uri)
            self._journal.append(record)
            if self._sender.experiments != self._named:
                self._named = dict(self._sender.experiments)
                self._journal.name_experiments(self._named)
        except Exception as error:
            self._give_up(error)

    def _warn_of_earlier(self) -> None:
        """Warn of journals that earlier trainings have left in this directory, and that nobody may remember."""
        if self.kept_in is not None and (left := count_left(self.kept_in)):
            logger.warning(
                "%s left records in %s that MLflow does not have yet; send them with: %s%s",
                counted(left, "earlier training"),
                self.kept_in,
                sync_command(self.kept_in, self._tracking_uri),
                missing_password(self._tracking_uri),
            )

    def new_folder(self) -> Path:
        """A new, empty folder: in the journal, so that its files outlive the process, or else a temporary one."""
        if self._journal is not None and self.kept_in is not None:
            try:
                return self._journal.new_folder()
            except OSError as error:
                self._give_up(error)
        if self._temporary is None:
            self._temporary = TemporaryFolder()
        return Path(tempfile.mkdtemp(dir=self._temporary.path))

    def check(self) -> None:
        """Warn if somebody has removed the journal."""
        if self._journal is not None and self.kept_in is not None and not self._journal.exists():
            self._give_up("it has vanished")

    def close(self) -> None:
        """End the journal when no record waits: remove it, or leave it to `sync` if some were not delivered."""
        if self._temporary is not None:
            self._temporary.close()
            self._temporary = None
        if self._journal is None:
            return
        try:
            if self._sender.undelivered:
                self._journal.close()
            else:
                self._journal.remove()
        except OSError as error:
            logger.warning("%s could not be removed: %s", self._journal.folder, error)
        self._journal = None
        self._named = {}

    def begin_in_child(self) -> None:
        """In a forked child: the files that its parent has staged stay the parent's."""
        self._temporary = None

    def _give_up(self, reason: object) -> None:
        logger.warning(
            "The journal in %s cannot be written; the training goes on, and what MLflow does not take while this "
            "process lives will be lost: %s",
            self.kept_in,
            reason,
        )
        self.kept_in = None

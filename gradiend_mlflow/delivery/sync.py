"""`sync`: what MLflow was not told while trainings ran, told from their journals."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING

from gradiend_mlflow.checks import existing_directory
from gradiend_mlflow.delivery.journal import LeftJournal, find_journals
from gradiend_mlflow.delivery.recorder import joined
from gradiend_mlflow.delivery.records import EndRun, Line, Record, SetTags, StartRun
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.errors import GradiendMLflowError, StoreError, UnavailableError
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.retries import deadline_of_reading
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.wording import tell_failures

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("gradiend_mlflow")

COLUMNS = ("directory", "result", "run_ids", "reason")
KILLED = "the process ended before the training said that it had"

_TOGETHER = 1000  # lines that are read at a time; the values in them are sent together
_PAUSES = (0.5, 1.0, 2.0)  # between the attempts to send one record

Row = tuple[str, str, tuple[str, ...], "str | None"]


def sync(
    path: str | PathLike[str],
    *,
    tracking_uri: str | None = None,
    progress: bool = True,
    strict: bool = False,
) -> pd.DataFrame:
    """Send to MLflow what trainings could not send while they ran, from the journals that they have left.

    Afterwards a run is as if nothing had happened: the same params, each value of each step once, tags, artifacts and
    status. The run of a training that was killed ends as KILLED, when it was last heard of. A journal is removed when
    all of it is delivered; the training's own files are only read. It is safe to do it twice, to kill it in the middle
    and to do it in two processes at once; a training that is still running is left alone.

    Args:
        path: An experiment directory, or any directory above some.
        tracking_uri: The MLflow server or database; default the one that each training logged to. A password is not
            in the journal: give it by MLflow's environment variables, or here.
        progress: Whether to show a progress bar.
        strict: Raise if a journal could not be sent; the others are sent nevertheless.

    Returns:
        One row per journal, oldest first: directory (of the experiment), result ("synced", "busy" if the training or
        another sync is at it, "failed"), run_ids (of its runs, as far as they are known), and reason: of the
        failure, or what is worth knowing. No rows if nothing waits.

    Raises:
        InvalidInputError: If `path` is no directory.
        StoreError: With `strict`, if journals failed; it names them.

    Example:
        ::

            gradiend_mlflow.sync("runs/")
    """
    import pandas as pd
    from tqdm import tqdm

    root = existing_directory(path, "sync")
    flush()
    found = find_journals(root)
    shown = tqdm(found, desc="sync", unit="journal", disable=not progress or not found)
    silent: dict[str, str] = {}
    rows = [_sync(journal, tracking_uri, silent) for journal in shown]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    failures = tell_failures(frame, "could not be sent to MLflow")
    if strict and failures:
        listed = "\n".join(failures)
        raise StoreError(f"{len(failures)} of {len(frame)} journals could not be sent:\n{listed}")
    return frame


def _sync(journal: LeftJournal, tracking_uri: str | None, silent: dict[str, str]) -> Row:
    """Send one journal; `silent` are the servers that have not answered, by URI, with the reason."""
    directory = str(journal.experiment_dir)
    with journal.held() as free:
        if not free:
            return (directory, "busy", (), "a training or another sync is at it")
        sender = None
        try:
            uri = tracking_uri or journal.tracking_uri()
            if uri in silent:  # nobody waits for it once for every journal
                return (directory, "failed", (), silent[uri])
            deadline = deadline_of_reading()
            store = Store(uri, once=True, timeout=deadline)
            sender = Sender(store, again=True)
            note = _replay(journal, sender, until=time.monotonic() + deadline)
            journal.remove()
        except (GradiendMLflowError, ValueError, OSError) as error:
            logger.debug("%s", journal.folder, exc_info=True)
            if isinstance(error, UnavailableError) and not store.retries.answered:
                silent[uri] = str(error)
            return (directory, "failed", _run_ids(sender), str(error))
        return (directory, "synced", _run_ids(sender), note)


def _replay(journal: LeftJournal, sender: Sender, *, until: float) -> str | None:
    """Deliver a journal; returns what is worth knowing. Nothing is tried again after `until`, a monotonic time.

    Raises:
        StoreError: If some of it could not be delivered.
    """
    unended = _Unended()
    lines = journal.lines()
    while some := list(islice(lines, _TOGETHER)):
        for record in joined(line.record for line in some):
            _deliver(sender, record, until)
        unended.follow(some)
    ends = unended.ends()
    for record in ends:
        _deliver(sender, record, until)
    if sender.undelivered or journal.unreadable:
        raise StoreError("; ".join([*journal.unreadable, *([sender.reason] if sender.undelivered else [])]))
    notes = []
    if journal.torn:
        notes.append("its last line was broken off, and is left out")
    if sender.refused:
        notes.append(f"MLflow refuses {sender.refused} values: {sender.reason}")
    if ends:
        notes.append(KILLED)
    return "; ".join(notes) or None


def _deliver(sender: Sender, record: Record, until: float) -> None:
    for pause in _PAUSES:
        try:
            sender.deliver(record)
        except UnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(pause)
        else:
            return
    sender.deliver(record)


class _Unended:
    """Which runs were begun and not ended, in the order of their beginnings, and when they were last heard of."""

    def __init__(self) -> None:
        self._begun: dict[str, None] = {}
        self._last = 0

    def follow(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._last = max(line.said, self._last)
            if isinstance(line.record, StartRun):
                self._begun[line.record.key] = None
            elif isinstance(line.record, EndRun):
                self._begun.pop(line.record.key, None)

    def ends(self) -> list[Record]:
        """What the end of a training that was killed would have said, children first."""
        return [
            record
            for key in reversed(self._begun)
            for record in (SetTags(key, {tags.FAILURE: KILLED}), EndRun(key, "KILLED", self._last))
        ]


def _run_ids(sender: Sender | None) -> tuple[str, ...]:
    return () if sender is None else tuple(known.run_id for known in sender.known_runs())

"""`sync`: the records that MLflow did not receive while trainings ran are sent from their journals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import pandas as pd

from gradiend_mlflow.checks import check_experiment, check_names, existing_directory
from gradiend_mlflow.delivery.journals.journal import LeftJournal, find_journals
from gradiend_mlflow.delivery.journals.records import EndRun, Record, SetTags, StartRun, join_metrics
from gradiend_mlflow.delivery.journals.trust import Terms, server_of
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.disk.trees import Found
from gradiend_mlflow.display.progress import check_progress, with_progress
from gradiend_mlflow.errors import GradiendMLflowError, InvalidInputError, StoreError, UnavailableError, logger
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.retries import growing_pauses, reading_deadline
from gradiend_mlflow.store.secrets import MASK, masked
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.results import frame_of_results
from gradiend_mlflow.wording import counted, some_of

COLUMNS = ("directory", "result", "run_ids", "reason")
KILLED = "the process ended before the training did"

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 2.0
_ATTEMPTS = 4  # to send one record


def sync(
    path: str | PathLike[str],
    *,
    tracking_uri: str | None = None,
    experiment_name: str | None = None,
    progress: bool | None = None,
    strict: bool = False,
) -> pd.DataFrame:
    """Send to MLflow what trainings could not send while they ran, from the journals that they left.

    Afterwards a run is as if nothing had happened: the same params, each value of each step once, tags, artifacts and
    status. The run of a training that was killed ends as KILLED, at the time of its last record. A journal is removed
    when all of it is delivered; the training's own files are only read. It is safe to call it twice, to kill it in the
    middle and to run it in two processes at once; a training that is still running is left alone.

    Journals are files, and may have been written by others. So without `tracking_uri` only those are sent that name
    the server that MLflow is configured for (`mlflow.set_tracking_uri`, MLFLOW_TRACKING_URI); of the others the reason
    says how to send them. Only files in the journal's own folder are sent, and models where they lie below `path`; no
    link that leads out is followed. Only runs are written to that carry the journal's own key.

    Args:
        path: An experiment directory, or any directory above experiment directories.
        tracking_uri: The MLflow server or database that all of them are sent to; default is the one that MLflow is
            configured for. Journals do not contain passwords.
        experiment_name: The experiment, created if needed, of trainings that have chosen theirs by an id which means
            something else on this server; others go to their own.
        progress: Whether to show a progress bar; default one in a terminal or a notebook, if it takes over a second.
        strict: Raise an error if a journal could not be sent; the others are sent nevertheless.

    Returns:
        One row per journal, oldest first: directory (the experiment directory), result ("synced", "failed", or "busy"
        if its training or another sync is using it), run_ids (of its runs, as far as they are known), and reason: why
        it failed, or what else is worth knowing. There are no rows if there are no journals.

    Raises:
        InvalidInputError: If `path` is not a directory, a name is empty, or the `tracking_uri` is masked.
        StoreError: With `strict`, if journals failed; it names them.

    Example:
        ::

            gradiend_mlflow.sync("runs/")
    """
    root = existing_directory(path, "sync")
    check_progress(progress)
    check_names(tracking_uri=tracking_uri)
    check_experiment(experiment_name=experiment_name)
    if tracking_uri is not None and MASK in tracking_uri:
        raise InvalidInputError(f"write what is secret in the place of {MASK}: {masked(tracking_uri)}")
    flush()
    faults: list[Found] = []
    found = find_journals(root, faults)
    silent: dict[str, str] = {}
    rows: list[tuple[object, ...]] = [(str(folder), "failed", (), reason) for folder, reason in faults]
    rows += [
        _sync(journal, root, tracking_uri, experiment_name, silent)
        for journal in with_progress(found, "sync", "journal", show=progress)
    ]
    raising = StoreError if strict else None
    return frame_of_results(rows, COLUMNS, "could not be sent to MLflow", things="journals", raising=raising)


def _sync(
    journal: LeftJournal, root: Path, given: str | None, experiment_name: str | None, silent: dict[str, str]
) -> tuple[object, ...]:
    """Send one journal; `silent` are the URIs of servers that have not answered, with the reason."""
    directory = str(journal.experiment_dir)
    try:
        header = journal.header()
    except (ValueError, OSError) as error:
        return (directory, "failed", (), _told(journal, error))
    with journal.held() as free:
        if not free:
            return (directory, "busy", (), "its training or another sync is using it")
        try:
            uri = server_of(journal, header, given)
        except StoreError as error:
            return (directory, "failed", (), str(error))
        if uri in silent:  # wait for it once, not once for every journal
            return (directory, "failed", (), silent[uri])
        deadline = reading_deadline()
        store = Store(uri, once=True, timeout=deadline)
        sender = Sender(store, again=True)
        result, reason = "failed", None
        try:
            terms = Terms.of(journal, header, root, store, experiment_name)
            result, reason = "synced", _replay(terms, sender, until=time.monotonic() + deadline)
            journal.remove()
        except UnavailableError as error:
            if not (store.retries.answered or error.place):
                silent[uri] = str(error)
            result, reason = "failed", str(error)
        except Exception as error:  # one journal must not cost the others
            result, reason = "failed", _told(journal, error)
        return (directory, result, tuple(run.run_id for run in sender.known_runs()), reason)


def _told(journal: LeftJournal, error: Exception) -> str:
    logger.debug("%s", journal.folder, exc_info=error)
    is_ours = isinstance(error, (GradiendMLflowError, ValueError, OSError))
    return str(error) if is_ours else f"{type(error).__name__}: {error}"


def _replay(terms: Terms, sender: Sender, *, until: float) -> str | None:
    """Deliver the records of a journal; returns what is worth knowing.

    Nothing is tried again after `until`, a monotonic time.

    Raises:
        StoreError: If some of it could not be delivered.
    """
    journal, killed = terms.journal, dict[str, None]()
    for record in join_metrics(_records(journal, killed)):
        _deliver(terms, sender, record, until)
    failures = [*some_of(journal.unreadable), *([sender.reason] if sender.undelivered else [])]
    if failures:
        raise StoreError("; ".join(failures))
    notes = {
        "its last line was broken off, and is left out": journal.torn,
        f"MLflow refuses {counted(sender.refused, 'value')}: {sender.reason}": sender.refused,
        KILLED: bool(killed),
    }
    return "; ".join(note for note, applies in notes.items() if applies) or None


def _records(journal: LeftJournal, killed: dict[str, None]) -> Iterator[Record]:
    """The records of a journal, then those that its training would have added had it not been killed.

    The keys of the runs that it began and did not end are added to `killed`. They end, children first, at the time of
    the journal's last record.
    """
    last = 0
    for line in journal.lines():
        last = max(line.made, last)
        if isinstance(line.record, StartRun):
            killed[line.record.key] = None
        elif isinstance(line.record, EndRun):
            killed.pop(line.record.key, None)
        yield line.record
    for key in reversed(killed):
        yield SetTags(key, {tags.FAILURE: KILLED})
        yield EndRun(key, "KILLED", last)


def _deliver(terms: Terms, sender: Sender, record: Record, until: float) -> None:
    for attempt, pause in enumerate(growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE), start=1):
        try:
            sender.deliver(terms.admitted(record))
        except UnavailableError as error:
            if attempt == _ATTEMPTS and sender.is_about_one():
                sender.set_aside(record, error)  # it holds up no other
                return
            if attempt == _ATTEMPTS or time.monotonic() > until:
                raise
            time.sleep(pause)
        except (GradiendMLflowError, OSError) as error:
            sender.set_aside(record, error)
            return
        else:
            return

"""The journal: what a training says, written down as it happens, until MLflow has taken all of it.

One folder per session, `<experiment_dir>/.gradiend-mlflow/<key>/`::

    journal.jsonl   a header, then one record per line, in the order in which they were said
    files/          copies of the files to upload
    lock            held by the process that writes or replays the journal; the system frees it when that dies
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from gradiend_mlflow.delivery.records import Line, Record, read_line, write_line
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.store import now_ms
from gradiend_mlflow.store.uris import kept_uri

FORMAT = 1
_FILE = "journal.jsonl"
_FILES = "files"
_LOCK = "lock"


class Journal:
    """A journal that is being written; every method raises OSError where the disk does not take it.

    Args:
        experiment_dir: Where gradiend puts what the training leaves.
        tracking_uri: Where the records go; its password is not written down.
    """

    def __init__(self, experiment_dir: Path, tracking_uri: str) -> None:
        self.experiment_dir = experiment_dir
        self.folder = (experiment_dir / JOURNALS / uuid.uuid4().hex).absolute()
        self.folder.mkdir(parents=True)
        self._lock = _lock_of(self.folder)
        self._lock.acquire(blocking=False)
        # Unbuffered and without fsync: what is written survives the process, if not a power failure.
        self._file = (self.folder / _FILE).open("ab", buffering=0)
        header = {
            "format": FORMAT,
            "tracking_uri": kept_uri(tracking_uri),
            "version": installed_version("gradiend-mlflow"),
        }
        self._write(json.dumps(header).encode() + b"\n")

    def append(self, record: Record) -> None:
        """Write a record down; it is safe from this process's end when the call returns."""
        self._write(write_line(record, now_ms(), self.folder))

    def new_folder(self) -> Path:
        """A new, empty folder for files that are to be uploaded."""
        files = self.folder / _FILES
        files.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=files))

    def is_there(self) -> bool:
        """Whether nobody has removed it."""
        return (self.folder / _FILE).is_file()

    def close(self) -> None:
        """Leave it as it is, for a later replay."""
        self._file.close()
        self._lock.release()

    def remove(self) -> None:
        """All is delivered: remove it, and the folder of journals if no other is in it."""
        self._file.close()
        _remove(self.folder, self._lock)

    def _write(self, line: bytes) -> None:
        if self._file.write(line) != len(line):
            raise OSError(f"{self.folder / _FILE} was not written in full: is the disk full?")


@dataclass
class LeftJournal:
    """A journal that some process has left, in `folder`."""

    folder: Path
    unreadable: list[str] = field(default_factory=list)  # of the lines read so far: why records cannot be had any more
    torn: bool = False  # whether the last line was broken off; known when all are read

    @property
    def experiment_dir(self) -> Path:
        """The directory of the training that wrote it."""
        return self.folder.parent.parent

    def tracking_uri(self) -> str:
        """Where the training logged.

        Raises:
            ValueError: If it is not a journal of this format.
        """
        with (self.folder / _FILE).open("rb") as file:
            return self._read_header(file.readline())

    def lines(self) -> Iterator[Line]:
        """Its whole lines, read one by one: a journal may be larger than the memory."""
        with (self.folder / _FILE).open("rb") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                if not line.endswith(b"\n"):
                    self.torn = True
                    return
                try:
                    said = read_line(line, self.folder)
                except (ValueError, GradiendMLflowError, OSError) as error:
                    self.unreadable.append(f"line {number}: {error}")
                else:
                    yield said

    def _read_header(self, header: bytes) -> str:
        try:
            content = json.loads(header)
            version, tracking_uri = content["format"], str(content["tracking_uri"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.folder / _FILE} does not begin as a journal does") from error
        if version != FORMAT:
            raise ValueError(f"{self.folder / _FILE} has the format {version}; this version reads {FORMAT}")
        return tracking_uri

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Nobody else replays it within the block; False if the training that writes it, or another sync, is alive."""
        self._lock = _lock_of(self.folder)
        try:
            self._lock.acquire(blocking=False)
        except (Timeout, OSError):
            yield False
            return
        try:
            there = (self.folder / _FILE).is_file()
            yield there
            if not there:  # delivered and removed by another, after it was found
                _remove(self.folder, self._lock)
        finally:
            self._lock.release()

    def remove(self) -> None:
        """All is delivered: remove it, and the folder of journals if no other is in it."""
        _remove(self.folder, self._lock)


def find_journals(path: Path) -> list[LeftJournal]:
    """The journals in and below a directory, oldest first."""
    if path.parent.name == JOURNALS:
        folders = [path]
    elif path.name == JOURNALS:
        folders = [*path.iterdir()]
    else:
        folders = [
            Path(here, name) for here, below, _ in os.walk(path) if Path(here).name == JOURNALS for name in below
        ]
    found = [folder for folder in folders if (folder / _FILE).is_file()]
    return [LeftJournal(folder.absolute()) for folder in sorted(found, key=lambda folder: (_begun(folder), folder))]


def _begun(folder: Path) -> int:
    with (folder / _FILE).open("rb") as file:
        file.readline()
        try:
            return int(json.loads(file.readline())["said"])
        except (ValueError, TypeError, KeyError):
            return 0


def _lock_of(folder: Path) -> BaseFileLock:
    return FileLock(folder / _LOCK, thread_local=False)  # the thread that delivers the last record releases it


def _remove(folder: Path, lock: BaseFileLock) -> None:
    """The journal first: without it the rest is no journal, whenever we are interrupted."""
    (folder / _FILE).unlink(missing_ok=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # another session's journal is in it
        folder.parent.rmdir()

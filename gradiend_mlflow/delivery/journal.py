"""Journals: the records of one session, kept on disk until MLflow has all of them.

Each has a folder of its own, `<experiment_dir>/.gradiend-mlflow/<key>/`::

    journal.jsonl   a header, then one record per line, in the order in which they were made
    files/          copies of the files to upload
    lock            held by the process that writes or sends the journal; the system frees it when that process dies
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gradiend_mlflow.delivery.records import Line, Record, read_line, write_line
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.store import now_ms
from gradiend_mlflow.store.uris import kept_uri

FORMAT = 1
_FILE = "journal.jsonl"


class JournalFolder:
    """The folder of one journal, whether it is being written or was left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.file = self.folder / _FILE
        self._lock = FileLock(self.folder / "lock", thread_local=False)  # another thread may release it

    @property
    def experiment_dir(self) -> Path:
        """The experiment directory of the training that wrote it."""
        return self.folder.parent.parent

    def exists(self) -> bool:
        """Whether nobody has removed the journal."""
        return self.file.is_file()

    def remove(self) -> None:
        """Remove the folder when everything is delivered, and the folder of journals if it was the last."""
        self.file.unlink(missing_ok=True)  # first: without it the rest is not a journal, even if we are interrupted
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it contains another session's journal
            self.folder.parent.rmdir()


class Journal(JournalFolder):
    """A journal that is being written; every method raises OSError if the disk does not accept a write.

    Args:
        experiment_dir: The experiment directory of the training.
        tracking_uri: Where the records are sent; its password is not written down.
    """

    def __init__(self, experiment_dir: Path, tracking_uri: str) -> None:
        super().__init__(experiment_dir / JOURNALS / uuid.uuid4().hex)
        self._files = self.folder / "files"
        self._files.mkdir(parents=True)
        self._lock.acquire(blocking=False)
        # Without a buffer and without fsync: what is written survives the process, but not a power failure.
        self._stream = self.file.open("ab", buffering=0)
        header = {
            "format": FORMAT,
            "tracking_uri": kept_uri(tracking_uri),
            "version": installed_version("gradiend-mlflow"),
        }
        self._write(json.dumps(header).encode() + b"\n")

    def append(self, record: Record) -> None:
        """Write a record; when the call returns, the end of this process cannot lose it."""
        self._write(write_line(record, now_ms(), self.folder))

    def new_folder(self) -> Path:
        """A new, empty folder for files to upload."""
        return Path(tempfile.mkdtemp(dir=self._files))

    def close(self) -> None:
        """Stop writing, and leave the journal to `sync`."""
        self._stream.close()
        self._lock.release()

    def remove(self) -> None:
        """Stop writing, and remove the journal: everything is delivered."""
        self._stream.close()
        super().remove()

    def _write(self, line: bytes) -> None:
        if self._stream.write(line) != len(line):
            raise OSError(f"{self.file} was not written in full: is the disk full?")


class LeftJournal(JournalFolder):
    """A journal that a process has left behind, or still writes.

    While its lines are read, `unreadable` lists the damaged ones with the reason; afterwards `torn` says whether the
    last line was broken off.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.unreadable: list[str] = []
        self.torn = False

    def tracking_uri(self) -> str:
        """Where the training logged.

        Raises:
            ValueError: If the file is not a journal, or one of another format.
        """
        try:
            with self.file.open("rb") as stream:
                content = json.loads(stream.readline())
            version, tracking_uri = content["format"], str(content["tracking_uri"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.file} does not begin as a journal does") from error
        if version != FORMAT:
            raise ValueError(f"{self.file} has the format {version}; this version reads {FORMAT}")
        return tracking_uri

    def lines(self) -> Iterator[Line]:
        """Its complete lines, read one by one: a journal may be larger than the memory."""
        with self.file.open("rb") as stream:
            stream.readline()
            for number, line in enumerate(stream, start=2):
                if not line.endswith(b"\n"):
                    self.torn = True
                    return
                try:
                    content = read_line(line, self.folder)
                except (ValueError, GradiendMLflowError, OSError) as error:
                    self.unreadable.append(f"line {number}: {error}")
                else:
                    yield content

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Keep others from sending it within the block; False if its training or another `sync` holds it."""
        try:
            lock = self._lock.acquire(blocking=False)
        except (Timeout, OSError):
            yield False
            return
        with lock:
            exists = self.exists()
            yield exists
            if not exists:  # another process delivered and removed it after we had found it
                self.remove()


def find_journals(path: Path) -> list[LeftJournal]:
    """The journals in a directory and below it, oldest first; `path` may also be a journal's own folder."""
    folders = [path] if path.parent.name == JOURNALS else []
    for here, below, _ in os.walk(path):
        if Path(here).name == JOURNALS:
            folders += [Path(here, name) for name in below]
            below.clear()  # what journals contain is not searched
    found = [folder for folder in folders if LeftJournal(folder).exists()]
    return [LeftJournal(folder) for folder in sorted(found, key=lambda folder: (_begun(folder), folder))]


def count_left(experiment_dir: Path) -> int:
    """How many journals earlier trainings have left in this directory; those in use do not count."""
    left = 0
    with contextlib.suppress(OSError):
        for journal in find_journals(experiment_dir / JOURNALS):
            with journal.held() as is_left:
                left += is_left
    return left


def _begun(folder: Path) -> int:
    """When the first record was made, in milliseconds since the epoch; 0 if there is none that can be read."""
    with contextlib.suppress(OSError):
        return next((line.made for line in LeftJournal(folder).lines()), 0)
    return 0

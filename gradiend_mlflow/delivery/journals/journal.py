"""Journals: the records of one session, kept on disk until MLflow has all of them.

Each has a folder of its own, `<experiment_dir>/.gradiend-mlflow/<key>/`::

    journal.jsonl     a header, then one record per line, in the order in which they were made
    files/            copies of the files to upload
    experiments.json  the names of experiments that were chosen by their ids, once the server has told them
    lock              held by the process that writes or sends the journal; the system frees it when that process dies

Only its user may read it. What others have put into such a folder is read within bounds, line by line, and checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from gradiend_mlflow.delivery.journals.lines import MOST_LINE, Line, read_line, write_line
from gradiend_mlflow.delivery.journals.records import Record, Upload
from gradiend_mlflow.disk.private import make_all_private, make_private, private_folder
from gradiend_mlflow.disk.trees import Found, Walk, open_regular, read_regular
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.secrets import has_secrets, masked, without_secrets
from gradiend_mlflow.store.store import now_ms
from gradiend_mlflow.store.uris import kept_uri
from gradiend_mlflow.untrusted import as_dict, as_int, as_str, parse_json, quoted

FORMAT = 1
_FILE, _LOCK, _EXPERIMENTS = "journal.jsonl", "lock", "experiments.json"
_MOST_HEADER = 2**20  # bytes; also of experiments.json
_MOST_DAMAGED = 100  # lines; what has more is no journal


class JournalFolder:
    """The folder of one journal, whether it is being written or was left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.file = self.folder / _FILE
        self._lock = FileLock(self.folder / _LOCK, thread_local=False, mode=0o600)  # another thread may release it

    @property
    def experiment_dir(self) -> Path:
        """The experiment directory of the training that wrote it."""
        return self.folder.parent.parent

    def exists(self) -> bool:
        """Whether nobody has removed the journal."""
        return os.path.lexists(self.file)

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
        private_folder(self.folder.parent)
        private_folder(self.folder)
        self._files = private_folder(self.folder / "files")
        self._lock.acquire(blocking=False)
        # Without a buffer and without fsync: what is written survives the process, but not a power failure.
        self._stream = self.file.open("ab", buffering=0)
        make_private(self.file)
        header = {
            "format": FORMAT,
            "tracking_uri": kept_uri(tracking_uri),
            **({"shown": masked(tracking_uri)} if has_secrets(tracking_uri) else {}),
            "version": installed_version("gradiend-mlflow"),
        }
        self._write(json.dumps(header).encode() + b"\n")

    def append(self, record: Record) -> None:
        """Write a record; when the call returns, the end of this process cannot lose it."""
        if isinstance(record, Upload) and self._files in record.file.parents:
            make_private(record.file)
        self._write(write_line(record, now_ms(), self.folder))

    def name_experiments(self, names: Mapping[str, str]) -> None:
        """Keep the names of experiments, by id, so that the journal can be sent to another server."""
        new = self.folder / f"{_EXPERIMENTS}.new"
        new.write_text(json.dumps(dict(names)), encoding="utf-8")
        make_private(new)
        new.replace(self.folder / _EXPERIMENTS)

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


@dataclass(frozen=True)
class Header:
    """Where a training logged: the URI without its secrets, and the same for people, with `***` for each secret."""

    tracking_uri: str
    shown_uri: str


class LeftJournal(JournalFolder):
    """A journal that a process has left behind, or still writes; or what somebody has made to look like one.

    While its lines are read, `unreadable` lists the damaged ones with the reason; afterwards `torn` says whether the
    last line was broken off.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.unreadable: list[str] = []
        self.torn = False

    def header(self) -> Header:
        """Where the training logged.

        Raises:
            ValueError: If it is not a journal, or one of another format.
            OSError: If it cannot be read.
        """
        for file in (self.file, self.folder / _LOCK):
            if file.is_symlink():
                raise ValueError(f"{file} is a link, and journals have none")
        with open_regular(self.file) as stream:
            line = stream.readline(_MOST_HEADER)
        try:
            content = as_dict(parse_json(line), "it")
            version = as_int(content.get("format"), "format")
            uri = _as_address(content.get("tracking_uri"), "tracking_uri")
            shown = _as_address(content.get("shown", uri), "shown")
        except ValueError as error:
            raise ValueError(f"{self.file} does not begin as a journal does: {error}") from error
        if version != FORMAT:
            raise ValueError(f"{self.file} has the format {version}; this version reads {FORMAT}")
        return Header(uri, masked(shown if without_secrets(shown) == uri else uri))

    def experiments(self) -> dict[str, str]:
        """The names of experiments by id, as far as they are known."""
        file = self.folder / _EXPERIMENTS
        try:
            names = {} if file.is_symlink() else as_dict(parse_json(read_regular(file, most=_MOST_HEADER)), "it")
            return {key: as_str(name, "a name", most=10_000) for key, name in names.items()}
        except (OSError, ValueError):
            return {}

    def lines(self) -> Iterator[Line]:
        """Its complete lines, read one by one: a journal may be larger than the memory.

        Raises:
            ValueError: If a hundred lines are damaged.
            OSError: If it cannot be read.
        """
        with open_regular(self.file) as stream:
            stream.readline(_MOST_HEADER)
            for number, line in enumerate(_bounded_lines(stream), start=2):
                if line is not None and not line.endswith(b"\n"):
                    self.torn = True
                    return
                try:
                    content = _read(line, self.folder)
                except ValueError as error:
                    self.unreadable.append(f"line {number}: {error}")
                    if len(self.unreadable) == _MOST_DAMAGED:
                        raise ValueError(f"{_MOST_DAMAGED} lines are damaged, such as {self.unreadable[0]}") from error
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
            if exists:
                make_private(self.folder.parent)
                make_all_private(self.folder)
            yield exists
            if not exists:  # another process delivered and removed it after we had found it
                self.remove()


def _as_address(value: Any, name: str) -> str:
    if not as_str(value, name, most=10_000).isprintable():
        raise ValueError(f"{name} has characters that cannot be shown: {quoted(value)}")
    return str(value)


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long, of which no more than that is held in memory."""
    while line := stream.readline(MOST_LINE + 1):
        if len(line) <= MOST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(MOST_LINE)
        yield None


def _read(line: bytes | None, folder: Path) -> Line:
    if line is None:
        raise ValueError(f"it has more than {MOST_LINE:,} bytes")
    return read_line(line, folder)


def find_journals(path: Path, faults: list[Found] | None = None) -> list[LeftJournal]:
    """The journals in a directory and below it, oldest first; `path` may also be a journal's own folder.

    What is a link is no journal. With `faults`, directories that could not be searched are added to it, and links
    where journals should be, each with the reason.
    """
    faults = [] if faults is None else faults
    folders = [path] if path.parent.name == JOURNALS else []
    walk = Walk(path, follow=False)
    for here, below, _ in walk:
        if here.name == JOURNALS:
            folders += [here / name for name in below]
            below.clear()  # what journals contain is not searched
    faults += [*walk.faults, *(found for found in walk.links if found[0].name == JOURNALS)]
    links = [folder for folder in folders if folder.is_symlink() and folder != path]
    faults += [(folder, "it is a link, and no journal") for folder in links]
    found = [LeftJournal(folder) for folder in folders if folder not in links]
    existing = [journal for journal in found if journal.exists()]
    return sorted(existing, key=lambda journal: (_begun(journal.folder), journal.folder))


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
    with contextlib.suppress(OSError, ValueError):
        return next((line.made for line in LeftJournal(folder).lines()), 0)
    return 0

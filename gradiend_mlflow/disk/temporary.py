"""Temporary folders that vanish with their process, however it ends: the next process removes what a killed one left.

Each holds a lock, which the system frees when the process dies. So a folder whose lock is free belongs to nobody.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gradiend_mlflow.disk.private import private_folder

_PREFIX = "gradiend-mlflow-tmp-"
_LOCK = "lock"


class TemporaryFolder:
    """A new, empty, private folder, `path`; removed by `close`, or when it is not used any more.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self) -> None:
        remove_abandoned()
        around, lock = _locked_folder()
        self._close = weakref.finalize(self, _remove, around, lock, os.getpid())
        self.path = private_folder(around / "files")

    def close(self) -> None:
        """Remove it."""
        self._close()


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new, empty, private folder for as long as the block runs."""
    folder = TemporaryFolder()
    try:
        yield folder.path
    finally:
        folder.close()


@functools.cache  # once in a process
def remove_abandoned() -> None:
    """Remove the temporary folders of this user's processes that were killed; nothing else is touched."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        ours = [Path(entry) for entry in entries if entry.name.startswith(_PREFIX) and _is_own_folder(entry)]
        for folder in ours:
            lock = FileLock(folder / _LOCK, thread_local=False, mode=0o600)
            with contextlib.suppress(OSError, Timeout, RecursionError), lock.acquire(blocking=False):
                shutil.rmtree(folder, ignore_errors=True)  # follows no link


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _locked_folder() -> tuple[Path, FileLock]:
    """A new folder, and its lock, held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(folder / _LOCK, thread_local=False, mode=0o600)
        with contextlib.suppress(FileNotFoundError):
            lock.acquire()
            if (folder / _LOCK).exists():
                return folder, lock
        lock.release()  # another process took it for an abandoned one before it was locked


def _remove(folder: Path, lock: FileLock, owner: int) -> None:
    if os.getpid() == owner:  # a forked child shares the folder, but does not own it
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)

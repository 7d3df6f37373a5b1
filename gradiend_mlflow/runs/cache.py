"""Pulled sets, kept on this machine's disk under their SHA-256, so that comparing a run again downloads nothing.

The cache changes nothing but the speed. Every file is verified when it is read, so a damaged one is pulled again.
Files are written under another name and then renamed, so any number of processes and threads may share a folder.
Where nothing can be written, nothing is cached. Only the user may read the files, and enter a folder that holds
nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import time
import uuid
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from gradiend_mlflow.disk.private import make_private, private_folder
from gradiend_mlflow.environment import positive_number
from gradiend_mlflow.errors import InvalidInputError, logger

DIRECTORY_VARIABLE = "GRADIEND_MLFLOW_CACHE"
SIZE_VARIABLE = "GRADIEND_MLFLOW_CACHE_SIZE"
OFF = "off"
_DEFAULT_GIGABYTES = 2.0
# Only such files are read, written or removed, whatever a server calls a digest and whatever else is in the folder.
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEPT = re.compile(r"[0-9a-f]{64}\.parquet")
_PARTIAL = re.compile(r"[0-9a-f]{32}\.partial")
_ABANDONED_SECONDS = 3600.0  # no file takes that long to write


def open_cache(cache: str | PathLike[str] | None) -> Cache:
    """The cache in a directory; "off", in any case of letters, is a cache that keeps nothing.

    None means what GRADIEND_MLFLOW_CACHE says, and the user's cache directory if that is unset or empty.

    Raises:
        InvalidInputError: If `cache` is none of these, or GRADIEND_MLFLOW_CACHE_SIZE is not a positive number.
    """
    if not (cache is None or isinstance(cache, (str, PathLike))):
        raise InvalidInputError(f'cache must be a directory, "{OFF}" or None; got {cache!r}')
    chosen = os.fspath(cache or os.environ.get(DIRECTORY_VARIABLE) or "")
    if chosen.strip().lower() == OFF:
        return Cache(None, 0.0)
    capacity = 1e9 * positive_number(SIZE_VARIABLE, default=_DEFAULT_GIGABYTES, unit="gigabytes")
    return Cache(_directory(chosen) if chosen else _users_folder(), capacity)


class KeptFile(NamedTuple):
    """A file in a cache: when it was last used, in seconds since the epoch; how many bytes it has; where it is."""

    used: float
    size: int
    path: Path


class Cache:
    """Files in a folder, each named after its SHA-256; no method raises if the disk fails.

    Args:
        folder: Where the files are; made when it is first needed. None keeps nothing.
        capacity: How many bytes they may have in total after `trim`.
    """

    def __init__(self, folder: Path | None, capacity: float) -> None:
        self.folder = folder
        self.capacity = capacity
        self._written = False
        self._writable = True
        self._private = False  # whether that has been seen to

    def read(self, digest: str) -> bytes | None:
        """The content with this SHA-256, or None if it is not kept; the file then counts as used now."""
        file = self._file(digest)
        if file is None:
            return None
        self._keep_private()
        with contextlib.suppress(OSError):  # usually because there is no such file
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                with contextlib.suppress(OSError):  # the folder may belong to somebody else
                    os.utime(file)
                return data
            file.unlink()
        return None

    def write(self, digest: str, data: bytes) -> None:
        """Keep a content under its SHA-256; if that fails, warn once and keep nothing."""
        file = self._file(digest)
        if file is None or not self._writable:
            return
        partial = file.with_name(f"{uuid.uuid4().hex}.partial")
        try:
            if not file.parent.exists():
                private_folder(file.parent)
            self._keep_private()
            partial.touch(0o600, exist_ok=False)
            partial.write_bytes(data)
        except OSError as error:
            self._writable = False
            _warn_once(file.parent, str(error.strerror or error))
        else:
            with contextlib.suppress(OSError):  # a directory has its name; other files can still be kept
                partial.replace(file)
                self._written = True
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _keep_private(self) -> None:
        """Once, keep others from reading what is there; a folder that holds other things too stays open to them."""
        if self._private or self.folder is None:
            return
        with contextlib.suppress(OSError):  # it is not there yet
            with os.scandir(self.folder) as entries:
                found = [(Path(entry), _is_ours(entry.name)) for entry in entries]
            for file in [file for file, is_ours in found if is_ours]:
                make_private(file)
            if all(is_ours for _, is_ours in found):
                make_private(self.folder)
            self._private = True

    def trim(self) -> None:
        """Remove the files that were used longest ago until the rest fits, if this cache has written any."""
        if self._written:
            with contextlib.suppress(OSError):  # another process may be removing the same files
                self.shrink(self.capacity)

    def files(self) -> list[KeptFile]:
        """The files that are kept, the one that was used longest ago first.

        Raises:
            OSError: If the folder cannot be read; one that is not there has none.
        """
        try:
            return sorted(_found(self.folder, _KEPT)) if self.folder else []
        except FileNotFoundError:
            return []

    def shrink(self, most: float) -> list[KeptFile]:
        """Remove the files that were used longest ago until the rest has at most so many bytes; returns the removed.

        Raises:
            OSError: If one cannot be removed.
        """
        kept = self.files()
        excess = sum(file.size for file in kept) - most
        removed = []
        for file in kept:
            if excess <= 0:
                break
            file.path.unlink(missing_ok=True)
            removed.append(file)
            excess -= file.size
        for partial in _found(self.folder, _PARTIAL) if kept and self.folder else []:
            if partial.used < time.time() - _ABANDONED_SECONDS:
                partial.path.unlink(missing_ok=True)
        return removed

    def _file(self, digest: str) -> Path | None:
        if self.folder is None or not _DIGEST.fullmatch(digest):
            return None
        return self.folder / f"{digest}.parquet"


def _is_ours(name: str) -> bool:
    return bool(_KEPT.fullmatch(name) or _PARTIAL.fullmatch(name))


def _directory(text: str) -> Path:
    with contextlib.suppress(RuntimeError):  # ~user, where there is no such user
        if "://" not in text and "\0" not in text:
            return Path(text).expanduser()
    raise InvalidInputError(f'cache must be a directory on this machine, "{OFF}" or None; got {text!r}')


def _users_folder() -> Path | None:
    """The user's cache directory for this package; None if the user has no home directory."""
    try:
        folder = user_cache_path("gradiend-mlflow", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older platformdirs do not raise


def _found(folder: Path, name: re.Pattern[str]) -> list[KeptFile]:
    """The files with such a name."""
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)]
        ours = [(entry.stat(), Path(entry)) for entry in files]
    return [KeptFile(status.st_mtime, status.st_size, file) for status, file in ours]


@functools.cache  # once per folder and reason
def _warn_once(folder: Path, reason: str) -> None:
    logger.warning(
        "Pulled sets are not kept: %s cannot be written (%s). Set %s to another directory, or %s=%s for no cache.",
        folder,
        reason,
        DIRECTORY_VARIABLE,
        DIRECTORY_VARIABLE,
        OFF,
    )

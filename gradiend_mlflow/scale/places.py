"""Where many files of one kind lie: a directory, or a prefix in S3. Every file is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pyarrow import fs

from gradiend_mlflow.checks import check_path
from gradiend_mlflow.errors import InvalidInputError, StoreError
from gradiend_mlflow.untrusted import quoted

_S3 = "s3://"
# The first that is set; MLflow's own last, because a dataset may lie elsewhere than the runs' artifacts.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
_CONNECTING, _ANSWERING = 10, 60  # seconds


@dataclass(frozen=True)
class Place:
    """A directory of this machine, or `s3://bucket/prefix`; processes on other machines open it anew by its address.

    Raises:
        StoreError: From every method, if it cannot be read or written; names it.
    """

    uri: str

    @classmethod
    def at(cls, name: str, uri: str | PathLike[str]) -> Place:
        """The place that an argument, which errors call `name`, asks for; a directory as an absolute path.

        Raises:
            InvalidInputError: If it is neither a path nor `s3://bucket/prefix`.
        """
        check_path(name, uri)
        given = os.fspath(uri)
        if given.startswith(_S3):
            address = urlsplit(given)
            if not address.netloc or not address.path.strip("/"):
                raise InvalidInputError(f"{name} must be s3://bucket/prefix; got {quoted(given)}")
            return cls(given.rstrip("/"))
        if "://" in given:
            raise InvalidInputError(f"{name} must be a directory or s3://bucket/prefix; got {quoted(given)}")
        return cls(str(Path(given).expanduser().absolute()))

    def names(self, folder: str) -> list[str]:
        """The Parquet files in and below a folder, by their paths below this place, in order; none if it is not there.

        What a killed process has left unfinished is not among them.
        """
        with self._telling("listed"):
            files, root = self._opened
            found = files.get_file_info(fs.FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True))
        paths = (one.path for one in found if one.type == fs.FileType.File)
        return sorted(path[len(root) + 1 :] for path in paths if path.endswith(".parquet"))

    def has(self, name: str) -> bool:
        """Whether there is a file."""
        with self._telling("asked"):
            files, root = self._opened
            return bool(files.get_file_info(f"{root}/{name}").type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._telling(f"read ({name})"):
            files, root = self._opened
            with files.open_input_file(f"{root}/{name}") as file:
                return bytes(file.read())

    def write(self, name: str, content: Any) -> None:
        """Write a file, in place of what is there; who reads it meanwhile finds one or the other, never half of it."""
        with self._telling(f"written ({name})"):
            files, root = self._opened
            target = f"{root}/{name}"
            if isinstance(files, fs.S3FileSystem):  # where an object is there once it is complete
                with files.open_output_stream(target) as stream:
                    stream.write(content)
                return
            folder = target.rpartition("/")[0]
            files.create_dir(folder)
            partial = f"{folder}/.{secrets.token_hex(8)}.partial"
            with files.open_output_stream(partial) as stream:
                stream.write(content)
            files.move(partial, target)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._telling(f"changed ({name})"):
            files, root = self._opened
            try:
                files.delete_file(f"{root}/{name}")
            except FileNotFoundError:
                return

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from entering the block; in S3, which knows no locks, nobody is kept.

        Raises:
            StoreError: If another process is in it.
        """
        if self.uri.startswith(_S3):
            yield
            return
        with self._telling("written"):
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(Path(self.uri, ".lock"), timeout=0):
                yield
        except Timeout as error:
            raise StoreError(f"{self.uri} is being written by another process; wait until it is done") from error

    @property
    def _opened(self) -> tuple[Any, str]:
        endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
        return _opened(self.uri, endpoint, os.getpid())

    @contextmanager
    def _telling(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error).partition("\n")[0]
            raise StoreError(f"{self.uri} cannot be {action}: {reason}") from error


@lru_cache(maxsize=8)
def _opened(uri: str, endpoint: str | None, pid: int) -> tuple[Any, str]:  # noqa: ARG001  # a fork has its own
    """The file system, and the path in it."""
    if not uri.startswith(_S3):
        return fs.LocalFileSystem(), uri
    limits = {"connect_timeout": _CONNECTING, "request_timeout": _ANSWERING}
    return fs.S3FileSystem(endpoint_override=endpoint, **limits), uri.removeprefix(_S3)

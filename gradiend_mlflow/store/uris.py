"""Tracking URIs: as they are written down, and opened by several processes at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gradiend_mlflow.store.secrets import without_secrets

_SQLITE = "sqlite:///"
_OPENING_SECONDS = 120.0


def kept_uri(uri: str) -> str:
    """The URI as it may be written down: without secrets, and valid in any working directory."""
    if uri.startswith(_SQLITE) and (name := uri.removeprefix(_SQLITE)) and not name.startswith((":", "/")):
        return f"{_SQLITE}{Path(name).resolve()}"
    return without_secrets(uri)


@contextmanager
def opening(uri: str) -> Iterator[None]:
    """If the URI is that of a new sqlite database, let only one process at a time into the block.

    MLflow creates the tables when a database is first opened; processes that do so at the same time crash.
    """
    with contextlib.ExitStack() as stack:
        if uri.startswith(_SQLITE) and ":memory:" not in uri:
            database = Path(uri.removeprefix(_SQLITE))
            lock = database.with_name(f"{database.name}.lock")
            # A database that existed before has no lock beside it, and needs none.
            if lock.exists() or not database.exists():
                with contextlib.suppress(OSError, Timeout):  # where no lock can be made, the database itself fails
                    database.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FileLock(lock, timeout=_OPENING_SECONDS))
        yield

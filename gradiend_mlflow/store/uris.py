"""Tracking URIs: without their password, as they are written down, and opened by several processes at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_SQLITE = "sqlite:///"
_OPENING_SECONDS = 120.0


def without_password(uri: str, instead: str | None = None) -> str:
    """The URI without its password, or with another string `instead` of it."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1@" if instead is None else rf"//\1:{instead}@", uri)


def kept_uri(uri: str) -> str:
    """The URI as it may be written down: without its password, and valid in any working directory."""
    if uri.startswith(_SQLITE) and (name := uri.removeprefix(_SQLITE)) and not name.startswith((":", "/")):
        return f"{_SQLITE}{Path(name).resolve()}"
    return without_password(uri)


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

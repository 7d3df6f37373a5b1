"""Where an MLflow server or database is: as it can be shown, kept for later, and opened by many at once."""

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
    """The URI without its password, or with something `instead` of it."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1@" if instead is None else rf"//\1:{instead}@", uri)


def kept_uri(uri: str) -> str:
    """The URI as it can be written down: without password, and meaning the same in any working directory."""
    if uri.startswith(_SQLITE) and (name := uri.removeprefix(_SQLITE)) and not name.startswith((":", "/")):
        return f"{_SQLITE}{Path(name).resolve()}"
    return without_password(uri)


@contextmanager
def opening(uri: str) -> Iterator[None]:
    """One process at a time within the block, if it is about a sqlite database that is new.

    MLflow makes the tables when a database is first opened; several processes that do so at once crash.
    """
    database = Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) and ":memory:" not in uri else None
    lock = None if database is None else database.with_name(f"{database.name}.lock")
    # A database that was there before has no lock beside it, and needs none.
    if database is None or lock is None or (database.exists() and not lock.exists()):
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, Timeout):  # a folder where no lock can be made is the database's own fault
            database.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(lock, timeout=_OPENING_SECONDS))
        yield

"""Tracking URIs: as they are written down, and opened by several processes at once."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from gradiend_mlflow.store.secrets import MASK, masked, without_secrets

_SQLITE = "sqlite:///"
_DATABASE = re.compile(r"sqlite(?:\+\w+)?:///([^?]+)")  # the path of one
_DATABRICKS = ("databricks", "databricks-uc", "uc")  # the addresses that have no colon, and are no paths
_OPENING_SECONDS = 120.0


def kept_uri(uri: str) -> str:
    """The URI as it may be written down: without secrets, and valid in any working directory."""
    return without_secrets(absolute(uri))


def sync_command(path: Path, uri: str) -> str:
    """The command that sends the journals below a directory to a server; it asks for what is secret in its address."""
    return f"gradiend-mlflow sync {shlex.quote(str(path))} --tracking-uri {shlex.quote(masked(absolute(uri)))}"


def missing_password(uri: str) -> str:
    """What to say beside such a command of the password that is not in it; empty if none is needed.

    Example:
        >>> missing_password("sqlite:///mlflow.db")
        ''
    """
    if MASK in masked(uri):
        return f" (the password is not in it: it asks for what {MASK} stands for)"
    from mlflow.utils.credentials import get_default_host_creds

    known = get_default_host_creds(uri)
    if not uri.startswith("http") or not (known.password or known.token):
        return ""
    return (
        " (the password is not in it: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
        "MLFLOW_TRACKING_TOKEN, as they are here)"
    )


def absolute(uri: str) -> str:
    """The URI, valid in any working directory."""
    if uri.startswith(_SQLITE) and (name := uri.removeprefix(_SQLITE)) and not name.startswith((":", "/")):
        return f"{_SQLITE}{Path(name).resolve()}"
    if uri.startswith("file:") and not uri.startswith("file:/"):
        return f"file://{Path(uri.removeprefix('file:')).resolve()}"
    if uri and ":" not in uri and uri not in _DATABRICKS:
        return str(Path(uri).resolve())
    return uri


def absent_place(uri: str) -> Path | None:
    """Where the database or the folder of a URI would have to be if there is none; None if there is one.

    What is neither - a server, a database in memory - is for MLflow to find.
    """
    database = _database_of(uri)
    if database is not None:
        return None if database.exists() and database.stat().st_size else database
    if uri.startswith("file:") or (uri and ":" not in uri and uri not in _DATABRICKS):
        folder = Path(unquote(absolute(uri).removeprefix("file:").removeprefix("//")))
        return None if folder.exists() else folder
    return None


def _database_of(uri: str) -> Path | None:
    """The file of an sqlite database; None for other addresses, and for one in memory."""
    named = _DATABASE.match(uri)
    if named is None or named[1].startswith(("file:", ":")):
        return None
    # MLflow writes its default with escapes, which it resolves; people write theirs without.
    written, resolved = Path(named[1]).absolute(), Path(unquote(named[1])).absolute()
    return written if written.exists() else resolved


@contextmanager
def opening(uri: str) -> Iterator[None]:
    """If the URI is that of a new sqlite database, let only one process at a time into the block.

    MLflow creates the tables when a database is first opened; processes that do so at the same time crash.
    """
    with contextlib.ExitStack() as stack:
        database = _database_of(uri)
        if database is not None:
            lock = database.with_name(f"{database.name}.lock")
            # A database that existed before has no lock beside it, and needs none.
            if lock.exists() or not database.exists():
                with contextlib.suppress(OSError, Timeout):  # where no lock can be made, the database itself fails
                    database.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FileLock(lock, timeout=_OPENING_SECONDS))
        yield

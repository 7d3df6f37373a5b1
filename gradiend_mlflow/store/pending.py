"""What this process's trainings have said and MLflow has not taken yet: who reads, and who leaves, waits for it."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # see the end of this module
import logging
import math
import os
import shlex
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gradiend_mlflow.errors import InvalidInputError

logger = logging.getLogger("gradiend_mlflow")

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Unsent:
    """Records that did not reach a server: how many, which server, and where they are kept (None: nowhere)."""

    count: int
    server: str
    kept_in: Path | None


class Pending(Protocol):
    """One that delivers in the background."""

    @property
    def deadline(self) -> float:
        """How many seconds to wait for it at most."""

    @property
    def server(self) -> str:
        """Where it delivers to."""

    @property
    def is_closing(self) -> bool:
        """Whether it ends when all is delivered."""

    def wait(self, deadline: float) -> bool:
        """Whether all is delivered within `deadline` seconds; does not wait in vain."""

    def unsent(self) -> Unsent:
        """What is not delivered yet."""


_pending: dict[Pending, None] = {}  # in the order in which they began
_left: list[Unsent] = []  # by those that have ended: what MLflow did not take, or was not there to take


def add(one: Pending) -> None:
    """It has something to deliver."""
    _pending[one] = None


def discard(one: Pending) -> None:
    """It has delivered everything, or cannot."""
    _pending.pop(one, None)


def leave(unsent: Unsent) -> None:
    """It ends, and some of what it had is not delivered."""
    _left.append(unsent)


def flush(deadline: float | None = None) -> bool:
    """Wait until MLflow has taken everything that the trainings of this process have said so far.

    With `autolog` and `MLflowCallback` a training does not wait for MLflow when it ends. This package's functions wait
    before they read, and so does the process before it ends; call this before you read by other ways, such as
    `mlflow.search_runs`. A server that does not answer is not waited for if a journal keeps what it is to be told.

    Args:
        deadline: For how many seconds to wait at most; default the `deadline` that each training was logged with.

    Returns:
        Whether everything is there. It is not if MLflow does not answer in time, or has refused some of it; what a
        journal keeps counts until `sync` has sent it.

    Raises:
        InvalidInputError: If `deadline` is no number of seconds.

    Example:
        >>> flush()
        True
    """
    if deadline is not None and not (isinstance(deadline, (int, float)) and 0 <= deadline < math.inf):
        raise InvalidInputError(f"deadline must be a finite number of seconds, 0 or more; got {deadline!r}")
    begun = time.monotonic()
    through = [
        one.wait(max(0.0, begun + (one.deadline if deadline is None else deadline) - time.monotonic()))
        for one in tuple(_pending)
    ]
    return all(through) and not any(_is_missing(unsent) for unsent in tuple(_left))


def _is_missing(unsent: Unsent) -> bool:
    return unsent.kept_in is None or (unsent.kept_in / JOURNALS).exists()


def wait_for_earlier(one: Pending) -> None:
    """Wait until the trainings that ended before have told the same server everything.

    What is to be recorded from disk may be what one of them still tells: only then can it be found.
    """
    for earlier in tuple(_pending):
        if earlier is one:
            return
        while earlier.is_closing and earlier.server == one.server and earlier in _pending:
            time.sleep(_LOOK_SECONDS)


def say_unsent(unsent: Iterable[Unsent]) -> None:
    """Warn of what was not delivered: once per server, with the command that sends it."""
    by_server: dict[str, list[Unsent]] = defaultdict(list)
    for one in unsent:
        by_server[one.server].append(one)
    for server, some in by_server.items():
        kept = [one for one in some if one.kept_in is not None]
        lost = sum(one.count for one in some if one.kept_in is None)
        if kept:
            commands = [f"gradiend-mlflow sync {shlex.quote(str(folder))}" for folder in _folders(kept)]
            logger.warning(
                "%d records are not in MLflow on %s yet; send them with: %s (to another server: --tracking-uri URI)",
                sum(one.count for one in kept),
                server,
                " && ".join(commands),
            )
        if lost:
            logger.warning(
                "%d records did not reach MLflow on %s before the process ended; they are lost", lost, server
            )


def _folders(kept: Iterable[Unsent]) -> list[Path]:
    """What to sync: the experiment directories, or the folder that several of them lie in."""
    by_parent: dict[Path, set[Path]] = defaultdict(set)
    for one in kept:
        if one.kept_in is not None:
            by_parent[one.kept_in.parent].add(one.kept_in)
    return [parent if len(own) > 1 else next(iter(own)) for parent, own in by_parent.items()]


def _leave() -> None:
    """The process ends: wait once more, and say what is left for `sync`."""
    waiting = tuple(_pending)
    try:
        flush()
    finally:  # also if somebody is tired of waiting
        left = [one for one in waiting if one in _pending]
        say_unsent(one.unsent() for one in left)
        for one in left:
            discard(one)


# Before the thread pools are shut down, with which MLflow uploads to some stores; this runs in processes of
# `multiprocessing` too. And once more when trainings in threads have come to their end. Python calls the last
# registered first, hence the import at the top.
getattr(threading, "_register_atexit", atexit.register)(_leave)
atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pending.clear)  # their threads are not there
    os.register_at_fork(after_in_child=_left.clear)


JOURNALS = ".gradiend-mlflow"  # what MLflow has not been told yet; see journal.py

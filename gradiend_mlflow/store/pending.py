"""Records of this process that MLflow does not have yet: who waits for them, and what is reported of them."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # see the end of this module
import math
import multiprocessing
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gradiend_mlflow.errors import InvalidInputError, logger
from gradiend_mlflow.store.uris import missing_password, sync_command
from gradiend_mlflow.wording import counted

JOURNALS = ".gradiend-mlflow"  # the folder of an experiment directory in which journals keep such records
FOREIGN = (
    "The run belongs to the process from which this one was forked, and what this one adds to it is not logged: "
    "add it there, or fork after the training, when flush() has returned True"
)
POLL_SECONDS = 0.05  # how often a waiting thread checks whether waiting still makes sense


@dataclass(frozen=True)
class Unsent:
    """Records that did not reach a server: how many, which server, and the directory of their journal (None: lost)."""

    count: int
    server: str
    kept_in: Path | None


class BackgroundDelivery(Protocol):
    """Sends records to a server in the background."""

    @property
    def deadline(self) -> float:
        """For how many seconds to wait for it at most."""

    @property
    def server(self) -> str:
        """Where it sends to, without a password."""

    @property
    def is_closing(self) -> bool:
        """Whether it ends when everything is delivered."""

    def wait(self, deadline: float) -> bool:
        """Whether everything is delivered within `deadline` seconds; returns earlier if waiting seems pointless."""

    def unsent(self) -> Unsent:
        """What is not delivered yet."""


_active: dict[BackgroundDelivery, None] = {}  # in the order in which they began
_undelivered: list[Unsent] = []  # what those that have ended could not deliver
_away: set[str] = set()  # servers whose outage was reported
_reported: set[str] = set()  # see `report_foreign`
_unfinished: dict[Callable[[], None], None] = {}  # see `call_at_exit`
_reporting = threading.Lock()


def add(delivery: BackgroundDelivery) -> None:
    """Wait for this delivery from now on."""
    _active[delivery] = None


def discard(delivery: BackgroundDelivery) -> None:
    """Wait for this delivery no longer."""
    _active.pop(delivery, None)


def flush(deadline: float | None = None) -> bool:
    """Wait until MLflow has everything that the trainings of this process have logged so far.

    With `autolog` and `MLflowCallback` a training does not wait for MLflow when it ends. This package's functions wait
    before they read, and so does the process before it ends; call this before you read in other ways, such as with
    `mlflow.search_runs`. It does not wait for a server that does not answer if a journal keeps the records.

    Args:
        deadline: For how many seconds to wait at most; default is the `deadline` that each training was logged with.

    Returns:
        Whether MLflow has everything. It has not if it does not answer in time or has refused some of it; records
        that a journal keeps count as missing until `sync` has sent them.

    Raises:
        InvalidInputError: If `deadline` is not a finite number of seconds, 0 or more.

    Example:
        >>> flush()
        True
    """
    if deadline is not None and not (isinstance(deadline, (int, float)) and 0 <= deadline < math.inf):
        raise InvalidInputError(f"deadline must be a finite number of seconds, 0 or more; got {deadline!r}")
    begun = time.monotonic()
    delivered = [
        delivery.wait(max(0.0, begun + (delivery.deadline if deadline is None else deadline) - time.monotonic()))
        for delivery in tuple(_active)
    ]
    missing = [one for one in _undelivered if one.kept_in is None or (one.kept_in / JOURNALS).exists()]
    return all(delivered) and not missing


def wait_for_earlier(delivery: BackgroundDelivery) -> None:
    """Wait until the trainings that ended before have delivered everything to the same server.

    One of them may still be sending the run of the training that is about to be imported: only afterwards can that run
    be found.
    """
    for earlier in tuple(_active):
        if earlier is delivery:
            return
        while earlier.is_closing and earlier.server == delivery.server and earlier in _active:
            time.sleep(POLL_SECONDS)


def is_expendable() -> bool:
    """Whether this process may be terminated at any time without notice, as those of a `multiprocessing.Pool` are."""
    return multiprocessing.current_process().daemon


def is_worker() -> bool:
    """Whether another process started this one, through `multiprocessing` or joblib.

    It may read what is logged here as soon as it has this one's result, and cannot know what to wait for.
    """
    return multiprocessing.parent_process() is not None


def report(unsent: Iterable[Unsent]) -> None:
    """Warn once per server of what will not be delivered, with the command that sends what is kept; see `flush`."""
    missing = [one for one in unsent if one.count]
    _undelivered.extend(missing)
    warn_of(missing)


def warn_of(unsent: Iterable[Unsent]) -> None:
    """The same for what may be delivered yet, if this process lives on."""
    kept: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    directories: dict[str, set[Path]] = defaultdict(set)
    for one in unsent:
        if one.kept_in is None:
            lost[one.server] += one.count
        else:
            kept[one.server] += one.count
            directories[one.server].add(one.kept_in)
    for server, count in lost.items():
        logger.warning("%s could not be logged to MLflow on %s and are lost", counted(count, "value"), server)
    for server, count in kept.items():
        commands = [sync_command(path, server) for path in joined(directories[server])]
        logger.warning(
            "%s in a journal are not in MLflow on %s yet; send them with: %s%s",
            counted(count, "record"),
            server,
            " && ".join(commands),
            missing_password(server),
        )


def report_foreign() -> None:
    """Warn, once in this process, that something is not logged because its run is the parent process's."""
    with _reporting:
        if FOREIGN in _reported:
            return
        _reported.add(FOREIGN)
    logger.warning(FOREIGN)


def report_outage(server: str, whereabouts: str, reason: object, *, is_store: bool = False) -> None:
    """Warn that a server does not answer, unless that was reported and it has not answered since.

    Args:
        server: The server, without a password.
        whereabouts: Where its records are kept until then, as a part of a sentence.
        reason: Why it seems to be away.
        is_store: Whether it is an artifact store, and not MLflow.
    """
    with _reporting:
        if server in _away:
            return
        _away.add(server)
    logger.warning(
        "%s does not answer; the training goes on, and its records are sent when %s answers; %s. %s",
        f"The artifact store {server}" if is_store else f"MLflow on {server}",
        "it" if is_store else "MLflow",
        whereabouts,
        reason,
    )


def report_recovery(server: str) -> None:
    """Log that a server answers again, if its outage was reported."""
    with _reporting:
        if server not in _away:
            return
        _away.discard(server)
    logger.info("%s answers again; the waiting records are being sent", server)


def joined(directories: Iterable[Path]) -> list[Path]:
    """The directories; those that share a parent are replaced by it."""
    by_parent: dict[Path, list[Path]] = defaultdict(list)
    for directory in directories:
        by_parent[directory.parent].append(directory)
    return [parent if len(inside) > 1 else inside[0] for parent, inside in by_parent.items()]


def call_at_exit(function: Callable[[], None]) -> None:
    """Call it when the process ends, before the last records are waited for."""
    _unfinished[function] = None


def do_not_call_at_exit(function: Callable[[], None]) -> None:
    """Do not call it after all."""
    _unfinished.pop(function, None)


def _finish() -> None:
    for function in reversed(tuple(_unfinished)):
        function()


def _wait_at_exit() -> None:
    """Wait once more when the process ends, and warn of what remains for `sync`."""
    if is_worker():
        _finish()  # such a process ends without calling what `atexit` has
    waiting = tuple(_active)
    try:
        flush()
    finally:  # also when the user interrupts the waiting
        remaining = [delivery for delivery in waiting if delivery in _active]
        report(delivery.unsent() for delivery in remaining)
        for delivery in remaining:
            discard(delivery)


def _begin_anew() -> None:
    """In a forked child, leave to the parent what is the parent's."""
    global _reporting  # noqa: PLW0603  # another thread of the parent may hold the lock
    _reporting = threading.Lock()
    for theirs in (_active, _undelivered, _away, _reported, _unfinished):
        theirs.clear()


# MLflow uploads to some stores with thread pools: wait before Python shuts these down, which also works in processes
# of `multiprocessing`. Wait again when trainings in other threads have ended. Python calls what was registered last
# first, hence the import of concurrent.futures.thread at the top.
getattr(threading, "_register_atexit", atexit.register)(_wait_at_exit)
atexit.register(_wait_at_exit)
atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

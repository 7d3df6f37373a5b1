"""Forks: this package's threads stand still while the process forks.

A forked child has a copy of all memory, but only the thread that forked. A lock that another thread held is never
released in it, a module that another thread was importing stays half imported, and the child takes a transaction of
the parent's for its own. So a fork waits until no thread is `at_work`. It does not wait for the network: a thread that
is `away` holds nothing of that kind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

_LONGEST_HOLD = 10.0  # seconds that a fork waits for work in another thread: enough to create a database


class _Work:
    """What a thread does between two moments at which the process may fork."""

    was_awaited = False  # whether a fork has waited for it in vain; none does so again


class _Gate:
    """Lets threads work, or lets the process fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._forks = 0  # how many threads are about to fork
        self._work: dict[int, _Work] = {}  # by thread

    def enter(self) -> None:
        """Begin to work, once no thread is about to fork."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forks, _LONGEST_HOLD)
            self._work[threading.get_ident()] = _Work()

    def leave(self) -> None:
        """Work no longer."""
        with self._changed:
            self._work.pop(threading.get_ident(), None)
            self._changed.notify_all()

    def is_inside(self) -> bool:
        """Whether this thread works."""
        return threading.get_ident() in self._work

    def close(self) -> None:
        """Wait until the other threads stand still; for work that takes too long, wait once."""
        with self._changed:
            self._forks += 1
            if not self._changed.wait_for(lambda: not self._awaited(), _LONGEST_HOLD):
                for work in self._awaited():
                    work.was_awaited = True

    def _awaited(self) -> list[_Work]:
        own = threading.get_ident()
        return [work for thread, work in self._work.items() if thread != own and not work.was_awaited]

    def open(self) -> None:
        """Let the others go on: the process has forked, or has failed to."""
        with self._changed:
            self._forks = max(0, self._forks - 1)
            self._changed.notify_all()

    def renew(self) -> None:
        """Forget the other threads: the child does not have them."""
        own = self._work.get(threading.get_ident())
        self._changed = threading.Condition()
        self._forks = 0
        self._work = {} if own is None else {threading.get_ident(): own}


_gate = _Gate()


@contextmanager
def at_work() -> Iterator[None]:
    """Within the block this thread may hold what a child must not inherit, so a fork in another thread waits."""
    if _gate.is_inside():
        yield
        return
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


@contextmanager
def away() -> Iterator[None]:
    """Within the block, inside one of `at_work`, this thread only waits for the network: a fork does not wait."""
    if not _gate.is_inside():
        yield
        return
    _gate.leave()
    try:
        yield
    finally:
        _gate.enter()


class ForkAware(Protocol):
    """What is not the same in a forked child."""

    def begin_in_child(self) -> None:
        """In a child that has just been forked: keep what is the child's, and leave the rest to the parent."""


_aware: WeakSet[ForkAware] = WeakSet()


def call_in_child(thing: ForkAware) -> None:
    """Call its `begin_in_child` in every child that is forked from now on, as long as it is there."""
    _aware.add(thing)


def _begin_in_child() -> None:
    _gate.renew()
    for thing in list(_aware):
        thing.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_gate.close, after_in_parent=_gate.open, after_in_child=_begin_in_child)

"""Attempts: one record is sent until the server takes it, or takes everything except it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gradiend_mlflow.delivery.journals.records import Record
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.forks import at_work
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.retries import growing_pauses
from gradiend_mlflow.store.store import Store

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_ATTEMPTS = 3  # then a record is set aside, if the server answers other requests


class Attempts:
    """Sends records, each as often as it takes.

    Args:
        store: Where they are sent.
        sender: Carries them out.
        whereabouts: Says where records are until they are sent, for the warning that the server does not answer.
    """

    def __init__(self, store: Store, sender: Sender, whereabouts: Callable[[], str]) -> None:
        self._store = store
        self._sender = sender
        self._whereabouts = whereabouts
        self._now = threading.Event()

    def hurry(self) -> None:
        """Let the next attempt be made now."""
        self._now.set()

    def deliver(self, record: Record) -> None:
        """Deliver one record; returns when the server has taken it, or takes everything except this one."""
        server = self._store.shown_uri
        for attempt, pause in enumerate(growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE), start=1):
            self._now.clear()
            try:
                with at_work():
                    self._sender.deliver(record)
            except UnavailableError as error:
                if attempt >= _ATTEMPTS and self._sender.is_about_one():
                    self._sender.set_aside(record, error)
                    break
                if attempt >= (_ATTEMPTS if self._store.retries.answered else 2):
                    pending.report_outage(server, self._whereabouts(), error)
            else:
                break
            self._now.wait(pause)
        pending.report_recovery(server)

"""Attempts: one record is sent until the server takes it, or takes everything except it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gradiend_mlflow.delivery.journals.records import DrawPicture, LinkModel, Record, Upload
from gradiend_mlflow.delivery.sender import Sender
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.forks import at_work
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.retries import growing_pauses
from gradiend_mlflow.store.store import Store

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_ATTEMPTS = 3  # then a record is set aside, if the server answers other requests
# Seconds that an artifact store, or a server that takes all but files, has to come back; afterwards what goes
# elsewhere is no longer held up by it.
_STORE_SECONDS = 30.0
_WITH_FILES = (Upload, DrawPicture, LinkModel)
_FILES = "files"  # that go to the server itself


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
        self._given_up: set[str] = set()  # artifact stores, or `_FILES`, that did not come back in that time

    def hurry(self) -> None:
        """Let the next attempt be made now."""
        self._now.set()

    def deliver(self, record: Record) -> None:
        """Deliver one record; returns when the server has taken it, or takes everything except this one."""
        server, since = self._store.shown_uri, time.monotonic()
        places = {server}
        doubted = False
        for attempt, pause in enumerate(growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE), start=1):
            self._now.clear()
            try:
                with at_work():
                    self._sender.deliver(record)
            except UnavailableError as error:
                answered = self._store.retries.answered
                store = error.place or (_FILES if isinstance(record, _WITH_FILES) and not answered else "")
                if self._is_enough(attempt, since, store, answered=answered) and self._sender.is_about_one():
                    if doubted or store != _FILES:
                        self._given_up |= {store} - {""}
                        self._sender.set_aside(record, error)
                        places = {server}
                        break
                    doubted = True  # that it takes none: it may have come back just now
                if attempt >= (_ATTEMPTS if answered else 2):
                    places.add(error.place or server)
                    pending.report_outage(
                        error.place or server, self._whereabouts(), error, is_store=bool(error.place)
                    )
            else:
                if isinstance(record, Upload):
                    self._given_up.clear()
                break
            self._now.wait(pause)
        for place in places:
            pending.report_recovery(place)

    def _is_enough(self, attempt: int, since: float, store: str, *, answered: bool) -> bool:
        """Whether a record has been sent so often that it is set aside, if it is only about it or its store."""
        if not store:
            return answered and attempt >= _ATTEMPTS
        lasting = attempt >= _ATTEMPTS and time.monotonic() - since > _STORE_SECONDS
        return lasting or store in self._given_up

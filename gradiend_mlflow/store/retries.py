"""How long a request to MLflow, or to a place behind it, may take, and when it is repeated.

By default MLflow repeats a request for 246 seconds and draws the pauses from Python's global random generator.
Requests made inside `Retries.used()` follow the limits given here instead; all others stay as MLflow makes them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from requests.utils import super_len

from gradiend_mlflow.environment import positive_number
from gradiend_mlflow.forks import away
from gradiend_mlflow.store.places.faults import TRANSIENT_STATUSES, may_pass, status_of, was_answered
from gradiend_mlflow.store.secrets import secrets_in

DEADLINE_VARIABLE = "GRADIEND_MLFLOW_DEADLINE"
_DEFAULT_DEADLINE = 30.0
_TIMEOUT = 30.0
ITS_OWN_FAULT = 500  # the status of a server that has met a fault of its own, such as a file that is gone
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A request has stalled if it takes longer than this, and three times as long as the slowest one that was answered.
_STALLED_SECONDS = 1.0
_SLOWEST_UPLOAD = 1e6  # bytes per second
# A server that answers with faults has this long to recover before waiting for it seems pointless.
_FAULTY_SECONDS = 2.0

T = TypeVar("T")

current_retries: ContextVar[Retries | None] = ContextVar("gradiend_mlflow_retries", default=None)


def growing_pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait between attempts, without end: each pause is twice the one before, up to the longest.

    Example:
        >>> from itertools import islice
        >>> list(islice(growing_pauses(1, 5), 4))
        [1, 2, 4, 5]
    """
    while True:
        yield first
        first = min(2 * first, longest)


class _Own(threading.local):
    """What a thread knows of its own last call; several may share one connection."""

    transient = False  # whether the last fault may pass
    given_up_after = 0  # how often the last request was made, if that was the reason to give up
    sent: frozenset[str] = frozenset()  # what was secret in the last request
    asked = ""  # the artifact store that was asked last; empty for MLflow
    haste: Haste | None = None


@dataclass(frozen=True)
class Haste:
    """For one of many requests that must not hold up the others: how often it is made, and for how long.

    With `faults_only`, `tries` counts where the server answers with a fault of its own (500), and with nothing else.
    """

    tries: int
    share: float = 1.0  # of the deadline
    faults_only: bool = False


class Retries:
    """The limits of one connection's requests, and how its last requests went.

    Args:
        deadline: For how many seconds a request is repeated while nothing is answered; None makes it once, for a
            caller who repeats it himself.
        timeout: How many seconds one attempt may take; default and maximum are 30.
    """

    def __init__(self, deadline: float | None, timeout: float | None = None) -> None:
        self.answered = True  # whether the last request that failed was answered, if only with a fault
        self._own = _Own()
        self._deadline = deadline
        self._timeout = min(_TIMEOUT, timeout or _TIMEOUT)
        self._unanswered_since: float | None = None
        self._failing_since: float | None = None  # since when every request has failed
        self._begun: float | None = None  # when the request under way was made
        self._allowance = 0.0  # how many seconds it may take before it has stalled
        self._slowest = 0.0  # how many seconds the slowest answered request took

    @contextmanager
    def used(self, haste: Haste | None = None) -> Iterator[None]:
        """Apply these limits to the requests that this thread makes within the block."""
        token = current_retries.set(self)
        own, before = self._own, self._own.haste
        own.transient, own.given_up_after, own.asked = False, 0, ""
        own.haste = haste or before
        try:
            yield
        finally:
            own.haste = before
            current_retries.reset(token)

    def may_pass(self, error: BaseException) -> bool:
        """Whether the same call may work later: nobody was reached, or nobody was able to answer."""
        return self._own.transient or may_pass(error)

    @property
    def explanation(self) -> str:
        """What to add to the reason of a failure: how often or how long it was tried, and how to change that."""
        if self._own.given_up_after:
            return f" (asked {self._own.given_up_after} times)"
        if self._deadline is None or not self._own.transient:
            return ""
        return f" (asked for {self._deadline:g} s; {DEADLINE_VARIABLE} changes that)"

    @property
    def sent(self) -> frozenset[str]:
        """What was secret in this thread's last request."""
        return self._own.sent

    @property
    def asked(self) -> str:
        """The artifact store that this thread has asked last, without secrets; empty if it was MLflow."""
        return self._own.asked

    def note_place(self, place: str, secrets: Iterable[str] = ()) -> None:
        """An artifact store is asked from now on, with these secrets; or MLflow itself, if `place` is empty."""
        self._own.asked = place
        if place:
            self._own.sent = frozenset(secrets)

    @property
    def stalled(self) -> bool:
        """Whether waiting seems pointless: the last request failed, or the current one takes far longer than usual."""
        return self.stalled_for(0.0)

    def stalled_for(self, patience: float) -> bool:
        """The same, if the current request has taken at least `patience` seconds."""
        now = time.monotonic()
        failing, begun = self._failing_since, self._begun
        if failing is not None:
            return not self.answered or now - failing > _FAULTY_SECONDS
        return begun is not None and now - begun > max(self._allowance, patience)

    def forgive(self) -> None:
        """Forget the last failure, so that the next request decides whether waiting seems pointless."""
        self._failing_since = None

    def forget(self) -> None:
        """Forget how the last requests went: they were another process's."""
        self._failing_since = self._unanswered_since = self._begun = None
        self.answered = True

    def request(self, send: Callable[..., Any], *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Make a request with `send` in place of MLflow, and repeat it within the deadline."""
        self.note_place("")
        longest = timeout if timeout and MLFLOW_HTTP_REQUEST_TIMEOUT.is_set() else self._timeout

        def attempt(seconds: float) -> Any:
            try:  # the session's hook reads the answer, within its limits
                response = send(*args, **kwargs | {"timeout": seconds, "stream": True})
            except requests.RequestException as error:
                self._note_sent(error.request)
                raise
            self._note_sent(response.request)
            return response

        with away():
            return self.repeated(
                attempt, longest=longest, size=super_len(kwargs.get("data")), status=lambda answer: answer.status_code
            )

    def repeated(
        self,
        attempt: Callable[[float], T],
        *,
        longest: float | None = None,
        size: int = 0,
        status: Callable[[T], int] = lambda _: 200,
    ) -> T:
        """What an attempt returns, which is made again within the deadline while its faults may pass.

        It is called with the seconds that it may take, at most `longest`, and sends `size` bytes. Its result is a
        fault if the HTTP `status` of it is one; whatever it raises passes through after the last attempt.
        """
        begun = time.monotonic()
        self._unanswered_since = self._unanswered_since or begun
        pauses = growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        tried = 0
        fault: T | None = None
        while True:
            tried += 1
            left = self._seconds_left(begun)
            if left <= 0:
                self._own.transient = True
                raise requests.ConnectTimeout(f"no answer within {self._deadline:g} s ({DEADLINE_VARIABLE})")
            try:
                answer = self._attempt(attempt, min(longest or self._timeout, left), size, status)
            except Exception as error:
                if not may_pass(error):
                    raise
                if self._is_enough(tried, begun, status_of(error)):
                    if fault is None or was_answered(error):
                        raise
                    return fault  # which says more than that the last attempt, in a hurry, got no answer
            else:
                if status(answer) not in TRANSIENT_STATUSES or self._is_enough(tried, begun, status(answer)):
                    return answer
                fault = answer
            # Half of the shortest pause is kept for one last attempt.
            time.sleep(min(next(pauses), self._seconds_left(begun) - _FIRST_PAUSE / 2))

    def bounded(self, attempt: Callable[[float], T]) -> T:
        """What an attempt returns that is made once: a part of something that would have to be repeated as a whole.

        It is called with the seconds that it may take; whatever it raises passes through.
        """
        begun = time.monotonic()
        self._unanswered_since = self._unanswered_since or begun
        return self._attempt(attempt, max(0.0, min(self.patience, self._seconds_left(begun))), 0, lambda _: 200)

    @property
    def patience(self) -> float:
        """How many seconds a part of a request may go without an answer."""
        return self._timeout if self._deadline is None else self._deadline

    def _is_enough(self, tried: int, begun: float, status: int | None) -> bool:
        """Whether a request that has failed so often is not made again."""
        haste = self._own.haste
        if haste is not None and tried >= haste.tries and (status == ITS_OWN_FAULT or not haste.faults_only):
            self._own.given_up_after = tried
            return True
        return self._deadline is None or self._seconds_left(begun) <= _FIRST_PAUSE

    def _seconds_left(self, begun: float) -> float:
        """How long a request that began then may go on; the time that earlier ones went unanswered counts, too."""
        if self._deadline is None:
            return math.inf
        now, haste = time.monotonic(), self._own.haste
        left = self._deadline - (now - min(begun, self._unanswered_since or begun))
        return left if haste is None else min(left, haste.share * self._deadline - (now - begun))

    def _attempt(self, attempt: Callable[[float], T], seconds: float, size: int, status: Callable[[T], int]) -> T:
        begun = self._begun = time.monotonic()
        self._allowance = max(_STALLED_SECONDS, 3 * self._slowest) + size / _SLOWEST_UPLOAD
        try:
            answer = attempt(seconds)
        except Exception as error:
            if may_pass(error):
                self._note_fault(begun, answered=was_answered(error))
            raise
        finally:
            self._begun = None
        if status(answer) in TRANSIENT_STATUSES:
            self._note_fault(begun, answered=True)
        else:
            self._slowest = max(self._slowest, time.monotonic() - begun)
            self._unanswered_since = self._failing_since = None
            self._own.transient = False
        return answer

    def _note_sent(self, request: requests.PreparedRequest | requests.Request | None) -> None:
        if request is not None:
            self._own.sent = secrets_in({name: str(value) for name, value in request.headers.items()})

    def _note_fault(self, begun: float, *, answered: bool) -> None:
        self._failing_since = self._failing_since or begun
        self.answered, self._own.transient = answered, True


def reading_deadline() -> float:
    """For how many seconds a reader waits for a server that does not answer.

    Raises:
        InvalidInputError: If GRADIEND_MLFLOW_DEADLINE is not a positive number.
    """
    return positive_number(DEADLINE_VARIABLE, default=_DEFAULT_DEADLINE, unit="seconds")

"""How long a request to MLflow may take, when it is repeated, and why it failed.

By default MLflow repeats a request for 246 seconds and draws the pauses from Python's global random generator.
Requests made inside `Retries.used()` follow the limits given here instead; all others stay as MLflow makes them.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from requests.utils import super_len

from gradiend_mlflow.environment import positive_number
from gradiend_mlflow.forks import away
from gradiend_mlflow.store.secrets import scrubbed, secrets_in
from gradiend_mlflow.store.trust.answers import Refused
from gradiend_mlflow.untrusted import MOST_QUOTED
from gradiend_mlflow.wording import visible

DEADLINE_VARIABLE = "GRADIEND_MLFLOW_DEADLINE"
_DEFAULT_DEADLINE = 30.0
_TIMEOUT = 30.0
_TRANSIENT_STATUSES = frozenset((408, 429, 500, 502, 503, 504))
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A request has stalled if it takes longer than this, and three times as long as the slowest one that was answered.
_STALLED_SECONDS = 1.0
_SLOWEST_UPLOAD = 1e6  # bytes per second
# A server that answers with faults has this long to recover before waiting for it seems pointless.
_FAULTY_SECONDS = 2.0
_MOST_ERRORS = 50
_MLFLOWS_PREFIX = re.compile(r"API request to \S+ failed with (timeout )?exception ")  # says what was asked

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


class Retries:
    """The limits of one connection's HTTP requests, and how its last requests went.

    Databases that are read without a server make no HTTP requests, so nothing limits them.

    Args:
        deadline: For how many seconds a request is repeated while the server answers nothing; None makes it once, for
            a caller who repeats it himself.
        timeout: How many seconds one attempt may take; default and maximum are 30.
    """

    def __init__(self, deadline: float | None, timeout: float | None = None) -> None:
        self.answered = True  # whether the last request that failed was answered, if only with a fault
        self.sent: frozenset[str] = frozenset()  # what was secret in the last request's headers
        self._deadline = deadline
        self._timeout = min(_TIMEOUT, timeout or _TIMEOUT)
        self._unanswered_since: float | None = None
        self._failing_since: float | None = None  # since when every request has failed
        self._begun: float | None = None  # when the request under way was made
        self._allowance = 0.0  # how many seconds it may take before it has stalled
        self._slowest = 0.0  # how many seconds the slowest answered request took
        self._transient = False  # whether the last fault may pass

    @contextmanager
    def used(self) -> Iterator[None]:
        """Apply these limits to the requests that this thread makes within the block."""
        token = current_retries.set(self)
        self._transient = False
        try:
            yield
        finally:
            current_retries.reset(token)

    def may_pass(self, error: BaseException) -> bool:
        """Whether the same call may work later: the server was not reached, or was not able to answer."""
        return self._transient or _is_lock(error)

    @property
    def explanation(self) -> str:
        """What to add to the reason of a failure: for how long the request was repeated, and how to change that."""
        if self._deadline is None or not self._transient:
            return ""
        return f" (asked for {self._deadline:g} s; {DEADLINE_VARIABLE} changes that)"

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
        with away():
            return self._request(send, *args, timeout=timeout, **kwargs)

    def _request(self, send: Callable[..., Any], *args: Any, timeout: float | None, **kwargs: Any) -> Any:
        longest = timeout if timeout and MLFLOW_HTTP_REQUEST_TIMEOUT.is_set() else self._timeout
        if self._deadline is None:
            return self._attempt(send, *args, timeout=longest, **kwargs)
        begun = time.monotonic()
        self._unanswered_since = self._unanswered_since or begun
        pauses = growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            left = self._seconds_left(begun)
            if left <= 0:
                raise requests.ConnectTimeout(f"no answer within {self._deadline:g} s ({DEADLINE_VARIABLE})")
            try:
                response = self._attempt(send, *args, timeout=min(longest, left), **kwargs)
            except requests.RequestException as error:
                if _is_permanent(error) or self._seconds_left(begun) <= _FIRST_PAUSE:
                    raise
            else:
                if response.status_code not in _TRANSIENT_STATUSES or self._seconds_left(begun) <= _FIRST_PAUSE:
                    return response
            # Half of the shortest pause is kept for one last attempt.
            time.sleep(min(next(pauses), self._seconds_left(begun) - _FIRST_PAUSE / 2))

    def _seconds_left(self, begun: float) -> float:
        """How long a request that began then may go on; the time that earlier ones went unanswered counts, too."""
        deadline = self._deadline or 0.0
        return deadline - (time.monotonic() - min(begun, self._unanswered_since or begun))

    def _attempt(self, send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begun = self._begun = time.monotonic()
        self._allowance = max(_STALLED_SECONDS, 3 * self._slowest) + super_len(kwargs.get("data")) / _SLOWEST_UPLOAD
        try:
            response = send(*args, **kwargs | {"stream": True})  # the session's hook reads it, within its limits
        except requests.RequestException as error:
            self._note_sent(error.request)
            if not _is_permanent(error):
                self._note_fault(begun, answered=False)
            raise
        finally:
            self._begun = None
        self._note_sent(response.request)
        if response.status_code in _TRANSIENT_STATUSES:
            self._note_fault(begun, answered=True)
        else:
            self._slowest = max(self._slowest, time.monotonic() - begun)
            self._unanswered_since = self._failing_since = None
            self._transient = False
        return response

    def _note_sent(self, request: requests.PreparedRequest | requests.Request | None) -> None:
        if request is not None:
            self.sent = secrets_in({name: str(value) for name, value in request.headers.items()})

    def _note_fault(self, begun: float, *, answered: bool) -> None:
        self._failing_since = self._failing_since or begun
        self.answered, self._transient = answered, True


def reading_deadline() -> float:
    """For how many seconds a reader waits for a server that does not answer.

    Raises:
        InvalidInputError: If GRADIEND_MLFLOW_DEADLINE is not a positive number.
    """
    return positive_number(DEADLINE_VARIABLE, default=_DEFAULT_DEADLINE, unit="seconds")


def _is_permanent(error: requests.RequestException) -> bool:
    """Whether the address, a certificate or the answer is wrong, so that the next attempt would fail alike."""
    permanent = isinstance(error, (ValueError, requests.exceptions.SSLError))
    return permanent or any(isinstance(one, Refused) for one in _causes(error))


def _is_lock(error: BaseException) -> bool:
    """Whether a database was locked for longer than MLflow waits, or its server was not reached."""
    may_pass = isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE"
    return may_pass and ("sqlite" not in str(error) or "locked" in str(error))


def reason_of(error: BaseException, uri: str = "", sent: Iterable[str] = ()) -> str:
    """Why a request failed, on one line: the operating system's message, else the error's text without markup.

    MLflow nests the errors of requests, urllib3 and the system in one another, and quotes whole HTML pages. Longer
    texts are cut after 200 characters. The secrets of `uri`, and those that were `sent`, are masked. Control
    characters are escaped.

    Example:
        >>> reason_of(RuntimeError("502: <html><h1>Bad gateway</h1></html>"))
        '502: Bad gateway'
    """
    refusal = next((str(one) for one in _causes(error) if isinstance(one, Refused)), None)
    if refusal is not None:
        return scrubbed(refusal, uri, sent)
    text = _system_message(error) or " ".join(re.sub(r"<[^<>]*>", " ", str(error)).split())
    text = _MLFLOWS_PREFIX.sub("", text)
    text = visible(scrubbed(text, uri, sent))
    return text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 1] + "…"


def _system_message(error: BaseException) -> str | None:
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno is not None and one.strerror:
            return one.strerror if one.filename is None else f"{one.strerror}: {one.filename}"
        if isinstance(one, TimeoutError):
            return "no answer in time"
        if isinstance(one, ConnectionError):  # Python's own, when a server hangs up
            return str(one)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it comes from."""
    waiting, seen = deque([error]), 0
    while waiting and seen < _MOST_ERRORS:  # errors may refer to each other in a circle
        one, seen = waiting.popleft(), seen + 1
        yield one
        # urllib3 passes the system's error on as an argument and raises another one.
        nested = (one.__cause__, one.__context__, *one.args)
        waiting.extend(other for other in nested if isinstance(other, BaseException))

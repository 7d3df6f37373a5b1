"""How long a request to MLflow may take, and what became of the last ones.

MLflow reads its retries from the environment: 246 seconds of them, with pauses drawn from the global random generator.
Requests that are made inside `Retries.used()` obey their own limits instead; all others are left as they are.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException

from gradiend_mlflow.environment import positive_number

DEADLINE_VARIABLE = "GRADIEND_MLFLOW_DEADLINE"
_DEFAULT_DEADLINE = 30.0
_TIMEOUT = 30.0
_MAY_PASS = frozenset((408, 429, 500, 502, 503, 504))
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A request is stalled if it takes longer than that, and thrice as long as the slowest that was answered.
_STALLED_SECONDS = 1.0
_SLOWEST_UPLOAD = 1e6  # bytes per second
# A server that answers, but with faults, has that long to mend.
_FAULTY_SECONDS = 2.0
_HEADERS_SECONDS = 1.0


_current: ContextVar[Retries | None] = ContextVar("gradiend_mlflow_retries", default=None)


class Retries:
    """The limits of one store's requests over HTTP; other stores' calls pass through it unlimited.

    Args:
        deadline: For how many seconds a request is repeated while nothing is answered; None: it is made once, for
            one who repeats by himself.
        timeout: How many seconds one attempt may take at most; 30 by default, and never more.
    """

    def __init__(self, deadline: float | None, timeout: float | None = None) -> None:
        self._deadline = deadline
        self._timeout = min(_TIMEOUT, timeout or _TIMEOUT)
        self._unanswered: float | None = None  # since when nothing has been answered
        self._begun: float | None = None  # when the request under way was made
        self._slowest = 0.0
        self._allowance = 0.0
        self._failing: float | None = None  # since when all requests fail
        self._answered = True  # whether the last request that failed was answered at all
        self._passing = False  # whether the last fault is one that may pass
        self._headers: dict[str, str] = {}
        self._headers_until = 0.0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Requests of this thread obey these limits within the block."""
        token = _current.set(self)
        self._passing = False
        try:
            yield
        finally:
            _current.reset(token)

    def may_pass(self, error: BaseException) -> bool:
        """Whether the same call may work later: the server was not reached, or not up to it."""
        return self._passing or _is_lock(error)

    @property
    def told(self) -> str:
        """What to add to the reason why a request failed: for how long it was made, and what changes that."""
        if self._deadline is None or not self._passing:
            return ""
        return f" (asked for {self._deadline:g} s; {DEADLINE_VARIABLE} changes that)"

    @property
    def answered(self) -> bool:
        """Whether the last request that failed was answered, if only with a fault."""
        return self._answered

    @property
    def stalled(self) -> bool:
        """Whether waiting seems vain: the last request failed, or the one under way takes far longer than others."""
        now = time.monotonic()
        failing, begun = self._failing, self._begun
        if failing is not None:
            return not self._answered or now - failing > _FAULTY_SECONDS
        return begun is not None and now - begun > self._allowance

    def forgive(self) -> None:
        """Judge by the next request, not by the last."""
        self._failing = None

    def headers(self, resolve: Callable[[], dict[str, str]]) -> dict[str, str]:
        """What MLflow's plugins want to be said with a request; they take long, so they are asked once a second."""
        now = time.monotonic()
        if now > self._headers_until:
            self._headers, self._headers_until = resolve(), now + _HEADERS_SECONDS
        return dict(self._headers)

    def request(self, send: Callable[..., Any], *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Make a request with `send`, in MLflow's stead."""
        longest = timeout if timeout and MLFLOW_HTTP_REQUEST_TIMEOUT.is_set() else self._timeout
        if self._deadline is None:
            return self._attempt(send, *args, timeout=longest, **kwargs)
        begun, pause = time.monotonic(), _FIRST_PAUSE
        self._unanswered = self._unanswered or begun
        while True:
            left = self._left(begun)
            if left <= 0:
                raise requests.ConnectTimeout(f"no answer within {self._deadline:g} s ({DEADLINE_VARIABLE})")
            try:
                response = self._attempt(send, *args, timeout=min(longest, left), **kwargs)
            except requests.RequestException as error:
                if _is_lasting(error) or self._left(begun) <= _FIRST_PAUSE:
                    raise
            else:
                if response.status_code not in _MAY_PASS or self._left(begun) <= _FIRST_PAUSE:
                    return response
            # One attempt is left for the end, in half of the shortest pause.
            time.sleep(min(pause, self._left(begun) - _FIRST_PAUSE / 2))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _left(self, begun: float) -> float:
        """How many seconds a request that began then may go on; none if nobody was answered for that long before."""
        deadline = self._deadline or 0.0
        return deadline - (time.monotonic() - min(begun, self._unanswered or begun))

    def _attempt(self, send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begun = self._begun = time.monotonic()
        self._allowance = max(_STALLED_SECONDS, 3 * self._slowest) + _size(kwargs.get("data")) / _SLOWEST_UPLOAD
        try:
            response = send(*args, **kwargs)
        except requests.RequestException as error:
            if not _is_lasting(error):
                self._fault(begun, answered=False)
            raise
        finally:
            self._begun = None
        if response.status_code in _MAY_PASS:
            self._fault(begun, answered=True)
        else:
            self._slowest = max(self._slowest, time.monotonic() - begun)
            self._unanswered = self._failing = None
            self._passing = False
        return response

    def _fault(self, begun: float, *, answered: bool) -> None:
        self._failing = self._failing or begun
        self._answered, self._passing = answered, True


def deadline_of_reading() -> float:
    """How many seconds a server may leave a reader without an answer.

    Raises:
        InvalidInputError: If the environment says no such number.
    """
    return positive_number(DEADLINE_VARIABLE, default=_DEFAULT_DEADLINE, unit="seconds")


def _is_lasting(error: requests.RequestException) -> bool:
    """Whether it is the address that is wrong, or a certificate: the next attempt would end alike."""
    return isinstance(error, (ValueError, requests.exceptions.SSLError))


def _is_lock(error: BaseException) -> bool:
    """Whether a database was locked by another for longer than MLflow waits, or its server was not reached."""
    if not isinstance(error, MlflowException) or error.error_code != "TEMPORARILY_UNAVAILABLE":
        return False
    return "sqlite" not in str(error) or "locked" in str(error)


def _size(body: Any) -> int:
    try:
        return os.fstat(body.fileno()).st_size
    except (AttributeError, OSError, ValueError):
        return len(body) if isinstance(body, bytes) else 0


_LONGEST = 400
_MOST = 50


def reason_of(error: BaseException) -> str:
    """The system's own word where the network failed, else the error's text without markup, on one line, cut.

    MLflow wraps what requests, urllib3 and the system say in one another, and quotes whole pages of HTML.

    Example:
        >>> reason_of(RuntimeError("502: <html><h1>Bad gateway</h1></html>"))
        '502: Bad gateway'
    """
    word = _word_of_the_system(error)
    if word is not None:
        return word
    text = " ".join(re.sub(r"<[^<>]*>", " ", str(error)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _word_of_the_system(error: BaseException) -> str | None:
    waiting, seen = deque([error]), 0
    while waiting and seen < _MOST:  # errors may hold each other
        one, seen = waiting.popleft(), seen + 1
        if isinstance(one, OSError) and one.errno is not None and one.strerror:
            return one.strerror if one.filename is None else f"{one.strerror}: {one.filename}"
        if isinstance(one, TimeoutError):
            return "no answer in time"
        if isinstance(one, ConnectionError):  # Python's own, of a server that hangs up
            return str(one)
        # urllib3 passes the system's error on as an argument, and raises another.
        held = (one.__cause__, one.__context__, *one.args)
        waiting.extend(other for other in held if isinstance(other, BaseException))
    return None

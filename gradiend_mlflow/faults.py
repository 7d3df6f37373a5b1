"""What went wrong at a server, in one line that a person reads to its end."""

from __future__ import annotations

import re
from collections import deque

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

"""What went wrong at a server, in one line that a person reads to its end."""

from __future__ import annotations

import re

_LONGEST = 400
_DEEPEST = 10


def reason_of(error: BaseException) -> str:
    """The system's own word where the network failed, else the error's text without markup, on one line, cut.

    MLflow wraps what requests, urllib3 and the system say in one another, and quotes whole pages of HTML.

    Example:
        >>> reason_of(RuntimeError("502: <html><h1>Bad gateway</h1></html>"))
        '502: Bad gateway'
    """
    system = _system_error(error)
    if system is not None:
        return system
    text = " ".join(re.sub(r"<[^<>]*>", " ", str(error)).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _system_error(error: BaseException) -> str | None:
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            return None
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror if cause.filename is None else f"{cause.strerror}: {cause.filename}"
        cause = cause.__cause__ or cause.__context__
    return None

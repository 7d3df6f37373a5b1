"""How much of a server's answer is read, for how long, and which redirects are followed."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from socket import socket
from typing import Any
from urllib.parse import urljoin

import requests
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from gradiend_mlflow.store.trust.addresses import is_same_server
from gradiend_mlflow.untrusted import MOST_JSON, quoted

_MOST_OF_A_FAULT = 2**20  # bytes of an answer that reports an error
_MOST_HEADERS = 2**21
_PIECE, _BUFFER = 2**18, 2**16
_SLOWEST = 100_000  # bytes per second
_KEEPS_METHOD = (307, 308)

_most: ContextVar[int] = ContextVar("gradiend_mlflow_most_of_an_answer", default=MOST_JSON)


class Refused(requests.RequestException, ValueError):  # noqa: N818  # as a ValueError it is not tried again
    """An answer that is not accepted, whatever it holds."""


@contextmanager
def answers_up_to(most: int) -> Iterator[None]:
    """Read at most so many bytes of each answer in the block, as it is after decompression; by default 64 MB."""
    token = _most.set(most)
    try:
        yield
    finally:
        _most.reset(token)


def limited(session: requests.Session) -> requests.Session:
    """The session, whose answers from now on take no longer than their request's timeout and a second per 100 kB.

    The timeout of requests is one for each piece that arrives: a server that sends a byte now and then never ends.
    """
    adapters: dict[str, Any] = dict(session.adapters)
    for adapter in set(adapters.values()):
        adapter.poolmanager.pool_classes_by_scheme = _POOLS
        adapter.proxy_manager_for = _limited_proxies(adapter.proxy_manager_for)
    session.hooks["response"].append(receive)
    return session


def receive(response: requests.Response, *_: Any, **__: Any) -> None:
    """Check where an answer redirects to, and read its body into memory, as far as is allowed.

    Raises:
        Refused: If it redirects to another server, or in a way that loses the request's body, or is too long.
    """
    _check_redirect(response)
    fault = not response.ok
    most = _MOST_OF_A_FAULT if fault else _most.get()
    promised = response.headers.get("Content-Length", "")
    if not fault and promised.isdecimal() and int(promised[:20]) > most:
        response.close()
        raise _refused(response, f"it announces an answer of {int(promised[:20]):,} bytes; at most {most:,} are read")
    body = io.BytesIO()
    for piece in response.iter_content(_PIECE):
        body.write(piece[: most - body.tell()] if fault else piece)
        if body.tell() > most or (fault and body.tell() == most):
            response.close()
            break
    if body.tell() > most:
        raise _refused(response, f"its answer is longer than {most:,} bytes, and nothing that long is read")
    response._content = body.getvalue()  # noqa: SLF001  # as requests itself does it
    response._content_consumed = True  # noqa: SLF001
    response.encoding = response.encoding or "utf-8"  # else requests guesses, which takes long


def _check_redirect(response: requests.Response) -> None:
    if not response.is_redirect:
        return
    target = urljoin(response.url, response.headers["Location"])
    within = is_same_server(target, response.url)
    if within and (response.request.method in ("GET", "HEAD") or response.status_code in _KEEPS_METHOD):
        return
    response.close()
    raise _refused(
        response,
        f"it redirects to {quoted(target)}, which is not followed"
        + ("" if within else ": a token must not go to another server. If that is its address, use it"),
    )


def _refused(response: requests.Response, reason: str) -> Refused:
    return Refused(reason, request=response.request)


class _Wire(io.RawIOBase):
    """What comes over a socket: for the socket's timeout and a second per 100 kB, and not more than is allowed."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._timeout = connection.gettimeout()
        self._raw = connection.makefile("rb", buffering=0)
        self._end = None if self._timeout is None else time.monotonic() + self._timeout
        self._left = _most.get() + _most.get() // 8 + _MOST_HEADERS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer takes too long")
            self._connection.settimeout(left)
        count = self._raw.readinto(buffer) or 0
        self._left -= count
        if self._left < 0:
            raise Refused("it sends more than was asked for")
        if self._end is not None:
            self._end += count / _SLOWEST
        return count

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):  # the connection may be gone
                self._connection.settimeout(self._timeout)
            self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Wire(sock), _BUFFER)


class _Connection(HTTPConnection):
    response_class = _Response


class _TLSConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


def _limited_proxies(make: Any) -> Any:
    def proxy_manager_for(*args: Any, **kwargs: Any) -> Any:
        manager = make(*args, **kwargs)
        if type(manager) is ProxyManager:  # those of SOCKS have connections of their own
            manager.pool_classes_by_scheme = _POOLS
        return manager

    return proxy_manager_for

"""A real proxy in front of a real MLflow server, which can simulate every fault of a network."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Fault = Callable[[str, str], "int | str | float | tuple[int, bytes] | None"]
HOLE, CUT, LOST = "hole", "cut", "lost"  # never answer; hang up; hang up after the server has done what was asked

_OF_A_CONNECTION = {"connection", "date", "keep-alive", "server", "transfer-encoding"}


class Proxy:
    """Forwards HTTP requests to a server, unless `fault` says otherwise.

    `fault` decides about each request by its method and path: None forwards it, a whole number is the status of the
    answer, a pair its status and content, a fraction the seconds that it is delayed by, or one of HOLE, CUT and LOST.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.fault: Fault = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self._leaving = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.start()
        self.uri = f"http://127.0.0.1:{self._port}"

    _port = 0

    def start(self) -> None:
        """Accept connections; after `stop`, at the same port again."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    proxy._handle(self)
                else:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 50

            def handle_error(self, *_: Any) -> None:
                pass  # clients that leave

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            with suppress(OSError):  # forked children hold it, too
                self._server.socket.shutdown(socket.SHUT_RDWR)
            self._server.server_close()
            self._server = None

    def release(self) -> None:
        """Hang up on the clients that wait for an answer."""
        waiting, self._leaving = self._leaving, threading.Event()
        waiting.set()

    def close(self) -> None:
        """Stop for good."""
        self.release()
        self.stop()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append((request.command, request.path))
        fault = self.fault(request.command, request.path)
        if self._server is None or fault == CUT:  # a kept connection of a server that is down
            request.close_connection = True
        elif fault == HOLE:
            self._leaving.wait()
            request.close_connection = True
        elif isinstance(fault, tuple):
            self._answer(request, *fault, {})
        elif isinstance(fault, int):
            self._answer(request, fault, b"this server has a fault", {})
        else:
            if isinstance(fault, float):
                time.sleep(fault)
            status, headers, content = self._forward(request, body)
            if fault == LOST:
                request.close_connection = True
            else:
                self._answer(request, status, content, headers)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = {name.title(): value for name, value in answer.headers.items() if name.lower() not in _OF_A_CONNECTION}
        return answer.status, kept, content

    def _answer(self, request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


def of_artifacts(method: str, path: str) -> bool:
    """Whether a request concerns artifacts."""
    return re.search(r"mlflow-artifacts", path) is not None

"""A server that speaks MLflow's language and means harm: real HTTP on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = BaseHTTPRequestHandler
Answer = Callable[[Request], None]

RUN_ID = "a" * 32
DIGEST = "0" * 64


def run_of(artifact_uri: str = "mlflow-artifacts:/x", *, run_id: str = RUN_ID, **tags: str) -> dict[str, Any]:
    """A finished training with one set, as MLflow's search answers it; tags with dots replaced by underscores."""
    entry = {"decoder-weight": {"path": "gradiend/topk/decoder-weight.parquet", "sha256": DIGEST, "k": 10}}
    found = {"gradiend.kind": "training", "gradiend.topk": json.dumps(entry)}
    found |= {name.replace("_", ".", 1): value for name, value in tags.items()}
    info = {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_name": "training",
        "experiment_id": "0",
        "status": "FINISHED",
        "start_time": 1_700_000_000_000,
        "end_time": 1_700_000_001_000,
        "artifact_uri": artifact_uri,
        "lifecycle_stage": "active",
    }
    return {"info": info, "data": {"tags": [{"key": key, "value": value} for key, value in found.items()]}}


class HostileServer:
    """Answers as MLflow would, except where `answers` has something else for a part of the path.

    `requests` has the method, the path and the Authorization of every request.
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = [run_of()]
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.leaving = threading.Event()
        hostile = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hostile.requests.append((self.command, self.path, self.headers.get("Authorization")))
                answer = next((one for part, one in hostile.answers.items() if part in self.path), hostile._usual)
                answer(self)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass  # clients that leave

        self._server = Server(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop for good."""
        self.leaving.set()
        self._server.shutdown()
        self._server.server_close()

    def _usual(self, request: Request) -> None:
        experiment = {"experiment_id": "0", "name": "e", "artifact_location": "x", "lifecycle_stage": "active"}
        if "experiments/search" in request.path:
            reply(request, {"experiments": [experiment]})
        elif "runs/search" in request.path:
            reply(request, {"runs": self.runs})
        elif "runs/get" in request.path:
            reply(request, {"run": self.runs[0]})
        else:
            reply(request, {}, status=404)


def reply(request: Request, content: Any, *, status: int = 200, **headers: str) -> None:
    """Answer with JSON, or with bytes as they are; underscores in the names of headers are hyphens."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request.send_response(status)
    for name, value in ({"Content_Length": str(len(body))} | headers).items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def endless(piece: bytes, **headers: str) -> Answer:
    """An answer that repeats a piece for as long as anybody listens."""

    def answer(request: Request) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        while True:
            request.wfile.write(piece)

    return answer


@contextmanager
def hostile_server() -> Iterator[HostileServer]:
    """Such a server for as long as a block runs."""
    server = HostileServer()
    try:
        yield server
    finally:
        server.close()

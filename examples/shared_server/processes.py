"""Servers for as long as a block runs: started, waited for, and ended with everything that they have started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS, STOP_SECONDS = 120, 20


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    ready: Callable[[], bool],
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a folder, with its log there, once `ready` says that it answers; `stop` asks it to end.

    `environment` is all that it gets, by default this process's own. Raises RuntimeError, with the end of the log,
    if it ends by itself or is not ready in two minutes.
    """
    log = folder / "log"
    with log.open("ab") as output:
        # A session of its own, so that Ctrl-C reaches us first, and its workers end with it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{Path(command[0]).name} did not start; the end of its log:\n{tail}")
            time.sleep(0.1)
        yield process
    finally:
        _end(process, stop)


def answers(url: str) -> bool:
    """Whether a server answers a GET request, with whatever status."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    for number in (stop, signal.SIGKILL):
        with suppress(ProcessLookupError):  # the group has the process's id, and lives on while any worker does
            os.killpg(process.pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.05)
    process.wait()

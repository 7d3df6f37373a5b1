"""`mlflow server`: its options say on which database, with which artifact store, and whether with accounts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared_server.processes import answers, free_port, running

# Job execution starts more processes, which only serve what MLflow does for language models.
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def tracking_server(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, workers: int = 2
) -> Iterator[str]:
    """Run `mlflow server` on a free port of the loopback; yields its URL.

    Args:
        folder: Where it runs and writes its log; made if it is not there.
        options: Of `mlflow server`, such as `--backend-store-uri` and its value.
        environment: What it gets besides this process's variables, such as the keys of an artifact store.
        workers: How many processes answer.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with running(
        [*command, "--workers", str(workers), *options],
        folder=folder,
        ready=lambda: answers(f"{url}/health"),
        environment=inherited | SETTINGS | dict(environment or {}),
    ):
        yield url

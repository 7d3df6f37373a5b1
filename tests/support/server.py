"""A real MLflow server for as long as a block runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared_server.tracking_server import tracking_server


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run `mlflow server` on the loopback with its database, artifacts and log in `folder`; yields its URL."""
    options = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    options += ["--artifacts-destination", str(folder / "artifacts")]
    # Each worker takes a while to start.
    with tracking_server(folder, *options, workers=os.cpu_count() or 1) as url:
        yield url

"""An S3-compatible object store: moto's server, which keeps its objects in memory until it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from shared_server.processes import answers, free_port, running

BUCKET = "mlflow"


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    """Run the store with an empty bucket; yields the environment variables by which MLflow and boto3 find it."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    folder.mkdir()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, folder=folder, ready=lambda: answers(endpoint)):
        keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-secret", "AWS_DEFAULT_REGION": "us-east-1"}
        boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region_name=keys["AWS_DEFAULT_REGION"],
        ).create_bucket(Bucket=BUCKET)
        yield {"MLFLOW_S3_ENDPOINT_URL": endpoint, **keys}

"""Pulling sets straight from S3: `python -m benchmarks.buckets [--quick]`; needs boto3 and moto.

Ours pulls the sets of runs that are found already, without a cache; the peer is MLflow's own repository in as many
threads, and the limit a pool of them that calls boto3's `get_object` on one client and reads the answers. S3 is moto's
server in a process of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import posixpath
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

# Read when MLflow is imported or used: nothing leaves the machine.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow import MlflowClient
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from benchmarks.pulling import PART, PATH, STORED, TOPK, random_set
from gradiend_mlflow import WeightSpace, load_topk, search_runs
from tests.support.sets import log_training
from tests.support.synthetic import bert_parameters

_THREADS = 8  # as many as load_topk uses


def run(*, quick: bool) -> Outcome:
    """Time the pulling of 100 runs' sets (quick: 20)."""
    if missing := [name for name in ("boto3", "moto") if importlib.util.find_spec(name) is None]:
        return Outcome([], [f"Sets in S3: not measured, because {' and '.join(missing)} is missing (the extra dev)."])
    import boto3

    from shared_server.s3 import BUCKET
    from shared_server.s3 import s3 as running_s3

    count = 20 if quick else 100
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as name, running_s3(Path(name, "s3")) as settings:
        os.environ.update(settings)
        folder = Path(name)
        progress(f"buckets: logging {count} runs")
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(uri)
        made = client.create_experiment("in S3", artifact_location=f"s3://{BUCKET}/benchmark")
        space = WeightSpace(tuple(bert_parameters()), tuple(bert_parameters().values()), base_model="bert-base")
        for number in range(count):
            log_training(client, folder, random_set(space, number), experiment_id=made)
        frame = search_runs("in S3", tracking_uri=uri)
        s3 = boto3.client("s3", endpoint_url=settings["MLFLOW_S3_ENDPOINT_URL"])
        samples = alternate(
            {
                "ours": lambda: load_topk(frame, part=PART, topk=TOPK, cache="off", tracking_uri=uri),
                "limit": lambda: _in_threads(frame, lambda address: _read(s3, address)),
                "peer": lambda: _in_threads(frame, partial(_download, folder)),
            },
            dict.fromkeys(("ours", "limit", "peer"), 5 if quick else 11),
            partial(_check, frame),
        )
    work = f"pull {count} sets of k = {STORED:,} from S3"
    return Outcome([Row(work, "s", samples)], details={"seconds": samples})


def _in_threads(frame: pd.DataFrame, get: Any) -> list[bytes]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(get, frame["artifact_uri"]))


def _read(s3: Any, artifact_uri: str) -> bytes:
    address = urlsplit(artifact_uri)
    key = posixpath.join(address.path.lstrip("/"), PATH)
    return bytes(s3.get_object(Bucket=address.netloc, Key=key)["Body"].read())


def _download(folder: Path, artifact_uri: str) -> bytes:
    file = folder / urlsplit(artifact_uri).path.replace("/", "-")
    S3ArtifactRepository(artifact_uri)._download_file(PATH, str(file))  # noqa: SLF001  # without a list of the folder
    return file.read_bytes()


def _check(frame: pd.DataFrame, results: Mapping[str, Any]) -> None:
    listed = [sets[PART]["sha256"] for sets in frame["sets"]]
    for name in ("limit", "peer"):
        found = [hashlib.sha256(content).hexdigest() for content in results[name]]
        require(found == listed, f"the {name} did not get the files that were logged")
    require(len(results["ours"]) == len(listed), "ours found another number of sets")


if __name__ == "__main__":
    run_and_report("buckets", [run])

"""Pulling the sets of many runs from an MLflow server: `python -m benchmarks.pulling [--quick]`.

Ours searches the runs and pulls their sets; the peer downloads each run's file by MLflow's public
`download_artifacts`, from run ids that it is given; the limit gets the same bytes by as many concurrent, bare HTTP
requests as ours makes. Cold, the local cache is empty and filled on the way; warm, all sets are in it, and the limit
is reading the files.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
import requests
import urllib3

# Read when MLflow is imported or used: nothing leaves the machine, and nobody pays for progress bars or prints links.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

import mlflow
from mlflow import MlflowClient

from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import TopKSet, WeightSpace, load_topk, load_topk_file, save_topk, search_runs
from gradiend_mlflow.store import tags
from tests.support.server import mlflow_server
from tests.support.synthetic import bert_parameters

STORED = 10_000
TOPK = 1000
PART = "decoder-weight"
PATH = f"{tags.TOPK_FOLDER}/{PART}.parquet"
_EXPERIMENT = "benchmark"
_SEED = 20
_THREADS = 8  # as many as load_topk uses
_UPLOADS = 8
_RUNS_PER_PAGE = 1000
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_ENDPOINTS = (
    "mlflow-artifacts",
    "runs/search",
    "experiments/search",
    "server-info",
    "runs/get",
    "logged-models/search",
)

Indices = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Logged:
    """One logged run: its ids, the digest of its set's file, and the indices of the best weights in it."""

    run_id: str
    url: str
    sha256: str
    size: int
    best: npt.NDArray[np.int64]


def run(*, quick: bool) -> Outcome:
    """Time the pulling of 200 runs' sets (quick: 20)."""
    count = 20 if quick else 200
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        progress("pulling: starting an MLflow server")
        with mlflow_server(Path(folder)) as uri:
            progress(f"pulling: logging {count} runs")
            logged = log_runs(uri, count, Path(folder))
            return _measure(uri, logged, Path(folder, "cache"), quick=quick)


def log_runs(uri: str, count: int, folder: Path) -> list[Logged]:
    """Log runs as `gradiend_mlflow.log_topk` leaves them, each with one set of random weights of a BERT-base."""
    experiment_id = MlflowClient(uri).create_experiment(_EXPERIMENT)
    space = WeightSpace(tuple(bert_parameters()), tuple(bert_parameters().values()), base_model="bert-base")
    with ThreadPoolExecutor(_UPLOADS) as pool:
        return list(pool.map(partial(_log_run, uri, experiment_id, space, folder), range(count)))


def peer(uri: str, run_ids: list[str]) -> Indices:
    """The sets of these runs by MLflow's public way to an artifact, one after the other."""
    found: Indices = {}
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        for run_id in run_ids:
            target = Path(folder) / run_id
            target.mkdir()
            file = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=PATH, dst_path=str(target), tracking_uri=uri
            )
            found[run_id] = load_topk_file(file).top(TOPK).base_global_indices()
    return found


def limit(connections: urllib3.PoolManager, urls: list[str]) -> list[bytes]:
    """The bytes behind these URLs, by concurrent requests over kept connections."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda url: connections.request("GET", url).data, urls))


def limit_of_cache(folder: Path) -> list[bytes]:
    """The bytes of all files in a folder."""
    return [file.read_bytes() for file in folder.iterdir()]


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Count the requests that this process's `requests` sessions send, by endpoint; filled when the block ends."""
    urls: list[str] = []
    counts: Counter[str] = Counter()
    original = requests.Session.send

    def send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        urls.append(str(request.url))
        return original(self, request, **options)

    with patch.object(requests.Session, "send", send):
        yield counts
    counts.update(_endpoint(url) for url in urls)


def _log_run(uri: str, experiment_id: str, space: WeightSpace, folder: Path, number: int) -> Logged:
    client = MlflowClient(uri)
    topk_set = random_set(space, number)
    file = folder / f"run-{number}" / Path(PATH).name
    file.parent.mkdir()
    save_topk(topk_set, file)
    content = file.read_bytes()
    run = client.create_run(experiment_id, run_name=f"run-{number}", tags={tags.KIND: tags.TRAINING})
    run_id = run.info.run_id
    client.log_artifact(run_id, str(file), tags.TOPK_FOLDER)
    digest = hashlib.sha256(content).hexdigest()
    client.set_tag(run_id, tags.TOPK, json.dumps({PART: {"path": PATH, "sha256": digest, "k": STORED}}))
    client.set_terminated(run_id)
    url = f"{uri}{_ARTIFACTS}/{urlsplit(run.info.artifact_uri).path.lstrip('/')}/{PATH}"
    return Logged(run_id, url, digest, len(content), topk_set.top(TOPK).base_global_indices())


def random_set(space: WeightSpace, number: int) -> TopKSet:
    """The set of a run: random weights of the space, with importances and signs."""
    rng = np.random.default_rng([_SEED, number])
    indices = rng.permutation(np.unique(rng.integers(space.size, size=STORED + STORED // 10)))[:STORED]
    importance = np.sort(rng.exponential(size=STORED).astype(np.float32))[::-1]
    signed = importance * rng.choice(np.array([-1, 1], dtype=np.float32), size=STORED)
    return replace(TopKSet.from_indices(indices, space=space, importance=importance), weights=signed[:, None])


class _Discards(logging.Handler):
    """Counts the connections that urllib3 says it discards, because a session's pool is full."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one message; called under the handler's lock."""
        self.count += "discarding connection" in record.getMessage()


@contextmanager
def _counted_discards() -> Iterator[_Discards]:
    """Count discarded connections instead of showing a warning for each."""
    logger = logging.getLogger("urllib3.connectionpool")
    handler, propagates = _Discards(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _measure(uri: str, logged: list[Logged], folder: Path, *, quick: bool) -> Outcome:
    run_ids, urls = [one.run_id for one in logged], [one.url for one in logged]
    connections = urllib3.PoolManager(maxsize=_THREADS, block=True)
    frames: list[pd.DataFrame] = []
    fresh = (folder / f"cold-{number}" for number in itertools.count())
    warm = folder / "warm"

    def pulled(cache: Path) -> dict[str, TopKSet]:
        return load_topk(frames[-1], part=PART, topk=TOPK, cache=cache, tracking_uri=uri)

    with _counted_discards() as discards:
        counts = _count(uri, run_ids, warm)
        limit(connections, urls)  # so that its connections are open, as those of the others are now
        samples = alternate(
            {
                "search": lambda: frames.append(search_runs(_EXPERIMENT, tracking_uri=uri)),
                "cold": lambda: pulled(next(fresh)),
                "limit": lambda: limit(connections, urls),
                "warm": lambda: pulled(warm),
                "limit of cache": lambda: limit_of_cache(warm),
                "bare search": lambda: _bare_search(connections, uri),
                "peer": lambda: peer(uri, run_ids),
            },
            dict.fromkeys(("search", "cold", "limit", "warm", "limit of cache", "bare search"), 3 if quick else 7)
            | {"peer": 1 if quick else 3},
            partial(_check, logged),
        )
    connections.clear()
    notes = [
        *_notes(counts, logged),
        f"Connections that ours opened and could not keep, in {len(samples['cold']) + 1} runs: {discards.count}.",
    ]
    details = {"requests": counts, "seconds": samples, "discarded_connections": discards.count}
    return Outcome(_rows(samples, len(logged)), notes, details)


def _rows(samples: Mapping[str, list[float]], count: int) -> list[Row]:
    def total(*names: str) -> list[float]:
        return [sum(parts) for parts in zip(*(samples[name] for name in names), strict=True)]

    cold, warm, peers = total("search", "cold"), total("search", "warm"), samples["peer"]
    cold_limit, warm_limit = total("bare search", "limit"), total("bare search", "limit of cache")
    return [
        Row(
            f"search {count} runs and pull the top {TOPK} of each",
            "s",
            {"ours": cold, "peer": peers, "limit": cold_limit},
        ),
        Row("the same from the cache; peer: without it", "s", {"ours": warm, "peer": cold, "limit": warm_limit}),
        Row(f"of both: search {count} runs", "s", {"ours": samples["search"], "limit": samples["bare search"]}),
        Row(f"pull {count} sets", "s", {"ours": samples["cold"], "peer": peers, "limit": samples["limit"]}),
        Row(
            "the same from the cache; peer: without it",
            "s",
            {"ours": samples["warm"], "peer": samples["cold"], "limit": samples["limit of cache"]},
        ),
    ]


def _notes(counts: Mapping[str, Mapping[str, int]], logged: list[Logged]) -> list[str]:
    size = sum(one.size for one in logged)
    told = {name: ", ".join(f"{number} {what}" for what, number in found.items()) for name, found in counts.items()}
    return [
        (
            f"Pulling: {len(logged)} files of k = {STORED:,}, {size / len(logged) / 1000:.0f} kB each, "
            f"{_THREADS} threads for ours and the limit; the peer needs no search, its run ids are given."
        ),
        f"HTTP requests of ours: {told['ours']}; from the cache: {told['warm']}; of the peer: {told['peer']}.",
    ]


def _count(uri: str, run_ids: list[str], cache: Path) -> dict[str, dict[str, int]]:
    """One untimed run of ours, filling a cache, and the peer; requests are counted, ours checked to be the fewest."""

    def pull() -> None:
        load_topk(search_runs(_EXPERIMENT, tracking_uri=uri), part=PART, topk=TOPK, cache=cache, tracking_uri=uri)

    with counted_requests() as ours:
        pull()
    with counted_requests() as warm:
        pull()
    with counted_requests() as peers:
        peer(uri, run_ids)
    search = {"runs/search": math.ceil(len(run_ids) / _RUNS_PER_PAGE), "experiments/search": 1}
    expected = {"mlflow-artifacts": len(run_ids), **search}
    require(ours == expected, f"ours should make the requests {expected}; it made {dict(ours)}")
    require(warm == search, f"with all sets in the cache ours should make the requests {search}; it made {dict(warm)}")
    return {"ours": dict(ours), "warm": dict(warm), "peer": dict(peers)}


def _endpoint(url: str) -> str:
    path = urlsplit(url).path
    return next((endpoint for endpoint in _ENDPOINTS if endpoint in path), path)


def _bare_search(connections: urllib3.PoolManager, uri: str) -> list[str]:
    """The requests of `search_runs` without what it makes of the answers; returns the run ids."""
    api = f"{uri}/api/2.0/mlflow"
    named = connections.request("GET", f"{api}/experiments/get-by-name?experiment_name={_EXPERIMENT}").json()
    query: dict[str, Any] = {
        "experiment_ids": [named["experiment"]["experiment_id"]],
        "filter": f"tags.`{tags.KIND}` = '{tags.TRAINING}' AND tags.`{tags.TOPK}` LIKE '{{%'",
        "max_results": _RUNS_PER_PAGE,
        "order_by": ["attributes.start_time ASC"],
    }
    found: list[str] = []
    while True:
        page = connections.request("POST", f"{api}/runs/search", json=query).json()
        found += [entry["info"]["run_id"] for entry in page.get("runs", [])]
        if not page.get("next_page_token"):
            return found
        query["page_token"] = page["next_page_token"]


def _check(logged: list[Logged], results: Mapping[str, Any]) -> None:
    digests = [hashlib.sha256(content).hexdigest() for content in results["limit"]]
    require(digests == [one.sha256 for one in logged], "the limit did not get the files that were logged")
    require(set(results["bare search"]) == {one.run_id for one in logged}, "the bare search missed runs")
    digests = [hashlib.sha256(content).hexdigest() for content in results["limit of cache"]]
    require(sorted(digests) == sorted(one.sha256 for one in logged), "the cache does not hold the files")
    pulled = {
        name: {run_id: topk_set.base_global_indices() for run_id, topk_set in results[name].items()}
        for name in ("cold", "warm")
    }
    for name, found in (*pulled.items(), ("the peer", results.get("peer"))):
        for one in logged if found is not None else ():
            same = np.array_equal(found[one.run_id], one.best)
            require(same, f"{name} did not get the set that was logged to the run {one.run_id}")
        require(found is None or len(found) == len(logged), f"{name} found another number of sets")


if __name__ == "__main__":
    run_and_report("pulling", [run])

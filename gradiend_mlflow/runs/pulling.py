"""Pulling top-k sets out of runs: parallel, verified, without a model or torch."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any, TypeVar

import pandas as pd

from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError, StoreError
from gradiend_mlflow.runs.cache import Cache, open_cache
from gradiend_mlflow.runs.search import PARALLEL_REQUESTS, attempt, complete_frame, successes
from gradiend_mlflow.sets.artifact import parse_topk
from gradiend_mlflow.sets.parts import check_part, check_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import Reader

# Only paths of this form are fetched: a server must not be able to point a client at other files.
_SET_PATH = re.compile(rf"{tags.TOPK_FOLDER}/[A-Za-z0-9._-]+\.parquet")
_AHEAD = 4 * PARALLEL_REQUESTS  # files that may wait in memory

T = TypeVar("T")
R = TypeVar("R")


def load_topk(
    runs: Sequence[str] | pd.DataFrame,
    *,
    part: str = "decoder-weight",
    topk: float = 1000,
    cache: str | PathLike[str] | None = None,
    tracking_uri: str | None = None,
) -> dict[str, TopKSet]:
    """Pull one top-k set per run straight from the runs' artifacts, in parallel, each verified by its SHA-256.

    Args:
        runs: MLflow run ids, or rows of `search_runs` (which saves a request per run).
        part: Which of gradiend's four importances.
        topk: How many weights, or which fraction of each run's own input_dim.
        cache: The directory where pulled files are kept, or "off"; default what the environment's
            GRADIEND_MLFLOW_CACHE says, else the user's cache directory. What was used longest ago is removed from it
            beyond GRADIEND_MLFLOW_CACHE_SIZE gigabytes (default 2).
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The set of each run by MLflow run id, in the order of `runs`, cut to `topk`.

    Raises:
        StoreError: If a run is missing, has no such part, or cannot be downloaded.
        ArtifactError: If a set's file is damaged or is not the one that was logged.
        InvalidInputError: If `part` or `topk` is not acceptable, or a run kept fewer weights than `topk` asks for.
            An error about several runs names them, up to 20.
    """
    part, topk = check_part(part), check_topk(topk)
    runs = complete_frame(runs, tracking_uri=tracking_uri)
    pulled = pull_sets(runs, part=part, topk=topk, cache=cache, tracking_uri=tracking_uri)
    return successes(list(runs["run_id"]), pulled, "have no usable set")


def pull_sets(
    runs: pd.DataFrame, *, part: str, topk: float | None, cache: str | PathLike[str] | None, tracking_uri: str | None
) -> list[TopKSet | GradiendMLflowError]:
    """The set of each run or the error that it comes to, in the order of `runs`, rows of `search_runs`.

    `topk` None means all the weights that were logged.
    """
    store, kept = Reader(tracking_uri), open_cache(cache)

    def from_cache(artifact_uri: str, sets: Mapping[str, Any]) -> TopKSet | _Source:
        source = _source_of(artifact_uri, sets, part)
        data = kept.read(source.sha256)
        return source if data is None else parse_topk(data, origin=source.path, topk=topk)

    found = [attempt(partial(from_cache, *run)) for run in zip(runs["artifact_uri"], runs["sets"], strict=True)]
    # Only the downloads are in threads: at the rest, which is Python's own work, they would get into each other's way.
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        contents = _ahead(pool, partial(_downloaded, store, kept), [one for one in found if isinstance(one, _Source)])

        def from_store(source: _Source) -> TopKSet:
            return parse_topk(next(contents).result(), origin=source.path, topk=topk)

        complete = [attempt(partial(from_store, one)) if isinstance(one, _Source) else one for one in found]
    kept.trim()
    return complete


@dataclass(frozen=True)
class _Source:
    """Where a run's set lies, and what it is called in the cache."""

    artifact_uri: str
    path: str
    sha256: str


def _source_of(artifact_uri: str, sets: Mapping[str, Mapping[str, Any]], part: str) -> _Source:
    """Where the run's set of a part lies.

    Raises:
        StoreError: If it has none.
        ArtifactError: If it names something else.
    """
    if part not in sets:
        parts = ", ".join(sets) or "none"
        raise StoreError(
            f"it has no set of the part {part!r} (it has: {parts}). Compare another part, leave this run out, or, if "
            "its GRADIEND has that part, log it: log_topk(checkpoint, run_id=...)"
        )
    path, sha256 = sets[part]["path"], sets[part]["sha256"]
    if not _SET_PATH.fullmatch(path):
        raise ArtifactError(f"its tag {tags.TOPK} names a path that is not a set's: {path!r}")
    return _Source(artifact_uri, path, sha256)


def _ahead(pool: Executor, action: Callable[[T], R], items: Sequence[T]) -> Iterator[Future[R]]:
    """What becomes of each item, in their order; few at a time, as results that wait to be taken need memory."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(action, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting


def _downloaded(store: Reader, cache: Cache, source: _Source) -> bytes:
    data = store.fetch(source.artifact_uri, source.path, sha256=source.sha256)
    cache.write(source.sha256, data)
    return data

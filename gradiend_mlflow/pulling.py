"""Pulling top-k sets out of runs: parallel, verified, without a model or torch."""

from __future__ import annotations

import hashlib
import re
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import parse_topk
from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError, StoreError
from gradiend_mlflow.parts import check_part, check_topk
from gradiend_mlflow.runs import PARALLEL_REQUESTS, attempt, complete_frame, successes
from gradiend_mlflow.store import Store
from gradiend_mlflow.topk import TopKSet

# Only paths of this form are fetched: a server must not be able to point a client at other files.
_SET_PATH = re.compile(rf"{tags.TOPK_FOLDER}/[A-Za-z0-9._-]+\.parquet")


def load_topk(
    runs: Sequence[str] | pd.DataFrame,
    *,
    part: str = "decoder-weight",
    topk: float = 1000,
    tracking_uri: str | None = None,
) -> dict[str, TopKSet]:
    """Pull one top-k set per run straight from the runs' artifacts, in parallel, each verified by its SHA-256.

    Args:
        runs: MLflow run ids, or rows of `search_runs` (which saves a request per run).
        part: Which of gradiend's four importances.
        topk: How many weights, or which fraction of each run's own input_dim.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The set of each run by MLflow run id, in the order of `runs`, cut to `topk`.

    Raises:
        StoreError: If a run is missing, has no such part, or cannot be downloaded.
        ArtifactError: If a set's file is damaged or is not the one that was logged.
        InvalidInputError: If `part` or `topk` is not acceptable, or a run kept fewer weights than `topk` asks for.
            An error about several runs names all of them.
    """
    part, topk = check_part(part), check_topk(topk)
    runs = complete_frame(runs, tracking_uri=tracking_uri)
    pulled = pull_sets(runs, part=part, topk=topk, tracking_uri=tracking_uri)
    return successes(list(runs["run_id"]), pulled, "have no usable set")


def pull_sets(
    runs: pd.DataFrame, *, part: str, topk: float | None, tracking_uri: str | None
) -> list[TopKSet | GradiendMLflowError]:
    """The set of each run or the error that it comes to, in the order of `runs`, rows of `search_runs`.

    `topk` None means all the weights that were logged.
    """
    store = Store(tracking_uri)
    sources = [
        _Source(run_id, artifact_uri, sets.get(part), tuple(sets))
        for run_id, artifact_uri, sets in zip(runs["run_id"], runs["artifact_uri"], runs["sets"], strict=True)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder,
        ThreadPoolExecutor(PARALLEL_REQUESTS) as pool,
    ):

        def pulled(source: _Source) -> TopKSet:
            whole = _pull(store, source, part, Path(folder))
            return whole if topk is None else whole.top(topk)

        return list(pool.map(lambda source: attempt(lambda: pulled(source)), sources))


@dataclass(frozen=True)
class _Source:
    """Where a run's set of the wanted part lies; `entry` is None where it has none."""

    run_id: str
    artifact_uri: str
    entry: Mapping[str, Any] | None
    parts: tuple[str, ...]


def _pull(store: Store, source: _Source, part: str, folder: Path) -> TopKSet:
    entry = source.entry
    if entry is None:
        parts = ", ".join(source.parts) or "none"
        raise StoreError(
            f"it has no set of the part {part!r} (it has: {parts}). Compare another part, leave this run out, or, if "
            "its GRADIEND has that part, log it: log_topk(checkpoint, run_id=...)"
        )
    if not _SET_PATH.fullmatch(entry["path"]):
        raise ArtifactError(f"its tag {tags.TOPK} names a path that is not a set's: {entry['path']!r}")
    file = folder / f"{uuid.uuid4().hex}.parquet"  # not named after anything that the server says
    store.download(source.artifact_uri, entry["path"], file)
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise ArtifactError(
            f"{entry['path']} is not the file that was logged: its SHA-256 is {digest[:12]}…, "
            f"the run says {entry['sha256'][:12]}…"
        )
    return parse_topk(data, origin=entry["path"])

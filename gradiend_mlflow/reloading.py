"""A logged comparison, back from its run."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pandas as pd
from mlflow.entities import Run

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import parse_topk
from gradiend_mlflow.choosing import Skipped
from gradiend_mlflow.comparison import Comparison
from gradiend_mlflow.comparison_files import FACTS, FORMAT, SETS, set_name
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.overlap import compute_overlap
from gradiend_mlflow.seeds import SeedOverlap, SeedPolicy
from gradiend_mlflow.store import Store
from gradiend_mlflow.topk import TopKSet

_TYPES = {"seed": "Int64", "correlation": "float64", "k": "int64", "start_time": "datetime64[ms, UTC]"}


def load_comparison(run_id: str, *, tracking_uri: str | None = None) -> Comparison:
    """Load a logged comparison from its own run; the runs that it compares need not exist any more.

    The comparison holds the sets as they were compared, so it answers whatever one of `compare` does - every measure,
    chance, layers, shared weights, tables, figures - with the same numbers. What it does not have are weights beyond
    the compared `topk`: `stored` is `sets`, and `overlap_curve` ends there.

    Args:
        run_id: MLflow's id of the comparison's run, `comparison.run_id`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Raises:
        InvalidInputError: If the run is no comparison, or was not completed.
        StoreError: If the run does not exist or MLflow cannot be reached.
        ArtifactError: If its files are damaged or not those that were logged.

    Example:
        ::

            load_comparison(run_id).matrix
    """
    store = Store(tracking_uri)
    run = store.run(run_id)
    if run.data.tags.get(tags.KIND) != tags.COMPARISON:
        raise InvalidInputError(f"the run {run_id} is no comparison")
    facts, archive = fetch_files(store, run)
    return _rebuilt(facts, _read_sets(archive, facts["labels"]), run_id)


def fetch_files(store: Store, run: Run) -> tuple[dict[str, Any], bytes]:
    """What a comparison's run keeps to be loaded from: the content of comparison.json, and sets.zip; both verified.

    Raises:
        InvalidInputError, StoreError, ArtifactError: As `load_comparison`.
    """
    digest = run.data.tags.get(tags.COMPARISON_SHA256)
    if digest is None:
        raise InvalidInputError(
            f"the comparison {run.info.run_id} was not completed, or by a version that kept no sets"
        )
    facts = json.loads(_fetched(store, run.info.artifact_uri, FACTS, digest))
    if facts["format"] != FORMAT:
        raise ArtifactError(f"{FACTS} is of the format {facts['format']}; this version reads {FORMAT}")
    return facts, _fetched(store, run.info.artifact_uri, SETS, facts["sets_sha256"])


def _fetched(store: Store, artifact_uri: str, name: str, digest: str) -> bytes:
    data = store.fetch(artifact_uri, name)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ArtifactError(
            f"{name} is not the file that was logged: its SHA-256 is {found[:12]}…, not {digest[:12]}…"
        )
    return data


def _read_sets(archive: bytes, labels: list[str]) -> dict[str, TopKSet]:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return {
            label: parse_topk(files.read(set_name(row)), origin=f"{SETS}, {label}") for row, label in enumerate(labels)
        }


def _rebuilt(facts: dict[str, Any], sets: dict[str, TopKSet], run_id: str) -> Comparison:
    overlap = compute_overlap(sets, rbo_p=facts["rbo_p"])
    seed_overlap = None
    if "seeds" in facts:
        policy = {key: value for key, value in facts["seeds"].items() if key not in ("labels", "members")}
        members = tuple(tuple(rows) for rows in facts["seeds"]["members"])
        seed_overlap = SeedOverlap(tuple(facts["seeds"]["labels"]), overlap, members, SeedPolicy(**policy))
    return Comparison(
        overlap=overlap,
        sets=sets,
        stored=sets,
        runs=_runs(facts["runs"]),
        part=facts["part"],
        topk=facts["topk"],
        value=facts["value"],
        seed_overlap=seed_overlap,
        groups=facts["groups"],
        skipped=tuple(Skipped(**run) for run in facts["skipped"]),
        notes=tuple(facts["notes"]),
        run_id=run_id,
    )


def _runs(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The frame of `Comparison.runs`, with the types that `search_runs` gives it."""
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "sha256"} for row in rows], dtype=object)
    for column in ("target_classes", "parts"):
        frame[column] = frame[column].map(lambda value: value if value is None else tuple(value))
    frame["start_time"] = pd.to_datetime(frame["start_time"], format="ISO8601")
    return frame.astype(_TYPES)

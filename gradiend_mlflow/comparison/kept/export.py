"""`export_run`: all that is known of a training or a comparison, as files that need no MLflow."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from gradiend_mlflow.checks import check_path
from gradiend_mlflow.comparison.files import written_files
from gradiend_mlflow.comparison.kept.load import comparison_of
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.runs.cache import open_cache
from gradiend_mlflow.runs.named import find_run
from gradiend_mlflow.runs.pulling import file_of
from gradiend_mlflow.runs.search import time_of
from gradiend_mlflow.sets.artifact import parse_topk, save_topk
from gradiend_mlflow.sets.picture import save_picture
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.wording import csv_of

_SETS_FOLDER = "topk"


def export_run(
    run: Any, path: str | PathLike[str], *, cache: str | PathLike[str] | None = None, tracking_uri: str | None = None
) -> list[Path]:
    """Write a training or a comparison into a directory, as files that anything can read.

    Everything is verified before it is written: sets are those that were logged, by their SHA-256, and a comparison's
    tables, report and figures are made anew from its sets.

    Args:
        run: MLflow's id, a name that one run has, or a row with a `run_id`.
        path: The directory, made if needed; it must be empty.
        cache: Where pulled sets are kept, as for `load_topk`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The files, sorted. Of a training, a seed or a suite: run.json (params, latest metrics, tags, times),
        metrics.csv (each value of each step), topk/<part>.parquet (as logged) and topk/<part>.csv (a row per weight),
        topk_layers.png. Of a comparison: comparison.json, matrix.csv, pairs.csv (all pairs), runs.csv, report.html,
        each figure as PNG and PDF, sets.zip, and topk/<number>_<label>.parquet.

    Raises:
        InvalidInputError: If the directory is not empty, or cannot be written; if several runs have that name.
        StoreError: If there is no such run, a file cannot be downloaded, or MLflow cannot be reached.
        ArtifactError: If a file is damaged, or not the one that was logged.

    Example:
        ::

            export_run("3SG_3PL", "3SG_3PL/")
    """
    check_path("path", path)
    folder = Path(path)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInputError(f"export needs an empty directory; {folder} is {_what_is_there(folder)}")
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {error.strerror}") from error
    store = Reader(tracking_uri)
    found = find_run(store, run)
    writing = _comparison_files(store, found) if _is_comparison(found) else _run_files(store, found, cache)
    try:
        (folder / _SETS_FOLDER).mkdir(parents=True)
        writing(folder)
        if not any((folder / _SETS_FOLDER).iterdir()):
            (folder / _SETS_FOLDER).rmdir()
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be written: {error.strerror}") from error
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _what_is_there(folder: Path) -> str:
    return "not empty" if folder.is_dir() else "a file"


def _is_comparison(run: LoggedRun) -> bool:
    return run.tags.get(tags.KIND) == tags.COMPARISON


def _comparison_files(store: Reader, run: LoggedRun) -> Any:
    comparison = comparison_of(store, run)

    def write(folder: Path) -> None:
        list(written_files(comparison, folder))
        comparison.to_csv("pairs", path=folder / "pairs.csv")
        for number, (label, topk_set) in enumerate(comparison.sets.items()):
            save_topk(topk_set, folder / _SETS_FOLDER / f"{number:04d}_{_file_name(label)}.parquet")

    return write


def _run_files(store: Reader, run: LoggedRun, cache: str | PathLike[str] | None) -> Any:
    contents, sets = _sets(store, run, cache)
    history = [
        (metric, step, value)
        for metric in sorted(run.metrics)
        for step, value in store.metric_history(run.run_id, metric).items()
    ]

    def write(folder: Path) -> None:
        facts = json.dumps(_facts(run), indent=2, ensure_ascii=False)
        (folder / "run.json").write_text(facts, encoding="utf-8", errors="backslashreplace")
        _write_table(pd.DataFrame(history, columns=["metric", "step", "value"]), folder / "metrics.csv")
        for part, topk_set in sets.items():
            (folder / _SETS_FOLDER / f"{part}.parquet").write_bytes(contents[part])
            _write_table(topk_set.to_frame(), folder / _SETS_FOLDER / f"{part}.csv")
        if sets:
            save_picture(sets, folder)

    return write


def _sets(
    store: Reader, run: LoggedRun, cache: str | PathLike[str] | None
) -> tuple[dict[str, bytes], dict[str, TopKSet]]:
    """The file of each part of a run, and the set that it holds."""
    kept, listed = open_cache(cache), tags.sets_of(run.tags)
    damage = tags.damage_of_sets(run.tags)
    if damage is not None:
        raise ArtifactError(f"the run {run.run_id}: its tag {tags.TOPK} cannot be read: {damage}")
    contents, sets = {}, {}
    for part in listed:
        file = file_of(run.artifact_uri, listed, run.tags, part)
        data = kept.read(file.sha256)
        if data is None:
            data = store.fetch(file.artifact_uri, file.path, sha256=file.sha256, most=file.most)
            kept.write(file.sha256, data)
        name = _file_name(part)
        contents[name], sets[name] = data, parse_topk(data, origin=file.path)
    kept.trim()
    return contents, sets


def _facts(run: LoggedRun) -> dict[str, Any]:
    times = {"start_time": time_of(run.start_time), "end_time": time_of(run.end_time)}
    return {
        "run_id": run.run_id,
        "run_name": run.name,
        "status": run.status,
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
        "params": dict(run.params),
        # JSON knows neither NaN nor infinity.
        "metrics": {key: value if abs(value) < float("inf") else str(value) for key, value in run.metrics.items()},
        "tags": dict(run.tags),
    }


def _write_table(frame: pd.DataFrame, file: Path) -> None:
    file.write_text(csv_of(frame), encoding="utf-8", errors="backslashreplace", newline="")


def _file_name(label: str) -> str:
    """A label as part of a file's name on any system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", label)[:80]

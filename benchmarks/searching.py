"""Finding many runs: `python -m benchmarks.searching [--quick]`.

The runs are rows that are written straight into an MLflow database, copies of one that was logged: 40 params, 10 tags
and 12 metrics each. Ours is `search_runs`; the peer is MLflow's own frame, asked the same question; the limit is
reading the same rows by bare SQL.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

# Read when MLflow is imported or used.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import PARTS, search_runs
from gradiend_mlflow.store import tags

_EXPERIMENT = "benchmark"
_TABLES = ("runs", "tags", "params", "latest_metrics")
_PARAMS, _TAGS, _METRICS = 40, 8, 12
_QUESTION = f"tags.`{tags.KIND}` = '{tags.TRAINING}' AND tags.`{tags.TOPK}` LIKE '{{%'"  # as `search_runs` has it


def run(*, quick: bool) -> Outcome:
    """Time the search for 10,000 runs (quick: 500), and one that finds none of them."""
    number = 500 if quick else 10_000
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        progress(f"searching: writing {number} runs")
        database = Path(folder, "mlflow.db")
        fill(database, number)
        uri = f"sqlite:///{database}"

        def check(results: Mapping[str, Any]) -> None:
            found = set(results["ours"]["run_id"])
            require(len(found) == number and set(results["limit"]) == found, "the search missed runs")
            require("peer" not in results or set(results["peer"]["run_id"]) == found, "MLflow found other runs")

        all_of_them = alternate(
            {
                "ours": lambda: search_runs(_EXPERIMENT, tracking_uri=uri),
                "limit": lambda: _rows(database),
                "peer": lambda: _peer(uri, number),
            },
            dict.fromkeys(("ours", "limit", "peer"), 3 if quick else 2),
            check,
        )
        none_of_them = alternate(
            {"ours": lambda: search_runs(_EXPERIMENT, filter_string="params.`param 1` = 'none'", tracking_uri=uri)},
            {"ours": 3},
            lambda results: require(results["ours"].empty, "the search should find nothing"),
        )
        size = database.stat().st_size
    rows = [
        Row(f"search_runs, {number:,} runs in sqlite; peer: mlflow.search_runs", "s", all_of_them),
        Row("a filter that none of them fulfils", "s", none_of_them),
    ]
    note = f"Searching: pages of 1000 runs, {size / number / 1e3:.1f} kB of database a run; the limit is bare SQL."
    return Outcome(rows, [note])


def fill(database: Path, number: int, *, params: int = _PARAMS, experiments: int = 1) -> None:
    """Make a database with so many runs, each with the tag of four sets, in one experiment or evenly in several."""
    client = MlflowClient(f"sqlite:///{database}")
    where = (database.parent / "runs").as_uri()
    experiment_id = client.create_experiment(_EXPERIMENT, artifact_location=where)
    others = [client.create_experiment(f"other {index}", artifact_location=where) for index in range(experiments - 1)]
    run_id = client.create_run(experiment_id, run_name="run").info.run_id
    sets = {part: {"path": f"{tags.TOPK_FOLDER}/{part}.parquet", "sha256": "0" * 64, "k": 10_000} for part in PARTS}
    client.log_batch(
        run_id,
        [Metric(f"metric {index}", index, 0, 1) for index in range(_METRICS)],
        [Param(f"param {index}", f"{index}") for index in range(params)],
        [RunTag(tags.KIND, tags.TRAINING), RunTag(tags.TOPK, json.dumps(sets))]
        + [RunTag(f"gradiend.tag_{index}", f"{index}") for index in range(_TAGS)],
    )
    client.update_run(run_id, status="FINISHED")
    copies = [uuid.uuid4().hex for _ in range(number - 1)]
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in _TABLES:
            cursor = connection.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run_id,))  # ours
            at = [column[0] for column in cursor.description].index("run_uuid")
            rows = cursor.fetchall()
            connection.executemany(
                f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})",
                ((*row[:at], copy, *row[at + 1 :]) for copy in copies for row in rows),
            )
        for index, other in enumerate(others):
            share = copies[index :: len(others) + 1]
            connection.executemany(
                "UPDATE runs SET experiment_id = ? WHERE run_uuid = ?", ((other, copy) for copy in share)
            )


def _peer(uri: str, number: int) -> Any:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        return mlflow.search_runs(
            experiment_names=[_EXPERIMENT],
            filter_string=_QUESTION,
            order_by=["attributes.start_time ASC"],
            max_results=number,
        )
    finally:
        mlflow.set_tracking_uri(before)


def _rows(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        found = [connection.execute(f"SELECT * FROM {table} ORDER BY run_uuid").fetchall() for table in _TABLES]
    return [row[0] for row in found[0]]


if __name__ == "__main__":
    run_and_report("searching", [run])

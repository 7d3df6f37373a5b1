"""Comparisons are logged to, found in and loaded from every kind of deployment; so are the commands' answers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from click.testing import CliRunner
from mlflow import MlflowClient

from gradiend_mlflow import compare, export_run, load_comparison, search_comparisons, search_runs, verify_runs
from gradiend_mlflow.cli import main
from tests.support.deployments import STUDY, Deployment


def test_a_comparison_comes_back(deployment: Deployment) -> None:
    """With the same numbers, from its run alone; asked again, nothing is logged; a list and its runs name it."""
    asked = compare(experiment_names=[STUDY], topk=20, groups={"3SG_3PL": "third", "1SG_1PL": "first"}, link=True)
    loaded = load_comparison(asked.run_id)
    pd.testing.assert_frame_equal(loaded.matrix, asked.matrix, check_exact=True)
    pd.testing.assert_frame_equal(loaded.to_frame(), asked.to_frame(), check_exact=True)
    assert compare(experiment_names=[STUDY], topk=20, groups=asked.groups).run_id == asked.run_id
    client = MlflowClient(deployment.uri)
    for run_id in asked.runs["run_id"]:
        assert asked.run_id in json.loads(client.get_run(run_id).data.tags["gradiend.comparisons"])
    assert asked.run_id in list(search_comparisons([STUDY])["run_id"])


def test_every_set_is_sound(deployment: Deployment) -> None:
    """And is what was logged."""
    assert set(verify_runs(experiment_names=[STUDY], progress=False)["result"]) == {"ok"}


def test_a_run_is_exported(deployment: Deployment, tmp_path: Path) -> None:
    """Its sets and figures, without MLflow."""
    export_run(search_runs(STUDY)["run_id"].iloc[0], tmp_path / "run")
    assert {file.suffix for file in (tmp_path / "run").rglob("*") if file.is_file()} >= {".parquet", ".json", ".csv"}


def test_the_command_line(deployment: Deployment) -> None:
    """Reads, and says nothing of a password."""
    commands = {
        "runs --format json": "3SG_3PL",
        "compare --topk 20 --no-log": "3SG_3PL",
        "verify": "8 sets of 2 runs: 8 ok",
    }
    for command, said in commands.items():
        done = CliRunner().invoke(main, [*command.split(), "--experiment-name", STUDY])
        assert done.exit_code == 0, done.output
        assert said in done.stdout
        password = deployment.environment.get("MLFLOW_TRACKING_PASSWORD")
        assert password is None or password not in done.output

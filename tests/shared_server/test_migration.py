"""From a file on one machine to PostgreSQL, with the artifacts in S3 behind a server: everything is as it was."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pandas as pd
import psycopg2
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import compare, load_comparison, search_runs, verify_runs
from shared_server.migrate import migrate
from shared_server.postgres import Postgres
from shared_server.s3 import BUCKET
from shared_server.tracking_server import tracking_server
from tests.support.deployments import Deployments
from tests.support.faults import state
from tests.support.trainings import MakeTrainer

STUDY = "moving"


def copy_to_bucket(folder: Path, prefix: str, settings: dict[str, str]) -> None:
    """As `aws s3 cp --recursive` does."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=settings["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        region_name=settings["AWS_DEFAULT_REGION"],
    )
    for file in folder.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder)}")


@pytest.mark.long
def test_a_file_becomes_postgresql(
    deployments: Deployments, tracking: MlflowClient, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    """Runs keep their ids, a comparison is found and loaded, sets are sound, and trainings go on."""
    gradiend_mlflow.autolog(topk=50, experiment_name=STUDY)
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        make_trainer(*pair, experiment_dir=tmp_path / pair[0]).train()
    gradiend_mlflow.autolog(disable=True)
    asked = compare(experiment_names=[STUDY], topk=20)
    file = tracking.tracking_uri
    states = {run_id: state(file, run_id) for run_id in search_runs(STUDY)["run_id"]}

    deployments.postgres.run("createdb", "moved")
    uri = deployments.postgres.uri("moved")
    MlflowClient(uri).search_experiments()
    artifacts = Path("mlruns").resolve()
    assert migrate(file, uri, (str(artifacts), "mlflow-artifacts:/"))["runs"] == 3
    copy_to_bucket(artifacts, "moved", deployments.s3)
    artifacts.rename("away")

    options = ["--backend-store-uri", uri, "--artifacts-destination", f"s3://{BUCKET}/moved"]
    with tracking_server(tmp_path / "server", *options, environment=deployments.s3) as server:
        mlflow.set_tracking_uri(server)
        assert {run_id: state(server, run_id) for run_id in search_runs(STUDY)["run_id"]} == states
        assert set(verify_runs(experiment_names=[STUDY], progress=False)["result"]) == {"ok"}
        pd.testing.assert_frame_equal(load_comparison(asked.run_id).matrix, asked.matrix, check_exact=True)
        gradiend_mlflow.autolog(topk=50, experiment_name="afterwards")
        make_trainer("1SG", "3SG").train()
        assert gradiend_mlflow.flush()
        assert len(search_runs(search_all_experiments=True)) == 3


@pytest.mark.long
def test_a_backup_is_restored(deployments: Deployments, tracking: MlflowClient) -> None:
    """As the page says it is made; the artifacts are where they were."""
    found, server = deployments["proxied"], deployments.postgres
    before = search_runs(search_all_experiments=True, tracking_uri=found.uri)
    (database,) = [name for name in databases(server) if name.startswith("proxied_")]
    dump = str(server.folder / "mlflow.dump")
    server.run("pg_dump", "--format=custom", f"--file={dump}", database)
    server.run("createdb", "restored")
    server.run("pg_restore", "--dbname=restored", dump)
    after = search_runs(search_all_experiments=True, tracking_uri=server.uri("restored"))
    pd.testing.assert_frame_equal(after, before)


def databases(server: Postgres) -> list[str]:
    """Their names."""
    with closing(psycopg2.connect(host=str(server.folder), user="postgres", dbname="postgres")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT datname FROM pg_database")
        return [name for (name,) in cursor.fetchall()]

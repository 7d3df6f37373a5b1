"""What earlier versions wrote is read by this one: sets, runs, comparisons, journals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

import gradiend_mlflow

GOLDEN = Path(__file__).with_name("golden")
versions = pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.iterdir()))


def restored(client: MlflowClient, folder: Path, experiment_id: str) -> str:
    """A run as it lay in MLflow: its tags, params, metrics and artifacts, under a new id."""
    kept: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    run_id = client.create_run(experiment_id, start_time=kept["start_time"]).info.run_id
    client.log_batch(
        run_id,
        [Metric(key, v, t, step) for key, points in kept["metrics"].items() for step, v, t in points],
        [Param(key, value) for key, value in kept["params"].items()],
        [RunTag(key, value) for key, value in kept["tags"].items()],
    )
    client.log_artifacts(run_id, str(folder / "artifacts"))
    client.set_terminated(run_id, kept["status"], kept["end_time"])
    return str(run_id)


@versions
def test_sets_are_read(version: str) -> None:
    """Each part's file, to the last index."""
    expected = json.loads((GOLDEN / version / "sets.json").read_text(encoding="utf-8"))
    assert {entry["part"] for entry in expected.values()} == set(gradiend_mlflow.PARTS)
    for name, entry in expected.items():
        topk_set = gradiend_mlflow.load_topk_file(GOLDEN / version / "runs" / name)
        for attribute in ("part", "topk", "input_dim", "latent_dim"):
            assert getattr(topk_set, attribute) == entry[attribute]
        assert (topk_set.space.base_model, topk_set.space.fingerprint) == (entry["base_model"], entry["fingerprint"])
        assert topk_set.base_global_indices().tolist() == entry["base_global_indices"]
        np.testing.assert_array_equal(topk_set.importance[:5], np.float32(entry["first_importances"]))
        np.testing.assert_array_equal(topk_set.weights[:5], np.float32(entry["first_weights"]))


@versions
def test_runs_are_found_pulled_and_compared(version: str, tracking: MlflowClient) -> None:
    """With the numbers that the version itself got."""
    experiment_id = tracking.create_experiment("golden")
    for name in ("3SG_3PL", "1SG_1PL"):
        restored(tracking, GOLDEN / version / "runs" / name, experiment_id)
    frame = gradiend_mlflow.search_runs("golden")
    assert frame["gradiend_run_id"].tolist() == ["3SG_3PL", "1SG_1PL"]
    assert frame["target_classes"].tolist() == [("3SG", "3PL"), ("1SG", "1PL")]
    assert frame["parts"].map(set).tolist() == [set(gradiend_mlflow.PARTS)] * 2
    assert frame["k"].tolist() == [500, 500]
    comparison = gradiend_mlflow.compare(frame, topk=100, log=False)
    expected = pd.read_csv(GOLDEN / version / "matrix.csv", index_col=0)
    pd.testing.assert_frame_equal(comparison.matrix, expected, check_names=False)


@versions
def test_seeds_belong_to_their_training(version: str, tracking: MlflowClient) -> None:
    """By the tags that the version gave them."""
    runs = GOLDEN / version / "runs"
    experiment_id = tracking.create_experiment("golden")
    parent = restored(tracking, runs / "1SG_1PL", experiment_id)
    for seed in sorted(runs.glob("1SG_1PL_seed_*")):
        tracking.set_tag(restored(tracking, seed, experiment_id), "mlflow.parentRunId", parent)
    comparison = gradiend_mlflow.compare([parent], topk=100, seeds="all_tried", log=False)
    assert comparison.runs["seed"].tolist() == [0, 1]


@versions
def test_comparisons_are_loaded(version: str, tracking: MlflowClient) -> None:
    """From their own run, with the same numbers, groups and notes."""
    folder = GOLDEN / version / "runs" / "comparison"
    run_id = restored(tracking, folder, tracking.create_experiment("golden"))
    comparison = gradiend_mlflow.load_comparison(run_id)
    expected = pd.read_csv(GOLDEN / version / "matrix.csv", index_col=0)
    pd.testing.assert_frame_equal(comparison.matrix, expected, check_names=False)
    assert comparison.groups == {"3SG_3PL": "third", "1SG_1PL": "Other"}
    assert comparison.notes
    assert comparison.part == "decoder-weight"


@versions
def test_journals_are_sent(version: str, tracking: MlflowClient, tmp_path: Path) -> None:
    """Every kind of record that a training leaves."""
    shutil.copytree(GOLDEN / version / "waiting", tmp_path / "waiting")
    frame = gradiend_mlflow.sync(tmp_path / "waiting", tracking_uri=tracking.tracking_uri, progress=False)
    assert frame["result"].tolist() == ["synced", "synced"], frame["reason"].tolist()
    (run,) = tracking.search_runs([tracking.get_experiment_by_name("waiting").experiment_id])
    assert (run.info.run_name, run.info.status) == ("1SG_3SG", "FINISHED")
    assert run.data.tags["study"] == "golden"
    assert run.data.params["learning_rate"] == "0.01"
    assert [point.step for point in tracking.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3, 4]
    (topk_set,) = gradiend_mlflow.load_topk([run.info.run_id], topk=200).values()
    assert len(topk_set) == 200
    assert len(run.outputs.model_outputs) == 1

"""Sets of GRADIENDs that are already there."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from gradiend_mlflow import (
    PARTS,
    CheckpointError,
    InvalidInputError,
    MissingPartError,
    StoreError,
    TopKSet,
    load_topk,
    log_topk,
    search_runs,
)
from tests.support.checkpoints import make_model
from tests.support.trainings import MakeTrainer


@pytest.fixture
def run_id(tracking: MlflowClient) -> str:
    """An empty run."""
    return tracking.create_run("0").info.run_id


def test_a_checkpoint_into_a_run(logged: dict[str, Path], run_id: str, tracking: MlflowClient) -> None:
    """The run then counts as a training, with what its training.json says."""
    checkpoint = logged["3SG_3PL"]
    sets = log_topk(checkpoint, run_id=run_id, topk=50)
    assert list(sets) == list(PARTS)
    (row,) = search_runs().to_dict("records")
    training_file = json.loads((checkpoint / "training.json").read_text())
    assert row["run_id"] == run_id
    assert row["parts"] == PARTS
    assert row["k"] == 50
    assert row["correlation"] == training_file["best_score_checkpoint"]["correlation"]
    assert row["converged"] is training_file["convergence_info"]["converged"]
    assert row["seed"] == 0
    assert row["base_model"] == sets["decoder-weight"].space.base_model
    for part in PARTS:
        assert load_topk([run_id], part=part, topk=50)[run_id] == sets[part]
        assert sets[part] == TopKSet.from_checkpoint(checkpoint, part=part, topk=50)


def test_a_trainer_into_the_active_run(make_trainer: MakeTrainer) -> None:
    """The tags are those of the trainer."""
    trainer = make_trainer()
    trainer.train()
    with mlflow.start_run(run_name="mine") as run:
        log_topk(trainer, topk=50)
    (row,) = search_runs().to_dict("records")
    assert row["run_id"] == run.info.run_id
    assert row["gradiend_run_id"] == "3SG_3PL"
    assert row["target_classes"] == ("3SG", "3PL")
    assert load_topk([run.info.run_id], topk=50)[run.info.run_id] == TopKSet.from_checkpoint(
        trainer.model_path, topk=50
    )


def test_a_live_model(run_id: str) -> None:
    """Without any file."""
    model = make_model([("weight", (9, 9), "all")])
    log_topk(model, run_id=run_id, topk=5)
    assert load_topk([run_id], topk=5)[run_id] == TopKSet.from_model(model, topk=5)


def test_parts_are_added_to_those_that_are_there(run_id: str) -> None:
    """And replaced where they are there already."""
    model = make_model([("weight", (9, 9), "all")])
    log_topk(model, run_id=run_id, topk=5, parts=["encoder-weight"])
    log_topk(model, run_id=run_id, topk=7, parts=["decoder-weight"])
    assert search_runs()["parts"][0] == ("encoder-weight", "decoder-weight")
    log_topk(model, run_id=run_id, topk=9)
    assert len(load_topk([run_id], part="encoder-weight", topk=9)[run_id]) == 9


def test_missing_parts_are_left_out_and_named(run_id: str, tracking: MlflowClient) -> None:
    """A decoder without bias; asked for alone, it is an error."""
    model = make_model([("weight", (9, 9), "all")], bias=False)
    assert "decoder-bias" not in log_topk(model, run_id=run_id, topk=5)
    left_out = json.loads(tracking.get_run(run_id).data.tags["gradiend.topk_left_out"])
    assert list(left_out) == ["decoder-bias"]
    assert "no bias" in left_out["decoder-bias"]
    log_topk(make_model([("weight", (9, 9), "all")]), run_id=run_id, topk=5, parts=["decoder-bias"])
    assert tracking.get_run(run_id).data.tags["gradiend.topk_left_out"] == "{}"
    with pytest.raises(CheckpointError, match=r"no top-k set could be made.*no bias"):
        log_topk(model, run_id=run_id, parts=["decoder-bias"])
    with pytest.raises(MissingPartError):
        TopKSet.from_model(model, part="decoder-bias")


def test_a_part_that_diverged_is_left_out(run_id: str) -> None:
    """The others are still worth having."""
    model = make_model([("weight", (9,), "all")])
    with torch.no_grad():
        model.encoder[0].linear.weight[0, 3] = float("nan")
    assert set(log_topk(model, run_id=run_id, topk=5)) == set(PARTS) - {"encoder-weight"}


def test_the_preview_fits_the_ui(run_id: str, tracking: MlflowClient, tmp_path: Path) -> None:
    """MLflow shows 500 rows of a table: the first of every part."""
    log_topk(make_model([("weight", (40, 40), "all")]), run_id=run_id)
    preview = pd.read_csv(
        mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="gradiend/topk/preview.csv")
    )
    assert preview["part"].value_counts().to_dict() == dict.fromkeys(PARTS, 125)
    assert preview["rank"].max() == 125
    assert preview["part"][0] == "decoder-weight"  # what is compared by default


def test_a_picture_shows_where_the_weights_lie(run_id: str, tracking: MlflowClient) -> None:
    """A PNG beside the other figures."""
    log_topk(make_model([("bert.layer.0.query", (9, 9), "all")]), run_id=run_id, topk=5)
    (item,) = tracking.list_artifacts(run_id, "gradiend/figures")
    assert item.path == "gradiend/figures/topk_layers.png"
    file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=item.path)
    assert Path(file).read_bytes().startswith(b"\x89PNG")


def test_without_the_picture_the_sets_are_logged(
    run_id: str, tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A figure that cannot be drawn is left out, with a warning."""

    def fail(*_: object) -> None:
        raise OSError("no fonts")

    monkeypatch.setattr("gradiend_mlflow.sets.picture.topk_picture", fail)
    log_topk(make_model([("weight", (9, 9), "all")]), run_id=run_id, topk=5)
    assert len(load_topk([run_id], topk=5)) == 1
    assert tracking.list_artifacts(run_id, "gradiend/figures") == []
    assert "No picture of the top-k weights: OSError: no fonts" in caplog.text


def test_bad_requests(tracking: MlflowClient, make_trainer: MakeTrainer) -> None:
    """No run, an unknown one, a comparison; nothing trained yet."""
    model = make_model([("weight", (9,), "all")])
    with pytest.raises(InvalidInputError, match=r"log_topk needs a run: pass run_id"):
        log_topk(model)
    with pytest.raises(StoreError, match="could not find the run nowhere"):
        log_topk(model, run_id="nowhere")
    comparison = tracking.create_run("0", tags={"gradiend.kind": "comparison"}).info.run_id
    with pytest.raises(InvalidInputError, match="is a comparison"):
        log_topk(model, run_id=comparison)
    with pytest.raises(CheckpointError, match="is it the base model's"):
        log_topk(make_trainer(), run_id=comparison)
    with pytest.raises(InvalidInputError, match="expected a ModelWithGradiend"):
        log_topk(3, run_id=comparison)

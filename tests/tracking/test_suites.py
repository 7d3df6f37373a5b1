"""Suites and collections: a parent run, the trainers' runs below it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer.suite import PositiveTrainerSuite, TrainerCollection
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import MLflowCallback, TopKSet, load_topk, search_runs
from quickstart import pronoun_sentences
from tests.support.trainings import Failing, MakeTrainer, children_of, make_suite


def suite_runs(client: MlflowClient) -> list[Any]:
    """The runs of suites."""
    return client.search_runs(["0"], "tags.`gradiend.kind` = 'suite'")


def test_a_symmetric_suite(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """One call in the user's script: each trainer's run has its own model's sets, below the suite's."""
    gradiend_mlflow.autolog(topk=100)
    suite = make_suite(base_model, tmp_path)
    suite.train()
    (parent,) = suite_runs(tracking)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == parent.data.tags["gradiend.run_id"] == "pronouns"
    assert parent.data.tags["gradiend.base_model"] == base_model
    children = children_of(tracking, parent)
    assert [child.info.run_name for child in children] == [trainer.run_id for trainer in suite.trainers.values()]
    assert [child.info.status for child in children] == ["FINISHED"] * 3
    sets = load_topk(search_runs(), topk=100)
    for child, trainer in zip(children, suite.trainers.values(), strict=True):
        assert sets[child.info.run_id] == TopKSet.from_checkpoint(trainer.model_path, topk=100)
        assert json.loads(child.data.tags["gradiend.target_classes"]) == list(trainer.target_classes)


@pytest.mark.long
def test_a_suite_without_a_name(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """It is not called after the directory, as any two suites there would be, but after what it is."""
    gradiend_mlflow.autolog(topk=100)
    make_suite(base_model, tmp_path, run_id=None).train()
    (parent,) = suite_runs(tracking)
    assert parent.info.run_name == "SymmetricTrainerSuite · 3 pairs"
    assert "gradiend.run_id" not in parent.data.tags


def test_a_positive_suite_with_seeds(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """Suite, trainers, seeds: three levels."""
    gradiend_mlflow.autolog(topk=100)
    others = pronoun_sentences("3PL").rename(columns={"3PL": "non_3SG"})
    suite = PositiveTrainerSuite(
        TextPredictionTrainer,
        model=base_model,
        data={"3SG": pronoun_sentences("3SG"), "non_3SG": others},
        target_classes=["3SG", "non_3SG"],
        args=TrainingArguments(
            experiment_dir=str(tmp_path),
            learning_rate=1e-2,
            max_steps=2,
            eval_steps=2,
            train_batch_size=4,
            encoder_eval_max_size=4,
            max_seeds=2,
            min_convergent_seeds=None,
        ),
        random_state=0,
    )
    suite.train()
    (parent,) = suite_runs(tracking)
    trainings = children_of(tracking, parent)
    assert [json.loads(run.data.tags["gradiend.target_classes"]) for run in trainings] == [["3SG", "non_3SG"]]
    for training in trainings:
        assert training.data.tags["gradiend.kind"] == "training"
        assert [seed.data.tags["gradiend.kind"] for seed in children_of(tracking, training)] == ["seed", "seed"]


def test_a_collection(make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient) -> None:
    """It passes no callbacks on; its trainers are logged nevertheless, below one run."""
    gradiend_mlflow.autolog(topk=10)
    TrainerCollection(make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL")).train()
    (parent,) = suite_runs(tracking)
    assert parent.info.run_name == "TrainerCollection · 2 trainings"
    assert [child.info.run_name for child in children_of(tracking, parent)] == ["3SG_3PL", "1SG_1PL"]


def test_a_collection_from_everywhere(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking: MlflowClient
) -> None:
    """Directories with nothing in common, relative and absolute: below a run that has the type's name."""
    monkeypatch.chdir(tmp_path)
    gradiend_mlflow.autolog(topk=10)
    first = make_trainer("3SG", "3PL", experiment_dir=Path("relative"))
    second = make_trainer("1SG", "1PL", experiment_dir=tmp_path / "absolute")
    TrainerCollection(first, second).train()
    (parent,) = suite_runs(tracking)
    assert parent.info.run_name == "TrainerCollection · 2 trainings"
    assert len(children_of(tracking, parent)) == 2


def test_trained_again_from_gradiends_cache(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """No second suite, no second runs; what is new goes below a suite of its own."""
    gradiend_mlflow.autolog(topk=10)
    make_suite(base_model, tmp_path).train()
    before = {run.info.run_id for run in tracking.search_runs(["0"])}
    make_suite(base_model, tmp_path, use_cache="always").train()
    assert {run.info.run_id for run in tracking.search_runs(["0"])} == before


@pytest.mark.long
def test_a_cached_suite_that_was_never_logged(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """Imported from disk, below a run of the suite."""
    make_suite(base_model, tmp_path).train()
    gradiend_mlflow.autolog(topk=10)
    make_suite(base_model, tmp_path, use_cache="always").train()
    (parent,) = suite_runs(tracking)
    assert parent.info.status == "FINISHED"
    assert len(children_of(tracking, parent)) == len(search_runs()) == 3


def test_a_suite_that_fails(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """Both the suite's run and the failing trainer's are FAILED; the exception is the user's."""
    gradiend_mlflow.autolog(topk=10)
    with pytest.raises(RuntimeError, match="out of luck"):
        make_suite(base_model, tmp_path).train(callbacks=[Failing()])
    (parent,) = suite_runs(tracking)
    assert parent.info.status == "FAILED"
    assert "out of luck" in parent.data.tags["gradiend.failure"]
    assert [child.info.status for child in children_of(tracking, parent)] == ["FAILED"]


@pytest.mark.long
def test_one_callback_for_all_trainers(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """The user's own, passed to the suite: each trainer has its run, and only one."""
    gradiend_mlflow.autolog(topk=10)
    make_suite(base_model, tmp_path).train(callbacks=[MLflowCallback(topk=20)])
    assert search_runs()["k"].tolist() == [20, 20, 20]


@pytest.mark.long
def test_inside_the_users_run(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """It becomes the suite's, and stays open."""
    gradiend_mlflow.autolog(topk=10)
    with mlflow.start_run() as mine:
        make_suite(base_model, tmp_path).train()
        run = tracking.get_run(mine.info.run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["gradiend.kind"] == "suite"
    assert len(children_of(tracking, run)) == 3


@pytest.mark.long
def test_evaluations_of_a_suite_go_to_its_trainers_runs(
    base_model: str, tmp_path: Path, tracking: MlflowClient
) -> None:
    """Each to its own."""
    gradiend_mlflow.autolog(topk=10)
    suite = make_suite(base_model, tmp_path)
    suite.train()
    results = suite.evaluate_encoder()
    logged = {run.info.run_name: run.data.metrics for run in tracking.search_runs(["0"])}
    for child, trainer in suite.trainers.items():
        assert logged[trainer.run_id]["eval/test/correlation"] == results[child]["correlation"]
    assert "eval/test/correlation" not in logged["pronouns"]


def digests(folder: Path) -> dict[str, str]:
    """Every checkpoint below a folder, by content."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("model.safetensors"))
    }


@pytest.mark.long
def test_the_checkpoints_are_untouched(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """Bit-identical with and without the plugin, for every trainer of a suite."""
    make_suite(base_model, tmp_path / "plain").train()
    gradiend_mlflow.autolog(topk=10)
    make_suite(base_model, tmp_path / "logged").train()
    assert len(search_runs()) == 3
    assert digests(tmp_path / "plain") == digests(tmp_path / "logged")
    assert len(digests(tmp_path / "plain")) == 3

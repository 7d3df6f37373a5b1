"""What a run says of the data that it was trained on, seen with MLflow's client."""

from __future__ import annotations

import json
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer.text.classification import TextClassificationTrainer
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import DatasetInput, Run

import gradiend_mlflow
from gradiend_mlflow.tracking.loops import training_data
from gradiend_mlflow.tracking.loops.training_data import TrainingData
from quickstart import pronoun_sentences
from tests.support.logs import warned
from tests.support.trainings import Failing, MakeTrainer, children_of, make_suite, only_run

SPLITS = {"train", "validation", "test"}


def inputs_of(run: Run) -> dict[tuple[str, str], DatasetInput]:
    """A run's data by class and context."""
    inputs = run.inputs.dataset_inputs
    contexts = [{tag.key: tag.value for tag in one.tags}["mlflow.data.context"] for one in inputs]
    found = {(one.dataset.name, context): one for one, context in zip(inputs, contexts, strict=True)}
    assert len(found) == len(inputs)
    return found


def digests_of(run: Run) -> dict[tuple[str, str], str]:
    """Their digests."""
    return {key: one.dataset.digest for key, one in inputs_of(run).items()}


def table_of(rows: int, seed: int = 0) -> pd.DataFrame:
    """A table as gradiend makes it."""
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "masked": [f"[MASK] said {number}." for number in draw.integers(0, 1000, rows)],
            "split": draw.choice(sorted(SPLITS), rows),
            "factual_class": draw.choice(["a", "b"], rows),
            "factual": draw.choice(["he", "she"], rows),
        }
    )


def digests(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The digests of a table of data by class and split."""
    data = TrainingData(table, "factual_class", "split", ("a", "b"), "local", {"a": {"uri": "x"}, "b": {"uri": "x"}})
    return [(one.name, one.context, one.digest) for one in data.inputs()]


class TestRuns:
    """Of real trainings."""

    def test_each_class_and_split_is_an_input(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """With its columns and number of rows, found by MLflow's search, and without a word of the texts."""
        gradiend_mlflow.autolog(topk=10)
        trainer = make_trainer("3SG", "3PL")
        trainer.train()
        gradiend_mlflow.flush()
        run = only_run(tracking)
        table = trainer.combined_data
        expected = table.groupby(["factual_class", "split"]).size().to_dict()
        inputs = inputs_of(run)
        assert {key: json.loads(one.dataset.profile)["num_rows"] for key, one in inputs.items()} == expected
        assert {name for name, _ in inputs} == {"3SG", "3PL"}
        for one in inputs.values():
            columns = [column["name"] for column in json.loads(one.dataset.schema)["mlflow_colspec"]]
            assert columns == list(table.columns)
            assert isinstance(mlflow.data.get_source(one), CodeDatasetSource)
            said = json.dumps(one.dataset.to_dictionary())
            assert not any(text in said for text in table["masked"])
        digest = inputs["3PL", "train"].dataset.digest
        for query in ("dataset.name = '3SG'", "dataset.context = 'train'", f"dataset.digest = '{digest}'"):
            assert [found.info.run_id for found in tracking.search_runs(["0"], query)] == [run.info.run_id]

    def test_none_are_logged_if_not_wanted(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """`log_datasets=False`."""
        trainer = make_trainer()
        with gradiend_mlflow.start_run(trainer, topk=10, log_datasets=False) as callback:
            trainer.train(callbacks=[callback])
        assert inputs_of(only_run(tracking)) == {}

    def test_the_same_data_have_the_same_digests(
        self, make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """In two trainings, and with other data others."""
        gradiend_mlflow.autolog(topk=10)
        for name, pair in (("first", "3SG 3PL"), ("second", "3SG 3PL"), ("third", "3SG 1SG")):
            make_trainer(*pair.split(), experiment_dir=tmp_path / name, learning_rate=1e-3).train()
        gradiend_mlflow.flush()
        third, second, first = map(digests_of, tracking.search_runs(["0"]))
        assert first == second
        assert not set(first.values()) & set(third.values())  # the same sentences, with other counterfactuals

    def test_seeds_have_the_data_that_they_were_trained_on(
        self, base_model: str, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """With splits that are drawn anew for each seed; the training has those of the selected one."""
        gradiend_mlflow.autolog(topk=10)
        trainer = TextPredictionTrainer(
            model=base_model,
            data={name: pronoun_sentences(name).drop(columns="split") for name in ("3SG", "3PL")},
            target_classes=["3SG", "3PL"],
            split_col=None,
            random_state=0,
            args=TrainingArguments(
                experiment_dir=str(tmp_path / "run"),
                max_steps=2,
                eval_steps=1,
                train_batch_size=4,
                encoder_eval_max_size=4,
                max_seeds=2,
                min_convergent_seeds=None,
                split_resplit_per_seed=True,
            ),
        )
        trainer.train()
        gradiend_mlflow.flush()
        (run,) = tracking.search_runs(["0"], "tags.`gradiend.kind` = 'training'")
        by_seed = {child.data.tags["gradiend.seed"]: digests_of(child) for child in children_of(tracking, run)}
        assert len(by_seed) == 2
        assert by_seed["0"] != by_seed["1"]
        assert {name for name, _ in by_seed["0"]} == {"3SG", "3PL"}
        assert digests_of(run) == by_seed[run.data.tags["gradiend.seed"]]

    @pytest.mark.long
    def test_trainings_of_a_suite(self, base_model: str, tracking: MlflowClient, tmp_path: Path) -> None:
        """Each has its own pair of classes, the suite none."""
        gradiend_mlflow.autolog(topk=10)
        make_suite(base_model, tmp_path / "suite").train()
        gradiend_mlflow.flush()
        (suite,) = tracking.search_runs(["0"], "tags.`gradiend.kind` = 'suite'")
        assert inputs_of(suite) == {}
        for run in children_of(tracking, suite):
            assert sorted({name for name, _ in inputs_of(run)}) == sorted(
                json.loads(run.data.tags["gradiend.target_classes"])
            )

    def test_a_training_that_fails_has_them_too(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """It has begun with them."""
        gradiend_mlflow.autolog(topk=10)

        with pytest.raises(RuntimeError, match="out of luck"):
            make_trainer("3SG", "3PL").train(callbacks=[Failing()])
        gradiend_mlflow.flush()
        run = only_run(tracking)
        assert run.info.status == "FAILED"
        assert {name for name, _ in inputs_of(run)} == {"3SG", "3PL"}

    def test_classification(self, base_model: str, tracking: MlflowClient, tmp_path: Path) -> None:
        """Its tables have other columns; a file is named as the source."""
        file = tmp_path / "data.csv"
        texts = [f"It was {word} {number}." for number in range(8) for word in ("good", "bad")]
        labels = ["positive", "negative"] * 8
        splits = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4
        pd.DataFrame({"text": texts, "label": labels, "split": splits}).to_csv(file, index=False)
        trainer = TextClassificationTrainer(
            model=base_model,
            data=str(file),
            target_classes=["positive", "negative"],
            args=TrainingArguments(
                experiment_dir=str(tmp_path / "run"), max_steps=2, eval_steps=1, train_batch_size=4, max_seeds=1
            ),
        )
        with gradiend_mlflow.start_run(trainer, topk=10) as callback:
            trainer.train(callbacks=[callback])
        inputs = inputs_of(only_run(tracking))
        assert set(inputs) == {(name, split) for name in ("positive", "negative") for split in SPLITS}
        assert json.loads(inputs["positive", "train"].dataset.profile)["num_rows"] == 4
        source = inputs["positive", "train"].dataset
        assert (source.source_type, json.loads(source.source)) == ("local", {"uri": str(file)})

    def test_what_cannot_be_read_is_said_once(
        self,
        make_trainer: MakeTrainer,
        tracking: MlflowClient,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The training goes on, and its run lacks nothing else."""
        monkeypatch.delenv("MLFLOW_AUTOLOGGING_TESTING", raising=False)
        monkeypatch.setattr(training_data, "_hashes", lambda _: 1 / 0)
        gradiend_mlflow.autolog(topk=10)
        make_trainer().train()
        gradiend_mlflow.flush()
        run = only_run(tracking)
        assert (run.info.status, inputs_of(run)) == ("FINISHED", {})
        assert "gradiend.topk" in run.data.tags
        assert [line for line in warned(caplog) if "training data" in line] == [
            "Could not log the training data: ZeroDivisionError: division by zero"
        ]

    def test_reading_that_takes_too_long_is_given_up(
        self,
        make_trainer: MakeTrainer,
        tracking: MlflowClient,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The end of a training waits a while, and then says so."""
        monkeypatch.setattr(training_data, "_PATIENCE", 0.01)
        monkeypatch.setattr(training_data, "_hashes", lambda _: time.sleep(20))
        gradiend_mlflow.autolog(topk=10)
        make_trainer().train()
        gradiend_mlflow.flush()
        assert inputs_of(only_run(tracking)) == {}
        assert any("reading them takes more than 0.01 s" in line for line in warned(caplog))


class TestDigests:
    """Of tables."""

    def test_they_depend_on_the_rows_alone(self) -> None:
        """Not on the index, and neither on other classes and splits nor on how many rows are hashed at once."""
        table = table_of(25_000)
        expected = digests(table)
        assert len(expected) == 6
        assert all(len(digest) <= 36 for _, _, digest in expected)
        assert digests(table.set_index(np.arange(len(table))[::-1])) == expected
        alone = table[(table["factual_class"] == "a") & (table["split"] == "train")]
        assert set(digests(alone)) == {one for one in expected if one[:2] == ("a", "train")}

    @pytest.mark.parametrize("column", ["masked", "factual"])
    def test_one_changed_value_changes_one(self, column: str) -> None:
        """That of its class and split."""
        table = table_of(15_000)
        before = digests(table)
        table.loc[12_345, column] = "other"
        own = (table.loc[12_345, "factual_class"], table.loc[12_345, "split"])
        changed = [old[:2] for old, new in zip(before, digests(table), strict=True) if old != new]
        assert changed == [own]

    def test_order_counts(self) -> None:
        """It is part of what is trained."""
        table = table_of(100)
        assert digests(table) != digests(table[::-1])

    def test_values_of_any_kind(self) -> None:
        """Pairs of texts, missing values, numbers."""
        table = table_of(60)
        table["masked"] = [(text, "and more") for text in table["masked"]]
        table["score"] = np.arange(60) / 7
        table["note"] = [None, ["x"], 3] * 20
        first = digests(table)
        assert first == digests(table.copy())
        table.loc[5, "score"] = 0.5
        assert digests(table) != first

"""The block that owns a run, and that block around every `train()`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer import PostPruneConfig
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import (
    InvalidInputError,
    MLflowCallback,
    TopKSet,
    load_stability,
    load_topk,
    search_runs,
    start_run,
)
from quickstart import pronoun_sentences
from tests.support.sampling import quick
from tests.support.trainings import Failing, MakeTrainer, Scripted, children_of, history, only_run


class TestStartRun:
    """`with start_run(trainer) as callback`."""

    @pytest.mark.long
    def test_a_run_around_the_whole_training(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Tags of the trainer, files, and the selected model's sets; FINISHED."""
        trainer = make_trainer()
        with start_run(trainer, topk=100, experiment_name="pronouns", extra_tags={"team": "nlp"}) as callback:
            trainer.train(callbacks=[callback])
        run = tracking.get_run(callback.run_id)
        assert run.info.status == "FINISHED"
        assert run.info.run_name == run.data.tags["gradiend.run_id"] == "3SG_3PL"
        assert tracking.get_experiment(run.info.experiment_id).name == "pronouns"
        assert json.loads(run.data.tags["gradiend.target_classes"]) == ["3SG", "3PL"]
        assert run.data.tags["gradiend.base_model"] == trainer.base_model_path
        assert run.data.tags["gradiend.converged"] in ("true", "false")
        assert run.data.tags["team"] == "nlp"
        assert load_topk([callback.run_id], topk=100)[callback.run_id] == TopKSet.from_checkpoint(
            trainer.model_path, topk=100
        )
        files = {
            item.path
            for folder in ("gradiend", "gradiend/topk", "gradiend/figures")
            for item in tracking.list_artifacts(callback.run_id, folder)
        }
        assert files >= {
            "gradiend/training.json",
            "gradiend/config.json",
            "gradiend/topk/decoder-weight.parquet",
            "gradiend/topk/preview.csv",
            "gradiend/figures/training_convergence.png",
        }

    def test_the_selected_seed_is_the_parents(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Each seed is a child with its own curves; the parent has the curves and sets of the one selected."""
        trainer = make_trainer(max_seeds=2, min_convergent_seeds=None, saved_seed_runs="all_tried")
        with start_run(trainer, topk=100) as callback:
            trainer.train(callbacks=[callback])
        parent = tracking.get_run(callback.run_id)
        report = trainer.get_seed_report()
        assert parent.data.tags["gradiend.seed"] == str(report["best_seed"])
        assert parent.data.params["max_seeds"] == "2"
        assert parent.data.tags["gradiend.directory"] == str(Path(trainer.model_path).resolve())
        assert "output_dir" not in parent.data.params  # it would be the first difference between any two runs
        children = search_runs(kinds=["seed"])
        assert children["run_name"].tolist() == ["3SG_3PL/seed_0", "3SG_3PL/seed_1"]
        sets = load_topk(children, topk=100)
        for entry, child in zip(report["runs"], children.to_dict("records"), strict=True):
            run = tracking.get_run(child["run_id"])
            assert run.data.tags["mlflow.parentRunId"] == callback.run_id
            assert run.info.status == "FINISHED"
            assert child["seed"] == entry["seed"]
            assert child["converged"] is entry["converged"]
            assert child["correlation"] == pytest.approx(entry["training_score"])
            assert sets[child["run_id"]] == TopKSet.from_checkpoint(entry["output_dir"], topk=100)
            if entry["seed"] == report["best_seed"]:
                for key in ("train/loss", "eval/correlation", "eval/mean/3PL", "train/decoder_norm"):
                    assert history(tracking, parent, key) == history(tracking, run, key)
        own = load_topk([callback.run_id], topk=100)[callback.run_id]
        assert own == TopKSet.from_checkpoint(trainer.model_path, topk=100)
        assert own in sets.values()
        assert search_runs()["run_id"].tolist() == [callback.run_id], "seeds are no training runs"

    def test_the_pruned_model_is_the_selected_one(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Post-pruning happens after the callbacks; the sets are of what is left."""
        trainer = make_trainer(post_prune_config=PostPruneConfig(topk=200))
        with start_run(trainer, topk=1000) as callback:
            trainer.train(callbacks=[callback])
        logged = load_topk([callback.run_id], topk=1000)[callback.run_id]
        assert logged.input_dim == len(logged) == 200
        assert logged == TopKSet.from_checkpoint(trainer.model_path, topk=1000)

    @pytest.mark.long
    def test_pruned_seeds_hold_what_is_left_of_them(self, make_trainer: MakeTrainer) -> None:
        """Pruning comes after each seed's loop; the children's sets are the pruned ones."""
        trainer = make_trainer(
            max_seeds=2,
            min_convergent_seeds=None,
            saved_seed_runs="all_tried",
            post_prune_config=PostPruneConfig(topk=90),
        )
        with start_run(trainer, topk=1000) as callback:
            trainer.train(callbacks=[callback])
        assert search_runs(kinds=["seed", "training"])["k"].tolist() == [90, 90, 90]

    @pytest.mark.parametrize("options", [{"delete_models": True}, {"save_only_best": False}])
    def test_figures_and_sets_are_of_one_model(
        self, options: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """Where gradiend's own files do not say which step the model is of."""
        trainer = make_trainer(**options)
        with start_run(trainer, topk=100) as callback:
            trainer.train(callbacks=[callback], evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
        run = tracking.get_run(callback.run_id)
        logged = load_topk([callback.run_id], topk=100)[callback.run_id]
        assert logged == TopKSet.from_checkpoint(trainer.model_path, topk=100)
        expected = (4, 0.2) if "delete_models" in options else (2, 0.9)
        assert (run.data.metrics["best/step"], run.data.metrics["best/correlation"]) == expected

    def test_a_block_without_training(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """A run, but nothing of the base model in it."""
        with start_run(make_trainer()) as callback:
            pass
        assert tracking.get_run(callback.run_id).info.status == "FINISHED"
        assert tracking.list_artifacts(callback.run_id) == []

    @pytest.mark.parametrize(
        ("error", "status"),
        [(RuntimeError("boom"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(3), "KILLED")],
    )
    def test_the_run_ends_as_the_block_ends(
        self, error: BaseException, status: str, make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """The exception goes on; the run says how it ended and why."""
        with pytest.raises(type(error)), start_run(make_trainer()) as callback:
            raise error
        run = tracking.get_run(callback.run_id)
        assert run.info.status == status
        assert run.data.tags["gradiend.failure"].startswith(type(error).__name__)

    def test_a_failing_training_keeps_what_it_logged(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """FAILED, with the steps until then, and no sets; its seed is FAILED too."""
        trainer = make_trainer(max_seeds=2)
        with pytest.raises(RuntimeError, match="out of luck"), start_run(trainer) as callback:
            trainer.train(callbacks=[callback, Failing()])
        parent = tracking.get_run(callback.run_id)
        assert parent.info.status == "FAILED"
        assert "out of luck" in parent.data.tags["gradiend.failure"]
        (seed,) = tracking.search_runs(["0"], f"tags.`mlflow.parentRunId` = '{callback.run_id}'")
        assert seed.info.status == "FAILED"
        assert set(history(tracking, seed, "train/loss")) == {1, 2}
        assert search_runs().empty

    def test_a_cached_model_is_imported_from_disk(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """The block asks for a run: what training.json says of the cached model goes into it."""
        make_trainer().train()
        trainer = make_trainer(use_cache="always")
        with start_run(trainer, topk=50) as callback:
            trainer.train(callbacks=[callback])
        run = tracking.get_run(callback.run_id)
        training_file = json.loads((Path(trainer.model_path) / "training.json").read_text())
        assert history(tracking, run, "train/loss") == dict(enumerate(training_file["losses"], start=1))
        assert run.data.params["max_steps"] == "4"
        assert search_runs()["k"].tolist() == [50]

    def test_what_is_no_trainer_is_refused(self, make_trainer: MakeTrainer) -> None:
        """As is a trainer that is being logged."""
        with pytest.raises(InvalidInputError, match="needs a gradiend Trainer; got str"), start_run("trainer"):
            pass
        trainer = make_trainer()
        with start_run(trainer), pytest.raises(InvalidInputError, match="being logged already"), start_run(trainer):
            pass


class TestAutolog:
    """`autolog()`."""

    def test_every_training_becomes_a_run(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Nothing else to write in the user's script; both trainers, also the second `train()` of one."""
        gradiend_mlflow.autolog(topk=100, experiment_name="pronouns")
        first, second = make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL")
        first.train()
        second.train()
        first.train()
        frame = search_runs(["pronouns"])
        assert frame["run_name"].tolist() == ["3SG_3PL", "1SG_1PL", "3SG_3PL"]
        assert set(frame["status"]) == {"FINISHED"}
        assert frame["parts"].map(len).tolist() == [4, 4, 4]
        assert tracking.get_run(frame["run_id"][0]).data.tags["mlflow.autologging"] == "gradiend"

    @pytest.mark.long
    def test_default_seeds(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Gradiend's default of several seeds: one training run."""
        gradiend_mlflow.autolog(topk=100)
        make_trainer(max_seeds=3).train()
        assert len(search_runs()) == 1
        assert len(search_runs(kinds=["seed"])) >= 1

    def test_a_failed_training(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """The user's exception is the user's; the run is FAILED."""
        gradiend_mlflow.autolog()
        with pytest.raises(RuntimeError, match="out of luck"):
            make_trainer().train(callbacks=[Failing()])
        assert only_run(tracking).info.status == "FAILED"

    def test_nothing_is_logged_twice(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """autolog, start_run and the callback together: one run, with the block's options."""
        gradiend_mlflow.autolog(topk=10)
        trainer = make_trainer()
        with start_run(trainer, topk=20) as callback:
            trainer.train(callbacks=[callback])
        assert search_runs()["k"].tolist() == [20]

    def test_the_users_callback_is_used(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Given by keyword or by position; its options count, and it knows the run."""
        gradiend_mlflow.autolog(topk=10)
        callback = MLflowCallback(topk=20)
        make_trainer().train(callbacks=[callback])
        assert search_runs()["k"].tolist() == [20]
        assert callback.run_id == only_run(tracking).info.run_id
        make_trainer().train(None, None, None, [MLflowCallback(topk=30)])
        make_trainer().train(None, None, None, [Silent()])
        assert search_runs()["k"].tolist() == [20, 30, 10]

    def test_a_callback_serves_one_block(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Passed to another trainer meanwhile, it stays the block's; that training has a run of its own."""
        gradiend_mlflow.autolog(topk=10)
        first, second = make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL")
        with start_run(first, topk=20) as callback:
            second.train(callbacks=[callback])
            first.train(callbacks=[callback])
        frame = search_runs().set_index("run_name")
        assert frame["k"].to_dict() == {"3SG_3PL": 20, "1SG_1PL": 10}
        assert frame["run_id"]["3SG_3PL"] == callback.run_id

    def test_inside_the_users_run(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """The first training goes into it, the second below it; it is ended by its owner."""
        gradiend_mlflow.autolog(topk=10)
        with mlflow.start_run(run_name="mine") as mine:
            mlflow.log_param("learning_rate", "my own")
            make_trainer("3SG", "3PL").train()
            make_trainer("1SG", "1PL").train()
            assert tracking.get_run(mine.info.run_id).info.status == "RUNNING"
        frame = search_runs()
        assert frame["run_name"].tolist() == ["mine", "1SG_1PL"]
        assert frame["run_id"][0] == mine.info.run_id
        assert tracking.get_run(frame["run_id"][1]).data.tags["mlflow.parentRunId"] == mine.info.run_id
        first = tracking.get_run(mine.info.run_id)
        assert first.info.status == "FINISHED"
        assert first.data.params["learning_rate"] == "my own"
        assert first.data.params["max_steps"] == "4", "one param that differs does not cost the others"

    def test_exclusive_leaves_the_users_run_alone(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """As for MLflow's own flavors."""
        gradiend_mlflow.autolog(exclusive=True)
        with mlflow.start_run():
            make_trainer().train()
        assert "gradiend.kind" not in only_run(tracking).data.tags

    def test_the_active_experiment_is_the_default(self, make_trainer: MakeTrainer) -> None:
        """`mlflow.set_experiment` decides, at the time of training."""
        gradiend_mlflow.autolog(topk=10)
        mlflow.set_experiment("first")
        make_trainer().train()
        mlflow.set_experiment("second")
        make_trainer().train()
        assert len(search_runs(["first"])) == len(search_runs(["second"])) == len(search_runs()) == 1

    def test_options_are_checked_at_the_call(self) -> None:
        """Not in the first training."""
        with pytest.raises(InvalidInputError, match="part must be one of"):
            gradiend_mlflow.autolog(parts=["decoder"])


class Silent(TrainingCallback):
    """Does nothing."""


Train = Callable[[TextPredictionTrainer], Any]


def _plain(trainer: TextPredictionTrainer) -> None:
    trainer.train()


def _with_callback(trainer: TextPredictionTrainer) -> None:
    trainer.train(callbacks=[MLflowCallback()])


def _with_block(trainer: TextPredictionTrainer) -> None:
    with start_run(trainer) as callback:
        trainer.train(callbacks=[callback])


def _with_autolog(trainer: TextPredictionTrainer) -> None:
    gradiend_mlflow.autolog()
    trainer.train()


def _with_sets_of_steps(trainer: TextPredictionTrainer) -> None:
    gradiend_mlflow.autolog(topk_steps=1)
    trainer.train()
    assert len(load_stability(search_runs())) == 5


Trained = tuple[bytes, Any, Any]


def _trained(trainer: TextPredictionTrainer, how: Train) -> Trained:
    """Everything that a training leaves: the checkpoint, its statistics, the random states."""
    how(trainer)
    state = (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    )
    training_file = json.loads((Path(trainer.model_path) / "training.json").read_text())
    model = (Path(trainer.model_path) / "model.safetensors").read_bytes()
    return model, (training_file["losses"], training_file["training_stats"]), state


@pytest.fixture(scope="module")
def plain() -> dict[int, Trained]:
    """What trainings without the plugin left, by max_seeds."""
    return {}


@pytest.mark.parametrize("max_seeds", [1, 2])
@pytest.mark.parametrize("how", quick([_with_autolog, _with_sets_of_steps, _with_callback, _with_block], first=2))
def test_training_is_untouched(
    how: Train, max_seeds: int, plain: dict[int, Trained], make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    """The checkpoint is bit-identical, its statistics equal, and the random states are where they would be."""
    options = {"max_seeds": max_seeds, "min_convergent_seeds": None}
    if max_seeds not in plain:
        plain[max_seeds] = _trained(make_trainer(experiment_dir=tmp_path / "plain", **options), _plain)
    logged = _trained(make_trainer(experiment_dir=tmp_path / "logged", **options), how)
    assert len(search_runs()) >= 1, "the plugin was not at work"
    for ours, theirs in zip(logged, plain[max_seeds], strict=True):
        assert ours == theirs


def test_the_training_is_really_compared_bit_by_bit(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    """The test above can fail: another seed gives another checkpoint."""
    files = []
    for seed in (0, 1):
        trainer = make_trainer(experiment_dir=tmp_path / str(seed), seed=seed)
        trainer.train(evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
        files.append((Path(trainer.model_path) / "model.safetensors").read_bytes())
    assert files[0] != files[1]


def test_classes_that_are_inferred_within_train(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """The run is called after them, not `gradiend`; so are the runs of its seeds, and an import."""
    gradiend_mlflow.autolog(topk=10)
    trainer = TextPredictionTrainer(
        model=base_model,
        data={name: pronoun_sentences(name) for name in ("3SG", "3PL")},
        args=TrainingArguments(
            experiment_dir=str(tmp_path / "unnamed"), max_steps=2, eval_steps=2, max_seeds=1, encoder_eval_max_size=4
        ),
        random_state=0,
    )
    assert not trainer.target_classes
    trainer.train()
    run = only_run(tracking)
    assert run.info.run_name == " vs ".join(trainer.target_classes)
    assert json.loads(run.data.tags["gradiend.target_classes"]) == list(trainer.target_classes)
    frame = gradiend_mlflow.import_runs(tmp_path / "unnamed", experiment_name="imported", topk=10, progress=False)
    assert frame["run_name"][0] == run.info.run_name


@pytest.mark.long
def test_a_run_that_was_asked_for_before_its_classes_are_known(
    base_model: str, tmp_path: Path, tracking: MlflowClient
) -> None:
    """It is renamed when they are, with those of its seeds; not if the user has named it."""
    for name, expected in ((None, "3PL vs 3SG"), ("mine", "mine")):
        trainer = TextPredictionTrainer(
            model=base_model,
            data={name: pronoun_sentences(name) for name in ("3SG", "3PL")},
            args=TrainingArguments(
                experiment_dir=str(tmp_path / str(name)), max_steps=2, eval_steps=2, encoder_eval_max_size=4
            ),
            random_state=0,
        )
        with gradiend_mlflow.start_run(trainer, topk=10, run_name=name) as callback:
            run_id = callback.run_id
            assert run_id is not None
            assert tracking.get_run(run_id).info.run_name == (name or "gradiend")
            trainer.train(callbacks=[callback])
        run = tracking.get_run(run_id)
        assert run.info.run_name == expected
        assert {child.info.run_name.rpartition("/")[0] for child in children_of(tracking, run)} == {expected}

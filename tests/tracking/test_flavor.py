"""Living beside others: MLflow's own switches, gradiend's own callbacks, other trainers, threads."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from gradiend import TextPredictionTrainer
from gradiend.trainer import PostPruneConfig, PrePruneConfig
from gradiend.trainer.core.callbacks import TrainingCallback
from gradiend.trainer.trainer import Trainer
from mlflow import MlflowClient
from mlflow.utils.autologging_utils import disable_autologging

import gradiend_mlflow
from gradiend_mlflow import MLflowCallback, search_runs, start_run
from tests.support.logs import warned
from tests.support.trainings import MakeTrainer, only_run


@pytest.fixture
def testing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's mode in which a flavor's faults are raised and its patches are checked."""
    monkeypatch.setenv("MLFLOW_AUTOLOGGING_TESTING", "true")
    return


class TestSwitches:
    """As for MLflow's own flavors."""

    def test_disabled_for_a_while(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """`disable_autologging()` silences all flavors inside its block, and only there."""
        gradiend_mlflow.autolog(topk=10)
        with disable_autologging():
            make_trainer().train()
        assert tracking.search_runs(["0"]) == []
        make_trainer().train()
        assert len(search_runs()) == 1

    @pytest.mark.usefixtures("testing")
    def test_in_testing_mode(self, base_model: str, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Everything passes MLflow's checks: training, seeds, evaluation."""
        gradiend_mlflow.autolog(topk=10)
        trainer = make_trainer(max_seeds=2, min_convergent_seeds=None)
        trainer.train()
        trainer.evaluate_encoder()
        (run_id,) = search_runs()["run_id"]
        assert "eval/test/correlation" in tracking.get_run(run_id).data.metrics

    @pytest.mark.usefixtures("testing")
    def test_faults_are_raised_in_testing_mode(
        self, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And only there."""
        gradiend_mlflow.autolog(topk=10)
        monkeypatch.setattr("gradiend_mlflow.tracking.loops.loop.step_metrics", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_trainer().train()

    def test_called_twice(self, make_trainer: MakeTrainer) -> None:
        """One run, with the later options."""
        gradiend_mlflow.autolog(topk=10)
        gradiend_mlflow.autolog(topk=20)
        make_trainer().train()
        assert search_runs()["k"].tolist() == [20]

    def test_disable_leaves_gradiends_own_methods(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """All that were patched; and nothing is logged any more."""
        names = ("train", "tune_learning_rate", "evaluate", "evaluate_encoder", "evaluate_decoder")
        before = {name: getattr(Trainer, name) for name in names if hasattr(Trainer, name)}
        gradiend_mlflow.autolog(topk=10)
        assert all(getattr(Trainer, name) is not own for name, own in before.items())
        gradiend_mlflow.autolog(disable=True)
        assert {name: getattr(Trainer, name) for name in before} == before
        make_trainer().train()
        assert tracking.search_runs(["0"]) == []

    def test_silent(self, make_trainer: MakeTrainer) -> None:
        """MLflow's switch is accepted and the run is there."""
        gradiend_mlflow.autolog(topk=10, silent=True)
        make_trainer().train()
        assert len(search_runs()) == 1

    def test_the_experiment_shows_as_model_training(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """One that we create; the UI would take it for one about prompts."""
        gradiend_mlflow.autolog(topk=10, experiment_name="new")
        make_trainer().train()
        experiment = tracking.get_experiment_by_name("new")
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


class Order(TrainingCallback):
    """Notes what a callback of the user sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_begin(self, **_: Any) -> None:
        self.seen.append("begin")

    def on_step_end(self, step: int, loss: float, model: Any, config: Any, eval_result: Any = None, **_: Any) -> None:
        self.seen.append((step, loss, None if eval_result is None else eval_result.get("correlation")))

    def on_train_end(self, **_: Any) -> None:
        self.seen.append("end")


@pytest.mark.parametrize("position", ["before", "after", "alone"])
def test_other_callbacks_see_the_same(position: str, make_trainer: MakeTrainer, tmp_path: Path) -> None:
    """Losses and evaluations reach them whether ours comes before, after or not at all."""
    theirs, alone = Order(), Order()
    callbacks = {"before": [MLflowCallback(topk=10), theirs], "after": [theirs, MLflowCallback(topk=10)]}
    make_trainer(experiment_dir=tmp_path / "a").train(callbacks=[alone])
    make_trainer(experiment_dir=tmp_path / "b").train(callbacks=callbacks.get(position, [theirs]))
    assert theirs.seen == alone.seen
    assert len([entry for entry in theirs.seen if isinstance(entry, tuple) and entry[2] is not None]) >= 2


def test_two_trainers_side_by_side(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Nested blocks: each training goes to its own run."""
    first, second = make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL")
    with start_run(first, topk=10) as one, start_run(second, topk=20) as two:
        second.train(callbacks=[two])
        first.train(callbacks=[one])
    names = [tracking.get_run(callback.run_id).info.run_name for callback in (one, two)]
    assert names == ["3SG_3PL", "1SG_1PL"]
    assert search_runs().set_index("run_name")["k"].to_dict() == {"3SG_3PL": 10, "1SG_1PL": 20}


def test_trainers_in_threads(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """MLflow's active run is a thread's own, and so is what a suite is; each training has its run.

    The threads take turns with whole trainings: transformers cannot load two models at once.
    """
    gradiend_mlflow.autolog(topk=10)
    turn, failures = threading.Lock(), []

    def train(trainer: TextPredictionTrainer) -> None:
        with turn:
            try:
                trainer.train()
            except BaseException as error:
                failures.append(error)

    trainers = [make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL"), make_trainer("1SG", "3SG")]
    with mlflow.start_run() as mine:
        threads = [threading.Thread(target=train, args=[trainer]) for trainer in trainers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(search_runs()["run_name"]) == {"3SG_3PL", "1SG_1PL", "1SG_3SG"}
    assert "gradiend.kind" not in tracking.get_run(mine.info.run_id).data.tags


class Hooks(TrainingCallback):
    """Keeps the arguments of every hook of a real training."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def on_train_begin(self, **arguments: Any) -> None:
        self.calls.append(("on_train_begin", arguments))

    def on_step_end(self, **arguments: Any) -> None:
        self.calls.append(("on_step_end", arguments))


def test_trainings_at_the_same_time(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """The hooks of two real trainings, in two threads step by step: no value goes to the other's run."""
    recorded = {}
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        recorded[pair] = Hooks()
        make_trainer(*pair).train(callbacks=[recorded[pair]])
    barrier = threading.Barrier(2)

    def replay(pair: tuple[str, str]) -> None:
        with start_run(make_trainer(*pair), experiment_name="-".join(pair)) as callback:
            for name, arguments in recorded[pair].calls:
                barrier.wait(timeout=60)
                getattr(callback, name)(**arguments)

    threads = [threading.Thread(target=replay, args=[pair]) for pair in recorded]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pair, hooks in recorded.items():
        experiment = tracking.get_experiment_by_name("-".join(pair))
        (run,) = tracking.search_runs([experiment.experiment_id])
        points = tracking.get_metric_history(run.info.run_id, "train/loss")
        losses = {arguments["step"]: arguments["loss"] for name, arguments in hooks.calls if name == "on_step_end"}
        assert {point.step: point.value for point in points} == {step: losses[step] for step in range(1, 5)}


@pytest.mark.parametrize(
    "options",
    [
        {"pre_prune_config": PrePruneConfig(n_samples=4, topk=0.5)},
        {"post_prune_config": PostPruneConfig(topk=0.1)},
        {"max_seeds": 2, "min_convergent_seeds": None, "post_prune_config": PostPruneConfig(topk=0.1)},
    ],
    ids=["before", "after", "seeds"],
)
def test_pruned_checkpoints_are_untouched(
    options: dict[str, Any], make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bit-identical with and without the plugin."""
    digests = []
    for folder, logged in ((tmp_path / "plain", False), (tmp_path / "logged", True)):
        gradiend_mlflow.autolog(topk=10, disable=not logged)
        trainer = make_trainer(experiment_dir=folder, **options)
        with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
            trainer.train()
        digests.append(hashlib.sha256((Path(trainer.model_path) / "model.safetensors").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    (run_tags,) = search_runs()["tags"]  # of one run, else the plugin was not at work
    assert "gradiend.unknown_keys" not in run_tags
    assert warned(caplog) == []


def test_all_three_loggers_together(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """autolog, the block, and a second callback beside the block's: nothing comes twice to the block's run."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer()
    with start_run(trainer, topk=20) as callback:
        trainer.train(callbacks=[callback])
        trainer.evaluate_encoder()
    run = only_run(tracking)
    for key in ("train/loss", "eval/test/correlation"):
        points = tracking.get_metric_history(run.info.run_id, key)
        assert len(points) == len({point.step for point in points})

"""The callback alone: one run per training loop, of the best checkpoint, without touching the training."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient

from gradiend_mlflow import PARTS, InvalidInputError, MLflowCallback, TopKSet, load_topk, search_runs
from gradiend_mlflow.tracking.session import Session
from tests.support.trainings import Failing, MakeTrainer, Scripted, history, only_run


def test_a_training_becomes_a_run(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Params, every step's metrics as gradiend recorded them, tags, files and the four sets."""
    trainer = make_trainer()
    callback = MLflowCallback(topk=100, extra_tags={"team": "nlp"})
    trainer.train(callbacks=[callback])

    run = only_run(tracking)
    assert run.info.status == "FINISHED"
    assert run.info.run_id == callback.run_id
    assert run.info.run_name == "3SG_3PL"
    assert run.data.params["learning_rate"] == "0.01"
    assert run.data.params["max_steps"] == "4"
    assert run.data.tags["gradiend.kind"] == "training"
    assert run.data.tags["gradiend.seed"] == "0"
    assert run.data.tags["gradiend.version"] == version("gradiend")
    assert run.data.tags["team"] == "nlp"
    training_file = json.loads((Path(trainer.model_path) / "training.json").read_text())
    stats = training_file["training_stats"]
    assert history(tracking, run, "train/loss") == dict(enumerate(training_file["losses"], start=1))
    assert history(tracking, run, "train/encoder_norm") == {int(k): v for k, v in stats["encoder_norms"].items()}
    assert history(tracking, run, "train/decoder_norm") == {int(k): v for k, v in stats["decoder_norms"].items()}
    assert history(tracking, run, "eval/correlation") == {int(k): v for k, v in stats["scores"].items()}
    means = {int(k): v["3SG"] for k, v in stats["mean_by_feature_class"].items()}
    assert history(tracking, run, "eval/mean/3SG") == means
    assert run.data.metrics["best/correlation"] == training_file["best_score_checkpoint"]["correlation"]
    assert run.data.metrics["best/step"] == training_file["best_score_checkpoint"]["global_step"]
    for part in PARTS:
        expected = TopKSet.from_checkpoint(trainer.model_path, part=part, topk=100)
        assert load_topk([run.info.run_id], part=part, topk=100) == {run.info.run_id: expected}


class LastStep(TrainingCallback):
    """Keeps what the last step's model would have logged."""

    topk_set: TopKSet | None = None

    def on_step_end(self, step: int, loss: float, model: Any, config: Any, **_: Any) -> None:
        self.topk_set = TopKSet.from_model(model, topk=100)


@pytest.mark.parametrize("save_only_best", [True, False])
def test_the_best_checkpoint_is_logged_not_the_last(
    make_trainer: MakeTrainer, tracking: MlflowClient, save_only_best: bool
) -> None:
    """A training whose last step is worse than its best logs the best one's weights."""
    trainer, last = make_trainer(save_only_best=save_only_best), LastStep()
    scripted = Scripted({0: 0.1, 2: 0.9, 4: 0.2})
    trainer.train(callbacks=[MLflowCallback(topk=100), last], evaluate_fn=scripted)

    run = only_run(tracking)
    logged = load_topk([run.info.run_id], topk=100)[run.info.run_id]
    assert Path(trainer.model_path).name == ("model" if save_only_best else "model_best")
    assert logged == TopKSet.from_checkpoint(trainer.model_path, topk=100)
    assert logged != last.topk_set, "the training is too short to tell best and last apart"
    assert run.data.metrics["best/step"] == 2
    assert run.data.metrics["eval/correlation"] == 0.2


def test_a_best_checkpoint_of_an_earlier_training_is_not_mistaken(
    make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """Where nothing improves on step 0, gradiend saves no best; one may lie there from before."""
    make_trainer(save_only_best=False).train(evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
    trainer, last = make_trainer(save_only_best=False, seed=1), LastStep()
    trainer.train(callbacks=[MLflowCallback(topk=100), last], evaluate_fn=Scripted({0: 0.9, 2: 0.3, 4: 0.2}))
    run = only_run(tracking)
    assert load_topk([run.info.run_id], topk=100)[run.info.run_id] == last.topk_set
    assert run.data.metrics["best/step"] == 4


def test_scores_that_are_not_numbers_select_nothing(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Nothing improves on a first NaN: the model is the last step's, and so are the figures."""
    trainer, last = make_trainer(), LastStep()
    trainer.train(callbacks=[MLflowCallback(topk=100), last], evaluate_fn=Scripted({0: float("nan"), 2: 0.9, 4: 0.2}))
    run = only_run(tracking)
    assert load_topk([run.info.run_id], topk=100)[run.info.run_id] == last.topk_set
    assert run.data.metrics["best/step"] == 4
    assert run.data.metrics["best/correlation"] == 0.2


def test_a_decoder_trained_alone_is_selected_by_loss(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """There is no correlation then."""
    trainer = make_trainer(supervised_decoder=True, convergent_metric="loss", convergent_score_threshold=1.0)
    trainer.train(callbacks=[MLflowCallback(topk=100)])
    run = only_run(tracking)
    training_file = json.loads((Path(trainer.model_path) / "training.json").read_text())
    assert run.data.metrics["best/loss"] == min(training_file["losses"])
    assert run.data.metrics["best/step"] == 1 + training_file["losses"].index(min(training_file["losses"]))
    assert "best/correlation" not in run.data.metrics
    assert load_topk([run.info.run_id], topk=100)[run.info.run_id] == TopKSet.from_checkpoint(
        trainer.model_path, topk=100
    )


@pytest.mark.long
def test_every_seed_is_a_run(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Alone, the callback cannot know which seed is selected: each loop is a training of its own."""
    trainer = make_trainer(max_seeds=2, min_convergent_seeds=None, saved_seed_runs="all_tried")
    trainer.train(callbacks=[MLflowCallback(topk=50)])
    frame = search_runs()
    assert frame["run_name"].tolist() == ["3SG_3PL/seed_0", "3SG_3PL/seed_1"]
    assert frame["seed"].tolist() == [0, 1]
    assert frame["status"].tolist() == ["FINISHED", "FINISHED"]
    sets = load_topk(frame, topk=50)
    for run_id, seed in zip(frame["run_id"], (0, 1), strict=True):
        assert sets[run_id] == TopKSet.from_checkpoint(Path(trainer.experiment_dir) / f"seeds/seed_{seed}", topk=50)


def test_a_failed_training_does_not_stay_running(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Gradiend calls no hook then; the next training with the same callback closes the run."""
    callback = MLflowCallback(topk=50)
    with pytest.raises(RuntimeError, match="out of luck"):
        make_trainer().train(callbacks=[callback, Failing()])
    make_trainer().train(callbacks=[callback])
    statuses = [run.info.status for run in tracking.search_runs(["0"], order_by=["attributes.start_time"])]
    assert statuses == ["FAILED", "FINISHED"]


@pytest.mark.parametrize("hook", ["on_train_begin", "on_step_end", "on_train_end"])
def test_a_fault_of_ours_never_reaches_the_training(
    hook: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever breaks inside a hook is one warning."""
    broken = {"on_train_begin": "run", "on_step_end": "run", "on_train_end": "log_sets"}[hook]

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("our bug")

    if hook == "on_step_end":
        monkeypatch.setattr("gradiend_mlflow.tracking.loops.loop.step_metrics", fail)
    else:
        monkeypatch.setattr(Session, broken, property(fail) if broken == "run" else fail)
    trainer = make_trainer()
    with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
        trainer.train(callbacks=[MLflowCallback()])
    assert (Path(trainer.model_path) / "model.safetensors").is_file()
    warnings = [record.getMessage() for record in caplog.records if "our bug" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"Could not run the hook {hook} of MLflowCallback; the training goes on")


def test_the_callback_returns_nothing_that_gradiend_would_take_for_an_evaluation() -> None:
    """Any other value than None replaces the evaluation of later callbacks."""
    assert MLflowCallback().on_step_end(step=1, loss=0.0, model=None, config={}, training_stats={}) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 0.0}, r"fraction in \(0, 1\]"),
        ({"parts": "decoder-weight"}, r"write \['decoder-weight'\]"),
        ({"parts": ["decoder"]}, "part must be one of"),
        ({"deadline": -1}, "deadline must be a finite number of seconds, 0 or more; got -1"),
        ({"deadline": float("inf")}, "deadline must be a finite number"),
    ],
)
def test_unacceptable_options_are_raised_at_once(options: dict[str, Any], message: str) -> None:
    """Not in the training, where they would be swallowed."""
    with pytest.raises(InvalidInputError, match=message):
        MLflowCallback(**options)

"""What is evaluated after a training lands in its run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest
from gradiend import TextPredictionTrainer
from gradiend.evaluator import Evaluator
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import search_runs, start_run
from gradiend_mlflow.trainings.words.terms import decoder_metrics, encoder_metrics
from tests.support.logs import warned
from tests.support.trainings import MakeTrainer, children_of, history, only_run

PLOTTED = {"plot": True, "plot_kwargs": {"show": False}}
GRID: dict[str, Any] = {"lrs": [0.1], "feature_factors": [-1.0, 1.0]}
if "max_size" in inspect.signature(TextPredictionTrainer.evaluate_decoder).parameters:  # not in gradiend 0.2.0
    GRID["max_size"] = 4


def artifacts(client: MlflowClient, run_id: str, folder: str = "gradiend/evaluation") -> set[str]:
    """The names of the files in a folder."""
    return {item.path.rpartition("/")[2] for item in client.list_artifacts(run_id, folder)}


def test_after_an_autologged_training(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Figures as metrics, tables and plots as artifacts, in the finished run; the result is gradiend's."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer()
    trainer.train()
    encoder = trainer.evaluate_encoder(**PLOTTED)
    decoder = trainer.evaluate_decoder(**GRID, plot=True, show=False)
    run = only_run(tracking)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["eval/test/correlation"] == encoder["correlation"]
    assert run.data.metrics["eval/test/mean/3SG"] == encoder["mean_by_feature_class"]["3SG"]
    assert run.data.metrics["eval/decoder/3PL/value"] == decoder["3PL"]["value"]
    assert run.data.metrics["eval/decoder/3PL/learning_rate"] == 0.1
    names = artifacts(tracking, run.info.run_id)
    assert {name.rpartition(".")[2] for name in names} == {"csv", "json", "png"}
    assert {"decoder_grid_cache.json", "decoder_probability_shifts_3SG.png"} <= names
    assert any(name.startswith("encoder_analysis") for name in names)


def test_inside_the_block(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """`start_run`, before it ends; each value once."""
    trainer = make_trainer()
    with start_run(trainer, topk=10) as callback:
        trainer.train(callbacks=[callback])
        result = trainer.evaluate_encoder()
    run = tracking.get_run(callback.run_id)
    assert history(tracking, run, "eval/test/correlation") == {0: result["correlation"]}
    assert any(name.endswith(".csv") for name in artifacts(tracking, callback.run_id))
    assert "evaluate_encoder" not in vars(trainer), "the trainer is left as it was"


@pytest.mark.skipif(
    "split" not in inspect.signature(Evaluator.evaluate_decoder).parameters,
    reason="this gradiend evaluates a decoder on one split",
)
@pytest.mark.parametrize("evaluate", [lambda trainer: trainer.evaluate(kwargs_decoder=GRID, split="validation")])
def test_both_at_once(
    evaluate: Callable[[TextPredictionTrainer], Any], make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """`evaluate()`: the encoder on the split that was asked for, and the decoder."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer()
    trainer.train()
    result = evaluate(trainer)
    metrics = only_run(tracking).data.metrics
    assert metrics["eval/validation/correlation"] == result["encoder"]["correlation"]
    assert metrics["eval/decoder/3SG/value"] == result["decoder"]["3SG"]["value"]


@pytest.mark.long
def test_choosing_among_seeds_is_no_evaluation(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Gradiend evaluates every seed to select one; and a view on the seeds evaluates each of them afterwards."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer(max_seeds=2, min_convergent_seeds=None, saved_seed_runs="all_tried")
    trainer.train()
    (run_id,) = search_runs()["run_id"]
    parent = tracking.get_run(run_id)
    assert not [key for key in parent.data.metrics if key.startswith("eval/validation")]
    trainer.multi_seed(selection="all_tried").evaluate_encoder()
    parent = tracking.get_run(run_id)
    seeds = children_of(tracking, parent)
    assert not [key for key in parent.data.metrics if key.startswith("eval/test")]
    assert all("eval/test/correlation" in seed.data.metrics for seed in seeds)
    selected = trainer.evaluate_encoder()
    assert tracking.get_run(run_id).data.metrics["eval/test/correlation"] == selected["correlation"]


@pytest.mark.long
def test_another_model_is_not_mistaken(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """A model that the user passes is not the run's; a new training without the plugin ends the old run's say."""
    gradiend_mlflow.autolog(topk=10)
    first, second = make_trainer("3SG", "3PL"), make_trainer("1SG", "1PL")
    first.train()
    second.train()
    first.evaluate_encoder(model_with_gradiend=second.get_model())
    gradiend_mlflow.autolog(disable=True)
    first.evaluate_encoder()
    assert not [key for run in tracking.search_runs(["0"]) for key in run.data.metrics if key.startswith("eval/test")]


def test_a_fault_of_ours_never_reaches_the_evaluation(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is one warning."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer()
    trainer.train()
    monkeypatch.setattr("gradiend_mlflow.tracking.evaluations.encoder_metrics", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
        assert trainer.evaluate_encoder()["correlation"]
    (warning,) = warned(caplog)
    assert "Could not log evaluate_encoder: ZeroDivisionError: division by zero" in warning


@pytest.mark.parametrize("how", ["autolog", "block"])
def test_a_cached_training_is_evaluated_into_its_run(
    how: str, make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """A script that runs again and now evaluates: the figures go to the run that is there."""
    gradiend_mlflow.autolog(topk=10)
    make_trainer().train()
    trainer = make_trainer(use_cache="always")
    if how == "autolog":
        trainer.train()
        result = trainer.evaluate_encoder()
    else:
        gradiend_mlflow.autolog(disable=True)
        with start_run(trainer, topk=10) as callback:
            trainer.train(callbacks=[callback])
            assert callback.run_id == only_run(tracking).info.run_id
            result = trainer.evaluate_encoder()
    assert only_run(tracking).data.metrics["eval/test/correlation"] == result["correlation"]


def test_the_trainers_own_methods_are_back(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Also one that the user has put on the trainer, and one that is deleted meanwhile."""
    trainer = make_trainer()
    own = trainer.evaluate_encoder = lambda: {"correlation": 1.0}
    with start_run(trainer, topk=10):
        del trainer.evaluate_decoder
    assert trainer.evaluate_encoder is own
    assert "train" not in vars(trainer)


def test_an_evaluation_before_the_training_is_not_of_it(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """An earlier model's figures do not go to the new training's run."""
    trainer = make_trainer()
    trainer.train()
    with start_run(trainer, topk=10) as callback:
        trainer.evaluate_encoder()
        trainer.train(callbacks=[callback], use_cache=False)
    history_of = tracking.get_metric_history(callback.run_id, "eval/test/correlation")
    assert len(history_of) <= 1, "a figure of another model is in the run"


def test_classes_that_mlflow_would_refuse() -> None:
    """And figures that are no numbers."""
    result = {"correlation": float("nan"), "mean_by_feature_class": {"he>she": 0.5}}
    ((key, value),) = encoder_metrics(result, "test").items()
    assert (key.startswith("eval/test/mean/he_she-"), value) == (True, 0.5)
    assert decoder_metrics({"grid": {"value": None}, "plot_path": None}) == {}

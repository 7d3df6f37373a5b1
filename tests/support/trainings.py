"""Real gradiend trainings, tiny, and what a test asks of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer.core.callbacks import TrainingCallback
from gradiend.trainer.suite import SymmetricTrainerSuite
from mlflow import MlflowClient
from mlflow.entities import Run

from quickstart import pronoun_sentences, pronoun_trainer

MakeTrainer = Callable[..., TextPredictionTrainer]


def make_trainer_of(
    base_model: str, experiment_dir: Path, pair: Sequence[str], **options: Any
) -> TextPredictionTrainer:
    """A trainer for a pair of pronouns; options override its TrainingArguments."""
    arguments = {
        "experiment_dir": str(experiment_dir),
        "learning_rate": 1e-2,
        "max_steps": 4,
        "eval_steps": 2,
        "train_batch_size": 4,
        "encoder_eval_max_size": 4,
        "max_seeds": 1,
    }
    return pronoun_trainer(base_model, pair, **(arguments | options))


def train(base_model: str, experiment_dir: Path, pair: Sequence[str], **options: Any) -> TextPredictionTrainer:
    """A trained trainer, for fixtures that outlive a test."""
    trainer = make_trainer_of(base_model, experiment_dir, pair, **options)
    trainer.train()
    return trainer


def only_run(client: MlflowClient) -> Run:
    """The one run of the default experiment."""
    (run,) = client.search_runs(["0"])
    return run


def history(client: MlflowClient, run: Run, key: str) -> dict[int, float]:
    """A metric's values by step; no step comes twice."""
    points = client.get_metric_history(run.info.run_id, key)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


class Scripted:
    """An evaluation that finds the correlations that a test wants."""

    def __init__(self, scores: Mapping[int, float]) -> None:
        self.scores = scores

    def __call__(self, config: Any, training_stats: Mapping[str, Any]) -> dict[str, Any]:
        score = self.scores[training_stats["global_step"]]
        return {"correlation": score, "mean_by_class": {-1.0: -score, 1.0: score}}


class Failing(TrainingCallback):
    """Fails the training at a step."""

    def on_step_end(self, step: int, *args: Any, **kwargs: Any) -> None:
        if step == 2:
            raise RuntimeError("out of luck")


def children_of(client: MlflowClient, run: Run) -> list[Run]:
    """The runs below a run, oldest first."""
    return client.search_runs(
        [run.info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{run.info.run_id}'",
        order_by=["attributes.start_time"],
    )


def make_suite(
    base_model: str, folder: Path, *, run_id: str | None = "pronouns", **options: Any
) -> SymmetricTrainerSuite:
    """Three pronoun classes, so three trainers."""
    classes = ["1SG", "3SG", "3PL"]
    arguments = {
        "learning_rate": 1e-2,
        "max_steps": 4,
        "eval_steps": 2,
        "train_batch_size": 4,
        "encoder_eval_max_size": 4,
    }
    return SymmetricTrainerSuite(
        TextPredictionTrainer,
        model=base_model,
        data={name: pronoun_sentences(name) for name in classes},
        target_classes=classes,
        args=TrainingArguments(experiment_dir=str(folder), **(arguments | {"max_seeds": 1} | options)),
        run_id=run_id,
        random_state=0,
    )

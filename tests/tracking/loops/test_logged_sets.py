"""Sets of steps: ranked while a training runs, and compared with the set that it ends with."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gradiend import PostPruneConfig
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient
from mlflow.entities import Run

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, MLflowCallback, TopKSet, load_topk, search_runs, start_run, sync
from gradiend_mlflow.tracking.loops.logged_sets import StepSets
from gradiend_mlflow.trainings.options import MOST_STEPS, LogOptions
from tests.support.checkpoints import make_model
from tests.support.trainings import Failing, MakeTrainer, Scripted, children_of, history, only_run

ROOT = Path(__file__).parents[3]
OVERLAP = "topk/overlap_with_final"


class Ranked(TrainingCallback):
    """Keeps the set of every step, as anybody could rank it."""

    def __init__(self, part: str = "decoder-weight") -> None:
        self.part = part
        self.sets: dict[int, TopKSet] = {}

    def on_step_end(self, step: int, loss: float, model: Any, config: Any, **_: Any) -> None:
        self.sets[step] = TopKSet.from_model(model, part=self.part, topk=50)


def curve(tracking: MlflowClient, run: Run, *, part: str = "decoder-weight") -> dict[int, float]:
    """A run's overlap by step, which is what its own sets say."""
    final = load_topk([run.info.run_id], part=part, topk=50)[run.info.run_id]
    logged = history(tracking, run, OVERLAP)
    assert set(logged) == set(map(int, json.loads(run.data.tags["gradiend.topk_steps"])["sha256"]))
    for step, value in logged.items():
        topk_set = load_topk([run.info.run_id], part=part, topk=50, step=step)[run.info.run_id]
        assert value == topk_set.intersection_frac(final)
    return logged


def test_an_interval(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Each set is that of its step; the selected step's is the final one."""
    ranked = Ranked()
    with start_run(trainer := make_trainer(max_steps=6), topk=50, topk_steps=2) as callback:
        trainer.train(callbacks=[callback, ranked], evaluate_fn=Scripted({0: 0.1, 2: 0.3, 4: 0.9, 6: 0.2}))
    run = only_run(tracking)
    found = curve(tracking, run)
    assert list(found) == [0, 2, 4, 6]
    assert found[4] == 1 > max(found[0], found[2])
    for step in found:
        assert load_topk([run.info.run_id], topk=50, step=step)[run.info.run_id] == ranked.sets[step]


@pytest.mark.parametrize(("steps", "expected"), [("eval", [0, 3, 6, 7]), ([5, 1, 0, 99], [0, 1, 5])])
def test_evaluations_and_a_list(
    steps: Any, expected: list[int], make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """Of evaluations the first, before training, and the last belong to them; a step that never comes has no set."""
    gradiend_mlflow.autolog(topk=50, topk_steps=steps, parts=["encoder-weight", "decoder-bias"])
    make_trainer(max_steps=7, eval_steps=3).train()
    assert list(curve(tracking, only_run(tracking), part="encoder-weight")) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"post_prune_config": PostPruneConfig(topk=0.02), "saved_seed_runs": "all_tried"},
        {"post_prune_config": PostPruneConfig(topk=0.02), "saved_seed_runs": "best_only"},
    ],
    ids=["plain", "pruned", "one kept"],
)
def test_every_seed_has_its_own(options: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """With its own final set, pruned or not; the training has the steps of the selected seed."""
    gradiend_mlflow.autolog(topk=50, topk_steps=2)
    make_trainer(max_seeds=2, min_convergent_seeds=None, **options).train()
    (run,) = tracking.search_runs(["0"], "tags.`gradiend.kind` = 'training'")
    seeds = {seed.data.tags["gradiend.seed"]: seed for seed in children_of(tracking, run)}
    assert set(seeds) == {"0", "1"}
    curves = {seed: curve(tracking, child) for seed, child in seeds.items()}
    assert curves["0"] != curves["1"]
    assert curve(tracking, run) == curves[run.data.tags["gradiend.seed"]]


def test_what_becomes_of_the_model_later(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """With delete_models the last step's weights replace the best ones, so they are the final ones."""
    gradiend_mlflow.autolog(topk=50, topk_steps=2)
    make_trainer(delete_models=True).train(evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
    found = curve(tracking, only_run(tracking))
    assert found[4] == 1 > found[2]


@pytest.mark.long
def test_the_callback_alone(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """A run per loop, each with its curve."""
    make_trainer(max_seeds=2, min_convergent_seeds=None).train(callbacks=[MLflowCallback(topk=50, topk_steps=4)])
    for run in tracking.search_runs(["0"]):
        assert list(curve(tracking, run)) == [0, 4]


def test_a_training_that_fails_keeps_its_sets(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """There is no final set to compare them with."""
    gradiend_mlflow.autolog(topk=50, topk_steps=1)
    with pytest.raises(RuntimeError, match="out of luck"):
        make_trainer().train(callbacks=[Failing()])
    run = only_run(tracking)
    assert history(tracking, run, OVERLAP) == {}
    assert load_topk([run.info.run_id], topk=50, step=1)[run.info.run_id].topk == 50
    with pytest.raises(gradiend_mlflow.StoreError, match="did not come to its end"):
        gradiend_mlflow.load_stability([run.info.run_id])


@pytest.mark.long
def test_by_default_there_are_none(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Nor a tag."""
    gradiend_mlflow.autolog(topk=50)
    make_trainer().train()
    run = only_run(tracking)
    assert "gradiend.topk_steps" not in run.data.tags
    assert [file.path for file in tracking.list_artifacts(run.info.run_id, "gradiend/topk/steps")] == []


class Spoiling(TrainingCallback):
    """Spoils a weight at the end of a step, or mends it."""

    kept = torch.zeros(1)

    def __init__(self, *, mends: bool) -> None:
        self.mends = mends

    def on_step_end(self, step: int, loss: float, model: Any, config: Any, **_: Any) -> None:
        weight = model.gradiend.decoder[0].linear.weight
        if step == 1:
            with torch.no_grad():
                if not self.mends:
                    Spoiling.kept = weight[0].clone()
                weight[0] = Spoiling.kept if self.mends else torch.nan


def test_what_cannot_be_ranked_is_reported_and_the_rest_is_logged(
    make_trainer: MakeTrainer, tracking: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The step's metrics too."""
    with (
        caplog.at_level(logging.WARNING, logger="gradiend_mlflow"),
        start_run(trainer := make_trainer(), topk=50, topk_steps=1) as callback,
    ):
        callbacks = [Spoiling(mends=False), callback, Spoiling(mends=True)]
        trainer.train(callbacks=callbacks, evaluate_fn=Scripted({0: 0.1, 2: 0.3, 4: 0.9}))
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "gradiend_mlflow"]
    assert warning.startswith("Could not rank the weights at a step; the training goes on")
    assert "not finite" in warning
    run = only_run(tracking)
    assert run.info.status == "FINISHED"
    assert list(curve(tracking, run)) == [0, 2, 3, 4]
    assert set(history(tracking, run, "train/loss")) == {1, 2, 3, 4}


_WAITING = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
import gradiend_mlflow
from tests.support.trainings import make_trainer_of
gradiend_mlflow.autolog(topk=50, topk_steps=2, tracking_uri="http://127.0.0.1:9", deadline=0)
make_trainer_of({base_model!r}, Path("runs"), ("3SG", "3PL")).train()
"""


@pytest.mark.long
def test_records_that_waited_are_the_same(
    base_model: str, run_python: Callable[[str], str], tracking: MlflowClient, tmp_path: Path
) -> None:
    """Sent by `sync`, and again: every value is there once."""
    run_python(_WAITING.format(paths=[str(ROOT), str(ROOT / "examples")], base_model=base_model))
    shutil.copytree(tmp_path / "runs", tmp_path / "again")
    for folder in ("runs", "again"):
        frame = sync(tmp_path / folder, tracking_uri=tracking.tracking_uri, progress=False)
        assert frame["result"].tolist() == ["synced"]
    assert list(curve(tracking, only_run(tracking))) == [0, 2, 4]


def test_there_are_few_however_long_the_training_is(caplog: pytest.LogCaptureFixture) -> None:
    """Evenly spread, from the first on; this is said once."""
    model, options = make_model([("w", (4, 5), "all")]), LogOptions(topk=5, topk_steps=3)
    step_sets = StepSets(options)
    for step in range(1001):
        step_sets.rank(step, model, evaluated=False)
        assert len(step_sets._sets) <= MOST_STEPS
    assert list(step_sets._sets) == list(range(0, 1001, 24))
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "gradiend_mlflow"]
    assert warning.startswith("topk_steps=3 means more than 50 sets of a training. From step 150 on every second")


def test_sets_of_steps_are_small() -> None:
    """However many weights are logged in the end."""
    model = make_model([("w", (40, 50), "all")])
    for topk, k in ((10_000, 1000), (0.1, 200), (7, 7)):
        step_sets = StepSets(LogOptions(topk=topk, topk_steps=1))
        step_sets.rank(1, model, evaluated=False)
        assert len(step_sets._sets[1]) == k


@pytest.mark.parametrize("steps", [0, -1, True, 2.5, "evals", [], [1, -1], [1.5], range(51), object()])
def test_unacceptable_steps(steps: Any) -> None:
    """Are refused at once."""
    with pytest.raises(InvalidInputError, match="topk_steps"):
        MLflowCallback(topk_steps=steps)


def test_it_is_searched_as_any_metric(make_trainer: MakeTrainer) -> None:
    """With MLflow's own filters."""
    gradiend_mlflow.autolog(topk=50, topk_steps=[4])
    make_trainer().train()
    assert len(search_runs(filter_string=f"metrics.`{OVERLAP}` >= 0")) == 1

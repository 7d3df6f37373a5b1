"""Many trainings in one process leave no thread and no open file behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from tests.support.processes import train_some
from tests.support.trainings import MakeTrainer, history, make_suite

TRAININGS = int(os.environ.get("GRADIEND_MLFLOW_TRAININGS", "200"))


def held() -> tuple[int, int]:
    """Threads and open files of this process, when all is delivered."""
    assert gradiend_mlflow.flush()
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def trained_and_gone(make: Callable[[], Any]) -> list[weakref.ref[Any]]:
    """What refers weakly to a trained trainer or suite and to its models, after its last user has let it go."""
    trained = make()
    trained.train()
    parts = list(getattr(trained, "trainers", {}).values()) or [trained]
    for trainer in parts:
        trainer.evaluate_encoder(max_size=4)
    seen = [weakref.ref(one) for one in (trained, *parts, *(trainer.get_model() for trainer in parts))]
    assert gradiend_mlflow.flush()
    return seen


@pytest.mark.parametrize("kind", ["trainer", pytest.param("suite", marks=pytest.mark.long)])
@pytest.mark.usefixtures("tracking")
def test_a_trainer_is_not_kept(kind: str, make_trainer: MakeTrainer, base_model: str, tmp_path: Path) -> None:
    """Nor are its model and its data: a loop of trainings takes no more memory than without the plugin."""
    gradiend_mlflow.autolog(topk=100)
    seen = trained_and_gone(make_trainer if kind == "trainer" else lambda: make_suite(base_model, tmp_path / "suite"))
    gc.collect()
    assert [one() for one in seen] == [None] * len(seen)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux says what a process holds")
def test_threads_and_files_stay(make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient) -> None:
    """After the first tenth all is loaded that is ever loaded."""
    gradiend_mlflow.autolog(topk=100)
    counts = []
    for number in range(TRAININGS):
        make_trainer(experiment_dir=tmp_path / str(number), max_steps=2, eval_steps=2).train()
        if number + 1 in (TRAININGS // 10, TRAININGS):
            counts.append(held())
    (threads, files), (threads_after, files_after) = counts
    assert len(tracking.search_runs(["0"], "attributes.status = 'FINISHED'", max_results=1000)) == TRAININGS
    assert threads_after <= threads
    assert files_after <= files + 2


@pytest.mark.long
@pytest.mark.parametrize("where", ["sqlite", "server"])
def test_processes_at_once(
    where: str, base_model: str, tmp_path: Path, tracking: MlflowClient, request: pytest.FixtureRequest
) -> None:
    """Four of them, three trainings each, in one experiment: every run is there, once, and complete."""
    uri = tracking.tracking_uri if where == "sqlite" else request.getfixturevalue("server")
    context = multiprocessing.get_context("spawn")
    given = [(base_model, tmp_path / str(number), f"at once, {where}", uri) for number in range(4)]
    workers = [context.Process(target=train_some, args=one) for one in given]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(250)
    assert [worker.exitcode for worker in workers] == [0] * 4
    found = gradiend_mlflow.search_runs(f"at once, {where}", tracking_uri=uri)
    assert sorted(found["run_name"]) == sorted(["1SG_1PL", "1SG_3SG", "3SG_3PL"] * 4)
    checked = gradiend_mlflow.verify_runs(found, progress=False, tracking_uri=uri)
    assert list(checked["result"].unique()) == ["ok"]
    digests = found.groupby("run_name")["sets"].agg(lambda sets: len({str(one) for one in sets}))
    assert set(digests) == {1}  # of the same trainings


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_long_training(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Of 5,000 steps and 100 evaluations: every value is there, each once."""
    gradiend_mlflow.autolog(topk=100)
    steps = int(os.environ.get("GRADIEND_MLFLOW_STEPS", "5000"))
    make_trainer(max_steps=steps, eval_steps=steps // 100, num_train_epochs=steps).train()
    assert gradiend_mlflow.flush()
    (run,) = tracking.search_runs(["0"])
    assert len(history(tracking, run, "train/loss")) == steps
    assert len(history(tracking, run, "eval/correlation")) in (
        100,
        101,
    )  # gradiend evaluates before the first step, too

"""Many trainings in one process leave no thread and no open file behind."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from tests.support.trainings import MakeTrainer, make_suite

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

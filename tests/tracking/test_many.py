"""Many trainings in one process leave no thread and no open file behind."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from tests.support.trainings import MakeTrainer

TRAININGS = int(os.environ.get("GRADIEND_MLFLOW_TRAININGS", "200"))


def held() -> tuple[int, int]:
    """Threads and open files of this process, when all is delivered."""
    assert gradiend_mlflow.flush()
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


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

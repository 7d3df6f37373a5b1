"""What the store does where MLflow alone would fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from mlflow import MlflowClient

from gradiend_mlflow.store.store import DataInput, Store


def test_runs_log_the_same_data_at_once(tracking: MlflowClient) -> None:
    """In a loop of short trainings one is on its way while the next begins; MLflow alone refuses one of the two."""
    runs = [tracking.create_run("0").info.run_id for _ in range(4)]
    together = Barrier(len(runs))
    rounds = [
        [DataInput(f"data {number} {part}", "digest", "code", "{}", "{}", "{}", "train") for part in range(3)]
        for number in range(5)
    ]

    def log(run_id: str) -> None:
        store = Store()
        for inputs in rounds:
            together.wait(30)
            store.log_inputs(run_id, inputs)

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(log, runs))
    for run_id in runs:
        assert len(tracking.get_run(run_id).inputs.dataset_inputs) == 15

"""The recorder: it delivers everything in order and never delays the training."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import StoreError
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store.store import MetricPoint, Store
from tests.support.logs import warned


class CountingStore(Store):
    """A real store that counts its requests for metrics."""

    batches = 0

    def log_metrics(self, run_id: str, points: object) -> list[MetricPoint]:
        self.batches += 1
        return super().log_metrics(run_id, points)


def test_everything_arrives_in_order(tracking: MlflowClient, tmp_path: Path) -> None:
    """Params, metrics of every step, tags, files and the end of a run and of its child."""
    recorder = Recorder(Store())
    run = recorder.start("parent", {"a": "1"}, Destination(experiment_name="some"))
    child = run.child("child", {})
    run.params({"p": "1"})
    for step in range(2500):
        run.metrics(step, {"m": step / 2})
    file = tmp_path / "file.txt"
    file.write_text("text")
    run.upload([file], "folder")
    run.tags({"last": "yes"})
    child.end("FAILED")
    run.end("FINISHED")
    recorder.close(30)

    found = tracking.get_run(run.run_id(0))
    assert found.info.status == "FINISHED"
    assert found.data.params == {"p": "1"}
    assert found.data.tags["a"] == "1"
    assert found.data.tags["last"] == "yes"
    assert [metric.value for metric in tracking.get_metric_history(found.info.run_id, "m")] == [
        i / 2 for i in range(2500)
    ]
    assert [item.path for item in tracking.list_artifacts(found.info.run_id, "folder")] == ["folder/file.txt"]
    below = tracking.get_run(child.run_id(0))
    assert below.data.tags["mlflow.parentRunId"] == found.info.run_id
    assert below.info.status == "FAILED"
    assert (
        below.info.experiment_id == found.info.experiment_id == tracking.get_experiment_by_name("some").experiment_id
    )


def test_steps_are_sent_together(tracking: MlflowClient) -> None:
    """There are a few requests, not one per step."""
    store = CountingStore()
    recorder = Recorder(store)
    run = recorder.start("run", {}, Destination())
    for step in range(500):
        run.metrics(step, {"m": 1.0})
    recorder.close(30)
    assert store.batches <= 3
    assert len(tracking.get_metric_history(run.run_id(0), "m")) == 500


def test_experiments_made_show_as_model_training(tracking: MlflowClient) -> None:
    """Otherwise the UI opens them as experiments about prompts."""
    recorder = Recorder(Store())
    recorder.start("run", {}, Destination(experiment_name="made"))
    recorder.close(30)
    assert tracking.get_experiment_by_name("made").tags["mlflow.experimentKind"] == "custom_model_development"


class RefusingStore(Store):
    """A store whose server refuses metrics."""

    def log_metrics(self, run_id: str, points: object) -> list[MetricPoint]:
        raise StoreError("no metrics today")


def test_failures_are_reported_once_and_the_rest_arrives(
    tracking: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning comes with the first failure, one with the number of failures at the end."""
    recorder = Recorder(RefusingStore())
    run = recorder.start("run", {}, Destination())
    for step in range(3):
        run.metrics(step, {"m": 1.0})
        run.tags({"step": str(step)})
    run.end("FINISHED")
    with caplog.at_level(logging.WARNING):
        recorder.close(30)
    warnings = warned(caplog)
    assert len(warnings) == 2
    assert "no metrics today" in warnings[0]
    assert "the training goes on" in warnings[0]
    assert "3 values could not be logged" in warnings[1]
    assert tracking.get_run(run.run_id(0)).info.status == "FINISHED"
    assert tracking.get_run(run.run_id(0)).data.tags["step"] == "2"


def test_one_refused_point_costs_no_other(tracking: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    """MLflow rejects a whole batch because of one bad name; all other points arrive."""
    recorder = Recorder(Store())
    run = recorder.start("run", {}, Destination())
    for step in range(100):
        run.metrics(step, {"good" if step != 37 else "bad>name": 1.0})
    with caplog.at_level(logging.WARNING):
        recorder.close(30)
    assert len(tracking.get_metric_history(run.run_id(0), "good")) == 99
    assert "MLflow refuses the metric MetricPoint(key='bad>name'" in caplog.text
    assert "1 value could not be logged" in caplog.text


class HangingStore(Store):
    """A store whose server does not answer until the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()

    def create_run(self, *args: object, **kwargs: object) -> str:
        self.answer.wait(30)
        return super().create_run(*args, **kwargs)


def test_a_hanging_server_costs_the_deadline_and_no_more(
    tracking: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """`close` waits as long as it is told to, then warns; what still waits is sent later."""
    store = HangingStore()
    recorder = Recorder(store)
    run = recorder.start("run", {}, Destination())
    run.tags({"late": "yes"})
    assert run.run_id(0.01) is None
    with caplog.at_level(logging.WARNING):
        recorder.close(0.1)
    assert "has not taken everything within 0.1 s" in caplog.text
    store.answer.set()
    run_id = run.run_id(20)
    for _ in range(100):
        if "late" in tracking.get_run(run_id).data.tags:
            break
        time.sleep(0.05)
    assert tracking.get_run(run_id).data.tags["late"] == "yes"


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training never waits for space in the queue."""
    monkeypatch.setattr("gradiend_mlflow.delivery.recorder._QUEUE_SIZE", 5)
    store = HangingStore()
    recorder = Recorder(store)
    run = recorder.start("run", {}, Destination())
    for step in range(50):
        run.tags({"step": str(step)})
    store.answer.set()
    with caplog.at_level(logging.WARNING):
        recorder.close(30)
    assert "values could not be logged" in caplog.text


def test_closed_again_after_a_close_that_gave_up() -> None:
    """It waits for the new records only, and the worker ends afterwards."""
    others = set(threading.enumerate())
    store = HangingStore()
    recorder = Recorder(store)
    run = recorder.start("run", {}, Destination())
    recorder.close(0.05)
    store.answer.set()
    for _ in range(2):
        run.tags({"more": "yes"})
        begin = time.monotonic()
        recorder.close(60)
        assert time.monotonic() - begin < 20, "it waits for its deadline"
    until = time.monotonic() + 20
    while any(thread.name == "gradiend-mlflow" for thread in set(threading.enumerate()) - others):
        assert time.monotonic() < until, "the worker does not end"
        time.sleep(0.05)


def test_two_threads_close_at_once(tracking: MlflowClient) -> None:
    """All of them return when everything is delivered."""
    recorder = Recorder(Store())
    run = recorder.start("run", {}, Destination())
    begin = time.monotonic()

    def log_and_close(step: int) -> None:
        run.metrics(step, {"m": 1.0})
        recorder.close(120)

    threads = [threading.Thread(target=log_and_close, args=[step]) for step in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin < 60, "one of them waits for its deadline"
    assert len(tracking.get_metric_history(run.run_id(0), "m")) == 4


class LosingStore(Store):
    """A real store that loses some uploads."""

    def upload(self, run_id: str, file: Path, folder: str | None) -> None:
        if file.name == "lost":
            raise StoreError("the disk of the server is full")
        super().upload(run_id, file, folder)


def test_a_run_does_not_claim_to_have_what_was_lost(tracking: MlflowClient, tmp_path: Path) -> None:
    """The tags that list its sets and call it complete are left out, of that run only."""
    recorder = Recorder(LosingStore())
    complete = {"gradiend.topk": "{}", "gradiend.topk_steps": "{}", "gradiend.fingerprint": "abc", "team": "nlp"}
    runs = []
    for name, folder in (("lost", "gradiend/topk"), ("lost", "gradiend/topk/steps"), ("kept", "gradiend/topk")):
        (tmp_path / name).touch()
        runs.append(recorder.start(name, {}, Destination()))
        runs[-1].upload([tmp_path / name], folder)
        runs[-1].tags(complete)
    recorder.close(60)
    lost, without_steps, kept = (tracking.get_run(run.run_id(0)).data.tags for run in runs)
    assert complete.keys() & lost.keys() == {"gradiend.topk_steps", "team"}
    assert complete.keys() & without_steps.keys() == {"gradiend.topk", "team"}
    assert complete.keys() & kept.keys() == complete.keys()


def test_a_run_that_cannot_start_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warnings name the cause and the server, and count every record of the run as lost."""
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # MLflow itself tries for half a minute
    (tmp_path / "file").touch()
    recorder = Recorder(Store(f"sqlite:///{tmp_path}/file/mlflow.db"))
    run = recorder.start("run", {}, Destination())
    run.tags({"a": "b"})
    run.end("FINISHED")
    with caplog.at_level(logging.WARNING):
        recorder.close(60)
    warnings = warned(caplog)
    assert len(warnings) == 2
    assert "file/mlflow.db" in warnings[0]
    assert "3 values" in warnings[1]

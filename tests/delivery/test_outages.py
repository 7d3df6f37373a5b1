"""The server faults of docs/reliability.md, in real trainings against a real server: nothing lost, no harm done."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import start_run, sync
from gradiend_mlflow.delivery.journal import find_journals
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.pending import JOURNALS
from tests.support.faults import At, journals, only, runs_of, wait_until, weights
from tests.support.proxy import CUT, HOLE, LOST, Proxy, of_artifacts
from tests.support.trainings import MakeTrainer


def test_undisturbed(tracked: Any, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any) -> None:
    """Without a fault: nothing is left behind, nothing is warned of, and two equal trainings say the same."""
    trainer = tracked()
    assert weights(trainer) == untracked
    assert only(server, request.node.name) == undisturbed
    assert not (Path(trainer.experiment_dir) / JOURNALS).exists()
    assert warnings() == []


def test_down_from_the_start(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Nothing on the server, one warning; once it is back, everything is sent without being asked for."""
    proxy.stop()
    trainer = tracked()
    assert weights(trainer) == untracked
    assert runs_of(server, request.node.name) == []
    assert len(journals(trainer)) == 1
    wait_until(warnings)  # an outage is one if it is there twice
    (warning,) = warnings()
    assert proxy.uri in warning
    assert "the training goes on" in warning
    assert sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["busy"], "we still try ourselves"
    proxy.start()
    wait_until(lambda: not journals(trainer))
    assert only(server, request.node.name) == undisturbed


@pytest.mark.parametrize("fault", [500, 429, CUT], ids=["500", "429", "killed"])
def test_trouble_for_a_while(
    fault: Any, tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """It begins in the middle and is over before the end: the run is complete when train() returns."""

    def begin() -> None:
        wait_until(lambda: any("create" in path for _, path in proxy.requests))
        proxy.fault = lambda method, path: fault

    def end() -> None:
        time.sleep(1.0)  # so that something fails
        proxy.fault = lambda method, path: None

    trainer = tracked(At(1, begin), At(3, end))
    assert weights(trainer) == untracked
    wait_until(lambda: not journals(trainer))
    assert only(server, request.node.name) == undisturbed
    assert len(warnings()) <= 1


def test_an_answer_that_is_lost(tracked: Any, proxy: Proxy, server: str, undisturbed: Any, request: Any) -> None:
    """The server did what was asked, and nobody heard of it: done again, it is still done once."""
    seen: set[str] = set()

    def lose_the_first(method: str, path: str) -> str | None:
        if method == "GET" or path in seen:
            return None
        seen.add(path)
        return LOST

    proxy.fault = lose_the_first
    trainer = tracked()
    wait_until(lambda: not journals(trainer))
    assert len(seen) > 5
    assert only(server, request.node.name) == undisturbed


def test_every_request_takes_long(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """`train()` waits for none of them; `flush` gives up waiting, not the data, which comes in the background."""
    proxy.fault = lambda method, path: 5.0
    trainer = tracked(deadline=1)
    assert weights(trainer) == untracked
    assert len(journals(trainer)) == 1, "it is not all delivered, and train() has returned"
    assert not gradiend_mlflow.flush()
    proxy.fault = lambda method, path: None
    wait_until(lambda: not journals(trainer))
    assert gradiend_mlflow.flush()
    assert only(server, request.node.name) == undisturbed
    assert warnings() == []


def test_the_trainings_thread_asks_nobody(
    tracked: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, untracked: str
) -> None:
    """Every request of a training is made by another thread than the training's."""
    asking = set()
    send = requests.Session.send

    def noting(self: Any, prepared: Any, **kwargs: Any) -> Any:
        if prepared.url.startswith(proxy.uri):
            asking.add(threading.current_thread())
        return send(self, prepared, **kwargs)

    monkeypatch.setattr(requests.Session, "send", noting)
    assert weights(tracked()) == untracked
    assert gradiend_mlflow.flush()
    assert asking
    assert threading.current_thread() not in asking


def test_a_black_hole_leaves_the_training_alone(tracked: Any, proxy: Proxy, untracked: str) -> None:
    """The same model, to the bit; and once the hole is closed everything arrives."""
    proxy.fault = lambda method, path: HOLE
    trainer = tracked()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush(), "it does not wait for a server that does not answer"
    proxy.fault = lambda method, path: None
    proxy.release()
    wait_until(lambda: not journals(trainer))


def test_refused_entry(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Trying again is no use, and waiting neither: it is said with the command that sends it later."""
    proxy.fault = lambda method, path: 401
    trainer = tracked()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush()
    first, second = warnings()
    assert "401" in first
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in second
    for status in (403, 404):
        proxy.fault = lambda method, path, status=status: status
        frame = sync(trainer.experiment_dir, progress=False)
        assert frame["result"].tolist() == ["failed"]
        assert str(status) in frame["reason"][0]
    proxy.fault = lambda method, path: None
    assert not gradiend_mlflow.flush(), "it is not there yet"
    assert sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["synced"]
    assert gradiend_mlflow.flush()
    assert only(server, request.node.name) == undisturbed
    assert sync(trainer.experiment_dir, progress=False).empty


def test_artifacts_fail_and_metrics_succeed(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Files hold up nothing else, and a run that lacks them does not count as complete."""
    proxy.fault = lambda method, path: 500 if of_artifacts(method, path) else None
    trainer = tracked(deadline=60)
    assert weights(trainer) == untracked
    wait_until(lambda: only(server, request.node.name)["status"] == "FINISHED")
    found = only(server, request.node.name)
    assert found["metrics"] == undisturbed["metrics"]
    assert "gradiend.topk" not in found["tags"]
    assert found["files"] == {}
    wait_until(lambda: sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["failed"])
    assert 1 <= len(warnings()) <= 3
    proxy.fault = lambda method, path: None
    assert sync(trainer.experiment_dir, progress=False)["result"].tolist() == ["synced"]
    assert only(server, request.node.name) == undisturbed


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("boom"), "FAILED"), (SystemExit(3), "KILLED")])
def test_the_users_own_faults_while_the_server_is_down(
    error: BaseException, status: str, make_trainer: MakeTrainer, proxy: Proxy, server: str, request: Any
) -> None:
    """They go on as they are, and arrive with the rest."""

    def fail() -> None:
        raise error

    proxy.stop()
    trainer = make_trainer()
    with (
        pytest.raises(type(error)),
        start_run(trainer, topk=50, experiment_name=request.node.name, tracking_uri=proxy.uri) as callback,
    ):
        trainer.train(callbacks=[callback, At(2, fail)])
    proxy.start()
    wait_until(lambda: not journals(trainer))
    found = only(server, request.node.name)
    assert found["status"] == status
    assert type(error).__name__ in found["tags"]["gradiend.failure"]


def test_a_locked_database(make_trainer: MakeTrainer, tracking: MlflowClient, untracked: str, warnings: Any) -> None:
    """Another process writes to the sqlite file from the middle of the training on until after its end."""
    gradiend_mlflow.autolog(topk=50)
    with sqlite3.connect("mlflow.db", isolation_level=None) as other:
        trainer = make_trainer()
        trainer.train(callbacks=[At(1, lambda: other.execute("BEGIN EXCLUSIVE"))])
        assert weights(trainer) == untracked
        assert len(journals(trainer)) == 1
        other.execute("ROLLBACK")
    assert gradiend_mlflow.flush(60)
    (run,) = tracking.search_runs(["0"])
    assert run.info.status == "FINISHED"
    assert "gradiend.topk" in run.data.tags
    assert len(warnings()) <= 1


def test_several_trainings_one_warning(
    make_trainer: MakeTrainer, proxy: Proxy, warnings: Any, request: Any, tmp_path: Path
) -> None:
    """A server that is down is told of once, however many trainings log to it; and one command sends all."""
    proxy.stop()
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri=proxy.uri)
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        trainer = make_trainer(*pair)
        trainer.train()
        assert not gradiend_mlflow.flush()
        wait_until(warnings)
    assert len(warnings()) == 1
    pending._wait_at_exit()
    _, command = warnings()
    assert f"gradiend-mlflow sync {tmp_path / 'runs'} " in command
    proxy.start()
    wait_until(lambda: not find_journals(tmp_path))

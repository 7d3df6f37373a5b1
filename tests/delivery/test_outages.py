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
from gradiend_mlflow.delivery.journals.journal import find_journals
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.pending import JOURNALS
from tests.support.faults import At, journals, only, runs_of, wait_until, weights
from tests.support.proxy import CUT, HOLE, LOST, Proxy, of_artifacts
from tests.support.trainings import MakeTrainer


def synced(trainer: Any, proxy: Proxy) -> list[str]:
    """What `sync` made of the journals of a training."""
    return list(sync(trainer.experiment_dir, tracking_uri=proxy.uri, progress=False)["result"])


@pytest.mark.long
def test_undisturbed(tracked: Any, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any) -> None:
    """Without a fault there is no warning, no journal remains, and two equal trainings give equal runs."""
    trainer = tracked()
    assert weights(trainer) == untracked
    assert only(server, request.node.name) == undisturbed
    assert not (Path(trainer.experiment_dir) / JOURNALS).exists()
    assert warnings() == []


def test_down_from_the_start(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """One warning; once the server is back, everything is sent without `sync`."""
    proxy.stop()
    trainer = tracked()
    assert weights(trainer) == untracked
    assert runs_of(server, request.node.name) == []
    assert len(journals(trainer)) == 1
    wait_until(warnings)  # an outage is one if it is there twice
    (warning,) = warnings()
    assert proxy.uri in warning
    assert "the training goes on" in warning
    assert synced(trainer, proxy) == ["busy"], "we still try ourselves"
    proxy.start()
    wait_until(lambda: not journals(trainer))
    assert only(server, request.node.name) == undisturbed


@pytest.mark.parametrize(
    "fault",
    [500, pytest.param(429, marks=pytest.mark.long), pytest.param(CUT, marks=pytest.mark.long)],
    ids=["500", "429", "killed"],
)
def test_trouble_for_a_while(
    fault: Any, tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """A fault from the middle of the training until shortly before its end: the run is complete without `sync`."""

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
    """The server carried the request out, but its answer was lost: repeating it adds nothing."""
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


@pytest.mark.long
def test_every_request_takes_long(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """`train()` waits for none of them; `flush` gives up waiting, and the records arrive in the background."""
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
    """Every request is made by another thread."""
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
    """The model is the same to the bit, and everything arrives when the server answers again."""
    proxy.fault = lambda method, path: HOLE
    trainer = tracked()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush(), "it does not wait for a server that does not answer"
    proxy.fault = lambda method, path: None
    proxy.release()
    wait_until(lambda: not journals(trainer))


@pytest.mark.long
def test_refused_entry(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Neither repeating nor waiting helps: the warnings give the reason and the command that sends it later."""
    proxy.fault = lambda method, path: 401
    trainer = tracked()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush()
    first, second = warnings()
    assert "401" in first
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in second
    for status in (403, 404):
        proxy.fault = lambda method, path, status=status: status
        frame = sync(trainer.experiment_dir, tracking_uri=proxy.uri, progress=False)
        assert frame["result"].tolist() == ["failed"]
        assert str(status) in frame["reason"][0]
    proxy.fault = lambda method, path: None
    assert not gradiend_mlflow.flush(), "it is not there yet"
    assert synced(trainer, proxy) == ["synced"]
    assert gradiend_mlflow.flush()
    assert only(server, request.node.name) == undisturbed
    assert sync(trainer.experiment_dir, tracking_uri=proxy.uri, progress=False).empty


@pytest.mark.long
def test_a_wrong_address_that_answers(
    make_trainer: MakeTrainer, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Its 404 will not pass; `sync` sends everything to the right one."""
    wrong = Proxy(server)
    wrong.fault = lambda method, path: 404
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri=wrong.uri)
    trainer = make_trainer()
    trainer.train()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush()
    wrong.close()
    first, second = warnings()
    assert "404" in first
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in second
    assert sync(trainer.experiment_dir, tracking_uri=server, progress=False)["result"].tolist() == ["synced"]
    assert only(server, request.node.name) == undisturbed


@pytest.mark.long
@pytest.mark.parametrize("fault", [500, 503, CUT], ids=["500", "503", "cut"])
def test_artifacts_fail_and_metrics_succeed(
    fault: Any, tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Files delay nothing else, and a run without them does not count as complete."""
    proxy.fault = lambda method, path: fault if of_artifacts(method, path) else None
    trainer = tracked(deadline=60)
    assert weights(trainer) == untracked
    wait_until(lambda: only(server, request.node.name)["status"] == "FINISHED", 150)
    found = only(server, request.node.name)
    assert found["metrics"] == undisturbed["metrics"]
    assert "gradiend.topk" not in found["tags"]
    assert found["files"] == {}
    wait_until(lambda: synced(trainer, proxy) == ["failed"])
    assert 1 <= len(warnings()) <= 3 + (fault == CUT)  # which says, too, that nobody answers
    proxy.fault = lambda method, path: None
    assert synced(trainer, proxy) == ["synced"]
    assert only(server, request.node.name) == undisturbed


def test_a_plot_that_is_refused_does_not_withhold_the_sets(
    tracked: Any, proxy: Proxy, server: str, undisturbed: Any, request: Any
) -> None:
    """The run can be compared; only an import knows that something is missing."""
    proxy.fault = lambda method, path: 413 if "training_convergence" in path else None
    tracked(deadline=60)
    found = only(server, request.node.name)
    assert found["tags"]["gradiend.topk"] == undisturbed["tags"]["gradiend.topk"]
    assert set(undisturbed["files"]) - set(found["files"]) == {"gradiend/figures/training_convergence.png"}


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("boom"), "FAILED"), (SystemExit(3), "KILLED")])
def test_the_users_own_faults_while_the_server_is_down(
    error: BaseException, status: str, make_trainer: MakeTrainer, proxy: Proxy, server: str, request: Any
) -> None:
    """They are raised unchanged, and the run says why it failed."""

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
    """Another connection locks the sqlite file from the middle of the training until after its end."""
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


@pytest.mark.long
def test_several_trainings_one_warning(
    make_trainer: MakeTrainer, proxy: Proxy, warnings: Any, request: Any, tmp_path: Path
) -> None:
    """One warning says that a server is down, however many trainings log to it; one command sends everything."""
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

"""The faults of docs/reliability.md, in real trainings against a real server: nothing lost, no harm done."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from gradiend import TextPredictionTrainer
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, StoreError, start_run, sync
from gradiend_mlflow.delivery.journal import find_journals
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.records import Destination
from gradiend_mlflow.errors import UnavailableError
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.tracking.evaluations import session_of
from gradiend_mlflow.trainings.terms import key_of, step_metrics
from tests.support.proxy import CUT, HOLE, LOST, Proxy, of_artifacts
from tests.support.trainings import MakeTrainer, train

ROOT = Path(__file__).parents[2]
# What differs between two equal trainings: who and where they are, and when.
_OWN = ("gradiend.key", "gradiend.directory", "gradiend.fingerprint", "mlflow.")
_OF_PLACE = ("output_dir", "experiment_dir")
_WITH_TIMES = ("gradiend/training.json", "gradiend/figures/")


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the plugin has warned of."""
    caplog.set_level(logging.WARNING, logger="gradiend_mlflow")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == "gradiend_mlflow" and record.levelno >= logging.WARNING
    ]


def weights(trainer: TextPredictionTrainer) -> str:
    """The digest of a trained model."""
    return hashlib.sha256((Path(trainer.model_path) / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def untracked(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the model that the training gives without the plugin."""
    return weights(train(base_model, tmp_path_factory.mktemp("untracked"), ("3SG", "3PL")))


def state(server: str, run_id: str) -> dict[str, Any]:
    """All that a run says, as far as it is the same for every equal training."""
    client = MlflowClient(server)
    run = client.get_run(run_id)
    files: dict[str, str] = {}
    folders = [""]
    while folders:
        for item in client.list_artifacts(run_id, folders.pop()):
            if item.is_dir:
                folders.append(item.path)
            else:
                of_time = item.path.startswith(_WITH_TIMES)
                files[item.path] = "" if of_time else _digest(client, run_id, item.path)
    return {
        "status": run.info.status,
        "params": {key: value for key, value in run.data.params.items() if key not in _OF_PLACE},
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith(_OWN)},
        "metrics": {
            key: [(point.step, point.value) for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        },
        "files": files,
    }


def _digest(client: MlflowClient, run_id: str, path: str) -> str:
    content = Path(client.download_artifacts(run_id, path)).read_bytes()
    return hashlib.sha256(content).hexdigest() if not path.endswith("config.json") else ""


def runs_of(server: str, experiment: str) -> list[str]:
    """The ids of the runs in an experiment, once this process has told what it can."""
    gradiend_mlflow.flush()
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else [run.info.run_id for run in client.search_runs([found.experiment_id])]


@pytest.fixture(scope="module")
def undisturbed(server: str, base_model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run says whose training met no fault."""
    gradiend_mlflow.autolog(topk=50, experiment_name="undisturbed", tracking_uri=server)
    try:
        train(base_model, tmp_path_factory.mktemp("undisturbed"), ("3SG", "3PL"))
    finally:
        gradiend_mlflow.autolog(disable=True)
    (run_id,) = runs_of(server, "undisturbed")
    return state(server, run_id)


class At(TrainingCallback):
    """Does something at a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    def on_step_end(self, step: int, *args: Any, **kwargs: Any) -> None:
        if step == self.step:
            self.action()


@pytest.fixture
def tracked(proxy: Proxy, make_trainer: MakeTrainer, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Train with autolog through the proxy, into an experiment of the test's name; returns the trainer."""

    def run(*callbacks: TrainingCallback, deadline: float = 20, **options: Any) -> TextPredictionTrainer:
        gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri=proxy.uri, deadline=deadline)
        trainer = make_trainer(**options)
        trainer.train(callbacks=list(callbacks))
        return trainer

    return run


def journals(trainer: Any) -> list[Any]:
    """What a training has left for later."""
    return find_journals(Path(trainer.experiment_dir))


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what happens in the background."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def only(server: str, experiment: str) -> dict[str, Any]:
    """The state of an experiment's one run."""
    (run_id,) = runs_of(server, experiment)
    return state(server, run_id)


# ------------------------------------------------------------------------------------------- a server in trouble


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


# ---------------------------------------------------------------------------------- processes that end, or are ended

_TRAINING = """
import os, signal, sys, time
from pathlib import Path
from gradiend.trainer.core.callbacks import TrainingCallback
import gradiend_mlflow
from tests.support.trainings import make_trainer_of

class At(TrainingCallback):
    def on_step_end(self, step, *args, **kwargs):
        if step == 3:
            {action}

if {uri!r}:
    gradiend_mlflow.autolog(topk=50, experiment_name={experiment!r}, tracking_uri={uri!r}, deadline=20)
trainer = make_trainer_of({base_model!r}, Path({folder!r}), ("3SG", "3PL"))
trainer.train(callbacks=[At()])
print("trained", flush=True)
"""


@pytest.fixture
def in_process(
    base_model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train in a process of its own, in which something happens at the third step."""

    def run(uri: str, action: str, folder: str = "runs") -> subprocess.CompletedProcess[str]:
        script = _TRAINING.format(
            action=action,
            experiment=request.node.name,
            uri=uri,
            base_model=base_model,
            folder=str(tmp_path / folder),
        )
        path = os.pathsep.join([str(ROOT), str(ROOT / "examples"), str(ROOT / "tests")])
        return subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def without_values(found: dict[str, Any]) -> dict[str, Any]:
    """Which steps and files there are: in another process torch may sum in another order, with other results."""
    steps = {key: [step for step, _ in points] for key, points in found["metrics"].items()}
    tags = {key: value for key, value in found["tags"].items() if key != "gradiend.topk"}
    return found | {"metrics": steps, "tags": tags, "files": sorted(found["files"])}


def test_a_black_hole_leaves_the_training_alone(tracked: Any, proxy: Proxy, untracked: str) -> None:
    """The same model, to the bit; and once the hole is closed everything arrives."""
    proxy.fault = lambda method, path: HOLE
    trainer = tracked()
    assert weights(trainer) == untracked
    assert not gradiend_mlflow.flush(), "it does not wait for a server that does not answer"
    proxy.fault = lambda method, path: None
    proxy.release()
    wait_until(lambda: not journals(trainer))


def test_a_black_hole_does_not_hold_the_process(
    in_process: Any, proxy: Proxy, server: str, tmp_path: Path, undisturbed: Any, request: Any
) -> None:
    """The process says what it leaves and how to send it, and ends; `sync` then sends it."""
    proxy.fault = lambda method, path: HOLE
    done = in_process(proxy.uri, "pass")
    assert done.returncode == 0, done.stderr
    assert "trained" in done.stdout
    command = f"gradiend-mlflow sync {tmp_path / 'runs' / '3SG_3PL'}"
    said = done.stdout + done.stderr  # gradiend sends warnings to stdout
    assert said.count(command) == 1
    assert said.count(f"MLflow on {proxy.uri}") == 1, "one warning"
    assert runs_of(server, request.node.name) == []
    assert sync(tmp_path, tracking_uri=server, progress=False)["result"].tolist() == ["synced"]
    assert without_values(only(server, request.node.name)) == without_values(undisturbed)


@pytest.mark.parametrize("before", ["", "gradiend_mlflow.flush(); "], ids=["unsent", "running"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_killed_in_the_middle(
    number: signal.Signals, before: str, in_process: Any, server: str, tmp_path: Path, undisturbed: Any, request: Any
) -> None:
    """All that was said until then arrives, and the run is KILLED instead of running for ever."""
    done = in_process(server, f"{before}os.kill(os.getpid(), {int(number)})")
    assert [MlflowClient(server).get_run(run_id).info.status for run_id in runs_of(server, request.node.name)] == (
        ["RUNNING"] if before else []
    )
    assert done.returncode == -number
    frame = sync(tmp_path, progress=False)
    assert frame["result"].tolist() == ["synced"]
    assert sync(tmp_path, progress=False).empty
    found = only(server, request.node.name)
    assert found["status"] == "KILLED"
    assert "the process ended" in found["tags"]["gradiend.failure"]
    assert found["params"] == undisturbed["params"]
    assert [step for step, _ in found["metrics"]["train/loss"]] == [1, 2]
    assert not list(tmp_path.glob(f"**/{JOURNALS}"))


def test_a_killed_training_leaves_what_it_would_leave_alone(in_process: Any, server: str, tmp_path: Path) -> None:
    """The best checkpoint until then is the same to the bit, with the plugin and without."""
    for uri, folder in ((server, "tracked"), ("", "alone")):
        assert in_process(uri, "os.kill(os.getpid(), signal.SIGKILL)", folder).returncode == -signal.SIGKILL
    tracked, alone = (
        {
            str(file.relative_to(tmp_path / folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in (tmp_path / folder).glob("**/*.safetensors")
        }
        for folder in ("tracked", "alone")
    )
    assert alone
    assert tracked == alone


def test_ctrl_c(in_process: Any, server: str, request: Any, tmp_path: Path) -> None:
    """The run ends as KILLED by itself, and the interrupt goes on."""
    done = in_process(server, "os.kill(os.getpid(), signal.SIGINT)")
    assert done.returncode in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in done.stderr
    found = only(server, request.node.name)
    assert found["status"] == "KILLED"
    assert "KeyboardInterrupt" in found["tags"]["gradiend.failure"]
    assert find_journals(tmp_path) == []


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


# ------------------------------------------------------------------------------------------------ a disk in trouble


def test_no_place_for_the_journal(
    tracked: Any, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any, tmp_path: Path
) -> None:
    """It cannot be made: said once, and everything else is as ever."""
    place = tmp_path / "runs" / "3SG_3PL"
    place.mkdir(parents=True)
    (place / JOURNALS).write_text("a file where the folder should be")
    trainer = tracked()
    assert weights(trainer) == untracked
    assert only(server, request.node.name) == undisturbed
    (warning,) = warnings()
    assert "journal" in warning
    assert "cannot be written" in warning


def test_the_disk_fills_up(
    tracked: Any, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any, tmp_path: Path
) -> None:
    """The system refuses to write any more in the middle of the training: the same."""

    def fill_up() -> None:
        (file,) = (tmp_path / "runs").glob(f"**/{JOURNALS}/*/journal.jsonl")
        for link in Path("/proc/self/fd").iterdir():
            if link.exists() and link.resolve() == file.resolve():
                full = os.open("/dev/full", os.O_WRONLY)
                os.dup2(full, int(link.name))
                os.close(full)

    trainer = tracked(At(2, fill_up))
    assert weights(trainer) == untracked
    assert only(server, request.node.name) == undisturbed
    (warning,) = warnings()
    assert "No space left on device" in warning


def test_the_journal_vanishes(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Somebody cleans up while the server is away: it is said, and what is in memory is sent all the same."""
    proxy.stop()
    trainer = tracked()
    assert weights(trainer) == untracked
    for folder in (Path(trainer.experiment_dir) / JOURNALS).iterdir():
        (folder / "journal.jsonl").unlink()
    session = session_of(trainer)
    session._recorder.close(0.2)
    assert any("it has vanished" in warning for warning in warnings())
    proxy.start()
    assert gradiend_mlflow.flush(60)
    assert only(server, request.node.name) == undisturbed


def test_the_journal_vanishes_with_what_lay_beside_it(
    tracked: Any, proxy: Proxy, server: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Then the sets are lost to delivery, which is said, and not to the import."""
    proxy.stop()
    trainer = tracked()
    shutil.rmtree(Path(trainer.experiment_dir) / JOURNALS)
    proxy.start()
    assert not gradiend_mlflow.flush(60)
    found = only(server, request.node.name)
    assert (found["status"], found["metrics"]) == ("FINISHED", undisturbed["metrics"])
    assert "gradiend.topk" not in found["tags"]
    failed, vanished, lost = warnings()
    assert "No such file or directory" in failed
    assert "it has vanished" in vanished
    assert "values could not be logged" in lost
    options = {"topk": 50, "experiment_name": request.node.name, "tracking_uri": server}
    assert gradiend_mlflow.import_runs(trainer.experiment_dir, progress=False, **options)["result"][0] == "updated"
    assert only(server, request.node.name)["tags"]["gradiend.topk"] == undisturbed["tags"]["gradiend.topk"]


def test_trained_again_beside_a_journal_that_was_left(
    in_process: Any, make_trainer: MakeTrainer, server: str, tmp_path: Path, warnings: Any, request: Any
) -> None:
    """The next training in that directory says that it is there, and leaves it alone."""
    in_process(server, "os.kill(os.getpid(), signal.SIGKILL)")
    assert len(find_journals(tmp_path)) == 1
    trainer = make_trainer()
    with start_run(trainer, topk=50, experiment_name=request.node.name, tracking_uri=server) as callback:
        trainer.train(callbacks=[callback])
    (warning,) = warnings()
    assert warning.startswith("1 earlier training left records")
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in warning
    assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]
    assert len(runs_of(server, request.node.name)) == 2


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


# ---------------------------------------------------------------------------------------------------- what is left


def test_pauses_are_not_drawn_from_the_trainings_generator(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow draws them from Python's global one, as a training may."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    proxy.fault = lambda method, path: 503
    random.seed(7)
    with pytest.raises(StoreError, match="503"):
        Store(proxy.uri).experiments()
    assert len(proxy.requests) > 1
    assert random.random() == random.Random(7).random()


def test_that_would_be_noticed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow by itself does."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setattr("urllib3.util.retry.random", random)  # which we have replaced
    proxy.fault = lambda method, path: 503
    random.seed(7)
    with pytest.raises(MlflowException):
        MlflowClient(proxy.uri).search_experiments()
    assert random.random() != random.Random(7).random()


# ------------------------------------------------------------------------------------------------------- odd values


def test_odd_names_and_values(server: str, request: Any, warnings: Any, tmp_path: Path) -> None:
    """All arrives that MLflow can keep; what it cannot is named."""
    recorder = Recorder(Store(server, once=True), tmp_path)
    run = recorder.start("ä > b % # /", {}, Destination(experiment_name=request.node.name))
    names = ["he>she", "50%", "#1", "a b", "数", "n/a", "x" * 300, "", "."]
    odd = {name: float(index) for index, name in enumerate(names)}
    stats = {
        "mean_by_feature_class": {1: odd},
        "scores": {1: np.float32(0.5)},
        "encoder_norms": {1: torch.tensor(math.nan)},
        "decoder_norms": {1: -math.inf},
    }
    values = step_metrics(1, torch.tensor(math.inf), stats)
    run.metrics(1, values)
    run.params({"long": "x" * 7000, "changed": "a", "kept": "b"})
    run.params({"changed": "c", "kept": "b", "new": "d"})
    run.end("FINISHED")
    recorder.close(30)
    client = MlflowClient(server)
    found = client.get_run(run.run_id(0))
    assert found.info.run_name == "ä > b % # /"
    largest = sys.float_info.max
    assert found.data.metrics == {
        **{f"eval/mean/{key_of(name)}": value for name, value in odd.items()},
        "train/loss": largest,
        "train/encoder_norm": pytest.approx(math.nan, nan_ok=True),
        "train/decoder_norm": -largest,
        "eval/correlation": 0.5,
    }
    assert found.data.params == {"long": "x" * 5999 + "…", "changed": "a", "kept": "b", "new": "d"}
    cut, changed = warnings()
    assert "are cut: long" in cut
    assert "already has other values of these params: changed" in changed
    assert find_journals(tmp_path) == []


def test_an_odd_tag_is_refused_at_once() -> None:
    """MLflow would refuse the whole run because of it, when nobody looks."""
    for name in ("a>b", "x" * 251, ""):
        with pytest.raises(InvalidInputError, match="in a tag's name"):
            gradiend_mlflow.autolog(extra_tags={name: "1"})
    with pytest.raises(InvalidInputError, match=r"no tag as long as these of extra_tags: \['long'\]"):
        gradiend_mlflow.autolog(extra_tags={"long": "x" * 8001, "short": "x" * 8000})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tracking_uri": 5}, "tracking_uri must be a text, or None for the default; got 5"),
        ({"tracking_uri": ""}, "tracking_uri must be a text"),
        ({"experiment_name": " "}, "experiment_name must be a text"),
        ({"extra_tags": [("a", "b")]}, "extra_tags must be a mapping from name to value"),
    ],
    ids=str,
)
def test_odd_options_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    """Rather than in a training, where nothing may be raised."""
    with pytest.raises(InvalidInputError, match=said):
        gradiend_mlflow.autolog(**options)


# ------------------------------------------------------------------------------------------------ many processes

_BEGINNING = """
import sys
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.records import Destination
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.terms import key_of, step_metrics
sys.stdin.read()
recorder = Recorder(Store({uri!r}, once=True))
run = recorder.start(sys.argv[1], {{}}, Destination(experiment_name="together"))
run.metrics(1, {{"m": 1.0}})
run.end("FINISHED")
recorder.close(120)
"""


def test_eight_processes_begin_at_once(tmp_path: Path) -> None:
    """On a database that is not there yet: every one logs."""
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    command = [sys.executable, "-c", _BEGINNING.format(uri=uri)]
    processes = [subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE) for number in range(8)]
    for process in processes:
        process.stdin.close()
    for process in processes:
        process.wait(200)
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("together").experiment_id])
    assert sorted(run.info.run_name for run in runs) == list("01234567")
    assert all((run.info.status, run.data.metrics) == ("FINISHED", {"m": 1.0}) for run in runs)


# ------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("down", "Connection refused"),
        (HOLE, "no answer in time"),
        (CUT, "Remote end closed connection without response"),
        (500, "API request to endpoint /api/2.0/mlflow/.*500.*"),
    ],
    ids=["down", "hole", "cut", "500"],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda uri: gradiend_mlflow.search_runs(["undisturbed"], tracking_uri=uri),
        lambda uri: gradiend_mlflow.load_topk(["a" * 32] * 1 + ["b" * 32], tracking_uri=uri),
        lambda uri: gradiend_mlflow.compare(experiment_names=["undisturbed"], tracking_uri=uri),
    ],
    ids=["search_runs", "load_topk", "compare"],
)
def test_a_reader_hears_of_it_in_time(
    ask: Callable[[str], object], fault: Any, reason: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, with the server, the reason in few words and what sets the time; no thread is left to hold the exit."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    if fault == "down":
        proxy.stop()
    proxy.fault = lambda method, path: fault
    begun = time.monotonic()
    told = (
        f"at MLflow on {re.escape(proxy.uri)}: {reason} \\(asked for 1.5 s; GRADIEND_MLFLOW_DEADLINE changes that\\)"
    )
    with pytest.raises(StoreError, match=told):
        ask(proxy.uri)
    assert time.monotonic() - begun < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_no_artifact_can_be_had(proxy: Proxy, undisturbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the server's fault, not the question's."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    frame = gradiend_mlflow.search_runs(["undisturbed"], tracking_uri=proxy.uri)
    proxy.fault = lambda method, path: 500 if of_artifacts(method, path) else None
    with pytest.raises(UnavailableError, match="500"):
        gradiend_mlflow.compare(frame, topk=10, tracking_uri=proxy.uri)


@pytest.mark.parametrize("uri", ["localhost:5741", "htp://localhost", "http://localhost:abc", "http:/localhost:5741"])
def test_an_address_that_is_none(uri: str) -> None:
    """It is said at once: asking again would not help."""
    begun = time.monotonic()
    with pytest.raises(StoreError, match=re.escape(f"at MLflow on {uri}: ")):
        gradiend_mlflow.search_runs("x", tracking_uri=uri)
    assert time.monotonic() - begun < 5


def test_a_database_that_is_none(tmp_path: Path) -> None:
    """Whatever SQLAlchemy calls it."""
    (tmp_path / "notes.txt").write_text("no database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        gradiend_mlflow.search_runs("x", tracking_uri=f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_slow_server_is_waited_for(proxy: Proxy, undisturbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it answers, a reader goes on."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    proxy.fault = lambda method, path: 0.4
    frame = gradiend_mlflow.search_runs(["undisturbed"], tracking_uri=proxy.uri)
    assert len(gradiend_mlflow.load_topk(frame, topk=50, tracking_uri=proxy.uri)) == 1
    proxy.fault = lambda method, path: 2.0
    with pytest.raises(StoreError, match="no answer in time"):
        gradiend_mlflow.search_runs(["undisturbed"], tracking_uri=proxy.uri)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_deadline_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which variable."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", text)
    with pytest.raises(InvalidInputError, match="GRADIEND_MLFLOW_DEADLINE must be a number of seconds"):
        gradiend_mlflow.search_runs()

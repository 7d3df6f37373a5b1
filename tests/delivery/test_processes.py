"""Processes: forks at any moment, children that train, pools that terminate their workers."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.store.tracking.sqlalchemy_store
import mlflow.tracking._tracking_service.registry
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from torch.utils.data import DataLoader

import gradiend_mlflow
from gradiend_mlflow import forks, start_run, sync
from gradiend_mlflow.delivery.journals.journal import find_journals
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.store import Store
from tests.support.faults import At
from tests.support.processes import finish, fork, log_and_flush, log_run, log_run_aloud, train_tracked
from tests.support.proxy import HOLE, Proxy
from tests.support.sampling import quick
from tests.support.trainings import MakeTrainer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

FORKS = 30
PAIRS = [("3SG", "3PL"), ("1SG", "1PL")]


@pytest.fixture(params=["sqlite", "server"])
def uri(request: pytest.FixtureRequest, tracking: MlflowClient) -> str:
    """A database without a server, and a server."""
    return str(request.getfixturevalue("server") if request.param == "server" else mlflow.get_tracking_uri())


def found(uri: str, experiment: str) -> list[Run]:
    """The runs of an experiment."""
    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000))


def names(runs: list[Run]) -> list[str]:
    """Their names; all have finished, with everything that was logged."""
    assert {run.info.status for run in runs} == {"FINISHED"}
    return sorted(run.info.run_name for run in runs)


def check_small(runs: list[Run]) -> None:
    """They hold what `log_run` logs."""
    assert all(run.data.metrics == {"m": 4.0} for run in runs)


# ------------------------------------------------------------------------------------------------ forks at any moment


def test_forks_while_the_worker_writes(uri: str, tmp_path: Path, request: Any) -> None:
    """No child hangs, no run is lost, neither the children's nor the parent's, to which no child adds anything."""
    experiment = request.node.name
    recorder = Recorder(Store(uri, once=True), tmp_path / "parent")
    run = recorder.start("parent", {}, Destination(experiment_name=experiment))
    run.run_id(30)
    children: list[int] = []
    for number in range(FORKS):
        for step in range(20):
            run.metrics(20 * number + step, {"m": 1.0})
        recorder._send_now()
        time.sleep(0.004 * (number % 5))

        def act(name: str = f"child {number:02}") -> None:
            run.metrics(1_000_000, {"m": 2.0})
            log_and_flush(name, uri, experiment, tmp_path)

        children.append(fork(act))
        if number % 3 == 2:  # so that some write at the same time
            assert finish(*children) == [0] * 3
            children.clear()
    run.end("FINISHED")
    recorder.close(60)
    runs = found(uri, experiment)
    assert names(runs) == sorted([f"child {number:02}" for number in range(FORKS)] + ["parent"])
    (parent,) = [run for run in runs if run.info.run_name == "parent"]
    points = MlflowClient(uri).get_metric_history(parent.info.run_id, "m")
    assert Counter(point.value for point in points) == {1.0: 20 * FORKS}
    assert find_journals(tmp_path) == []


def held_locks() -> dict[str, Callable[[Recorder], Any]]:
    """Every lock that a thread of the parent may hold when the process forks."""
    return {
        "queue": lambda recorder: recorder._changed,
        "files": lambda recorder: recorder._held._lock,
        "reports": lambda recorder: pending._reporting,
        "stores": lambda recorder: mlflow.tracking._tracking_service.registry._building_store_lock,
        "engines": lambda recorder: mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore._engine_map_lock,
    }


@pytest.mark.parametrize("lock", held_locks())
def test_a_fork_while_a_thread_holds_a_lock(lock: str, empty_database: Path, tmp_path: Path) -> None:
    """The child does not wait for a thread that it does not have; it reaches a database that the parent did not."""
    (tmp_path / "new.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    recorder = Recorder(Store(once=True), tmp_path / "parent")
    recorder.start("parent", {}, Destination())
    children: list[int] = []

    def act() -> None:
        recorder.close()
        log_and_flush("child", uri, "children", tmp_path)

    forking = threading.Thread(target=lambda: children.append(fork(act)))
    with held_locks()[lock](recorder):
        forking.start()
        forking.join(30)
    assert finish(*children) == [0]
    assert names(found(uri, "children")) == ["child"]
    recorder.close(30)


def test_a_fork_does_not_wait_for_a_server(proxy: Proxy, server: str, tmp_path: Path, request: Any) -> None:
    """One that never answers holds up neither the fork nor the child."""
    proxy.fault = lambda method, path: HOLE
    recorder = Recorder(Store(proxy.uri, once=True), tmp_path / "parent")
    run = recorder.start("parent", {}, Destination())
    recorder._send_now()
    time.sleep(0.3)
    begun = time.monotonic()
    child = fork(lambda: log_and_flush("child", server, request.node.name, tmp_path))
    assert time.monotonic() - begun < 1
    assert finish(child) == [0]
    assert names(found(server, request.node.name)) == ["child"]
    proxy.fault = lambda method, path: None
    run.end("FINISHED")
    recorder.close(60)


def test_a_fork_waits_for_a_locked_database_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has waited for in vain holds up no other fork."""
    monkeypatch.setattr(forks, "_LONGEST_HOLD", 0.5)
    recorder = Recorder(Store(once=True), tmp_path / "parent")
    run = recorder.start("parent", {}, Destination())
    assert run.run_id(30)
    with sqlite3.connect(mlflow.get_tracking_uri().removeprefix("sqlite:///")) as database:
        database.execute("BEGIN IMMEDIATE")
        run.metrics(1, {"m": 1.0})
        recorder._send_now()
        time.sleep(0.3)
        seconds = []
        for _ in range(3):
            begun = time.monotonic()
            child = fork(lambda: None)
            seconds.append(time.monotonic() - begun)
            assert finish(child) == [0]
        database.rollback()
    assert seconds[0] >= 0.4
    assert max(seconds[1:]) < 0.4
    run.end("FINISHED")
    recorder.close(60)
    assert names([MlflowClient().get_run(run.run_id(0))]) == ["parent"]


def test_a_grandchild(uri: str, tmp_path: Path, request: Any) -> None:
    """Each process delivers its own run, and a parent's is nobody else's."""

    def log(name: str, then: Callable[[], object]) -> None:
        recorder = Recorder(Store(uri, once=True), tmp_path / name)
        run = recorder.start(name, {}, Destination(experiment_name=request.node.name))
        then()
        run.metrics(4, {"m": 4.0})
        run.end("FINISHED")
        recorder.close(60)

    def below(name: str, then: Callable[[], object] = lambda: None) -> None:
        assert finish(fork(lambda: log(name, then))) == [0]

    log("parent", lambda: below("child", lambda: below("grandchild")))
    runs = found(uri, request.node.name)
    check_small(runs)
    assert names(runs) == ["child", "grandchild", "parent"]


# --------------------------------------------------------------------------------------------------- forked trainings


def test_a_child_that_trains_inside_its_parents_block(
    make_trainer: MakeTrainer, base_model: str, tracking: MlflowClient, tmp_path: Path
) -> None:
    """With autolog inherited it has a run of its own; its parent's is logged as if there were no child."""
    gradiend_mlflow.autolog(topk=50)
    trainer = make_trainer()
    child, is_done = -1, False
    try:
        with start_run(trainer, topk=50) as callback:
            child = os.fork()
            if child:
                trainer.train(callbacks=[callback])
            else:
                train_tracked(("1SG", "1PL"), base_model, tmp_path / "other", "", None)
        is_done = gradiend_mlflow.flush()
    finally:
        if child == 0:
            os._exit(not is_done)
    assert finish(child) == [0]
    runs = tracking.search_runs(["0"])
    assert names(runs) == ["1SG_1PL", "3SG_3PL"]
    for run in runs:
        steps = [point.step for point in tracking.get_metric_history(run.info.run_id, "train/loss")]
        assert steps == [1, 2, 3, 4]
        assert "gradiend.topk" in run.data.tags
    assert find_journals(tmp_path) == []


def test_the_callback_of_the_parents_block_in_a_child(
    make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path
) -> None:
    """The child's training has a run of its own, also with its parent's callback and trainer."""
    trainer = make_trainer(experiment_dir=tmp_path / "child")

    def act() -> None:
        trainer.train(callbacks=[callback])
        assert gradiend_mlflow.flush()

    with start_run(trainer, topk=50) as callback:
        assert finish(fork(act)) == [0]
    runs = tracking.search_runs(["0"])
    assert len(names(runs)) == 2
    assert sorted("gradiend.topk" in run.data.tags for run in runs) == [False, True]


@pytest.mark.long
def test_workers_of_a_data_loader(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """They come and go in the middle of a training, whose run and journal stay what they are."""
    gradiend_mlflow.autolog(topk=50)
    seen: list[int] = []
    busy: list[list[str]] = []

    def load() -> None:
        batches = DataLoader(range(8), batch_size=2, num_workers=2, multiprocessing_context="fork")
        seen.extend(int(value) for batch in batches for value in batch)
        busy.append(sync(tmp_path, progress=False)["result"].tolist())

    make_trainer().train(callbacks=[At(1, load), At(3, load)])
    assert seen == [*range(8)] * 2
    assert busy == [["busy"]] * 2, "a worker that ends does not free the lock of its parent"
    (run,) = tracking.search_runs(["0"])
    assert names([run]) == ["3SG_3PL"]
    assert [point.step for point in tracking.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3, 4]
    assert find_journals(tmp_path) == []


def test_evaluations_in_a_child(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """They go to the run of the training that has ended in the parent."""
    gradiend_mlflow.autolog(topk=50)
    trainer = make_trainer()
    trainer.train()
    assert gradiend_mlflow.flush()

    def act() -> None:
        trainer.evaluate_encoder()
        assert gradiend_mlflow.flush()

    assert finish(fork(act)) == [0]
    (run,) = tracking.search_runs(["0"])
    assert "eval/test/correlation" in run.data.metrics
    assert names([run]) == ["3SG_3PL"]
    assert find_journals(tmp_path) == []


# ----------------------------------------------------------------------------------------------- pools and their ends


def train_all(map_over: Callable[..., Any], base_model: str, folder: Path, experiment: str, uri: str | None) -> None:
    """Two trainings in workers."""
    count = len(PAIRS)
    done = map_over(train_tracked, PAIRS, [base_model] * count, [folder] * count, [experiment] * count, [uri] * count)
    assert len(list(done)) == count


def with_terminated_pool(*arguments: Any) -> None:
    """The end of the block terminates the workers."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        train_all(lambda function, *lists: pool.starmap(function, zip(*lists, strict=True)), *arguments)


def with_executor(*arguments: Any) -> None:
    """The workers end by themselves."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        train_all(executor.map, *arguments)


@pytest.mark.parametrize("train", [with_terminated_pool, with_executor])
def test_trainings_in_forked_workers(
    train: Callable[..., None], base_model: str, tracking: MlflowClient, tmp_path: Path
) -> None:
    """Their runs are complete when the workers have ended, without any call for it; the parent has called autolog."""
    gradiend_mlflow.autolog(topk=50)
    train(base_model, tmp_path / "runs", "", None)
    runs = tracking.search_runs(["0"])
    assert names(runs) == ["1SG_1PL", "3SG_3PL"]
    assert all("gradiend.topk" in run.data.tags for run in runs)
    assert find_journals(tmp_path) == []


@pytest.mark.parametrize("method", quick(["spawn", "fork", "forkserver"], first=1))
def test_ends_of_workers(method: str, server: str, tmp_path: Path, request: Any) -> None:
    """A process, a pool that is joined, and one that terminates its worker."""
    context = multiprocessing.get_context(method)
    process = context.Process(target=log_run, args=("process", server, request.node.name, tmp_path))
    process.start()
    joined = context.Pool(1)
    result = joined.apply_async(log_run, ("joined", server, request.node.name, tmp_path))
    with context.Pool(1) as pool:
        pool.apply(log_run, ("terminated", server, request.node.name, tmp_path))
    joined.close()
    joined.join()
    result.get()
    process.join()
    assert process.exitcode == 0
    runs = found(server, request.node.name)
    check_small(runs)
    assert names(runs) == ["joined", "process", "terminated"]
    assert find_journals(tmp_path) == []


@pytest.mark.long
def test_a_spawned_pool_that_trains(base_model: str, server: str, tmp_path: Path, request: Any) -> None:
    """Autolog is called in the worker."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(train_tracked, (PAIRS[0], base_model, tmp_path, request.node.name, server))
    assert names(found(server, request.node.name)) == ["3SG_3PL"]
    assert find_journals(tmp_path) == []


_JOBLIB = """
import joblib
from pathlib import Path
from gradiend_mlflow import search_runs
from tests.support.processes import log_run
run = (joblib.delayed(log_run)(str(number), {uri!r}, {experiment!r}, Path({folder!r})) for number in range(3))
joblib.Parallel(2)(run)
print("found", len(search_runs({experiment!r}, tracking_uri={uri!r}, kinds="training", complete=False)))
"""


@pytest.mark.long
def test_joblib(server: str, tmp_path: Path, run_python: Callable[[str], str], request: Any) -> None:
    """The workers of loky outlive the call; whoever called them finds their runs at once."""
    said = run_python(_JOBLIB.format(uri=server, experiment=request.node.name, folder=str(tmp_path)))
    assert "found 3" in said
    assert names(found(server, request.node.name)) == ["0", "1", "2"]
    assert find_journals(tmp_path) == []


def test_an_executor_that_goes_on(server: str, tmp_path: Path, request: Any) -> None:
    """A worker's run is there when its result is, though the worker waits for more work."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(log_run, "first", server, request.node.name, tmp_path).result()
        assert names(found(server, request.node.name)) == ["first"]


def test_a_pool_without_a_server(tmp_path: Path, server: str, request: Any) -> None:
    """A worker that is about to be terminated says what is left and how it is sent."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(log_run_aloud, (tmp_path / "log", "worker", "http://127.0.0.1:1", request.node.name, tmp_path))
    assert f"gradiend-mlflow sync {tmp_path / 'worker'}" in (tmp_path / "log").read_text()
    assert sync(tmp_path, tracking_uri=server, progress=False)["result"].tolist() == ["synced"]
    assert names(found(server, request.node.name)) == ["worker"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.store.store import Store
for name in ("one", "two words"):
    child = os.fork()
    if not child:
        recorder = Recorder(Store({uri!r}, once=True), Path({folder!r}, name))
        recorder.start(name, {{}}, Destination(experiment_name={experiment!r})).metrics(1, {{"m": 1.0}})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.long
def test_a_killed_child(server: str, tmp_path: Path, request: Any) -> None:
    """It cannot say what it has left, so its parent does: the command, and that the password is not in it."""
    uri, name = server.replace("//", "//wanda:s3cret-w0rd@"), request.node.name
    script = _KILLED.format(uri=uri, folder=str(tmp_path), experiment=name)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    masked = server.replace("//", "//***@")
    assert f"Child processes have left the records of 2 trainings, which MLflow on {masked}" in done.stderr
    assert f"gradiend-mlflow sync {tmp_path} --tracking-uri '{masked}' (the password is not in it" in done.stderr
    assert "s3cret" not in done.stderr
    assert sync(tmp_path, tracking_uri=server, progress=False)["result"].tolist() == ["synced"] * 2
    assert {run.info.status for run in found(server, name)} == {"KILLED"}

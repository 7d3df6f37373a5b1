"""The faults of docs/reliability.md that end a process, and many processes at once."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import start_run, sync
from gradiend_mlflow.delivery.journals.journal import find_journals
from gradiend_mlflow.store.pending import JOURNALS
from tests.support.faults import only, runs_of
from tests.support.proxy import HOLE, Proxy
from tests.support.sampling import quick
from tests.support.trainings import MakeTrainer

ROOT = Path(__file__).parents[2]

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
    """Train in another process, in which something happens at the third step."""

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
    """The state without values: in another process torch may sum in another order, with other results."""
    steps = {key: [step for step, _ in points] for key, points in found["metrics"].items()}
    tags = {key: value for key, value in found["tags"].items() if key != "gradiend.topk"}
    return found | {"metrics": steps, "tags": tags, "files": sorted(found["files"])}


@pytest.mark.long
def test_a_black_hole_does_not_hold_the_process(
    in_process: Any, proxy: Proxy, server: str, tmp_path: Path, undisturbed: Any, request: Any
) -> None:
    """The process ends with one warning that names the command to send the records; `sync` then sends them."""
    proxy.fault = lambda method, path: HOLE
    done = in_process(proxy.uri, "pass")
    assert done.returncode == 0, done.stderr
    assert "trained" in done.stdout
    command = f"gradiend-mlflow sync {tmp_path / 'runs' / '3SG_3PL'}"
    output = done.stdout + done.stderr  # gradiend sends warnings to stdout
    assert output.count(command) == 1
    assert output.count(f"MLflow on {proxy.uri}") == 1, "one warning"
    assert runs_of(server, request.node.name) == []
    assert sync(tmp_path, tracking_uri=server, progress=False)["result"].tolist() == ["synced"]
    assert without_values(only(server, request.node.name)) == without_values(undisturbed)


@pytest.mark.parametrize("before", quick(["gradiend_mlflow.flush(); ", ""], first=1), ids=["running", "unsent"])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)], ids=["SIGKILL", "SIGTERM"]
)
def test_killed_in_the_middle(
    number: signal.Signals, before: str, in_process: Any, server: str, tmp_path: Path, undisturbed: Any, request: Any
) -> None:
    """All records until then arrive, and the run becomes KILLED instead of staying RUNNING."""
    done = in_process(server, f"{before}os.kill(os.getpid(), {int(number)})")
    assert [MlflowClient(server).get_run(run_id).info.status for run_id in runs_of(server, request.node.name)] == (
        ["RUNNING"] if before else []
    )
    assert done.returncode == -number
    frame = sync(tmp_path, tracking_uri=server, progress=False)
    assert frame["result"].tolist() == ["synced"]
    assert sync(tmp_path, tracking_uri=server, progress=False).empty
    found = only(server, request.node.name)
    assert found["status"] == "KILLED"
    assert "the process ended" in found["tags"]["gradiend.failure"]
    assert found["params"] == undisturbed["params"]
    assert [step for step, _ in found["metrics"]["train/loss"]] == [1, 2]
    assert not list(tmp_path.glob(f"**/{JOURNALS}"))


@pytest.mark.long
def test_a_killed_training_leaves_what_it_would_leave_alone(in_process: Any, server: str, tmp_path: Path) -> None:
    """Its best checkpoint is the same to the bit with the plugin and without."""
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


@pytest.mark.long
def test_ctrl_c(in_process: Any, server: str, request: Any, tmp_path: Path) -> None:
    """The run becomes KILLED without `sync`, and the interrupt is passed on."""
    done = in_process(server, "os.kill(os.getpid(), signal.SIGINT)")
    assert done.returncode in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in done.stderr
    found = only(server, request.node.name)
    assert found["status"] == "KILLED"
    assert "KeyboardInterrupt" in found["tags"]["gradiend.failure"]
    assert find_journals(tmp_path) == []


@pytest.mark.long
def test_trained_again_beside_a_journal_that_was_left(
    in_process: Any, make_trainer: MakeTrainer, server: str, tmp_path: Path, warnings: Any, request: Any
) -> None:
    """The next training in that directory warns of it and does not touch it."""
    in_process(server, "os.kill(os.getpid(), signal.SIGKILL)")
    assert len(find_journals(tmp_path)) == 1
    trainer = make_trainer()
    with start_run(trainer, topk=50, experiment_name=request.node.name, tracking_uri=server) as callback:
        trainer.train(callbacks=[callback])
    (warning,) = warnings()
    assert warning.startswith("1 earlier training left records")
    assert f"gradiend-mlflow sync {trainer.experiment_dir}" in warning
    assert sync(tmp_path, tracking_uri=server, progress=False)["result"].tolist() == ["synced"]
    assert len(runs_of(server, request.node.name)) == 2


_BEGINNING = """
import sys
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.words.terms import key_of, step_metrics
sys.stdin.read()
recorder = Recorder(Store({uri!r}, once=True))
run = recorder.start(sys.argv[1], {{}}, Destination(experiment_name="together"))
run.metrics(1, {{"m": 1.0}})
run.end("FINISHED")
recorder.close(120)
"""


@pytest.mark.long
def test_eight_processes_begin_at_once(tmp_path: Path) -> None:
    """Every process logs its run, although the database does not exist before."""
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

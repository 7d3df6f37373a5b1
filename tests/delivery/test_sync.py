"""`sync`: journals are sent once, whichever process calls it and however often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

from gradiend_mlflow import InvalidInputError, StoreError, sync
from gradiend_mlflow.cli import main
from gradiend_mlflow.delivery.journals.journal import Journal, find_journals
from gradiend_mlflow.delivery.journals.records import (
    Destination,
    EndRun,
    KnownRun,
    LogMetrics,
    LogParams,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.store.store import MetricPoint
from gradiend_mlflow.store.tags import shown_key
from tests.support.logs import warned
from tests.support.proxy import HOLE, Proxy

STEPS = 300


def write_journal(
    folder: Path, uri: str, *, ended: bool = True, key: str = "k", experiment: str = "waiting"
) -> Journal:
    """The journal of a training that could not send anything: one run with a child."""
    journal = Journal(folder, uri)
    file = journal.new_folder() / "file.txt"
    file.write_text("content")
    journal.append(StartRun(key, "parent", {"a": "1"}, 1000, Destination(experiment_name=experiment)))
    journal.append(StartRun(f"{key}-child", "child", {}, 1000, Destination(), parent=key))
    journal.append(LogParams(key, {"p": "1"}))
    for step in range(STEPS):
        journal.append(LogMetrics(key, (MetricPoint("m", step / 7, 1000 + step, step),)))
    journal.append(Upload(key, file, "folder"))
    journal.append(SetTags(key, {"last": "yes"}))
    if ended:
        journal.append(EndRun(f"{key}-child", "FAILED", 5000))
        journal.append(EndRun(key, "FINISHED", 5000))
    journal.close()
    return journal


def runs(client: MlflowClient) -> dict[str, Run]:
    """The runs that were sent, by name; no name occurs twice."""
    experiment = client.get_experiment_by_name("waiting")
    found = [] if experiment is None else list(client.search_runs([experiment.experiment_id]))
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def check(client: MlflowClient) -> None:
    """Everything arrived once."""
    found = runs(client)
    parent, child = found["parent"], found["child"]
    assert (parent.info.status, child.info.status) == ("FINISHED", "FAILED")
    assert (parent.info.start_time, parent.info.end_time) == (1000, 5000)
    assert parent.data.params == {"p": "1"}
    assert (parent.data.tags["a"], parent.data.tags["last"]) == ("1", "yes")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    points = client.get_metric_history(parent.info.run_id, "m")
    assert [(point.step, point.value) for point in points] == [(step, step / 7) for step in range(STEPS)]
    assert [item.path for item in client.list_artifacts(parent.info.run_id, "folder")] == ["folder/file.txt"]


def test_journals_are_sent_and_removed(tracking: MlflowClient, tmp_path: Path) -> None:
    """The row has the ids of the runs; a second call finds no journal."""
    write_journal(tmp_path / "runs" / "a", tracking.tracking_uri)
    frame = sync(tmp_path, progress=False)
    check(tracking)
    assert frame.columns.tolist() == ["directory", "result", "run_ids", "reason"]
    (row,) = frame.to_dict("records")
    assert (row["directory"], row["result"], row["reason"]) == (str(tmp_path / "runs" / "a"), "synced", None)
    assert set(row["run_ids"]) == {run.info.run_id for run in runs(tracking).values()}
    assert sync(tmp_path, progress=False).empty
    assert [*(tmp_path / "runs" / "a").iterdir()] == []


def test_what_was_sent_before_is_not_sent_twice(tracking: MlflowClient, tmp_path: Path) -> None:
    """The same journal again, as after a sync that was killed before it could remove it."""
    for _ in range(2):
        write_journal(tmp_path / "a", tracking.tracking_uri)
        assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]
    check(tracking)


def test_a_run_that_never_ended_is_killed(tracking: MlflowClient, tmp_path: Path) -> None:
    """So are its children, at the time of the last record."""
    before = int(time.time() * 1000)
    write_journal(tmp_path, tracking.tracking_uri, ended=False)
    (row,) = sync(tmp_path, progress=False).to_dict("records")
    assert row["result"] == "synced"
    assert "the process ended before" in row["reason"]
    for run in runs(tracking).values():
        assert run.info.status == "KILLED"
        assert before <= run.info.end_time <= int(time.time() * 1000)
        assert "the process ended" in run.data.tags["gradiend.failure"]


def test_a_broken_off_line_is_named(tracking: MlflowClient, tmp_path: Path) -> None:
    """The records before it are sent."""
    journal = write_journal(tmp_path, tracking.tracking_uri)
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"said": 1, "is": "SetT')
    (row,) = sync(tmp_path, progress=False).to_dict("records")
    assert row["result"] == "synced"
    assert "last line was broken off" in row["reason"]
    check(tracking)


def test_what_cannot_be_sent_stays(tracking: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file has vanished: the rest arrives, the journal stays, other journals are sent; strict raises."""
    journal = write_journal(tmp_path / "a", tracking.tracking_uri)
    (file,) = journal.folder.glob("files/*/file.txt")
    file.unlink()
    write_journal(tmp_path / "b", tracking.tracking_uri, key="other")
    with pytest.raises(StoreError, match=r"1 of 2 journals could not be sent to MLflow:\n .*/a: .*file\.txt"):
        sync(tmp_path, progress=False, strict=True)
    assert [found.folder for found in find_journals(tmp_path)] == [journal.folder]
    statuses = [
        run.info.status for run in tracking.search_runs([tracking.get_experiment_by_name("waiting").experiment_id])
    ]
    assert sorted(statuses) == ["FAILED", "FAILED", "FINISHED", "FINISHED"]
    file.write_text("content")
    assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]


def test_a_value_that_mlflow_refuses_delays_nothing(tracking: MlflowClient, tmp_path: Path) -> None:
    """The reason names it, and the journal is removed: sending it again would not help."""
    journal = Journal(tmp_path, tracking.tracking_uri)
    journal.append(StartRun("k", "parent", {}, 1000, Destination(experiment_name="waiting")))
    journal.append(LogMetrics("k", (MetricPoint("bad>name", 1.0, 1, 1), MetricPoint("good", 1.0, 1, 1))))
    journal.append(EndRun("k", "FINISHED", 2000))
    journal.close()
    (row,) = sync(tmp_path, progress=False).to_dict("records")
    assert row["result"] == "synced"
    assert "refuses 1 value" in row["reason"]
    assert runs(tracking)["parent"].data.metrics == {"good": 1.0}


def test_another_server(tracking: MlflowClient, tmp_path: Path) -> None:
    """A journal can be sent elsewhere if its server no longer exists."""
    write_journal(tmp_path, "http://127.0.0.1:9")
    left = sync(tmp_path, progress=False)
    assert left["result"].tolist() == ["failed"]
    command = f"gradiend-mlflow sync {tmp_path} --tracking-uri http://127.0.0.1:9"
    assert left["reason"][0].endswith(f"if that is where it shall go: {command}")
    assert sync(tmp_path, tracking_uri=tracking.tracking_uri, progress=False)["result"].tolist() == ["synced"]
    check(tracking)


_SYNC = """
import sys, gradiend_mlflow
from tests.support.logs import warned
frame = gradiend_mlflow.sync(sys.argv[1], tracking_uri=sys.argv[2], progress=False)
print(*frame['result'], flush=True)
"""


def start_sync(path: Path, uri: str) -> subprocess.Popen[str]:
    """Start `sync` in another process."""
    return subprocess.Popen([sys.executable, "-c", _SYNC, str(path), uri], stdout=subprocess.PIPE, text=True)


def test_a_record_that_the_server_cannot_take_holds_up_no_other(server: str, tmp_path: Path) -> None:
    """Its file stays in the journal, everything else is sent, and the next time the file is too."""
    proxy = Proxy(server)
    proxy.fault = lambda method, path: 500 if "file.txt" in path else None
    write_journal(tmp_path / "runs", proxy.uri, key="held-up", experiment="held up")
    (row,) = sync(tmp_path, tracking_uri=proxy.uri, progress=False).to_dict("records")
    assert row["result"] == "failed"
    client = MlflowClient(server)
    (found,) = client.search_runs(
        [client.get_experiment_by_name("held up").experiment_id], f"tags.`gradiend.key` = '{shown_key('held-up')}'"
    )
    assert (found.info.status, found.data.tags["last"], found.data.params) == ("FINISHED", "yes", {"p": "1"})
    proxy.fault = lambda method, path: None
    assert sync(tmp_path, tracking_uri=proxy.uri, progress=False)["result"].tolist() == ["synced"]
    assert [item.path for item in client.list_artifacts(found.info.run_id, "folder")] == ["folder/file.txt"]
    proxy.close()


@pytest.mark.long
def test_killed_in_the_middle_and_done_again(server: str, tmp_path: Path) -> None:
    """The second call finds what the first has sent and sends the rest."""
    proxy = Proxy(server)
    try:
        write_journal(tmp_path, proxy.uri)
        proxy.fault = lambda method, path: 0.3
        first = start_sync(tmp_path, proxy.uri)
        while not any("log-batch" in path for _, path in proxy.requests):
            assert first.poll() is None
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert len(find_journals(tmp_path)) == 1
        proxy.fault = lambda method, path: None
        assert sync(tmp_path, tracking_uri=proxy.uri, progress=False)["result"].tolist() == ["synced"]
        check(MlflowClient(server))
    finally:
        proxy.close()
        experiment = MlflowClient(server).get_experiment_by_name("waiting")
        MlflowClient(server).rename_experiment(experiment.experiment_id, "waited")


@pytest.mark.long
def test_two_at_once(server: str, tmp_path: Path) -> None:
    """One sends the journal, the other leaves it alone."""
    proxy = Proxy(server)
    try:
        write_journal(tmp_path, proxy.uri)
        proxy.fault = lambda method, path: 0.3
        first = start_sync(tmp_path, proxy.uri)
        while not proxy.requests:
            assert first.poll() is None
            time.sleep(0.05)
        assert sync(tmp_path, tracking_uri=proxy.uri, progress=False)["result"].tolist() == ["busy"]
        proxy.fault = lambda method, path: None
        assert first.communicate(timeout=60)[0].strip() == "synced"
        check(MlflowClient(server))
    finally:
        proxy.close()


def test_a_server_that_does_not_answer(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sync` waits for it as long as readers do, once, however many journals there are."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    proxy = Proxy(server)
    try:
        for name in "abc":
            write_journal(tmp_path / name, proxy.uri, key=name)
        proxy.fault = lambda method, path: HOLE
        frame = sync(tmp_path, tracking_uri=proxy.uri, progress=False)
        assert frame["result"].tolist() == ["failed"] * 3
        assert frame["reason"].str.endswith("no answer in time").all()
        assert len(proxy.requests) == 1
    finally:
        proxy.close()
    assert len(find_journals(tmp_path)) == 3


def test_a_run_that_was_deleted(tracking: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The journal stays, and one line gives the reason."""
    run_id = tracking.create_run("0", tags={"gradiend.key": "k"}).info.run_id
    journal = Journal(tmp_path, tracking.tracking_uri)
    journal.append(KnownRun("k", run_id, "0"))
    journal.append(LogMetrics("k", (MetricPoint("m", 1.0, 1000, 1),)))
    journal.close()
    tracking.delete_run(run_id)
    frame = sync(tmp_path, progress=False)
    assert frame["result"].tolist() == ["failed"]
    assert "Current state is deleted" in frame["reason"][0]
    assert warned(caplog) == [f"{tmp_path} could not be sent to MLflow: {frame['reason'][0]}"]


def test_the_command(tracking: MlflowClient, tmp_path: Path) -> None:
    """It prints the result of each journal, and its exit code is 1 if one failed."""
    write_journal(tmp_path / "a", tracking.tracking_uri)
    write_journal(tmp_path / "b", "http://127.0.0.1:9", key="other")
    done = CliRunner().invoke(main, ["sync", str(tmp_path)])
    assert done.exit_code == 1
    assert f"synced    {tmp_path}/a  ->  run " in done.output
    assert f"failed    {tmp_path}/b" in done.output
    assert "nan" not in done.output
    check(tracking)
    done = CliRunner().invoke(main, ["sync", str(tmp_path / "a")])
    assert (done.exit_code, done.output) == (0, "nothing to send\n")


def test_no_directory(tmp_path: Path) -> None:
    """The error says what was given instead."""
    for nowhere in (tmp_path / "none", "x" * 5000, "a\0b"):
        with pytest.raises(InvalidInputError, match="not there"):
            sync(nowhere)
    for path in ("", None, 5):
        with pytest.raises(InvalidInputError, match=f"sync needs a directory; got {path!r}"):
            sync(path)

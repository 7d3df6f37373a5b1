"""Journals that somebody else has written, or damaged: what they ask for is not done, and costs no other."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

from gradiend_mlflow import InvalidInputError, sync
from gradiend_mlflow.cli import main
from gradiend_mlflow.delivery.journals.journal import Journal, LeftJournal
from gradiend_mlflow.delivery.journals.lines import MOST_LINE, write_line
from gradiend_mlflow.delivery.journals.records import (
    Destination,
    DrawPicture,
    EndRun,
    KnownRun,
    LinkModel,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.store import MetricPoint, Store

SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----"
GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0" / "waiting" / "1SG_3SG"


def plant(folder: Path, uri: str, *records: Record, key: str = "k", to: Destination | None = None) -> Journal:
    """A journal of one run with these records."""
    journal = Journal(folder, uri)
    journal.append(StartRun(key, f"run {key}", {}, 1000, to or Destination(experiment_name="planted")))
    for record in records:
        journal.append(record)
    journal.append(EndRun(key, "FINISHED", 2000))
    journal.close()
    return journal


def planted(client: MlflowClient, experiment: str = "planted") -> list[Run]:
    """The runs that were sent."""
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def artifacts(client: MlflowClient, run: Run, folder: str = "") -> list[str]:
    """The paths of all files of a run."""
    found = client.list_artifacts(run.info.run_id, folder)
    below = [path for item in found if item.is_dir for path in artifacts(client, run, item.path)]
    return [item.path for item in found if not item.is_dir] + below


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that nobody wants to see on a server."""
    file = tmp_path / "home" / "id_rsa"
    file.parent.mkdir()
    file.write_text(SECRET)
    return file


class TestFiles:
    """Only the journal's own are sent."""

    @pytest.mark.parametrize("how", ["absolute", "dots", "link", "linked folder", "pipe", "device", "directory"])
    def test_no_other_file_is_sent(
        self, how: str, secret: Path, tracking: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is named, everything else arrives, and nothing claims that the file had arrived."""
        journal = Journal(tmp_path / "runs", tracking.tracking_uri)
        own = journal.new_folder() / "decoder-weight.parquet"
        file = own
        if how == "absolute":
            file = secret
        elif how == "dots":
            file = journal.folder / os.path.relpath(secret, journal.folder)
        elif how == "link":
            own.symlink_to(secret)
        elif how == "linked folder":
            shutil.rmtree(own.parent)
            own.parent.symlink_to(secret.parent)
            file = own.with_name(secret.name)
        elif how == "pipe":
            os.mkfifo(own)
        elif how == "device":
            own.symlink_to("/dev/zero")
        else:
            own.mkdir()
        journal.close()
        lines = [
            {"is": "StartRun", "key": "k", "name": "run k", "run_tags": {}, "start_time": 1, "destination": {}},
            {"is": "Upload", "key": "k", "file": str(file), "folder": "gradiend/topk"},
            {"is": "DrawPicture", "key": "k", "directory": str(own.parent)},
            {"is": "SetTags", "key": "k", "run_tags": {"gradiend.topk": "{}", "arrived": "yes"}},
            {"is": "EndRun", "key": "k", "status": "FINISHED", "end_time": 2},
        ]
        with journal.file.open("a") as stream:
            stream.writelines(json.dumps({"said": 1, **line}) + "\n" for line in lines)
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert row["result"] == "failed"
        assert f"{file} is not sent: it is no file of the journal's own" in row["reason"]
        (run,) = tracking.search_runs(["0"])
        assert (run.info.status, run.data.tags["arrived"]) == ("FINISHED", "yes")
        assert "gradiend.topk" not in run.data.tags
        assert artifacts(tracking, run) == []
        assert SECRET not in caplog.text

    def test_a_file_with_another_name_is_not_sent(self, secret: Path, tracking: MlflowClient, tmp_path: Path) -> None:
        """A hard link is no link that could be followed to where it leads."""
        journal = Journal(tmp_path / "runs", tracking.tracking_uri)
        journal.append(StartRun("k", "run k", {}, 1000, Destination(experiment_name="planted")))
        own = journal.new_folder() / "decoder-weight.parquet"
        own.hardlink_to(secret)
        journal.append(Upload("k", own, "f"))
        journal.append(DrawPicture("k", own.parent))
        journal.close()
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert f"{own} is not sent: it has another name elsewhere (a hard link)" in row["reason"]
        assert [artifacts(tracking, run) for run in planted(tracking)] == [[]]

    def test_a_picture_of_files_without_end(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """They are not read."""
        journal = Journal(tmp_path / "runs", tracking.tracking_uri)
        file = journal.new_folder() / "decoder-weight.parquet"
        journal.close()
        with file.open("wb") as stream:
            stream.truncate(10**13)
        with journal.file.open("ab") as stream:
            for record in (StartRun("k", "k", {}, 1, Destination()), DrawPicture("k", file.parent)):
                stream.write(write_line(record, 1, journal.folder))
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert f"{file} is not read: it has 10,000,000,000,000 bytes" in row["reason"]

    @pytest.mark.parametrize("where", ["outside", "no model", "linked"])
    def test_only_models_below_the_path_are_sent_from_where_they_lie(
        self, where: str, secret: Path, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """`log_models` copies none into the journal."""
        around = tmp_path if where == "outside" else tmp_path / "runs"
        model = around / "elsewhere" / "model"
        if where == "no model":
            model.mkdir(parents=True)
            (model / "notes.txt").write_text(SECRET)
        else:
            shutil.copytree(GOLDEN / "model", model)
        if where == "linked":
            (tmp_path / "runs" / "model").symlink_to(tmp_path)
            model = tmp_path / "runs" / "model" / "home"
        plant(tmp_path / "runs", tracking.tracking_uri, Upload("k", model, "model"), LinkModel("k", "m", model, {}))
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert row["result"] == "failed"
        (run,) = planted(tracking)
        assert artifacts(tracking, run) == []
        if where != "no model":
            assert "does not lie in" in row["reason"]
            assert run.outputs is None or run.outputs.model_outputs == []

    def test_no_model_is_registered(
        self, tracking: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By its name others would load it; the model itself is logged, and that is said."""
        model = Path(shutil.copytree(GOLDEN / "model", tmp_path / "runs" / "model"))
        record = LinkModel("k", "m", model, {}, copied=True, registered_as="in production")
        plant(tmp_path / "runs", tracking.tracking_uri, record)
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert row["result"] == "synced"
        (run,) = planted(tracking)
        (output,) = run.outputs.model_outputs
        assert {item.path for item in tracking.list_logged_model_artifacts(output.model_id)} >= {"MLmodel", "gradiend"}
        assert tracking.search_registered_models() == []
        assert "not registered as 'in production'" in caplog.text

    def test_a_link_in_a_model_is_left_out(
        self, secret: Path, tracking: MlflowClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And named; the model arrives without it."""
        model = Path(shutil.copytree(GOLDEN / "model", tmp_path / "runs" / "model"))
        (model / "sub").mkdir()
        (model / "sub" / "vocab.txt").write_text("a")
        plant(tmp_path / "runs", tracking.tracking_uri, Upload("k", model, "model"))
        (model / "sub" / "config").symlink_to(secret)
        (model / "all").symlink_to(secret.parent)
        assert sync(tmp_path / "runs", progress=False)["result"].tolist() == ["synced"]
        (run,) = planted(tracking)
        sent = artifacts(tracking, run)
        assert {"model/model.safetensors", "model/config.json", "model/sub/vocab.txt"} <= set(sent)
        assert not {"model/sub/config", "model/all/id_rsa"} & set(sent)
        assert f"{model}/sub/config" in caplog.text
        assert f"{model}/all" in caplog.text

    def test_a_finished_training_elsewhere_is_not_read(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Not even to find out how old the journal is."""
        outside = Path(shutil.copytree(GOLDEN, tmp_path / "outside"))
        (outside / "model" / "training.json").unlink()
        os.mkfifo(outside / "model" / "training.json")  # who opens it waits for ever
        journal = plant(tmp_path / "runs", tracking.tracking_uri)
        account = json.loads(
            (GOLDEN / JOURNALS / "c693bbf6aad64ba7a6e919cbde514946" / "journal.jsonl").open().readlines()[1]
        )
        account |= {"directory": str(outside / "model"), "experiment_dir": str(outside)}
        with journal.file.open("a") as stream:
            stream.write(json.dumps(account) + "\n")
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert row["result"] == "failed"
        assert f"does not lie in {tmp_path}/runs" in row["reason"]
        assert tracking.get_experiment_by_name("waiting") is None


class TestServers:
    """Only the user's own, or one that the user names."""

    def test_a_server_of_the_journals_choice_is_not_asked(self, tmp_path: Path) -> None:
        """Not with a single packet; the reason has the command."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(0.3)
            uri = f"http://127.0.0.1:{listening.getsockname()[1]}"
            plant(tmp_path / "a b", uri)
            (row,) = sync(tmp_path, progress=False).to_dict("records")
            with pytest.raises(TimeoutError):
                listening.accept()
        assert row["result"] == "failed"
        assert row["reason"].endswith(f"gradiend-mlflow sync '{tmp_path}/a b' --tracking-uri {uri}")

    @pytest.mark.parametrize(
        "uri", ["sqlite:///{}/other.db", "sqlite:///{}/mlflow/../other.db", "{}/mlruns", "file://{}/x"]
    )
    def test_a_database_or_folder_of_its_choice_is_not_made(self, uri: str, tmp_path: Path) -> None:
        """Whatever the file is."""
        plant(tmp_path / "runs", uri.format(tmp_path))
        before = sorted(tmp_path.iterdir())
        assert sync(tmp_path, progress=False)["result"].tolist() == ["failed"]
        assert sorted(tmp_path.iterdir()) == before

    def test_a_relative_folder_is_not_the_one_of_another_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same words in another working directory."""
        for name in ("theirs", "mine"):
            (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / "theirs")
        plant(tmp_path / "runs", "sqlite:///some.db")
        monkeypatch.chdir(tmp_path / "mine")
        mlflow.set_tracking_uri("sqlite:///some.db")
        (row,) = sync(tmp_path / "runs", progress=False).to_dict("records")
        assert row["result"] == "failed"
        monkeypatch.chdir(tmp_path / "theirs")
        assert sync(tmp_path / "runs", progress=False)["result"].tolist() == ["synced"]
        assert [*(tmp_path / "mine").iterdir()] == []

    def test_the_printed_command_sends_it_and_asks_for_the_password(self, server: str, tmp_path: Path) -> None:
        """As it is pasted into a shell."""
        plant(tmp_path / "runs", server.replace("http://", "http://me:S3CRET@"), key="pasted")
        reason = sync(tmp_path, progress=False)["reason"][0]
        shown = server.replace("http://", "http://***@")
        assert "S3CRET" not in reason
        command = shlex.split(reason[reason.index("gradiend-mlflow sync") :])
        assert command == ["gradiend-mlflow", "sync", str(tmp_path / "runs"), "--tracking-uri", shown]
        done = CliRunner().invoke(main, command[1:], input="me:p@ss/word\n")
        assert done.exit_code == 0, done.output
        assert "*** in http://***: \nsynced" in done.output.replace("sync:", "\nsync:") or "synced" in done.output
        assert "p@ss" not in done.output
        assert [run.info.run_name for run in planted(MlflowClient(server))] == ["run pasted"]

    def test_a_mask_is_no_password(self, tmp_path: Path) -> None:
        """Nobody can be asked from Python."""
        with pytest.raises(InvalidInputError, match=r"in the place of \*\*\*: http://\*\*\*@host"):
            sync(tmp_path, tracking_uri="http://***@host")


class TestRuns:
    """Only the journal's own runs are written to."""

    @pytest.mark.parametrize("keyed", [False, True])
    def test_a_run_is_adopted_only_by_its_key(self, keyed: bool, tracking: MlflowClient, tmp_path: Path) -> None:
        """Else the training becomes its child, and the run stays as it was."""
        victim = tracking.create_run("0", tags={"gradiend.key": "k"} if keyed else {"mine": "yes"}).info.run_id
        plant(
            tmp_path, tracking.tracking_uri, SetTags("k", {"mine": "no"}), LogParams("k", {"p": "1"}),
            to=Destination(adopt=victim),
        )  # fmt: skip
        assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]
        runs = {run.info.run_id: run for run in tracking.search_runs(["0"])}
        run = runs.pop(victim)
        assert run.info.status == "RUNNING"
        assert run.data.params == ({"p": "1"} if keyed else {})
        assert run.data.tags.get("mine") == ("no" if keyed else "yes")
        assert [child.data.tags["mlflow.parentRunId"] for child in runs.values()] == ([] if keyed else [victim])

    @pytest.mark.parametrize("tag", ["none", "another key", "another directory", "key", "directory"])
    def test_a_run_that_exists_must_be_the_trainings(self, tag: str, tracking: MlflowClient, tmp_path: Path) -> None:
        """By our key, or by the directory of its model."""
        run_tags = {
            "none": {},
            "another key": {"gradiend.key": "other"},
            "another directory": {"gradiend.directory": str(tmp_path / "runs2" / "model")},
            "key": {"gradiend.key": "e"},
            "directory": {"gradiend.directory": str(tmp_path / "runs" / "model")},
        }[tag]
        run_id = tracking.create_run("0", tags=run_tags).info.run_id
        journal = Journal(tmp_path / "runs", tracking.tracking_uri)
        for record in (KnownRun("e", run_id, "0"), LogParams("e", {"p": "1"}), EndRun("e", "FAILED", 1)):
            journal.append(record)
        journal.close()
        (row,) = sync(tmp_path, progress=False).to_dict("records")
        run = tracking.get_run(run_id)
        if tag in ("key", "directory"):
            assert (row["result"], run.data.params, run.info.status) == ("synced", {"p": "1"}, "FAILED")
        else:
            assert (row["result"], run.data.params, run.info.status) == ("failed", {}, "RUNNING")
            assert "carries neither the key of this journal" in row["reason"]

    def test_what_a_run_carries_is_not_the_key(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Everybody who may read the server sees it, but only the journal finds its run by the key."""
        plant(tmp_path / "mine", tracking.tracking_uri, key="mine")
        sync(tmp_path / "mine", progress=False)
        (run,) = planted(tracking)
        shown = run.data.tags["gradiend.key"]
        for key in (shown, shown.removeprefix("sha256:")):
            folder = tmp_path / key[-8:] / key[:3]
            plant(folder, tracking.tracking_uri, SetTags(key, {"mine": "no"}), key=key)
            journal = Journal(folder, tracking.tracking_uri)
            for record in (KnownRun(key, run.info.run_id, "1"), SetTags(key, {"mine": "no"})):
                journal.append(record)
            journal.close()
            assert "failed" in sync(folder, progress=False)["result"].tolist()
        assert "mine" not in tracking.get_run(run.info.run_id).data.tags
        plant(tmp_path / "mine", tracking.tracking_uri, SetTags("mine", {"mine": "yes"}), key="mine")
        assert sync(tmp_path / "mine", progress=False)["run_ids"].tolist() == [(run.info.run_id,)]
        assert tracking.get_run(run.info.run_id).data.tags["mine"] == "yes"

    @pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may give files away")
    @pytest.mark.parametrize("vanished", [False, True])
    def test_a_journal_of_another_user_above_a_training(
        self, vanished: bool, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """In a directory that several write into, being above it does not make a training one's own."""
        directory = tmp_path / "runs" / "a" / "model"
        directory.mkdir(parents=True)
        run_id = tracking.create_run("0", tags={"gradiend.directory": str(directory)}).info.run_id
        journal = Journal(tmp_path / "runs", tracking.tracking_uri)
        for record in (KnownRun("e", run_id, "0"), LogParams("e", {"p": "1"})):
            journal.append(record)
        journal.close()
        os.chown(journal.file, 12345, 12345)
        if vanished:
            directory.rmdir()
        assert sync(tmp_path, progress=False)["result"].tolist() == ["failed"]
        assert tracking.get_run(run_id).data.params == {}


class TestOtherServers:
    """An id of one server means something else on the next."""

    @pytest.fixture
    def other(self, empty_database: Path, tmp_path: Path) -> MlflowClient:
        """Another server, on which the experiment 1 is somebody's."""
        shutil.copy(empty_database, tmp_path / "other.db")
        client = MlflowClient(f"sqlite:///{tmp_path}/other.db")
        assert client.create_experiment("somebody's") == "1"
        return client

    def test_an_experiment_that_was_chosen_by_its_id(
        self, other: MlflowClient, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Is not taken for another; the reason says what to do, and that works."""
        plant(tmp_path / "runs", tracking.tracking_uri, to=Destination(experiment_id="1"))
        (row,) = sync(tmp_path / "runs", tracking_uri=other.tracking_uri, progress=False).to_dict("records")
        assert row["result"] == "failed"
        assert "the experiment 1, by an id that means something else on sqlite" in row["reason"]
        assert "--experiment-name" in row["reason"]
        assert other.search_runs(["0", "1"]) == []
        arguments = ["sync", str(tmp_path / "runs"), "--tracking-uri", other.tracking_uri, "--experiment-name", "mine"]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        assert len(planted(other, "mine")) == 1

    def test_a_training_below_a_suite_goes_where_the_suite_goes(
        self, other: MlflowClient, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Also one that was found on disk, before the suite's own run has started."""
        folder = Path(shutil.copytree(GOLDEN, tmp_path / "runs", ignore=shutil.ignore_patterns(JOURNALS)))
        journal = Journal(folder, tracking.tracking_uri)
        journal.append(StartRun("s", "suite", {}, 1000, Destination(experiment_id="1"), deferred=True))
        journal.close()
        theirs = GOLDEN / JOURNALS / "c693bbf6aad64ba7a6e919cbde514946" / "journal.jsonl"
        content = json.loads(theirs.read_text().splitlines()[1])
        with journal.file.open("a") as stream:
            stream.write(json.dumps(content | {"destination": {"experiment_id": "1"}, "parent": "s"}) + "\n")
        assert sync(folder, tracking_uri=other.tracking_uri, progress=False)["result"].tolist() == ["failed"]
        assert other.search_runs(["0", "1"]) == []
        frame = sync(folder, tracking_uri=other.tracking_uri, experiment_name="mine", progress=False)
        assert frame["result"].tolist() == ["synced"], frame["reason"].tolist()
        assert {run.info.run_name for run in planted(other, "mine")} == {"suite", "1SG_3SG"}
        assert other.search_runs(["0", "1"]) == []

    def test_its_name_is_kept_once_the_server_has_told_it(
        self, other: MlflowClient, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Beside the journal of a training that goes on."""
        tracking.create_experiment("before")
        mlflow.set_experiment("mine")
        chosen = tracking.get_experiment_by_name("mine").experiment_id
        recorder = Recorder(Store(once=True), tmp_path / "runs")
        run = recorder.start("live", {}, Destination(experiment_id=chosen))
        assert run.run_id(20)
        run.params({"p": "1"})
        (folder,) = (tmp_path / "runs" / JOURNALS).iterdir()
        assert json.loads((folder / "experiments.json").read_text()) == {chosen: "mine"}
        left = Path(shutil.copytree(folder, tmp_path / "left" / JOURNALS / "x", ignore=shutil.ignore_patterns("lock")))
        run.end("FINISHED")
        recorder.close(20)
        assert sync(tmp_path / "left", tracking_uri=other.tracking_uri, progress=False)["result"].tolist() == [
            "synced"
        ]
        assert [found.info.run_name for found in planted(other, "mine")] == ["live"]
        assert not left.exists()

    def test_the_same_server_by_another_address(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """What has been started there goes on there, although its address differs."""
        experiment = tracking.create_experiment("mine")
        tracking.create_run(experiment, tags={"gradiend.key": "k"})
        plant(tmp_path, "http://localhost:1", SetTags("k", {"t": "1"}), to=Destination(experiment_id=experiment))
        assert sync(tmp_path, tracking_uri=tracking.tracking_uri, progress=False)["result"].tolist() == ["synced"]
        (run,) = planted(tracking, "mine")
        assert run.data.tags["t"] == "1"


def line(**changes: Any) -> bytes:
    """A line that sets a tag, with changes."""
    return json.dumps({"said": 5, "is": "SetTags", "key": "k", "run_tags": {"bad": "yes"}} | changes).encode() + b"\n"


def account(**options: Any) -> bytes:
    """A line about a finished training, with odd options."""
    places = {"directory": ".", "experiment_dir": "."}
    fields = {"said": 5, "is": "RecordAccount", "key": "k", "name": "n", "about": {}, "destination": {}, **places}
    return json.dumps(fields | {"options": options}).encode() + b"\n"


BAD_LINES = {
    "null time": line(said=None),
    "infinite time": b'{"said":1e999,"is":"SetTags","key":"k","run_tags":{}}\n',
    "huge time": line(said=10**30),
    "late time": line(said=10**15),
    "nested": b"[" * 100_000 + b"\n",
    "nested tags": line(run_tags={"a": {"b": "c"}}),
    "not UTF-8": b'{"said":5,"is":"SetTags","key":"k","run_tags":{"bad":"\xff"}}\n',
    "unknown kind": line(**{"is": "RunCommand"}),
    "kind is a list": line(**{"is": ["SetTags"]}),
    "no kind": b'{"said":5}\n',
    "a list": b"[1]\n",
    "a number": b"5\n",
    "blank": b"\n",
    "unknown field": line(command="rm"),
    "missing field": b'{"said":5,"is":"SetTags","key":"k"}\n',
    "filter in key": line(key="k' or tags.x != '"),
    "key is null": line(key=None),
    "NUL": line(run_tags={"a\0": "b"}),
    "tags are numbers": line(run_tags={"a": 5}),
    "file is a number": line(**{"is": "Upload", "run_tags": None}),
    "file with NUL": b'{"said":5,"is":"Upload","key":"k","file":"a\\u0000b","folder":"f"}\n',
    "folder above": b'{"said":5,"is":"Upload","key":"k","file":"files/a","folder":"../x"}\n',
    "odd status": b'{"said":5,"is":"EndRun","key":"k","status":"RUNNING","end_time":5}\n',
    "infinite end": b'{"said":5,"is":"EndRun","key":"k","status":"KILLED","end_time":1e999}\n',
    "points": b'{"said":5,"is":"LogMetrics","key":"k","points":[["m",1]]}\n',
    "point of text": b'{"said":5,"is":"LogMetrics","key":"k","points":[["m","1",1,1]]}\n',
    "step": b'{"said":5,"is":"LogMetrics","key":"k","points":[["m",1,1,1e999]]}\n',
    "deferred child": b'{"said":5,"is":"StartRun","key":"d","name":"d","run_tags":{},"start_time":1,"destination":{},'
    b'"parent":"d","deferred":true}\n',
    "options": account(topk="x" * 100_000),
    "option of another type": account(parts=5),
    "unknown option": account(command="rm"),
    "long": b'{"said":5,"is":"SetTags","key":"k","run_tags":{"bad":"' + b"x" * MOST_LINE + b'"}}\n',
}


class TestDamage:
    """One bad journal costs neither its own good records nor the others."""

    @pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES.keys())
    def test_a_bad_line_is_named(self, bad: bytes, tracking: MlflowClient, tmp_path: Path) -> None:
        """By its number; what is good in the journal is sent, and so are other journals."""
        journal = plant(tmp_path / "a", tracking.tracking_uri, SetTags("k", {"good": "yes"}))
        first, second, *rest = journal.file.read_bytes().splitlines(keepends=True)
        journal.file.write_bytes(b"".join([first, second, bad, *rest]))
        plant(tmp_path / "b", tracking.tracking_uri, key="other")
        frame = sync(tmp_path, progress=False)
        assert sorted(frame["result"]) == ["failed", "synced"]
        (reason,) = frame["reason"][frame["result"] == "failed"]
        assert reason.startswith("line 3: ")
        assert len(reason) < 600
        assert "Error" not in reason
        assert "recursion" not in reason
        tags = {run.info.run_name: run.data.tags for run in planted(tracking)}
        assert tags["run k"]["good"] == "yes"
        assert "bad" not in tags["run k"]
        assert set(tags) == {"run k", "run other"}

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"[]\n",
            b"null\n",
            b"[" * 100_000 + b"\n",
            b'{"format": true, "tracking_uri": "x"}\n',
            b'{"format": 1e999, "tracking_uri": "x"}\n',
            b'{"format": 1, "tracking_uri": ["x"]}\n',
            b'{"format": 1, "tracking_uri": "http://\\u001b[31mhost"}\n',
            b'{"format": 1, "tracking_uri": "http://a\\u0000b"}\n',
            b'{"format": 1, "tracking_uri": "\xff"}\n',
            b"x" * 3_000_000,
        ],
    )
    def test_a_bad_header_is_named(self, header: bytes, tracking: MlflowClient, tmp_path: Path) -> None:
        """And nothing of what follows is sent."""
        journal = plant(tmp_path / "a", tracking.tracking_uri)
        _, *rest = journal.file.read_bytes().splitlines(keepends=True)
        journal.file.write_bytes(b"".join([header, *rest]))
        plant(tmp_path / "b", tracking.tracking_uri, key="other")
        frame = sync(tmp_path, progress=False)
        assert sorted(frame["result"]) == ["failed", "synced"]
        (reason,) = frame["reason"][frame["result"] == "failed"]
        assert "does not begin as a journal does" in reason
        assert reason.isprintable()
        assert [run.info.run_name for run in planted(tracking)] == ["run other"]

    @pytest.mark.parametrize("name", ["journal.jsonl", "lock"])
    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_odd_files_are_no_journals(
        self, name: str, kind: str, secret: Path, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """They are named, neither read nor written, and nobody waits for them."""
        journal = plant(tmp_path / "a", tracking.tracking_uri)
        file = journal.folder / name
        file.unlink()
        if kind == "link":
            file.symlink_to(secret)
        else:
            os.mkfifo(file)
        plant(tmp_path / "b", tracking.tracking_uri, key="other")
        frame = sync(tmp_path, progress=False)
        assert frame["result"].tolist().count("synced") == (2 if (kind, name) == ("pipe", "lock") else 1)
        assert secret.read_text() == SECRET

    def test_a_linked_journal_is_none(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Neither the folder of journals nor one of them leads out of the path."""
        journal = plant(tmp_path / "outside", tracking.tracking_uri)
        (tmp_path / "runs" / "a").mkdir(parents=True)
        (tmp_path / "runs" / "a" / JOURNALS).symlink_to(journal.folder.parent)
        (tmp_path / "runs" / "b" / JOURNALS).mkdir(parents=True)
        (tmp_path / "runs" / "b" / JOURNALS / "x").symlink_to(journal.folder)
        frame = sync(tmp_path / "runs", progress=False)
        assert frame["result"].tolist() == ["failed", "failed"]
        assert frame["reason"].str.contains("link").all()
        assert planted(tracking) == []

    def test_what_is_all_damage_ends(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """A hundred lines are enough to see it."""
        journal = plant(tmp_path, tracking.tracking_uri)
        with journal.file.open("ab") as stream:
            stream.write(b"?\n" * 5_000_000)
        begun = time.monotonic()
        (row,) = sync(tmp_path, progress=False).to_dict("records")
        assert row["result"] == "failed"
        assert "100 lines are damaged, such as line 4: it is not valid JSON" in row["reason"]
        assert time.monotonic() - begun < 20

    def test_a_line_without_end_takes_no_memory(self, tmp_path: Path, run_python: Callable[[str], str]) -> None:
        """700 MB in one line, in a process that may not have as much."""
        journal = plant(tmp_path / "runs", "http://host")
        with journal.file.open("ab") as stream:
            stream.truncate(stream.tell() + 700_000_000)
        script = f"""
import resource
from pathlib import Path
from gradiend_mlflow.delivery.journals.journal import find_journals
resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, 400_000_000))
(journal,) = find_journals(Path({str(tmp_path)!r}))
print(len(list(journal.lines())), journal.unreadable)
"""
        assert run_python(script).strip() == f"2 ['line 4: it has more than {MOST_LINE:,} bytes']"

    @pytest.mark.long
    @pytest.mark.timeout(20)
    def test_many_runs_that_never_start(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """They take time, but not its square."""
        journal = Journal(tmp_path, tracking.tracking_uri)
        journal.close()
        keys = [f"k{number}" for number in range(30_000)]
        lines = [StartRun(key, "d", {}, 1, Destination(), deferred=True) for key in keys]
        lines += [EndRun(key, "FINISHED", 1) for key in reversed(keys)]
        with journal.file.open("ab") as stream:
            stream.writelines(write_line(record, 1, journal.folder) for record in lines)
        assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]

    def test_directories_without_bottom(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """They are named, and journals beside them are sent."""
        plant(tmp_path / "runs" / "a", tracking.tracking_uri)
        deep = tmp_path / "runs" / "b"
        deep.joinpath(*["d"] * 300).mkdir(parents=True)
        frame = sync(tmp_path / "runs", progress=False)
        assert sorted(frame["result"]) == ["failed", "synced"]
        assert "levels down is not searched" in " ".join(filter(None, frame["reason"]))

    def test_params_that_are_too_long_for_a_line_are_cut_before(self, tmp_path: Path) -> None:
        """As MLflow cuts them, so that the journal can be read."""
        journal = plant(tmp_path, "http://host", LogParams("k", {"p": "x" * (MOST_LINE + 1), "q": "1"}))
        left = LeftJournal(journal.folder)
        (record,) = [one.record for one in left.lines() if isinstance(one.record, LogParams)]
        assert (len(record.params["p"]), record.params["q"], left.unreadable) == (6000, "1", [])


class TestPrivacy:
    """What is written down is for its user's eyes only."""

    @pytest.fixture(autouse=True)
    def _open_umask(self) -> Any:
        before = os.umask(0)
        yield
        os.umask(before)

    def test_journals_are_private(self, tmp_path: Path) -> None:
        """Whatever the umask; the experiment directory is the user's."""
        journal = Journal(tmp_path / "runs", "http://host")
        file = journal.new_folder() / "file.txt"
        file.write_text("content")
        journal.append(Upload("k", file, "folder"))
        journal.name_experiments({"1": "private"})
        for path in (journal.folder.parent, *journal.folder.parent.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        journal.close()
        assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o777

    def test_what_was_open_is_closed(self, tmp_path: Path) -> None:
        """A journal of an earlier version, when it is looked at; links in it are not followed."""
        bystander = tmp_path / "bystander"
        bystander.write_text("")
        folder = plant(tmp_path / "runs", "http://host:9", DrawPicture("k", tmp_path)).folder
        (folder / "files" / "link").symlink_to(bystander)
        for path in (folder.parent, folder, folder / "files", folder / "journal.jsonl", bystander):
            path.chmod(0o777)
        sync(tmp_path, progress=False)
        for path in (folder.parent, folder, folder / "files"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "journal.jsonl").stat().st_mode) == 0o600
        assert stat.S_IMODE(bystander.stat().st_mode) == 0o777

    def test_a_link_in_the_place_of_the_journals_is_not_written_through(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The training goes on without a journal."""
        (tmp_path / "theirs").mkdir()
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / JOURNALS).symlink_to(tmp_path / "theirs")
        recorder = Recorder(Store(once=True), tmp_path / "runs")
        run = recorder.start("live", {}, Destination())
        run.metrics(1, {"m": 1.0})
        run.end("FINISHED")
        recorder.close(20)
        assert [*(tmp_path / "theirs").iterdir()] == []
        assert "cannot be written" in caplog.text


def test_metrics_that_are_no_numbers_come_back(tracking: MlflowClient, tmp_path: Path) -> None:
    """NaN and infinity are values, which JSON does not have."""
    points = tuple(MetricPoint(key, value, 1, 1) for key, value in (("a", float("nan")), ("b", float("inf"))))
    plant(tmp_path, tracking.tracking_uri, LogMetrics("k", points))
    assert sync(tmp_path, progress=False)["result"].tolist() == ["synced"]

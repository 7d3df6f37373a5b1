"""Directories that somebody else has filled: nothing outside is read or sent, and no bad one costs the others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

from gradiend_mlflow import import_runs
from gradiend_mlflow.cli import main
from gradiend_mlflow.disk.temporary import TemporaryFolder, remove_abandoned, temporary_folder
from gradiend_mlflow.runs.cache import Cache
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.trainings.account import account_of
from gradiend_mlflow.trainings.directories import TrainingDirectory
from tests.security.test_journals import GOLDEN, SECRET, artifacts


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A directory with one real training, `good`, and a copy that is made bad; removed however deep it is."""
    folder = tmp_path / "runs"
    for name in ("good", "bad"):
        shutil.copytree(GOLDEN, folder / name, ignore=shutil.ignore_patterns(JOURNALS))
    file = folder / "good" / "model" / "training.json"  # else the two are one training
    file.write_text(json.dumps(json.loads(file.read_text()) | {"losses": [1.0, 2.0, 3.0, 4.0]}))
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside, which holds JSON so that reading it would not fail."""
    file = tmp_path / "home" / "shadow"
    file.parent.mkdir()
    file.write_text(json.dumps({"metadata": SECRET, "correlation": 0.123}))
    return file


def change(file: Path, **values: Any) -> None:
    """Replace values of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def replaced(file: Path, make: Callable[[Path], object]) -> None:
    """Put something else into the place of a file."""
    file.unlink(missing_ok=True)
    make(file)


def dig(folder: Path, levels: int) -> None:
    """A directory so deep that no path leads to its bottom."""
    script = 'import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(int(sys.argv[2])): os.mkdir("d"); os.chdir("d")'
    subprocess.run([sys.executable, "-c", script, str(folder), str(levels)], check=True)


def arguments(**values: Any) -> Callable[[Path], None]:
    """Change the training arguments of a training file."""

    def changed(bad: Path) -> None:
        file = bad / "model" / "training.json"
        change(file, training_args=json.loads(file.read_text())["training_args"] | values)

    return changed


def training(**values: Any) -> Callable[[Path], None]:
    """Change a training file."""
    return lambda bad: change(bad / "model" / "training.json", **values)


NESTED = "[" * 100_000 + "]" * 100_000


def nested(levels: int) -> Any:
    """An object in an object in an object."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


BAD: dict[str, Callable[[Path], object]] = {
    "2,500 levels": lambda bad: (shutil.rmtree(bad / "model"), dig(bad, 2_500)),
    "config of brackets": lambda bad: (bad / "model" / "config.json").write_text(NESTED),
    "training file of brackets": lambda bad: (bad / "model" / "training.json").write_text(NESTED),
    "training file is a pipe": lambda bad: replaced(bad / "model" / "training.json", os.mkfifo),
    "training file is a device": lambda bad: replaced(
        bad / "model" / "training.json", lambda file: file.symlink_to("/dev/zero")
    ),
    "training file is a circle": lambda bad: replaced(
        bad / "model" / "training.json", lambda file: file.symlink_to(file)
    ),
    "training file is a directory": lambda bad: replaced(bad / "model" / "training.json", Path.mkdir),
    "training file is a link out": lambda bad: replaced(
        bad / "model" / "training.json", lambda file: file.symlink_to(GOLDEN / "model" / "training.json")
    ),
    "config is a pipe": lambda bad: replaced(bad / "model" / "config.json", os.mkfifo),
    "search is a pipe": lambda bad: os.mkfifo(bad / "lr_search.json"),
    "context is a pipe": lambda bad: replaced(bad / "model" / "gradiend_context.json", os.mkfifo),
    "not UTF-8": lambda bad: (bad / "model" / "training.json").write_bytes(b'{"a": "\xff"}'),
    "endless time": training(time={"total": float("inf")}),
    "time is a list": training(time=[1]),
    "losses are a number": training(losses=5),
    "steps are names": training(training_stats={"scores": {"first": 1}}),
    "steps of 5,000 digits": training(training_stats={"scores": {"9" * 5000: 1}}),
    "best is a list": training(best_score_checkpoint=[1]),
    "best step is endless": training(best_score_checkpoint={"global_step": float("inf")}),
    "convergence is a number": training(convergence_info=5),
    "nested arguments": arguments(deep=nested(400)),
    "seeds are text": arguments(max_seeds="many"),
    "metadata is a list": arguments(metadata=[1]),
    "directories are numbers": arguments(experiment_dir=1, output_dir=2),
    "huge integer": lambda bad: (bad / "model" / "training.json").write_text('{"training_args": ' + "9" * 5000 + "}"),
    "directions are names": lambda bad: (bad / "model" / "gradiend_context.json").write_text(
        '{"feature_class_encoding_direction": {"a": "b"}}'
    ),
    "weights are empty": lambda bad: (bad / "model" / "model.safetensors").write_bytes(b""),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
def test_a_bad_directory_is_named_and_the_others_are_imported(
    spoil: Callable[[Path], object], runs: Path, tracking: MlflowClient
) -> None:
    """In no time, and in words."""
    spoil(runs / "bad")
    begun = time.monotonic()
    frame = import_runs(runs, topk=10, progress=False)
    assert time.monotonic() - begun < 30
    results = {Path(row["directory"]).relative_to(runs).parts[0]: row for row in frame.to_dict("records")}
    assert results["good"]["result"] == "imported"
    assert results["bad"]["result"] == "failed"
    reason = results["bad"]["reason"]
    assert len(reason) < 1000
    assert reason.isprintable()
    for raw in ("RecursionError", "recursion", "OverflowError", "ValueError", "OSError", "TypeError", "Attribute"):
        assert raw not in reason
    assert [run.info.run_name for run in tracking.search_runs(["0"])] == [results["good"]["run_name"]]


LINKS = {
    "plot": "training_convergence.png",
    "table": "encoded_values_max_size_4_split_test.json",
    "search": "lr_search.json",
    "context": "model/gradiend_context.json",
    "notes": "model/notes.json",
    "config": "model/config.json",
    "weights": "model/model.safetensors",
}


def of_model(client: MlflowClient, run: Run) -> set[str]:
    """The names of the files of the model that a run has logged; none if it has logged none."""
    return {
        Path(file.path).name
        for output in run.outputs.model_outputs
        for file in client.list_logged_model_artifacts(output.model_id, "gradiend")
    }


@pytest.mark.parametrize("where", LINKS.values(), ids=LINKS.keys())
@pytest.mark.parametrize("log_models", [False, True])
def test_links_that_lead_out_are_left_out(
    where: str, log_models: bool, runs: Path, secret: Path, tracking: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the run and of its numbers; they are named, and the rest is imported."""
    shutil.rmtree(runs / "bad")
    replaced(runs / "good" / where, lambda file: file.symlink_to(secret))
    later = time.time() + 60
    os.utime(secret, (later, later))
    (row,) = import_runs(runs, topk=10, log_models=log_models, progress=False).to_dict("records")
    assert row["result"] == "imported"
    assert f"{Path(where).name}: it is a link that leads out of {runs}" in row["reason"]
    assert str(runs / "good" / where) in caplog.text
    (run,) = tracking.search_runs(["0"])
    assert SECRET not in str(run.to_dictionary())
    assert 0.123 not in run.data.metrics.values()
    model = of_model(tracking, run)
    assert Path(where).name not in {Path(path).name for path in artifacts(tracking, run)} | model
    assert ("gradiend.topk" in run.data.tags) == (where not in (LINKS["weights"], LINKS["config"]))
    assert ("config.json" in model) == (log_models and "gradiend.topk" in run.data.tags)


def test_linked_directories_outside_are_named(runs: Path, tmp_path: Path, tracking: MlflowClient) -> None:
    """As left out, which is no failure: whoever wants them imports what the link leads to."""
    (runs / "bad").rename(tmp_path / "elsewhere")
    (runs / "bad").symlink_to(tmp_path / "elsewhere")
    done = CliRunner().invoke(main, ["import", str(runs)])
    assert done.exit_code == 0, done.output
    assert f"left out  {runs}/bad  (it is a link that leads out of {runs}" in done.output
    assert "1 imported" in done.output
    assert import_runs(runs / "bad", progress=False)["result"].tolist() == ["imported"], (
        "the path itself may be a link"
    )


def test_links_that_stay_inside_are_fine(runs: Path, tracking: MlflowClient) -> None:
    """As they are in the cache of a hub."""
    (runs / "blobs").mkdir()
    for name in ("model.safetensors", "config.json"):
        (runs / "good" / "model" / name).rename(runs / "blobs" / f"blob of {name}")
        (runs / "good" / "model" / name).symlink_to(f"../../blobs/blob of {name}")
    shutil.rmtree(runs / "bad")
    (row,) = import_runs(runs, topk=10, log_models=True, progress=False).to_dict("records")
    assert (row["result"], row["reason"]) == ("imported", None)
    (run,) = tracking.search_runs(["0"])
    assert "gradiend.topk" in run.data.tags
    assert {"model.safetensors", "config.json"} <= of_model(tracking, run)


def test_circles_of_links_end(runs: Path, tracking: MlflowClient) -> None:
    """Of each kind."""
    shutil.rmtree(runs / "bad")
    (runs / "up").symlink_to(runs)
    (runs / "self").symlink_to(runs / "self")
    (runs / "a").symlink_to(runs / "b")
    (runs / "b").symlink_to(runs / "a")
    assert import_runs(runs, topk=10, progress=False)["result"].tolist() == ["imported"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_read_is_named(runs: Path, run_python: Callable[[str], str]) -> None:
    """A directory, and a file."""
    (runs / "closed").mkdir(0o700)
    (runs / "bad" / "model" / "training.json").chmod(0o600)
    for path in (*runs.parents, runs):
        if path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    script = f"""
import os
from pathlib import Path
from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.trainings.account import account_of
from gradiend_mlflow.trainings.search import find_trainings
os.seteuid(65534)
found = find_trainings(Path({str(runs)!r}))
print([(path.name, reason) for path, reason in found.faults])
for training in found.trainings:
    try:
        print(account_of(training).name)
    except CheckpointError as error:
        print("CheckpointError")
"""
    lines = run_python(script).splitlines()
    assert lines[0] == "[('closed', 'it cannot be read: Permission denied')]"
    assert sorted(lines[1:]) == ["1SG_3SG", "CheckpointError"]


def test_live_trainings_follow_no_link_out_either(runs: Path, secret: Path) -> None:
    """The account of a training that has just ended is the same."""
    replaced(runs / "good" / "training_convergence.png", lambda file: file.symlink_to(secret))
    found = account_of(TrainingDirectory.of(runs / "good" / "model", runs / "good"))
    assert found.files["gradiend/figures"] == ()
    assert [path.name for path in found.training.links_out()] == ["training_convergence.png"]


class TestTemporaryFolders:
    """They end with their process."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A temporary directory of the test's own."""
        place = tmp_path / "tmp"
        place.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        monkeypatch.setenv("TMPDIR", str(place))
        remove_abandoned.cache_clear()
        return place

    def start(self, end: str) -> subprocess.Popen[str]:
        """A process with two temporary folders."""
        script = (
            "import os, signal, sys, time\nfrom gradiend_mlflow.disk.temporary import TemporaryFolder\n"
            "folders = [TemporaryFolder(), TemporaryFolder()]\n(folders[0].path / 'name of a run').touch()\n"
            f"print('ready', flush=True)\n{end}"
        )
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def test_the_next_process_removes_what_a_killed_one_left(self, place: Path) -> None:
        """However many there are."""
        for _ in range(2):
            self.start("os.kill(os.getpid(), signal.SIGKILL)").wait()
        assert len([*place.iterdir()]) == 2, "the second process has removed those of the first"
        with temporary_folder() as folder:
            assert [*place.iterdir()] == [folder.parent]
        assert [*place.iterdir()] == []

    def test_what_lives_is_left_alone(self, place: Path) -> None:
        """Also while it is fast asleep, and in a process that was forked from it."""
        process = self.start("time.sleep(60)")
        os.kill(process.pid, signal.SIGSTOP)
        with temporary_folder():
            assert len([*place.iterdir()]) == 3
        process.kill()
        process.wait()

    def test_a_process_that_ends_leaves_nothing(self, place: Path) -> None:
        """Without being told."""
        self.start("").wait()
        assert [*place.iterdir()] == []

    def test_a_forked_child_leaves_the_parents_alone(self, place: Path) -> None:
        """When it ends, and when it closes them."""
        process = self.start(
            "if not os.fork(): folders[0].close(); sys.exit()\n"
            "os.wait(); print(folders[0].path.exists(), folders[1].path.exists())"
        )
        assert process.communicate(timeout=60)[0] == "True True\n"
        assert [*place.iterdir()] == []

    def test_only_what_is_ours_is_removed(self, place: Path, tmp_path: Path) -> None:
        """Nothing of another name, no link, and nothing of another user; no link in what is removed is followed."""
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "file").touch()
        (place / "gradiend-mlflow-tmp-link").symlink_to(precious)
        (place / "gradiend-mlflow-tmp-file").touch()
        (place / "something-else").mkdir()
        dead = place / "gradiend-mlflow-tmp-dead"
        dead.mkdir()
        (dead / "link").symlink_to(precious)
        locked = place / "gradiend-mlflow-tmp-trap"
        locked.mkdir()
        (locked / "lock").symlink_to(precious / "file")
        kept = {"gradiend-mlflow-tmp-link", "gradiend-mlflow-tmp-file", "something-else", "gradiend-mlflow-tmp-trap"}
        if os.geteuid() == 0:
            theirs = place / "gradiend-mlflow-tmp-theirs"
            theirs.mkdir()
            os.chown(theirs, 65534, 65534)
            kept.add(theirs.name)
        remove_abandoned()
        assert {path.name for path in place.iterdir()} == kept
        assert [*precious.iterdir()] == [precious / "file"]

    def test_they_are_private(self, place: Path) -> None:
        """Whatever the umask."""
        before = os.umask(0)
        folder = TemporaryFolder()
        os.umask(before)
        assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.path.parent, folder.path)} == {0o700}
        folder.close()
        assert [*place.iterdir()] == []


class TestCache:
    """Pulled sets are private, too."""

    @pytest.fixture(autouse=True)
    def _open_umask(self) -> Any:
        before = os.umask(0)
        yield
        os.umask(before)

    def modes(self, folder: Path) -> set[int]:
        """Those of a folder and all in it."""
        return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}

    def test_a_new_one(self, tmp_path: Path) -> None:
        """Whatever the umask."""
        Cache(tmp_path / "cache", 1e9).write("a" * 64, b"data")
        assert self.modes(tmp_path / "cache") == {0o700, 0o600}

    def test_one_of_an_earlier_version(self, tmp_path: Path) -> None:
        """When it is read."""
        folder = tmp_path / "cache"
        folder.mkdir()
        (folder / f"{'a' * 64}.parquet").write_bytes(b"data")
        Cache(folder, 1e9).read("b" * 64)
        assert self.modes(folder) == {0o700, 0o600}

    def test_a_directory_that_holds_other_things(self, tmp_path: Path) -> None:
        """Is somebody's, so its mode stays; the sets in it are private."""
        folder = tmp_path / "shared"
        folder.mkdir()
        (folder / "notes.txt").touch()
        Cache(folder, 1e9).write("a" * 64, b"data")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777
        assert stat.S_IMODE((folder / "notes.txt").stat().st_mode) == 0o666
        assert stat.S_IMODE((folder / f"{'a' * 64}.parquet").stat().st_mode) == 0o600


def test_a_file_that_does_not_fit_into_memory(tmp_path: Path, run_python: Callable[[str], str]) -> None:
    """It is logged as it is, and recognized the next time."""
    shutil.copytree(GOLDEN, tmp_path / "runs")
    with (tmp_path / "runs" / "training_convergence.png").open("wb") as stream:
        stream.truncate(700_000_000)
    script = f"""
import resource
from pathlib import Path
from gradiend_mlflow.trainings.directories import TrainingDirectory
resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, 400_000_000))
print(len(TrainingDirectory.of(Path({str(tmp_path)!r}) / "runs" / "model").fingerprint()))
"""
    assert run_python(script).strip() == "64"

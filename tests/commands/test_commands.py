"""Every command in a process of its own, on a real database: what goes to stdout, what to stderr, how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from gradiend_mlflow import compare, load_comparison, load_topk_file, log_topk, search_runs
from gradiend_mlflow.cli import main
from gradiend_mlflow.commands.choices import FIGURES
from tests.support.checkpoints import make_model
from tests.support.trainings import make_trainer_of

LAYERS = [("bert.encoder.layer.0.attention.self.query.weight", (20, 5), "all"), ("bert.layer.1.key", (9,), "all")]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Study:
    """Runs, a comparison of them and a directory of a training, on disk."""

    uri: str
    runs: tuple[str, ...]
    comparison: str
    training: Path


@pytest.fixture(scope="module")
def study(empty_database: Path, base_model: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Four runs of two groups, one with a name that would act on a terminal, one that failed; a training."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("pronouns", artifact_location=str(folder / "artifacts"))
    client.create_experiment("imported", artifact_location=str(folder / "imported"))
    runs = []
    for index, name in enumerate(("one", "two", "red \x1b[31m", "four")):
        tags = {"group": "ab"[index % 2], "gradiend.run_id": name}
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        log_topk(make_model(LAYERS, seed=index), run_id=run_id, tracking_uri=uri)
        client.log_metric(run_id, "best/correlation", 0.5)
        client.set_terminated(run_id)
        runs.append(run_id)
    failed = client.create_run(experiment, run_name="failed", tags={"gradiend.kind": "training"}).info.run_id
    client.set_terminated(failed, "FAILED")
    asked: dict[str, Any] = {"topk": 10, "groups": "tags.group", "run_name": "the answer", "tracking_uri": uri}
    comparison = compare(runs, **asked).run_id
    trainer = make_trainer_of(base_model, folder / "runs", ("3SG", "3PL"))
    trainer.train()
    return Study(uri, tuple(runs), str(comparison), Path(trainer.model_path))


@pytest.fixture
def run(study: Study, tmp_path: Path) -> Run:
    """Run a command on the study's database, in a directory of its own; no error may show a traceback."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: Any, uri: str | None = study.uri, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
        environment |= {"GRADIEND_MLFLOW_CACHE": str(tmp_path / "cache"), "COLUMNS": "200", **variables}
        if uri is not None:
            environment["MLFLOW_TRACKING_URI"] = uri
        command = [sys.executable, "-m", "gradiend_mlflow", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert not list(folder.glob("ml*")), "nothing is left where the command ran"
        return done

    return run


@pytest.fixture
def quick(study: Study) -> Callable[..., Result]:
    """The same in this process, which is quicker."""
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments), "--tracking-uri", study.uri])


def test_runs(run: Run, study: Study, quick: Callable[..., Result]) -> None:
    """A table, in which no name acts on the terminal; JSON and CSV with the same runs."""
    told = run("runs", "--experiment-name", "pronouns")
    assert (told.returncode, told.stderr) == (0, "")
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["run_id", *study.runs]
    assert r"red \x1b[31m" in told.stdout
    listed = json.loads(quick("runs", "--all-experiments", "--format", "json").stdout)
    assert [row["run_id"] for row in listed] == list(study.runs)
    assert listed[0]["tags"]["group"] == "a"
    assert listed[0]["seed"] is None
    rows = list(csv.DictReader(io.StringIO(quick("runs", "--all-experiments", "--format", "csv").stdout)))
    assert [row["correlation"] for row in rows] == ["0.5"] * 4
    incomplete = quick("runs", "--all-experiments", "--incomplete")
    assert "FAILED" in incomplete.stdout
    nothing = quick("runs", "--experiment-name", "Default")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "--all-experiments searches everywhere" in nothing.stderr


def test_show(run: Run, study: Study, quick: Callable[..., Result]) -> None:
    """By id or name; what is not there is told with the code 1."""
    told = run("show", "one")
    assert told.returncode == 0
    facts = dict(line.split("  ", 1) for line in told.stdout.splitlines())
    facts = {name.strip(): text.strip() for name, text in facts.items()}
    assert facts["training"] == f"one  ({study.runs[0]})"
    assert facts["set decoder-weight"] == "109 weights"
    assert facts["best/correlation"] == "0.5"
    assert facts["page"] == f"http://127.0.0.1:5000/#/experiments/1/runs/{study.runs[0]}?workflowType=machine_learning"
    assert facts["start the UI"] == f"mlflow ui --backend-store-uri {study.uri}"
    shown = json.loads(quick("show", study.comparison, "--format", "json").stdout)
    assert (shown["kind"], shown["about"]["part"]) == ("comparison", "decoder-weight")
    assert shown["source_runs"] == list(study.runs)
    assert set(shown["results"]) >= {"overlap/mean", "overlap/within", "overlap/group_p"}
    missing = run("show", "nobody")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("Error: could not find the run nobody")


def test_comparisons_and_compare(run: Run, study: Study, quick: Callable[..., Result]) -> None:
    """What was logged is listed; another question is answered in JSON and CSV with nothing else in stdout."""
    (row,) = json.loads(run("comparisons", "--experiment-name", "pronouns", "--format", "json").stdout)
    assert (row["run_id"], row["topk"], row["n_runs"]) == (study.comparison, 10, 4)
    assert quick("comparisons", "--all-experiments", "--run", study.runs[0], "--topk", 10).stdout.count("\n") == 2
    assert quick("comparisons", "--all-experiments", "--topk", 9).stdout == ""
    asked = ("compare", *study.runs[:2], "--topk", 5, "--no-log", "--value", "intersection")
    answered = json.loads(run(*asked, "--format", "json").stdout)
    expected = compare(study.runs[:2], topk=5, value="intersection", log=False, tracking_uri=study.uri)
    assert answered["matrix"] == expected.matrix.to_numpy().tolist()
    assert answered["run_id"] is None
    rows = list(csv.reader(io.StringIO(quick(*asked, "--format", "csv").stdout)))
    assert rows[0] == ["", "one", "two"]


def test_compare_says_where_it_looked(run: Run, quick: Callable[..., Result], study: Study) -> None:
    """And where there are trainings, with what to type."""
    told = run("compare")
    assert (told.returncode, told.stdout) == (1, "")
    assert "found 0: none. Searched: 'Default' (the active one) of MLflow at sqlite:///" in told.stderr
    assert "Trainings are in 'pronouns' (4): name experiments with --experiment-name pronouns" in told.stderr
    filtered = quick("compare", "--experiment-name", "pronouns", "--filter", "params.x = '1'")
    assert "with the filter \"params.x = '1'\"; without the filter, 4 trainings would be found" in filtered.stderr


def test_plot(run: Run, tmp_path: Path) -> None:
    """The file is there, and its name is what is printed."""
    file = tmp_path / "venn.pdf"
    done = run("plot", "the answer", "--kind", "venn", "--width", "column", "-o", file)
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    assert file.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_of_figure(kind: str, study: Study, quick: Callable[..., Result], tmp_path: Path) -> None:
    """As large as it was asked for."""
    from PIL import Image

    file = tmp_path / "figure.png"
    done = quick("plot", study.comparison, "--kind", kind, "--width", "text", "-o", file)
    assert done.exit_code == 0, done.output
    with Image.open(file) as image:
        assert image.width / image.info["dpi"][0] == pytest.approx(7, rel=0.05)


@pytest.mark.long
def test_a_place_that_cannot_be_written(run: Run, study: Study, tmp_path: Path) -> None:
    """It is told in a line."""
    (tmp_path / "file").touch()
    done = run("plot", study.comparison, "-o", tmp_path / "file" / "x.png")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    done = run("export", study.comparison, tmp_path / "file" / "x")
    assert done.returncode == 1
    assert "cannot be" in done.stderr


def test_export(run: Run, study: Study, quick: Callable[..., Result], tmp_path: Path) -> None:
    """What is written is what was logged; nothing is overwritten."""
    done = run("export", "one", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(str(f) for f in (tmp_path / "one").rglob("*") if f.is_file())
    assert len(load_topk_file(tmp_path / "one" / "topk" / "decoder-weight.parquet")) == 109
    assert json.loads((tmp_path / "one" / "run.json").read_text())["tags"]["group"] == "a"
    assert (tmp_path / "one" / "metrics.csv").read_text().splitlines()[1] == "best/correlation,0,0.5"
    again = quick("export", "two", tmp_path / "one")
    assert again.exit_code == 1
    assert "export needs an empty directory" in again.stderr
    assert quick("export", study.comparison, tmp_path / "answer").exit_code == 0
    written = {file.name for file in (tmp_path / "answer").rglob("*")}
    assert written >= {"comparison.json", "matrix.csv", "pairs.csv", "report.html", "venn.pdf", "0000_one.parquet"}
    exported = load_topk_file(tmp_path / "answer" / "topk" / "0000_one.parquet")
    assert exported == load_comparison(study.comparison, tracking_uri=study.uri).sets["one"]


@pytest.mark.long
def test_import_log_and_verify(run: Run, study: Study, quick: Callable[..., Result]) -> None:
    """A training that nobody tracked; another k; a file that somebody spoilt."""
    done = run("import", study.training.parent, "--experiment-name", "imported", "--quiet", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["result"]) == (0, "imported")
    logged = run("log", study.training, "--run-id", row["run_id"], "--topk", 50, "--part", "encoder-weight")
    assert logged.returncode == 0, logged.stderr
    assert logged.stdout.splitlines()[1].split() == [row["run_id"], "encoder-weight", "50"]
    whole = run("verify", "--experiment-name", "imported")
    assert (whole.returncode, whole.stdout) == (0, "4 sets of 1 run: 4 ok\n")
    (found,) = search_runs("imported", tracking_uri=study.uri).to_dict("records")
    artifacts = Path(found["artifact_uri"].removeprefix("file://"))
    file = artifacts / found["sets"]["encoder-weight"]["path"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (artifacts / found["sets"]["decoder-sum"]["path"]).unlink()
    broken = run("verify", "--experiment-name", "imported", "--format", "csv")
    assert broken.returncode == 1
    results = {row["part"]: row["result"] for row in csv.DictReader(io.StringIO(broken.stdout))}
    whole_parts = dict.fromkeys(("decoder-weight", "decoder-bias"), "ok")
    assert results == {"encoder-weight": "damaged", "decoder-sum": "missing", **whole_parts}
    assert "4 sets of 1 run" in broken.stderr
    told = quick("verify", row["run_id"], "--quiet")
    assert told.exit_code == 1
    assert len(told.stdout.splitlines()) == 3
    assert "is not the file that was logged" in told.stdout


def test_sync_has_nothing_to_send(run: Run, study: Study) -> None:
    """It says so."""
    done = run("sync", study.training.parent)
    assert (done.returncode, done.stdout) == (0, "nothing to send\n")


def test_cache(run: Run, study: Study, tmp_path: Path) -> None:
    """Nothing is made by looking; what was pulled is counted, and removed."""
    assert "sets       0" in run("cache", "info").stdout
    assert not (tmp_path / "cache").exists()
    run("compare", *study.runs, "--topk", 5, "--no-log")
    info = json.loads(run("cache", "info", "--format", "json").stdout)
    assert (info["directory"], info["sets"]) == (str(tmp_path / "cache"), 4)
    assert info["bytes"] == sum(file.stat().st_size for file in (tmp_path / "cache").iterdir())
    (tmp_path / "cache" / "theirs").touch()
    half = 0.6e-9 * info["bytes"]
    assert run("cache", "prune", "--size", half).stdout.startswith("removed 2 sets")
    assert run("cache", "clear").stdout.startswith("removed 2 sets")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["theirs"]


def test_ui(run: Run, study: Study, quick: Callable[..., Result]) -> None:
    """The address alone in stdout, how to start the UI beside it."""
    done = run("ui", "--experiment-name", "pronouns", "--view", "comparisons")
    page = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
    assert done.stdout == f"{page}&viewStateShareKey=gradiend-comparisons\n"
    assert f"mlflow ui --backend-store-uri {study.uri}" in done.stderr
    assert (
        quick("ui", "one").stdout
        == f"http://127.0.0.1:5000/#/experiments/1/runs/{study.runs[0]}?workflowType=machine_learning\n"
    )
    assert "not both" in quick("ui", "one", "--experiment-name", "pronouns").stderr


@pytest.mark.parametrize(
    "command",
    ["runs", "show x", "ui", "compare", "comparisons", "plot x -o x.png", "export x x", "export-dataset x", "verify"],
)
def test_reading_commands_create_nothing(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no database, they say so."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    done = CliRunner().invoke(main, [*command.split(), "--tracking-uri", "sqlite:///none.db"])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: there is no MLflow database at {tmp_path}/none.db")
    assert set(tmp_path.rglob("*")) == before


def test_an_empty_directory(run: Run, tmp_path: Path) -> None:
    """As a new user types it; the fixture sees that nothing is left there."""
    done = run("runs", uri=None)
    assert (done.returncode, done.stdout) == (1, "")
    place = tmp_path / "here"
    assert f"no MLflow database at {place}/mlflow.db, which is where MLflow looks in {place}" in done.stderr


def test_export_dataset(study: Study, quick: Callable[..., Result], tmp_path: Path) -> None:
    """What was done in a line, what was skipped beside it; JSON for programs; the exit code with --strict."""
    asked = ("export-dataset", tmp_path / "sets", "--experiment-name", "pronouns", "--part", "decoder-weight")
    done = quick(*asked)
    assert done.stdout == f"4 added: {tmp_path}/sets has 4 sets of 4 runs\n"
    assert "skipped failed" in done.stderr
    again = json.loads(quick(*asked, "--format", "json").stdout)
    assert (again["added"], again["sets"], len(again["skipped"])) == (0, 4, 1)
    strict = quick(*asked, "--strict", "--quiet")
    assert (strict.exit_code, strict.stdout) == (1, "")
    assert strict.stderr.startswith("Error: 1 of 5 runs could not be exported:")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, run: Run) -> None:
    """The script calls the program, which knows commands and the choices of options."""
    assert "_GRADIEND_MLFLOW_COMPLETE" in CliRunner().invoke(main, ["completion", shell]).output
    words = "gradiend-mlflow plot --kind "
    asked = {"COMP_WORDS": words, "COMP_CWORD": "" if shell == "fish" else "3"}
    done = run(_GRADIEND_MLFLOW_COMPLETE=f"{shell}_complete", **asked)
    for kind in FIGURES:
        assert kind in done.stdout


def test_groups_that_were_not_asked_for(study: Study, quick: Callable[..., Result], tmp_path: Path) -> None:
    """It is said how to ask with them, in the terminal's words."""
    asked = compare(study.runs[:2], topk=7, tracking_uri=study.uri).run_id
    done = quick("plot", asked, "--kind", "groups", "-o", tmp_path / "groups.png")
    assert done.exit_code == 1
    assert done.stderr == f"Error: {asked} was asked without groups; `gradiend-mlflow compare --groups` asks with\n"

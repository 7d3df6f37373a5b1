"""The journal: every record is read as it was written, whatever happens to process and disk."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradiend_mlflow.delivery.journals.journal import Journal, LeftJournal, find_journals
from gradiend_mlflow.delivery.journals.lines import write_line
from gradiend_mlflow.delivery.journals.records import (
    Destination,
    DrawPicture,
    EndRun,
    ImportAccount,
    KnownRun,
    LinkModel,
    LogInputs,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
    join_metrics,
)
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.store.store import DataInput, MetricPoint
from gradiend_mlflow.trainings.account import account_of
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.search import find_trainings
from tests.support.trainings import MakeTrainer

ODD = 'a > b % # "quoted" \\ / ä 数\n\u2028 ' + "x" * 300


def read(path: Path) -> tuple[LeftJournal, list[Record]]:
    """The one journal below a directory, and its records."""
    (found,) = find_journals(path)
    return found, [line.record for line in found.lines()]


def records_of(path: Path) -> list[Record]:
    """The records of the one journal below a directory, which is undamaged."""
    found, records = read(path)
    assert found.unreadable == []
    assert not found.torn
    return records


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal without records."""
    return Journal(tmp_path / "run", "http://me:secret@host:5000")


def test_every_kind_of_record_comes_back(journal: Journal, tmp_path: Path) -> None:
    """Equal to the record that was written, to the last bit of every number."""
    file = journal.new_folder() / "decoder-weight.parquet"
    records = [
        StartRun("a", ODD, {ODD: ODD}, 5, Destination("1", ODD, "x"), None, deferred=True),
        KnownRun("b", "run", "experiment"),
        LogMetrics("a", (MetricPoint("m", 0.1, 7, 3), MetricPoint("n", -math.inf, 8, -4))),
        LogParams("a", {"p": "x" * 7000}),
        SetTags("a", {"t": ODD}),
        Upload("a", file, "gradiend/topk"),
        LogInputs("a", (DataInput("3SG", "0" * 32, "code", "{}", ODD, "{}", "train"),)),
        LinkModel("a", "name", tmp_path / "run" / "model", {"p": "1"}),
        LinkModel("a", "b", tmp_path / "run" / "model", {}, (MetricPoint("m", 0.5, 7, 3),), "bert", True, "pronouns"),
        EndRun("a", "FINISHED", 9),
    ]
    for record in records:
        journal.append(record)
    journal.close()
    back = records_of(tmp_path)
    paths = {"file": file, "directory": tmp_path / "run" / "model"}
    for record, other in zip(records, back, strict=True):
        for field in dataclasses.fields(record):
            found = getattr(other, field.name)
            assert (found.resolve() if field.name in paths else found) == getattr(record, field.name)


def test_lines_keep_their_format(tmp_path: Path) -> None:
    """Other versions read them: each kind as version 0.1.0 wrote it, with paths relative to the journal."""
    records = [
        StartRun("a", "n", {"t": "1"}, 5, Destination("1", adopt="x"), "p"),
        KnownRun("a", "r", "1"),
        LogMetrics("a", (MetricPoint("m", 0.5, 7, 3),)),
        LogParams("a", {"p": "1"}),
        SetTags("a", {"t": "1"}),
        Upload("a", tmp_path / "x", "f"),
        DrawPicture("a", tmp_path / "x"),
        LinkModel("a", "n", tmp_path.parent / "m", {}),
        LogInputs("a", (DataInput("n", "d", "code", "{}", "[]", "{}", "train"),)),
        EndRun("a", "KILLED", 9),
    ]
    assert b"".join(write_line(record, 4, tmp_path) for record in records).decode() == (
        '{"said":4,"is":"StartRun","key":"a","name":"n","run_tags":{"t":"1"},"start_time":5,'
        '"destination":{"experiment_id":"1","experiment_name":null,"adopt":"x","views":true},"parent":"p","deferred":false}\n'
        '{"said":4,"is":"KnownRun","key":"a","run_id":"r","experiment_id":"1"}\n'
        '{"said":4,"is":"LogMetrics","key":"a","points":[["m",0.5,7,3]]}\n'
        '{"said":4,"is":"LogParams","key":"a","params":{"p":"1"}}\n'
        '{"said":4,"is":"SetTags","key":"a","run_tags":{"t":"1"}}\n'
        '{"said":4,"is":"Upload","key":"a","file":"x","folder":"f"}\n'
        '{"said":4,"is":"DrawPicture","key":"a","directory":"x"}\n'
        '{"said":4,"is":"LinkModel","key":"a","name":"n","directory":"../m","params":{},"points":[],'
        '"base_model":null,"copied":false,"registered_as":null}\n'
        '{"said":4,"is":"LogInputs","key":"a","inputs":[["n","d","code","{}","[]","{}","train"]]}\n'
        '{"said":4,"is":"EndRun","key":"a","status":"KILLED","end_time":9}\n'
    )


def test_nan_comes_back(journal: Journal, tmp_path: Path) -> None:
    """NaN is a value."""
    journal.append(LogMetrics("a", (MetricPoint("m", math.nan, 7, 3),)))
    journal.close()
    (record,) = records_of(tmp_path)
    assert math.isnan(record.points[0].value)


def test_a_finished_training_is_read_again(journal: Journal, make_trainer: MakeTrainer, tmp_path: Path) -> None:
    """The journal stores only where it is, so that it is found even after both have moved."""
    trainer = make_trainer(experiment_dir=tmp_path / "run")
    trainer.train()
    training = TrainingDirectory.of(Path(trainer.model_path), Path(trainer.experiment_dir))
    account = account_of(training, name="its name", about={"gradiend.run_id": "its id"})
    journal.append(ImportAccount("a", account, LogOptions(topk=7), Destination("1"), "parent"))
    journal.close()
    (tmp_path / "run").rename(tmp_path / "moved")
    (record,) = records_of(tmp_path / "moved")
    assert record.directory.resolve() == tmp_path / "moved" / "3SG_3PL" / "model"
    moved = TrainingDirectory.of(record.directory, record.experiment_dir)
    again = account_of(moved, name=record.name, about=record.about)
    assert (again.name, again.run_tags["gradiend.run_id"]) == ("its name", "its id")
    assert (again.steps, again.fingerprint) == (account.steps, account.fingerprint)
    assert (record.options, record.destination, record.parent) == (LogOptions(topk=7), Destination("1"), "parent")


def test_no_password_is_written_down(journal: Journal, tmp_path: Path) -> None:
    """Others may be able to read the journal."""
    journal.append(EndRun("a", "FINISHED", 1))
    journal.close()
    assert "secret" not in (journal.folder / "journal.jsonl").read_text()
    header = read(tmp_path)[0].header()
    assert (header.tracking_uri, header.shown_uri) == ("http://host:5000", "http://***@host:5000")


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("sqlite:///some.db", "sqlite:///{}/some.db"),
        ("./mlruns", "{}/mlruns"),
        ("file:mlruns", "file://{}/mlruns"),
        ("databricks", "databricks"),
    ],
)
def test_a_database_is_found_from_anywhere(
    uri: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is made absolute in the training's working directory."""
    monkeypatch.chdir(tmp_path)
    Journal(tmp_path / "run", uri).close()
    assert read(tmp_path)[0].header().tracking_uri == kept.format(tmp_path)


def test_a_line_that_was_broken_off(journal: Journal, tmp_path: Path) -> None:
    """All records before it are read, and `torn` says that it was there."""
    journal.append(EndRun("a", "FINISHED", 1))
    journal.append(EndRun("b", "FINISHED", 1))
    journal.close()
    file = journal.folder / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    found, records = read(tmp_path)
    assert [record.key for record in records] == ["a"]
    assert found.torn


def test_damage_in_the_middle_is_named(journal: Journal, tmp_path: Path) -> None:
    """By the number of its line; the rest is read."""
    for key in "abc":
        journal.append(EndRun(key, "FINISHED", 1))
    journal.close()
    file = journal.folder / "journal.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"key":"b"', b'"key":"b'))
    found, records = read(tmp_path)
    assert [record.key for record in records] == ["a", "c"]
    assert found.unreadable[0].startswith("line 3: ")


@pytest.mark.parametrize("header", [b"", b"{}\n", b'{"format": 2, "tracking_uri": ""}\n'])
def test_another_file_is_refused(header: bytes, journal: Journal, tmp_path: Path) -> None:
    """So is a journal of a later format."""
    journal.close()
    (journal.folder / "journal.jsonl").write_bytes(header)
    with pytest.raises(ValueError, match=r"begin as a journal|this version reads 1"):
        find_journals(tmp_path)[0].header()


def test_only_one_process_holds_it(journal: Journal, tmp_path: Path, run_python: Callable[[str], str]) -> None:
    """While the training runs, no other process holds its journal; afterwards one can."""
    script = f"""
from pathlib import Path
from gradiend_mlflow.delivery.journals.journal import find_journals
(found,) = find_journals(Path({str(tmp_path)!r}))
with found.held() as free:
    print(free)
"""
    assert run_python(script).strip() == "False"
    journal.close()
    assert run_python(script).strip() == "True"


def test_the_system_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    """A killed process holds no journal."""
    script = f"""
import os, signal
from pathlib import Path
from gradiend_mlflow.delivery.journals.journal import Journal
journal = Journal(Path({str(tmp_path)!r}), "http://host")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    (found,) = find_journals(tmp_path)
    with found.held() as free:
        assert free


def test_a_removed_journal_leaves_nothing(journal: Journal, tmp_path: Path) -> None:
    """The folder of journals goes with the last journal."""
    other = Journal(tmp_path / "run", "http://host")
    journal.remove()
    assert [found.folder for found in find_journals(tmp_path)] == [other.folder]
    other.remove()
    assert [*(tmp_path / "run").iterdir()] == []


def test_a_journal_is_not_taken_for_a_training(make_trainer: MakeTrainer) -> None:
    """Although it contains copies of a training's files."""
    trainer = make_trainer()
    trainer.train()
    experiment = Path(trainer.experiment_dir)
    training = TrainingDirectory.of(Path(trainer.model_path), experiment)
    before = training.fingerprint(), find_trainings(experiment)
    journal = Journal(experiment, "http://host")
    folder = journal.new_folder()
    for name in ("training.json", "config.json", "decoder_probability_shifts.png", "encoder_analysis.csv"):
        (folder / name).write_text("{}")
    journal.close()
    assert (training.fingerprint(), find_trainings(experiment)) == before
    assert [*experiment.glob(JOURNALS)] != []


def test_metrics_are_joined_up_to_ten_thousand_values() -> None:
    """Not however many a journal has, which need not fit into memory."""
    points = tuple(MetricPoint("m", 1.0, 1, step) for step in range(4000))
    records = [*[LogMetrics("k", points)] * 4, LogMetrics("l", points), SetTags("l", {}), LogMetrics("l", points)]
    joined = list(join_metrics(records))
    assert [len(record.points) for record in joined if isinstance(record, LogMetrics)] == [12000, 4000, 4000, 4000]
    assert [record.key for record in joined] == ["k", "k", "l", "l", "l"]
    assert joined[0] == LogMetrics("k", points * 3)

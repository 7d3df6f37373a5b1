"""Reading creates nothing, and what is not there or deleted is told with what to do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import StoreError, compare, load_comparison, load_topk, log_topk, search_comparisons, search_runs
from gradiend_mlflow.store.uris import absent_place, missing_password
from tests.support.checkpoints import make_model
from tests.support.trainings import MakeTrainer

READERS: dict[str, Callable[..., Any]] = {
    "search_runs": search_runs,
    "load_topk": lambda **where: load_topk(["0" * 32], **where),
    "compare": compare,
    "compare of ids": lambda **where: compare(["0" * 32, "1" * 32], **where),
    "search_comparisons": search_comparisons,
    "load_comparison": lambda **where: load_comparison("0" * 32, **where),
    "log_topk": lambda **where: log_topk(make_model([("a", (3, 2), "all")]), run_id="0" * 32, **where),
}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with a space in its name, in which MLflow has been told no address."""
    folder = tmp_path / "an empty directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    mlflow.set_tracking_uri(None)
    return folder


@pytest.mark.parametrize("reader", READERS)
def test_reading_creates_nothing(reader: str, empty: Path) -> None:
    """The error says where nothing is, why it was looked for there, and what to type."""
    before = set(empty.parent.rglob("*"))
    with pytest.raises(StoreError) as raised:
        READERS[reader]()
    said = str(raised.value)
    assert f"there is no MLflow database at {empty}/mlflow.db, which is where MLflow looks in {empty}" in said
    assert "--tracking-uri" in said
    assert "mlflow.set_tracking_uri" in said
    assert "MLFLOW_TRACKING_URI" in said
    assert set(empty.parent.rglob("*")) == before


def test_the_error_says_where_the_address_came_from(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, MLflow's function, the environment."""
    uri = f"sqlite:///{empty}/none.db"
    with pytest.raises(StoreError, match=r"none\.db, which is what tracking_uri says"):
        search_runs(tracking_uri=uri)
    mlflow.set_tracking_uri(uri)
    with pytest.raises(StoreError, match=r"none\.db, which mlflow\.set_tracking_uri was given"):
        search_runs()
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match=r"none\.db, which the environment variable MLFLOW_TRACKING_URI names"):
        search_runs()
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("uri", "absent"),
    [
        ("sqlite:///none.db", "none.db"),
        ("sqlite:///none.db?timeout=3", "none.db"),
        ("sqlite+pysqlite:///none.db", "none.db"),
        ("sqlite:///touched.db", "touched.db"),
        ("sqlite:///a%20b.db", "a b.db"),
        ("file:none", "none"),
        ("none", "none"),
        ("sqlite:///there.db", None),
        ("sqlite:///with%20space.db", None),
        ("folder", None),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("http://127.0.0.1:1", None),
        ("databricks", None),
    ],
)
def test_what_is_there(uri: str, absent: str | None, empty: Path) -> None:
    """A file without content is no database; servers are for MLflow to find."""
    (empty / "touched.db").touch()
    (empty / "folder").mkdir()
    for name in ("there.db", "with space.db"):
        (empty / name).write_bytes(b"SQLite")
    assert absent_place(uri) == (None if absent is None else empty / absent)


def test_writing_still_creates(empty: Path, make_trainer: MakeTrainer) -> None:
    """A training makes the database that it is logged to, and then it can be read."""
    uri = f"sqlite:///{empty}/new.db"
    gradiend_mlflow.autolog(tracking_uri=uri, experiment_name="pronouns")
    make_trainer().train()
    assert search_runs("pronouns", tracking_uri=uri)["run_name"].tolist() == ["3SG_3PL"]


def test_an_experiment_that_the_environment_names_is_not_created(
    tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own functions create it."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    with pytest.raises(StoreError, match=r"no experiment with the name 'new'.*MLFLOW_EXPERIMENT_NAME names it"):
        search_runs()
    assert tracking.get_experiment_by_name("new") is None


class TestDeletedExperiments:
    """They are said to be deleted, and how to have them again."""

    @pytest.fixture
    def deleted(self, tracking: MlflowClient) -> str:
        """The id of a deleted experiment named "gone"."""
        experiment_id = tracking.create_experiment("gone")
        tracking.delete_experiment(experiment_id)
        return str(experiment_id)

    @pytest.mark.parametrize(
        "call",
        [
            lambda _: search_runs("gone"),
            lambda experiment_id: search_runs(experiment_ids=[experiment_id]),
            lambda _: compare(experiment_names="gone"),
            lambda _: search_comparisons("gone"),
        ],
        ids=["search_runs by name", "search_runs by id", "compare", "search_comparisons"],
    )
    def test_readers_say_it(self, call: Callable[[str], Any], deleted: str) -> None:
        """By name and by id."""
        with pytest.raises(StoreError, match=r"'gone' .* is deleted") as raised:
            call(deleted)
        assert f"`mlflow experiments restore --experiment-id {deleted}`, or choose another name" in str(raised.value)

    def test_log_to(self, deleted: str, tracking: MlflowClient) -> None:
        """A comparison that cannot go there says so."""
        runs = []
        for _ in range(2):
            run_id = tracking.create_run("0").info.run_id
            log_topk(make_model([("a", (3, 2), "all")]), run_id=run_id)
            tracking.set_terminated(run_id)
            runs.append(run_id)
        with pytest.raises(StoreError, match=f"'gone' .* is deleted.*--experiment-id {deleted}"):
            compare(runs, topk=2, log_to="gone")

    def test_a_training_goes_on_and_is_sent_later(
        self, deleted: str, tracking: MlflowClient, make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The warning has the reason; so has `sync`, and after the experiment is restored it sends everything."""
        gradiend_mlflow.autolog(experiment_name="gone")
        trainer = make_trainer()
        with caplog.at_level(logging.WARNING, "gradiend_mlflow"):
            trainer.train()
            gradiend_mlflow.flush()
        advice = f"`mlflow experiments restore --experiment-id {deleted}`, or choose another name"
        assert any(advice in record.getMessage() for record in caplog.records)

    def test_an_active_experiment(
        self, deleted: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An import that would go there is one error, not one for each directory."""
        trainer = make_trainer()
        trainer.train()
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", deleted)
        for where in ({}, {"experiment_name": "gone"}):
            with pytest.raises(StoreError, match=f"is deleted.*--experiment-id {deleted}"):
                gradiend_mlflow.import_runs(trainer.experiment_dir, progress=False, **where)


@pytest.mark.parametrize(
    ("uri", "token", "said"),
    [
        ("http://***@lab:5000", "", r"asks for what \*\*\* stands for"),
        ("http://lab:5000", "abc", "set MLFLOW_TRACKING_USERNAME"),
        ("http://lab:5000", "", "^$"),
        ("sqlite:////a/b.db", "abc", "^$"),
    ],
)
def test_commands_say_that_the_password_is_not_in_them(
    uri: str, token: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is one."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    assert re.search(said, missing_password(uri))

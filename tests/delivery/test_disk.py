"""The disk faults of docs/reliability.md: the training goes on, and MLflow still receives what memory holds."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

import gradiend_mlflow
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.tracking.evaluations import detach
from tests.support.faults import At, only, weights
from tests.support.proxy import Proxy
from tests.support.trainings import MakeTrainer


@pytest.mark.long
def test_no_place_for_the_journal(
    tracked: Any, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any, tmp_path: Path
) -> None:
    """The journal cannot be created: one warning says so, and everything else works."""
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
    """The disk accepts no more writes in the middle of the training: one warning, and everything else works."""

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


@pytest.mark.long
def test_the_journal_vanishes(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Somebody removes it while the server is down: a warning says so, and the records in memory are still sent."""
    proxy.stop()
    trainer = tracked()
    assert weights(trainer) == untracked
    for folder in (Path(trainer.experiment_dir) / JOURNALS).iterdir():
        (folder / "journal.jsonl").unlink()
    session = detach(trainer)
    session._recorder.close(0.2)
    assert any("it has vanished" in warning for warning in warnings())
    proxy.start()
    assert gradiend_mlflow.flush(60)
    assert only(server, request.node.name) == undisturbed


@pytest.mark.long
def test_the_journal_vanishes_with_what_lay_beside_it(
    tracked: Any, proxy: Proxy, server: str, untracked: str, undisturbed: Any, request: Any
) -> None:
    """The staged files are held in memory until MLflow has them."""
    proxy.stop()
    trainer = tracked()
    assert weights(trainer) == untracked
    shutil.rmtree(Path(trainer.experiment_dir) / JOURNALS)
    proxy.start()
    assert gradiend_mlflow.flush(60)
    assert only(server, request.node.name) == undisturbed


def test_a_temporary_experiment_directory(
    make_trainer: MakeTrainer, server: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """It is gone when `train()` has returned, with the checkpoint; the run has everything."""
    gradiend_mlflow.autolog(topk=50, experiment_name=request.node.name, tracking_uri=server)
    with tempfile.TemporaryDirectory() as folder:
        make_trainer(experiment_dir=Path(folder)).train()
    assert only(server, request.node.name) == undisturbed
    assert warnings() == []


def test_sets_that_are_lost_are_named_in_the_run(
    tracked: Any, proxy: Proxy, server: str, undisturbed: Any, request: Any, warnings: Any, monkeypatch: Any
) -> None:
    """Files that are too large to be held are lost with their directory: the run says so, and an import adds them."""
    monkeypatch.setattr("gradiend_mlflow.delivery.held_files._LARGEST", 0)
    proxy.stop()
    trainer = tracked()
    shutil.rmtree(Path(trainer.experiment_dir) / JOURNALS)
    proxy.start()
    assert not gradiend_mlflow.flush(60)
    found = only(server, request.node.name)
    assert (found["status"], found["metrics"]) == ("FINISHED", undisturbed["metrics"])
    assert "gradiend.topk" not in found["tags"]
    left_out = json.loads(found["tags"]["gradiend.topk_left_out"])
    assert set(left_out) == set(gradiend_mlflow.PARTS)
    assert all("was removed before MLflow had it" in reason for reason in left_out.values())
    failed, vanished, lost = warnings()
    assert "was removed before MLflow had it" in failed
    assert "it has vanished" in vanished
    assert "values could not be logged" in lost
    options = {"topk": 50, "experiment_name": request.node.name, "tracking_uri": server}
    assert gradiend_mlflow.import_runs(trainer.experiment_dir, progress=False, **options)["result"][0] == "updated"
    imported = only(server, request.node.name)["tags"]
    assert imported["gradiend.topk"] == undisturbed["tags"]["gradiend.topk"]

"""The disk faults of docs/reliability.md: the training goes on, and MLflow still receives what memory holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import gradiend_mlflow
from gradiend_mlflow.store.pending import JOURNALS
from gradiend_mlflow.tracking.evaluations import detach
from tests.support.faults import At, only, weights
from tests.support.proxy import Proxy


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


def test_the_journal_vanishes_with_what_lay_beside_it(
    tracked: Any, proxy: Proxy, server: str, undisturbed: Any, request: Any, warnings: Any
) -> None:
    """Then the sets cannot be sent, a warning says so, and an import still finds them."""
    proxy.stop()
    trainer = tracked()
    shutil.rmtree(Path(trainer.experiment_dir) / JOURNALS)
    proxy.start()
    assert not gradiend_mlflow.flush(60)
    found = only(server, request.node.name)
    assert (found["status"], found["metrics"]) == ("FINISHED", undisturbed["metrics"])
    assert "gradiend.topk" not in found["tags"]
    failed, vanished, lost = warnings()
    assert "No such file or directory" in failed
    assert "it has vanished" in vanished
    assert "values could not be logged" in lost
    options = {"topk": 50, "experiment_name": request.node.name, "tracking_uri": server}
    assert gradiend_mlflow.import_runs(trainer.experiment_dir, progress=False, **options)["result"][0] == "updated"
    assert only(server, request.node.name)["tags"]["gradiend.topk"] == undisturbed["tags"]["gradiend.topk"]

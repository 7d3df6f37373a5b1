"""Bars in a pseudo-terminal and in a pipe, of real searches, pulls, comparisons and imports."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, TopKSet, search_runs
from gradiend_mlflow.display.progress import with_progress
from tests.support.sets import log_set, tag_set
from tests.support.trainings import MakeTrainer

# What a bar shows from the first item on, were there no second to wait for.
AT_ONCE = "import gradiend_mlflow.display.progress as progress\nprogress._AFTER = 0.0\n"


def in_terminal(script: str) -> tuple[str, str]:
    """Run a script whose stderr is a terminal; returns what it prints, and what the terminal gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # a bar needs some width
    received: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                received.append(chunk)
        except OSError:  # on Linux, the end of the other side
            pass

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, text=True, check=False
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    shown = b"".join(received).decode()
    assert done.returncode == 0, shown
    return done.stdout, shown


def in_pipe(script: str) -> tuple[str, str]:
    """Run a script whose stderr is a pipe; returns both."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def bars(shown: str) -> set[str]:
    """What the bars that were shown count."""
    return set(re.findall(r"([a-z ]+): +\d+(?:%|page|\w+ )", shown))


@pytest.fixture
def study(tracking: MlflowClient, tmp_path: Path, make_trainer: MakeTrainer) -> str:
    """A script that imports a training, searches, looks up, pulls, and compares."""
    for first in range(3):
        run_id = log_set(tracking, tmp_path, TopKSet.from_indices(range(first, first + 9), space=20))
        digest = hashlib.sha256((tmp_path / "decoder-weight.parquet").read_bytes()).hexdigest()
        tag_set(tracking, run_id, sha256=digest, k=9)
    trainer = make_trainer()
    trainer.train()
    return f"""
import mlflow, logging
import gradiend_mlflow as g
logging.disable(logging.CRITICAL)
mlflow.set_tracking_uri({tracking.tracking_uri!r})
frame = g.search_runs()
g.load_topk(list(frame["run_id"]), topk=5)
g.compare(frame, topk=5)
g.import_runs({str(trainer.experiment_dir)!r}, topk=10, experiment_name="imported")
print(len(frame))
"""


def test_a_terminal_shows_bars_and_a_pipe_none(study: str) -> None:
    """On stderr, gone in the end; results on stdout are not touched."""
    said, shown = in_terminal(AT_ONCE + study)
    assert said == "3\n"
    assert {"search", "look up", "pull", "log", "import"} <= bars(shown)
    assert shown.endswith("\r")
    assert not shown.split("\r")[-2].strip()  # the last one is wiped away
    assert in_pipe(AT_ONCE + study) == ("3\n", "")


def test_progress_decides_otherwise() -> None:
    """No bar in a terminal, or one in a pipe."""
    script = AT_ONCE + "for _ in progress.with_progress(range(3), 'count', 'item', show={}): pass"
    assert in_terminal(script.format(False)) == ("", "")
    assert bars(in_pipe(script.format(True))[1]) == {"count"}


def test_what_takes_a_second_has_no_bar() -> None:
    """It would flash."""
    script = """
import time
from gradiend_mlflow.display.progress import with_progress
for _ in with_progress(range(20), "quick", "item"): time.sleep(0.01)
for _ in with_progress(range(3), "slow", "item"): time.sleep(0.7)
"""
    _, shown = in_terminal(script)
    assert "quick" not in shown
    assert "slow" in shown


def test_items_come_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, in order, with or without a bar; an error in them is theirs."""
    for show in (None, False, True):
        assert list(with_progress(iter(range(5)), "x", "y", show=show, total=5)) == list(range(5))
        with pytest.raises(ZeroDivisionError):
            list(with_progress((1 / number for number in (1, 0)), "x", "y", show=show))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["yes", 1, 0])
def test_other_values_are_refused(wrong: object, tmp_path: Path) -> None:
    """Before anything is done, by every function."""
    calls = (
        lambda: search_runs(progress=wrong),
        lambda: gradiend_mlflow.load_topk([], progress=wrong),
        lambda: gradiend_mlflow.compare(progress=wrong),
        lambda: gradiend_mlflow.import_runs(tmp_path, progress=wrong),
        lambda: gradiend_mlflow.sync(tmp_path, progress=wrong),
    )
    for call in calls:
        with pytest.raises(InvalidInputError, match="progress must be True or False, or None"):
            call()

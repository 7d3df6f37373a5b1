"""What other processes do in the tests: forked ones that end in time, and functions that workers can import."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.errors import logger
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.store import Store


def fork(action: Callable[[], object]) -> int:
    """Do something in a forked child, which ends with 0 if it has succeeded; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def finish(*children: int, seconds: float = 60) -> list[int]:
    """Wait for children; returns how each ended: with an exit status, or -9 because it hung and was killed."""
    until = time.monotonic() + seconds
    statuses = []
    for child in children:
        found, status = os.waitpid(child, os.WNOHANG)
        while not found:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
            found, status = os.waitpid(child, os.WNOHANG)
        statuses.append(os.waitstatus_to_exitcode(status))
    return statuses


def log_run(name: str, uri: str, experiment: str, folder: Path, deadline: float = 60) -> None:
    """Log a small run in the background, as a training does; its journal is in a folder of its own."""
    recorder = Recorder(Store(uri, once=True), folder / name, deadline=deadline)
    run = recorder.start(name, {"gradiend.kind": "training"}, Destination(experiment_name=experiment))
    for step in range(5):
        run.metrics(step, {"m": float(step)})
    run.end("FINISHED")
    recorder.close()


def log_run_aloud(log: Path, name: str, uri: str, experiment: str, folder: Path) -> None:
    """The same, with the plugin's warnings in a file."""
    logger.addHandler(logging.FileHandler(log))
    log_run(name, uri, experiment, folder)


def log_and_flush(name: str, uri: str, experiment: str, folder: Path) -> None:
    """The same, for a process that ends without notice."""
    log_run(name, uri, experiment, folder)
    assert pending.flush()


def train_tracked(pair: tuple[str, str], base_model: str, folder: Path, experiment: str, uri: str | None) -> None:
    """Train with autolog; without a URI, with that of the parent."""
    import torch

    import gradiend_mlflow
    from tests.support.trainings import train

    torch.set_num_threads(1)  # a forked child that uses OpenMP's threads as its parent did hangs, whoever trains
    if uri is not None:
        gradiend_mlflow.autolog(topk=50, experiment_name=experiment, tracking_uri=uri)
    train(base_model, folder, pair)


def train_some(base_model: str, folder: Path, experiment: str, uri: str) -> None:
    """Train three pairs, one after the other, tracked by autolog, and end when all is delivered."""
    import torch

    import gradiend_mlflow
    from tests.support.trainings import train

    torch.set_num_threads(1)
    gradiend_mlflow.autolog(experiment_name=experiment, topk=100, tracking_uri=uri)
    for pair in (("1SG", "1PL"), ("1SG", "3SG"), ("3SG", "3PL")):
        train(base_model, folder, pair)
    assert gradiend_mlflow.flush()

"""Trainings whose sets go to S3 directly, while S3 has a fault and MLflow has none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import sync
from shared_server.s3 import BUCKET
from tests.support.faults import At, journals, wait_until, weights
from tests.support.proxy import HOLE, Proxy
from tests.support.trainings import MakeTrainer

DENIED = (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
NO_BUCKET = (404, b"<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>")


@pytest.fixture
def tracked(s3: Proxy, tracking: MlflowClient, make_trainer: MakeTrainer) -> Callable[..., Any]:
    """Train with autolog into sqlite, with artifacts in S3; returns the trainer."""
    tracking.create_experiment("in S3", artifact_location=f"s3://{BUCKET}/trained")

    def run(*callbacks: At, **options: Any) -> Any:
        gradiend_mlflow.autolog(topk=50, experiment_name="in S3", **options)
        trainer = make_trainer()
        trainer.train(callbacks=list(callbacks))
        return trainer

    return run


def kept(client: MlflowClient) -> Any:
    """The one run of the experiment."""
    (run,) = client.search_runs([client.get_experiment_by_name("in S3").experiment_id])
    return run


def test_s3_that_comes_back(tracked: Any, s3: Proxy, tracking: MlflowClient, untracked: str, warnings: Any) -> None:
    """The worker waits for it: everything is there without `sync`."""
    trainer = tracked(At(3, s3.stop))
    wait_until(lambda: any("does not answer" in told for told in warnings()))
    s3.start()
    assert gradiend_mlflow.flush()
    assert weights(trainer) == untracked
    assert "gradiend.topk" in kept(tracking).data.tags
    assert not journals(trainer)
    (told,) = warnings()
    assert f"The artifact store s3://{BUCKET} at {s3.uri} does not answer" in told
    assert "MLflow on" not in told


@pytest.mark.parametrize(
    "fault",
    [DENIED, HOLE, pytest.param(NO_BUCKET, marks=pytest.mark.long)],
    ids=["denied", "hangs", "no bucket"],
)
def test_s3_that_stays_away(
    fault: Any, tracked: Any, s3: Proxy, tracking: MlflowClient, untracked: str, warnings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The training is unchanged, nobody waits for S3, and `sync` completes the run."""
    caplog.set_level("INFO", logger="gradiend_mlflow")
    s3.fault = lambda method, path: fault
    trainer = tracked(deadline=20)
    assert weights(trainer) == untracked
    begun = time.monotonic()
    assert not gradiend_mlflow.flush()
    assert time.monotonic() - begun < 20
    s3.fault = lambda method, path: None
    s3.release()
    if fault == HOLE:
        wait_until(lambda: not journals(trainer))
    else:
        assert f"the artifact store s3://{BUCKET} at {s3.uri}: " in warnings()[0]
        assert re.search("AccessDenied|NoSuchBucket", warnings()[0])
        assert kept(tracking).data.metrics
        assert "in MLflow, but not all of it: " in caplog.text
        assert sync(trainer.experiment_dir)["result"].tolist() == ["synced"]
    assert "gradiend.topk" in kept(tracking).data.tags


@pytest.mark.long
def test_a_process_does_not_linger(s3: Proxy, tracking: MlflowClient, tmp_path: Path) -> None:
    """An upload that hangs is no reason to stay."""
    tracking.create_experiment("in S3", artifact_location=f"s3://{BUCKET}/trained")
    s3.fault = lambda method, path: HOLE
    script = (
        "import gradiend_mlflow, time\nfrom gradiend_mlflow.store.store import Store\n"
        "from gradiend_mlflow.delivery.recorder import Recorder\n"
        "from gradiend_mlflow.delivery.journals.records import Destination, Upload\n"
        "from pathlib import Path\n"
        f"store = Store({tracking.tracking_uri!r}, once=True)\n"
        "recorder = Recorder(store, Path('runs'))\n"
        "run = recorder.start('a', {}, Destination(experiment_name='in S3'))\n"
        "Path('notes.txt').write_text('some')\n"
        "recorder.put(Upload(run.key, Path('notes.txt'), None))\n"
        "recorder.close()\ntime.sleep(4)\nprint('last', time.monotonic(), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ
    )
    assert time.monotonic() - float(done.stdout.split()[1]) < 15
    assert "send them with: gradiend-mlflow sync" in done.stderr

"""Many trainings at once against a deployment whose network, database and object store keep failing.

    make soak                     # ten minutes of faults, 40 trainings at once
    SOAK_SECONDS=60 make soak     # a minute

Half of the time clients have the object store to themselves, half of it the server passes artifacts on. Afterwards
every training must have its run, with what an undisturbed training has in it, and every model must be what
it is without the plugin. Prints how many requests a training took, and how much longer than without the plugin.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gradiend_mlflow import autolog, flush, sync
from tests.support.deployments import PAIRS, STUDY, Deployment, Deployments
from tests.support.faults import runs_of, state, wait_until, weights
from tests.support.proxy import CUT, HOLE, LOST, Fault, Proxy
from tests.support.trainings import train

EXPERIMENT = "soak"
KINDS = ("direct", "proxied")


@dataclass(frozen=True)
class Soaked:
    """What a soak has measured."""

    trainings: int
    requests: float  # of a training, repeated ones included
    slowdown: float  # the median of train() with the plugin over train() without, in one process

    def __str__(self) -> str:
        return (
            f"{self.trainings} trainings, none lost; {self.requests:.0f} requests each; "
            f"train() takes {self.slowdown:.2f} times as long as without the plugin"
        )


def soak(
    deployments: Deployments, kind: str, base_model: str, folder: Path, *, seconds: float, at_once: int
) -> Soaked:
    """Train in waves until the time is over, while faults come and go; then everything must be there."""
    found = deployments[kind]
    with patch.dict(os.environ, found.environment):
        return _soak(found, deployments, base_model, folder, seconds=seconds, at_once=at_once)


def _soak(
    found: Deployment, deployments: Deployments, base_model: str, folder: Path, *, seconds: float, at_once: int
) -> Soaked:
    undisturbed = {(one := state(found.uri, run))["tags"]["gradiend.run_id"]: one for run in runs_of(found.uri, STUDY)}
    server = Proxy(found.uri)
    through = Deployment(server.uri, found.environment)
    expected = {"_".join(pair): weights(train(base_model, folder / "alone" / pair[0], pair)) for pair in PAIRS}
    until, trained = time.monotonic() + seconds, 0
    with _misfortunes(deployments, server, seconds):
        while trained == 0 or time.monotonic() < until:
            _wave(through, base_model, folder, range(trained, trained + at_once))
            trained += at_once
    requests = len(server.requests) / trained
    wait_until(lambda: sync(folder, tracking_uri=server.uri, progress=False).empty, 300)
    runs = [state(found.uri, run) for run in runs_of(found.uri, EXPERIMENT)]
    server.close()
    assert len(runs) == trained
    for run in runs:
        assert run == undisturbed[run["tags"]["gradiend.run_id"]]
    results = [json.loads(file.read_text()) for file in folder.glob("*/result.json")]
    assert len(results) == trained
    for result in results:
        assert result["models"] == [expected[result["pair"]]] * 2
    return Soaked(trained, requests, statistics.median(result["with"] / result["without"] for result in results))


def _wave(through: Deployment, base_model: str, folder: Path, numbers: range) -> None:
    context: Any = multiprocessing.get_context("fork")
    with patch.dict(os.environ, through.environment):
        workers = [
            context.Process(target=_train_twice, args=(number, base_model, folder / f"{number}", through.uri))
            for number in numbers
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def _train_twice(number: int, base_model: str, folder: Path, uri: str) -> None:
    """With the plugin and without, in an order that changes; notes how long `train()` took."""
    import torch

    torch.set_num_threads(1)
    pair = PAIRS[number % len(PAIRS)]
    result: dict[str, Any] = {"pair": "_".join(pair), "models": []}
    for how in ("with", "without") if number // 2 % 2 else ("without", "with"):
        autolog(topk=50, experiment_name=EXPERIMENT, tracking_uri=uri, disable=how == "without")
        begun = time.monotonic()
        trainer = train(base_model, folder / how, pair)
        result[how] = time.monotonic() - begun
        result["models"].append(weights(trainer))
    (folder / "result.json").write_text(json.dumps(result))
    flush()


@contextmanager
def _misfortunes(deployments: Deployments, server: Proxy, seconds: float) -> Iterator[None]:
    """Every seventh request fails in some way, and all the time something is away or hangs; from a known seed."""
    chance, over, pause, store = random.Random(18), threading.Event(), min(15.0, seconds / 6), deployments.store
    hanging: set[Proxy] = set()

    def fault_of(proxy: Proxy) -> Fault:
        def one_of_seven(method: str, path: str) -> int | str | float | None:
            return HOLE if proxy in hanging else chance.choice([None] * 30 + [CUT, LOST, 500, 429, 0.5])

        return one_of_seven

    def wake(proxy: Proxy) -> None:
        hanging.discard(proxy)
        proxy.release()

    misfortunes: list[tuple[Callable[[], None], Callable[[], None]]] = [
        *((thing.stop, thing.start) for thing in (deployments.postgres, server, store)),
        *((partial(hanging.add, proxy), partial(wake, proxy)) for proxy in (server, store)),
    ]

    def go_wrong() -> None:
        while not over.wait(pause):
            begin, end = chance.choice(misfortunes)
            begin()
            over.wait(pause / 5)
            end()

    server.fault, store.fault = fault_of(server), fault_of(store)
    going_wrong = threading.Thread(target=go_wrong)
    going_wrong.start()
    try:
        yield
    finally:
        over.set()
        going_wrong.join()
        server.fault = store.fault = lambda method, path: None


def main() -> None:
    """Soak a deployment of its own."""
    from quickstart import build_base_model

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.chdir(folder)
        base_model = build_base_model(Path(folder) / "tiny", hidden_size=16, layers=1)
        deployments = Deployments(Path(folder), base_model)
        try:
            at_once = int(os.environ.get("SOAK_TRAININGS", "40"))
            for kind in KINDS:
                share = seconds / len(KINDS)
                soaked = soak(
                    deployments, kind, base_model, Path(folder) / f"runs_{kind}", seconds=share, at_once=at_once
                )
                print(f"{kind}: {soaked}", flush=True)  # noqa: T201
        finally:
            deployments.close()


if __name__ == "__main__":
    sys.exit(main())

"""More runs than one process holds: `python -m benchmarks.scale [--quick] [--runs NUMBER ...]`.

Sets of 1,000 weights, of runs in 100 groups, are written as the dataset that `export_dataset` writes, batch by batch.
Two processes of Dask compare each two of them, are killed with all that belongs to them after a third of the blocks,
begin anew, and average the overlap by group. A sample of the matrix is compared with `compute_overlap`'s. The peer, up
to 10,000 runs, is `compute_overlap` of the same sets in one process that has them in memory already.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import dask.distributed
import numpy as np
import psutil

from benchmarks import memory
from benchmarks.harness import Outcome, Row, progress, require, run_and_report
from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap, compute_overlap_blocks
from gradiend_mlflow.scale.dataset import Dataset
from gradiend_mlflow.scale.places import Place
from tests.support.synthetic import bert_parameters

_SIZES = (10_000, 20_000)
_QUICK_SIZES = (4000,)
_MOST_OF_ONE_PROCESS = 10_000
_K, _GROUPS, _BATCH = 1000, 100, 1000
_OF_GROUP, _OF_ALL = 700, 200  # of a run's weights; the rest is its own
_CANDIDATES = 4  # times as many, from which it chooses
_PROCESSES = 2
_SAMPLE = 50


@dataclass(frozen=True)
class Taken:
    """Seconds of the comparison and of the averages, processor seconds of both, most anonymous memory of a process."""

    compared: float
    averaged: float
    processor: float
    peak: int


class Runs:
    """Sets like those of trainings: they share most within a group, some with all, and have weights of their own."""

    def __init__(self) -> None:
        shapes = bert_parameters()
        self.space = WeightSpace(tuple(shapes), tuple(shapes.values()))
        pools = [_OF_ALL * _CANDIDATES, *[_OF_GROUP * _CANDIDATES] * _GROUPS]
        # What runs have in common is even, what is their own is odd, so that no weight comes twice.
        drawn = 2 * np.random.default_rng(0).choice(self.space.size // 2, sum(pools), replace=False)
        self._common, *self._pools = np.split(drawn, np.cumsum(pools)[:-1])

    def set_of(self, number: int) -> TopKSet:
        """The set of a run, the same whenever it is asked for."""
        rng = np.random.default_rng([1, number])
        chosen = [
            pool[np.argsort(np.linspace(0, 3, len(pool)) + rng.standard_normal(len(pool)))[: len(pool) // _CANDIDATES]]
            for pool in (self._common, self._pools[number % _GROUPS])
        ]
        own = 2 * rng.choice(self.space.size // 2, _K - _OF_ALL - _OF_GROUP, replace=False) + 1
        importance = np.sort(rng.exponential(size=_K).astype(np.float32))[::-1]
        made = TopKSet.from_indices(
            rng.permutation([*chosen[0], *chosen[1], *own]), space=self.space, importance=importance
        )
        return replace(made, weights=(importance * rng.choice([-1, 1], _K))[:, None])

    def write(self, folder: Path, n: int) -> None:
        """The dataset of the first `n` runs."""
        dataset = Dataset(Place(str(folder)))
        for first in range(0, n, _BATCH):
            numbers = range(first, min(first + _BATCH, n))
            rows = [
                {"run": f"{number:032x}", "sha256": f"{number:064x}", "experiment": f"group {number % _GROUPS}"}
                for number in numbers
            ]
            dataset.add("decoder-weight", rows, [self.set_of(number) for number in numbers])


def run(*, quick: bool, sizes: Sequence[int] = ()) -> Outcome:
    """Compare synthetic runs on a cluster of two processes."""
    rows: list[Row] = []
    notes = []
    for n in sizes or (_QUICK_SIZES if quick else _SIZES):
        with tempfile.TemporaryDirectory() as folder:
            some, note = _measured(Path(folder), n)
        rows += some
        notes.append(note)
    return Outcome(rows, notes)


def _measured(folder: Path, n: int) -> tuple[list[Row], str]:
    runs = Runs()
    progress(f"scale: writing {n:,} sets")
    runs.write(folder / "sets", n)
    progress(f"scale: comparing {n:,} runs")
    begun = time.perf_counter()
    done = _killed(folder, n)
    before = time.perf_counter() - begun
    progress(f"scale: killed after {done} blocks, going on")
    taken = _finished(folder)
    _check(folder, runs, n)
    sizes = [
        sum(file.stat().st_size for file in (folder / name).rglob("*.parquet")) / 1e9 for name in ("sets", "overlap")
    ]
    work = f"each two of {n:,} runs, k = {_K:,}, {_PROCESSES} processes"
    peer = {}
    if n <= _MOST_OF_ONE_PROCESS:
        progress(f"scale: the same of {n:,} runs in one process")
        script = f"from benchmarks.scale import alone; alone({n})"
        peer = {
            "peer": [float(subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE).stdout)]
        }
    note = (
        f"Scale, {n:,} runs: killed after {done} blocks and {before:.0f} s, which count; {sizes[0]:.2g} GB of sets, "
        f"{sizes[1]:.2g} GB of pairs."
    )
    rows = [
        Row(f"{work}, killed and resumed", "s", {"ours": [before + taken.compared], **peer}),
        Row("processor time after the kill, starts and averages included", "s", {"ours": [taken.processor]}),
        Row(f"averages of {_GROUPS} groups of {n:,} runs", "s", {"ours": [taken.averaged]}),
        Row(f"peak anonymous memory of a process, {n:,} runs", "GB", {"ours": [taken.peak / 1e9]}),
    ]
    return rows, note


def work(folder: str) -> None:
    """What the processes do: compare and average; prints the seconds of each."""
    cluster = dask.distributed.LocalCluster(
        n_workers=_PROCESSES, threads_per_worker=1, memory_limit="4GB", dashboard_address=":0"
    )
    with cluster, dask.distributed.Client(cluster) as client:
        begun = time.perf_counter()
        blocks = compute_overlap_blocks(f"{folder}/sets", f"{folder}/overlap", topk=_K, client=client)
        compared = time.perf_counter() - begun
        means = blocks.group_means("experiment", client=client)
        averaged = time.perf_counter() - begun - compared
    require(int(means["pairs"].sum()) == len(blocks.runs) * (len(blocks.runs) - 1) // 2, "pairs are missing")
    print(json.dumps({"compared": compared, "averaged": averaged}))


def alone(n: int) -> None:
    """The same in this process, all at once; prints the seconds."""
    runs = Runs()
    sets = {str(number): runs.set_of(number) for number in range(n)}
    begun = time.perf_counter()
    _ = compute_overlap(sets).intersection
    print(time.perf_counter() - begun)


def _started(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from benchmarks.scale import work; work(sys.argv[1])", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _killed(folder: Path, n: int) -> int:
    """Kill the work after a third of its blocks; returns how many there are."""
    process = _started(folder)
    blocks = -(-n // 2000)
    enough = blocks * (blocks + 1) // 2 // 3
    try:
        while len(list((folder / "overlap" / "pairs").glob("*.parquet"))) < enough and process.poll() is None:
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return len(list((folder / "overlap" / "pairs").glob("*.parquet")))


def _finished(folder: Path) -> Taken:
    """Let the work come to its end, watched from outside."""
    process = _started(folder)
    peaks: dict[int, int] = {}
    processor: dict[int, float] = {}
    try:
        while process.poll() is None:
            for member in _family(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                    peaks[member.pid] = max(peaks.get(member.pid, 0), memory.anonymous_bytes(member.pid))
                    times = member.cpu_times()
                    processor[member.pid] = times.user + times.system
            time.sleep(0.2)
        require(process.returncode == 0 and process.stdout is not None, "the work failed")
        figures = json.loads(process.stdout.read().splitlines()[-1])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return Taken(figures["compared"], figures["averaged"], sum(processor.values()), max(peaks.values()))


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _check(folder: Path, runs: Runs, n: int) -> None:
    """A sample of the matrix is what one process computes."""
    blocks = compute_overlap_blocks(folder / "sets", folder / "overlap", topk=_K)
    rows = np.sort(np.random.default_rng(2).choice(n, _SAMPLE, replace=False))
    sets = {blocks.run_ids[row]: runs.set_of(int(blocks.run_ids[row], 16)) for row in rows}
    found = blocks.values("intersection")[rows][:, rows].compute()
    require(np.array_equal(found, compute_overlap(sets).intersection), "the blocks are not what one process computes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runs", nargs="+", type=int, default=())
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    run_and_report("scale", [partial(run, sizes=given.runs)])

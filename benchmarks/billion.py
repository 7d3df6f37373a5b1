"""Ranking ever larger GRADIENDs, up to a billion inputs: `python -m benchmarks.billion [--quick]`.

Sets of 10,000 weights and of 1 % of them. The limit is one pass over the tensor's bytes in the page cache. There is no
peer: gradiend's index map alone would take 8 GB. The checkpoint is a sparse file that holds nothing but the tensor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import memory
from benchmarks.extraction import limit
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import TopKSet
from tests.support.synthetic import write_checkpoint

TOPKS = (10_000, 0.01)
_SIZES = (10**6, 10**7, 10**8, 10**9)
_PART = "decoder-weight"
_TENSOR = "decoder.0.linear.weight"
_PARAMETERS = 10
_SEED = 20
_STEP = 1 << 24


@dataclass(frozen=True)
class Sample:
    """What ranking `k` of `inputs` weights took: seconds of each repetition, and peak bytes where they are told."""

    inputs: int
    topk: float
    seconds: list[float]
    limit_seconds: list[float]
    peak: int | None


def run(*, quick: bool) -> Outcome:
    """Time and weigh the ranking of up to a billion weights (quick: ten million)."""
    rows = []
    for sample in samples(quick=quick):
        what = f"{sample.inputs:,} inputs, {named(sample.topk)}"
        rows.append(Row(f"rank {what}", "s", {"ours": sample.seconds, "limit": sample.limit_seconds}))
        if sample.peak is not None:
            rows.append(Row("its peak anonymous memory", "GB", {"ours": [sample.peak / 1e9]}))
    return Outcome(rows, ["Up to a billion: decoder-weight, latent 1, float32; the limit is one pass over its bytes."])


@cache  # the growth's curves are these too
def samples(*, quick: bool) -> list[Sample]:
    """Rank checkpoints of growing size, the file of each deleted before the next is written."""
    taken = []
    for inputs in _SIZES[:2] if quick else _SIZES:
        with _checkpoint(inputs) as (checkpoint, extent):
            taken += [_sample(checkpoint, extent, inputs, topk) for topk in TOPKS]
    return taken


def named(topk: float) -> str:
    """What is asked for, as shown in tables and pictures."""
    return f"k = {topk:,}" if isinstance(topk, int) else f"k = {topk:.0%}"


def ours(checkpoint: str | Path, topk: str) -> TopKSet:
    """The set of a checkpoint; `topk` is a number or a fraction, as text."""
    return TopKSet.from_checkpoint(checkpoint, part=_PART, topk=int(topk) if topk.isdigit() else float(topk))


@contextmanager
def _checkpoint(inputs: int) -> Iterator[tuple[Path, tuple[int, int]]]:
    shapes = {f"layers.{number}.weight": (inputs // _PARAMETERS // 100, 100) for number in range(_PARAMETERS)}
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        progress(f"billion: writing a checkpoint of {inputs:,} inputs")
        yield Path(folder), write_checkpoint(Path(folder), shapes, seed=_SEED, only=_TENSOR)[_TENSOR]


def _sample(checkpoint: Path, extent: tuple[int, int], inputs: int, topk: float) -> Sample:
    weights = checkpoint / "model.safetensors"

    def check(results: Mapping[str, Any]) -> None:
        require(results["limit"] == extent[1] == 4 * inputs, "the limit did not read all bytes")

    limit(weights, [extent])  # so that nobody has to go to the disk
    _check(ours(checkpoint, str(topk)), np.memmap(weights, np.float32, "r", extent[0], (inputs,)))
    times = alternate(
        {"ours": lambda: len(ours(checkpoint, str(topk))), "limit": lambda: limit(weights, [extent])},
        {"ours": 3, "limit": 3},
        check,
    )
    peak = None
    if memory.is_measurable():
        progress(f"billion: memory of {inputs:,} inputs, {named(topk)}")
        peak = memory.peak_above_baseline("benchmarks.billion", "ours", str(checkpoint), str(topk))
    return Sample(inputs, topk, times["ours"], times["limit"], peak)


def _check(found: TopKSet, values: Any) -> None:
    """The set's weights are those of the file, and no other weight is larger: so there is no better set."""
    kept = values[found.base_global_indices()]
    require(np.array_equal(kept, found.weights[:, 0]), "the set's weights are not those of the checkpoint")
    smallest = found.importance[-1]
    larger = sum(int((np.abs(values[at : at + _STEP]) > smallest).sum()) for at in range(0, len(values), _STEP))
    require(larger == int((found.importance > smallest).sum()), "a larger weight was left out")


if __name__ == "__main__":
    run_and_report("billion", [run])

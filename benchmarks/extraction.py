"""Ranking a checkpoint's weights: `python -m benchmarks.extraction [--quick]`.

Ours streams the tensors of the checkpoint; the peer loads the model and asks it, as gradiend offers it; the limit
is one pass over the same tensors' bytes in the page cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gradiend.model import ParamMappedGradiendModel

from benchmarks import memory
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import PARTS, TopKSet
from tests.support.synthetic import bert_parameters, write_checkpoint

TOPK = 10_000
_SEED = 20
_BUFFER_BYTES = 16 << 20
_ONE_PART = ("decoder-weight",)

Indices = dict[str, npt.NDArray[np.int64]]


def run(*, quick: bool) -> Outcome:
    """Time and weigh the extraction from one synthetic checkpoint."""
    shapes = bert_parameters(hidden=256, layers=4) if quick else bert_parameters()
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        checkpoint = Path(folder) / "checkpoint"
        progress("extraction: writing the checkpoint")
        extents = write_checkpoint(checkpoint, shapes, seed=_SEED)
        inputs = extents["decoder.0.linear.bias"][1] // 4
        what = f"of {inputs / 1e6:.0f}M inputs, k = {TOPK:,}"
        one = [extents["decoder.0.linear.weight"]]
        phases: list[dict[str, float]] = []
        rows = [
            Row(f"rank decoder-weight {what}", "s", _times(checkpoint, _ONE_PART, one, phases, quick=quick)),
            Row(f"rank all four parts {what}", "s", _times(checkpoint, PARTS, [*extents.values()], [], quick=quick)),
        ]
        if memory.is_measurable():
            rows.append(Row("peak anonymous memory of ranking decoder-weight", "GB", _peaks(checkpoint, quick=quick)))
    every = sum(size for _, size in extents.values())
    note = (
        f"Ranking: the limit is one pass over the tensors' {one[0][1] / 1e9:.2f} GB (one part) or "
        f"{every / 1e9:.2f} GB (all four) in the page cache; the peer loads the model once for all four parts."
    )
    return Outcome(rows, [note], {"peer_phases_seconds": phases, "inputs": inputs})


def ours(checkpoint: str | Path, parts: Sequence[str] = _ONE_PART) -> Indices:
    """The base-global indices of each part's best weights, by this package."""
    sets = TopKSet.all_from_checkpoint(checkpoint, parts=parts, topk=TOPK)  # type: ignore[arg-type]
    return {part: topk_set.base_global_indices() for part, topk_set in sets.items()}


def peer(
    checkpoint: str | Path, parts: Sequence[str] = _ONE_PART, *, clock: Callable[[str], Any] = lambda _: None
) -> Indices:
    """The same by gradiend: load the model, rank, and map its inputs to base-global indices.

    Args:
        checkpoint: The checkpoint's directory.
        parts: The parts to rank.
        clock: Called with the name of each phase when it is over.
    """
    model = ParamMappedGradiendModel.from_pretrained(str(checkpoint))
    clock("load")
    inputs = {part: model.get_topk_weights(part=part, topk=TOPK) for part in parts}
    clock("rank")
    base_global = model._get_base_global_index_map()  # noqa: SLF001  # gradiend has no public way to these indices
    indices = {part: base_global[chosen].numpy() for part, chosen in inputs.items()}
    clock("map")
    return indices


def limit(file: Path, extents: Sequence[tuple[int, int]]) -> int:
    """Read parts of a file into one buffer and do nothing with them; returns the number of bytes."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    total = 0
    with file.open("rb", buffering=0) as opened:
        for begin, size in extents:
            opened.seek(begin)
            left = size
            while left:
                left -= opened.readinto(buffer[: min(left, _BUFFER_BYTES)])
            total += size
    return total


def _times(
    checkpoint: Path,
    parts: Sequence[str],
    extents: Sequence[tuple[int, int]],
    phases: list[dict[str, float]],
    *,
    quick: bool,
) -> dict[str, list[float]]:
    weights = checkpoint / "model.safetensors"
    wanted = sum(size for _, size in extents)

    def check(results: Mapping[str, Any]) -> None:
        require(results["limit"] == wanted, "the limit did not read all bytes")
        for part in parts if "peer" in results else ():
            found = [set(results[name][part].tolist()) for name in ("ours", "peer")]
            require(found[0] == found[1] and len(found[0]) == TOPK, f"{part}: ours and the peer's sets differ")

    def timed_peer() -> Indices:
        phases.append({})
        return peer(checkpoint, parts, clock=_Stopwatch(phases[-1]))

    limit(weights, extents)  # so that nobody has to go to the disk
    ours(checkpoint, parts)
    return alternate(
        {"ours": lambda: ours(checkpoint, parts), "limit": lambda: limit(weights, extents), "peer": timed_peer},
        {"ours": 7, "limit": 7, "peer": 1 if quick else 3},
        check,
    )


class _Stopwatch:
    """Writes the seconds since its last call, or since it was made, under a name."""

    def __init__(self, into: dict[str, float]) -> None:
        self._into = into
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self._into[name] = now - self._last
        self._last = now


def _peaks(checkpoint: Path, *, quick: bool) -> dict[str, list[float]]:
    peaks: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(1 if quick else 3):
        for name, samples in peaks.items():
            progress(f"memory: {name}")
            samples.append(memory.peak_above_baseline("benchmarks.extraction", name, str(checkpoint)) / 1e9)
    return peaks


if __name__ == "__main__":
    run_and_report("extraction", [run])

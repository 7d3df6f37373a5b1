"""Every pair's overlap: `python -m benchmarks.overlap [--quick]`.

Ours goes from the sets to the matrix of counts; the peer is gradiend's own function, given indices that are ranked
already; the limit is to read every set's keys once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gradiend.comparison import compute_similarity_matrix

from benchmarks import memory
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from benchmarks.sets import KINDS, ranked_sets
from gradiend_mlflow import TopKSet, compute_overlap
from gradiend_mlflow.overlap.measures import VALUES

_SIZES = ((100, 10_000), (1000, 1000), (100, 100_000))
_QUICK_SIZES = ((30, 10_000), (100, 1000))
_MANY = (2000, 10_000)

# Sets and weights per set at which the growth is measured.
_GROWTH = {
    "N": {1000: (10, 30, 100, 300, 1000, 2000), 10_000: (10, 30, 100, 300, 1000, 2000)},
    "k": {10: (1000, 10_000, 100_000, 1_000_000), 100: (1000, 10_000, 100_000)},
}
_QUICK_GROWTH = {"N": {1000: (10, 100)}, "k": {10: (1000, 100_000)}}

Samples = dict[str, dict[int, list[dict[str, float]]]]


def run(*, quick: bool) -> Outcome:
    """Time the matrix of sets that share nothing and of sets that share much; weigh all measures of 2000 sets."""
    rows, shares = [], []
    for n, k in _QUICK_SIZES if quick else _SIZES:
        for kind in KINDS:
            progress(f"overlap: making {n} {kind} of {k:,} weights")
            sets = ranked_sets(kind, n, k)
            rows.append(Row(f"overlap of {n} sets of {k:,}, {kind}", "s", _times(sets)))
            shared = compute_overlap(sets).intersection_frac[np.triu_indices(n, k=1)].mean()
            shares.append(f"{kind} ({n}, {k:,}) {shared:.2%}")
    if memory.is_measurable() and not quick:
        n, k = _MANY
        for kind in KINDS:
            progress(f"overlap: all measures of {n} {kind}")
            peak = memory.peak_above_baseline("benchmarks.overlap", "every_measure", kind, f"{n}", f"{k}")
            work = f"peak anonymous memory of {n} sets of {k:,}, with all measures, {kind}"
            rows.append(Row(work, "GB", {"ours": [peak / 1e9]}))
    note = (
        "Overlap: the limit sums the keys of all sets once; the peer gets its indices ranked. Two sets share on "
        f"average: {', '.join(shares)}."
    )
    return Outcome(rows, [note])


def growth_samples(*, quick: bool) -> Samples:
    """Time and memory of the matrix of relatives, sets included, against their number and size.

    Returns:
        Under "N" by number of weights k, under "k" by number of sets N: a list with "x" (the N or k), "seconds" (the
        median of three) and "bytes" (peak of anonymous memory in a process of its own; left out where the system does
        not tell it).
    """
    samples: Samples = {}
    for axis, curves in (_QUICK_GROWTH if quick else _GROWTH).items():
        samples[axis] = {}
        for fixed, xs in curves.items():
            sizes = [(x, fixed) if axis == "N" else (fixed, x) for x in xs]
            samples[axis][fixed] = [{"x": x, **_sample(*size)} for x, size in zip(xs, sizes, strict=True)]
    return samples


def every_measure(kind: str, n: str, k: str) -> None:
    """Make sets and compute all their matrices."""
    overlap = compute_overlap(ranked_sets(kind, int(n), int(k)))
    for value in VALUES:
        overlap.values(value)


def matrix(kind: str, n: str, k: str) -> None:
    """Make sets and compute the matrix of counts."""
    _ = compute_overlap(ranked_sets(kind, int(n), int(k))).intersection


class AnsweringModel:
    """A model for the peer that knows its answer."""

    def __init__(self, topk_set: TopKSet) -> None:
        self._indices = topk_set.base_global_indices().tolist()

    def get_topk_weights(self, *, part: str, topk: float) -> list[int]:  # noqa: ARG002  # gradiend's signature
        """The ranked indices, whatever is asked."""
        return self._indices


def _times(sets: Mapping[str, TopKSet]) -> dict[str, list[float]]:
    models = {label: AnsweringModel(topk_set) for label, topk_set in sets.items()}
    keys = np.concatenate([topk_set.base_global_indices() for topk_set in sets.values()])
    k = len(keys) // len(sets)
    total = sum(sum(model.get_topk_weights(part="decoder-weight", topk=k)) for model in models.values())

    def check(results: Mapping[str, Any]) -> None:
        require(results["limit"] == total, "the limit did not read all keys")
        if "peer" in results:
            require(np.array_equal(results["ours"], results["peer"]["matrix"]), "ours and the peer's counts differ")

    return alternate(
        {
            "ours": lambda: compute_overlap(sets).intersection,
            "limit": lambda: int(keys.sum()),
            "peer": lambda: compute_similarity_matrix(
                models, measure="topk_overlap", part="decoder-weight", topk=k, value="intersection"
            ),
        },
        {"ours": 7, "limit": 7, "peer": 1},
        check,
    )


def _sample(n: int, k: int) -> dict[str, float]:
    progress(f"growth of the overlap: {n} sets of {k:,}")
    sets = ranked_sets("relatives", n, k)
    seconds = alternate({"ours": lambda: compute_overlap(sets).intersection}, {"ours": 3}, lambda _: None)["ours"]
    sample = {"seconds": float(np.median(seconds))}
    if memory.is_measurable():
        sample["bytes"] = memory.peak_above_baseline("benchmarks.overlap", "matrix", "relatives", f"{n}", f"{k}")
    return sample


if __name__ == "__main__":
    run_and_report("overlap", [run])

"""Ranked sets over a BERT-base's weights as runs leave them, made on the spot: strangers and relatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gradiend_mlflow import TopKSet, WeightSpace
from tests.support.synthetic import bert_parameters

KINDS = ("strangers", "relatives")
_CANDIDATES = 4  # times k, from which relatives choose
_SIGNAL = 3.0  # standard deviations between their best and their worst
_OWN = 10  # one weight in so many is a relative's own


def ranked_sets(kind: str, n: int, k: int, *, seed: int = 0) -> dict[str, TopKSet]:
    """`n` sets of `k` of 109M weights, with importances and signed weights, by label.

    "strangers" choose at random, so that they share next to nothing. "relatives" choose by a signal that they have in
    common and noise of their own, so that they share about half.
    """
    shapes = bert_parameters()
    space = WeightSpace(tuple(shapes), tuple(shapes.values()))
    rng = np.random.default_rng(seed)
    choices = {"strangers": _strangers, "relatives": _relatives}[kind](rng, space.size, n, k)
    return {f"run {number}": _ranked(rng, indices, space) for number, indices in enumerate(choices)}


def _strangers(rng: np.random.Generator, size: int, n: int, k: int) -> Iterator[npt.NDArray[np.int64]]:
    return (rng.choice(size, k, replace=False) for _ in range(n))


def _relatives(rng: np.random.Generator, size: int, n: int, k: int) -> Iterator[npt.NDArray[np.int64]]:
    own = k // _OWN
    pool = rng.choice(size, _CANDIDATES * k + n * own, replace=False)
    candidates, rest = np.split(pool, [_CANDIDATES * k])
    signal = np.linspace(_SIGNAL, 0, len(candidates))
    for number in range(n):
        chosen = np.argsort(-signal - rng.standard_normal(len(signal)))[: k - own]
        yield np.concatenate([candidates[chosen], rest[number * own : (number + 1) * own]])


def _ranked(rng: np.random.Generator, indices: npt.NDArray[np.int64], space: WeightSpace) -> TopKSet:
    magnitudes = np.sort(rng.exponential(size=len(indices)).astype(np.float32))[::-1]
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), len(indices))
    made = TopKSet.from_indices(rng.permutation(indices), space=space, importance=magnitudes)
    return replace(made, weights=(signs * magnitudes)[:, None])

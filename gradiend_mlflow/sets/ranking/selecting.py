"""The k most important inputs of each part, found in one streaming pass over the tensors that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.ranking.importance import ADDED_TOGETHER, Scratch, SignedValues, Values
from gradiend_mlflow.sets.ranking.threads import by_slices
from gradiend_mlflow.sets.space import IntArray

# Inputs to sample before the pass, so that it does not collect values that are surely too small; where a block is a
# good part of the whole, it is not worth it.
SAMPLE = 1 << 16
_FEWEST_SAMPLES = 8
_NO_FLOOR = -1.0
SLACK = 1 << 16  # how many more than 2 k inputs are collected before all but k of them are dropped
_MANY_MORE = 1.5  # a sample leaves as much open
_EIGHT_BELOW = 0x0101010101010101  # eight times True


class Found(NamedTuple):
    """Some inputs, ascending, their importances, and what has been left out that may yet tie with the last of them.

    Of the inputs that were left out, `left` have the importance `edge` as it is kept, and none has a larger one.
    """

    inputs: IntArray
    importance: Values
    edge: np.float32
    left: int


def as_kept(importance: Any) -> Any:
    """In the type that sets keep importances in, in which ties are counted."""
    with np.errstate(over="ignore"):  # larger ones are refused in the end
        return importance.astype(np.float32, copy=False)


def most_important(values: Mapping[Part, SignedValues], k: int) -> dict[Part, list[Found] | None]:
    """The k most important inputs of each part, of equal ones the first, and some others; None: not finite.

    They come in the pieces that threads have found, one after the other. A few too many are left to the sort that
    follows: to part them here takes longer.
    """
    found = above_floors(likely_floors(values, k), values, k)
    short = {part: values[part] for part, own in found.items() if own is not None and _count(own) < k}
    found |= above_floors(dict.fromkeys(short, _NO_FLOOR), short, k) if short else {}
    return {part: own if own is None else _not_many_more(own, k) for part, own in found.items()}


def likely_floors(values: Mapping[Part, SignedValues], k: int) -> dict[Part, float]:
    """By part a value that probably somewhat more than k importances exceed, from a sample."""
    length, block = _extent(values)
    stride = length // SAMPLE | 1  # odd, so that it does not follow one column of a matrix
    if stride < _FEWEST_SAMPLES:
        return dict.fromkeys(values, _NO_FLOOR)
    expected = k / stride
    rank = int(expected + 5 * expected**0.5) + 3  # five standard deviations on the safe side

    def of_slice(start: int, stop: int) -> list[Values]:
        first = -(-start // stride) * stride
        return [own.importance(first, stop, Scratch(), stride) for own in values.values()]

    # By all threads, since what costs most of it, and of the pass that follows less, is a first look at the file.
    samples = map(np.concatenate, zip(*by_slices(of_slice, length, least=block), strict=True))
    return {
        part: float(np.partition(own, -rank)[-rank]) if rank <= len(own) else _NO_FLOOR
        for part, own in zip(values, samples, strict=True)
    }


def above_floors(
    floors: Mapping[Part, float], values: Mapping[Part, SignedValues], k: int
) -> dict[Part, list[Found] | None]:
    """Of each part the k most important of those above its floor, and some others, or all of these if they are fewer.

    All parts are ranked block by block, so that a tensor that two of them need comes from memory once.
    """
    length, block = _extent(values)

    def of_slice(start: int, stop: int) -> list[Found | None]:
        scratch = Scratch()
        collectors = [_Collector(floors[part], k, block) for part in values]
        for at in range(start, stop, block):
            for collector, own in zip(collectors, values.values(), strict=True):
                collector.add(at, own.importance(at, min(at + block, stop), scratch), scratch)
        return [collector.result() for collector in collectors]

    found = zip(*by_slices(of_slice, length, least=block, step=ADDED_TOGETHER), strict=True)
    return {part: _all_finite(own) for part, own in zip(values, found, strict=True)}


def _extent(values: Mapping[Part, SignedValues]) -> tuple[int, int]:
    """How many inputs there are, and how many to look at at a time."""
    return (
        max((own.length for own in values.values()), default=0),
        min((own.block for own in values.values()), default=1),
    )


def _all_finite(pieces: Sequence[Found | None]) -> list[Found] | None:
    known = [own for own in pieces if own is not None]
    return known if len(known) == len(pieces) else None


def _not_many_more(pieces: list[Found], k: int) -> list[Found]:
    """All pieces if they hold hardly more than k inputs, else one of the k most important."""
    if _count(pieces) <= _MANY_MORE * k:
        return pieces
    inputs, importance = map(np.concatenate, zip(*(own[:2] for own in pieces), strict=True))
    edge = max(own.edge for own in pieces)
    return [_largest(Found(inputs, importance, edge, sum(own.left for own in pieces if own.edge == edge)), k)]


def _count(pieces: Sequence[Found]) -> int:
    return sum(len(own.inputs) for own in pieces)


class _Collector:
    """The k most important inputs of one part, as far as they have been added, in O(k) memory."""

    def __init__(self, floor: float, k: int, block: int) -> None:
        self._k, self._count, self._finite = k, 0, True
        self._threshold, self._edge, self._left = floor, as_kept(np.float64(floor)), 0
        # In one piece, of which only what is written to takes memory, and which is given back as a whole.
        self._inputs = np.empty(2 * k + SLACK + block, dtype=np.int64)
        self._values: Values = np.empty(0, dtype=np.float32)

    def add(self, start: int, importance: Values, scratch: Scratch) -> None:
        """Look at the importances of a block of inputs from `start` on, after all that were added before."""
        if not self._finite:
            return
        near = _not_below(as_kept(importance), self._edge, scratch)
        if not len(near):
            return
        values = importance[near]
        self._finite = bool(np.isfinite(values).all())
        # A later value that only equals the k-th largest loses the tie, so strictly greater is right.
        above = values > self._threshold
        self._left += len(near) - int(np.count_nonzero(above)) if self._edge >= 0 else 0
        self._append(near[above] + start, values[above])
        k = self._k
        if self._threshold < 0 <= self._count - k or self._count >= 2 * k + SLACK:
            best = _largest(self._found(), k)
            lowest = best.importance.min()
            self._threshold, self._edge = float(lowest), as_kept(lowest)
            self._left, self._count = best.left if best.edge == self._edge else 0, 0
            self._append(best.inputs, best.importance)

    def _append(self, inputs: IntArray, values: Values) -> None:
        if not len(self._values):
            self._values = np.empty(len(self._inputs), dtype=values.dtype)
        start, self._count = self._count, self._count + len(inputs)
        self._inputs[start : self._count], self._values[start : self._count] = inputs, values

    def _found(self) -> Found:
        return Found(self._inputs[: self._count], self._values[: self._count], self._edge, self._left)

    def result(self) -> Found | None:
        """What was found; None if an importance is NaN or infinite."""
        return _largest(self._found(), self._k) if self._finite else None


def _not_below(importance: npt.NDArray[np.float32], edge: np.float32, scratch: Scratch) -> IntArray:
    """Where importances are not below the edge, which no NaN is; ascending.

    Nearly all of them are, so eight are looked at at a time.
    """
    size = len(importance)
    below = scratch.array("below", -(-size // 8) * 8, np.bool_)
    below[size:] = True
    np.less(importance, edge, out=below[:size])
    eights = np.flatnonzero(below.view(np.uint64) != _EIGHT_BELOW)
    found = np.flatnonzero(np.logical_not(below.reshape(-1, 8)[eights]))
    near: IntArray = eights[found >> 3] * 8 + (found & 7)
    return near


def _largest(found: Found, k: int) -> Found:
    """The k largest of all that was found, in the order given; of equal values the first."""
    inputs, values, edge, left = found
    if len(values) <= k:
        return found
    smallest = np.partition(values, len(values) - k)[len(values) - k]
    cut = as_kept(smallest)
    keep = values > smallest
    at_cut = np.flatnonzero(as_kept(values) == cut)
    ties = at_cut[values[at_cut] == smallest]
    keep[ties[: k - int(np.count_nonzero(keep))]] = True
    left_now = len(at_cut) - int(np.count_nonzero(keep[at_cut]))
    return Found(inputs[keep], values[keep], cut, left_now + (left if edge == cut else 0))

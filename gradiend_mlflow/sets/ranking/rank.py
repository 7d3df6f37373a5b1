"""Rank the weights of an opened GRADIEND by the importances of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.ranking.importance import SignedValues, Values, signed_values
from gradiend_mlflow.sets.ranking.selecting import Found, as_kept, most_important
from gradiend_mlflow.sets.ranking.threads import by_slices
from gradiend_mlflow.sets.space import FloatArray, IntArray
from gradiend_mlflow.sets.weights import GradiendWeights

LEAST = 1 << 18  # numbers that are worth another thread

T = TypeVar("T")
Given = ParamSpec("Given")


class Ranking(NamedTuple):
    """The k most important weights, most important first; everything as in `TopKSet`."""

    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray
    ties_at_cut: int


def rank(weights: GradiendWeights, parts: Sequence[Part], k: int) -> dict[Part, Ranking | CheckpointError]:
    """The `k` most important weights of each part; of equally important ones those of lower base-global index.

    Returns:
        By part, in the order given; for a part without a ranking the reason: a `MissingPartError` if the GRADIEND does
        not have it, a `CheckpointError` if a weight is not finite, or a tensor is missing or has another shape.
    """
    made = {part: _tried(signed_values, weights, part) for part in parts}
    found = most_important({part: own for part, own in made.items() if isinstance(own, SignedValues)}, k)
    return {
        part: own if isinstance(own, CheckpointError) else _tried(_ranking, weights, part, own, found)
        for part, own in made.items()
    }


def _tried(make: Callable[Given, T], *given: Given.args, **named: Given.kwargs) -> T | CheckpointError:
    try:
        return make(*given, **named)
    except CheckpointError as error:
        return error


def _ranking(weights: GradiendWeights, part: Part, signed: SignedValues, by_part: dict[Part, Found | None]) -> Ranking:
    """What was found of a part, in rank order and by the names of the weights; it is taken out of `by_part`.

    With millions of weights each array is large: none is held longer than it is needed.
    """
    found = by_part.pop(part)
    if found is None:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        )
    inputs, importance, ties = found.inputs, found.importance, found.ties_at_cut
    values = signed.at(inputs)  # in the file's order, which is faster
    if not (np.isfinite(values).all() and importance.max() <= np.finfo(np.float32).max):
        raise CheckpointError(f"{weights.origin}: {part} holds values beyond those of float32, in which sets are kept")
    param_ids, offsets = weights.locate(inputs)
    del inputs, found
    order = _descending(importance, weights.space.starts[param_ids] + offsets)
    param_ids = _in_order(param_ids, order)
    offsets = _in_order(offsets, order)
    return Ranking(param_ids, offsets, _in_order(as_kept(importance), order), _in_order(values, order), ties)


def _descending(importance: Values, positions: IntArray) -> IntArray:
    """The order of the largest importance first, and of equal ones the lowest position.

    Floats of 32 bits that are not negative compare like their bits: with the place behind these, one sort of integers
    is enough, by all threads, which takes half the time of a sort by two keys.
    """
    # gradiend writes its map in the space's order, so positions ascend; sorting does not rely on it.
    ascending = bool((positions[1:] > positions[:-1]).all())
    if importance.dtype != np.float32 or not ascending or len(importance) >= 1 << 32:
        return np.lexsort((positions, -importance))
    keys = np.bitwise_not(importance.view(np.uint32)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(keys), dtype=np.uint64)
    by_slices(lambda start, stop: keys[start:stop].sort(), len(keys), least=LEAST)
    keys.sort(kind="stable")  # which merges what is sorted already
    keys &= np.uint64((1 << 32) - 1)
    return keys.view(np.int64)


def _in_order(array: npt.NDArray[Any], order: IntArray) -> npt.NDArray[Any]:
    """The rows of an array in another order."""
    ordered = np.empty_like(array)

    def take(start: int, stop: int) -> None:
        # "clip" only spares NumPy a copy: every index lies inside.
        np.take(array, order[start:stop], axis=0, out=ordered[start:stop], mode="clip")

    by_slices(take, len(order), least=LEAST)
    return ordered

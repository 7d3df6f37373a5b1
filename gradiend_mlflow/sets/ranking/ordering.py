"""What was found in a pass, in rank order and by the names of the weights.

With millions of weights each array is large: none is held longer than it is needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.ranking import packed
from gradiend_mlflow.sets.ranking.importance import SignedValues, Values
from gradiend_mlflow.sets.ranking.selecting import Found, as_kept
from gradiend_mlflow.sets.ranking.threads import LEAST, by_slices
from gradiend_mlflow.sets.space import FloatArray, IntArray
from gradiend_mlflow.sets.weights import GradiendWeights


class Ranking(NamedTuple):
    """The k most important weights, most important first; everything as in `TopKSet`."""

    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray
    ties_at_cut: int


def in_order(found: list[Found], signed: SignedValues, weights: GradiendWeights, k: int) -> Ranking | None:
    """The ranking of the first k of what was found, a list that is emptied; None: beyond float32."""
    edges = [(own.edge, own.left) for own in found]
    ranked = _by_keys if packed.fit(found, signed, weights.space) else _by_order
    ranking = ranked(found, signed, weights, k)
    if ranking is None:
        return None
    left = sum(left for edge, left in edges if edge == ranking.importance[-1])
    return ranking._replace(ties_at_cut=ranking.ties_at_cut + left)


def _by_keys(found: list[Found], signed: SignedValues, weights: GradiendWeights, k: int) -> Ranking:
    keys = packed.sorted_keys(found, signed, weights)
    ties = packed.ties(keys, keys[k - 1])
    return Ranking(*packed.unpacked(keys[:k], weights.space), ties)


def _by_order(found: list[Found], signed: SignedValues, weights: GradiendWeights, k: int) -> Ranking | None:
    """The same of weights that do not fit into keys: the order alone is sorted, and the rest fetched."""
    inputs, importance = map(np.concatenate, zip(*(own[:2] for own in found), strict=True))
    found.clear()
    values = signed.at(inputs)  # in the file's order, which is faster
    if not (np.isfinite(values).all() and importance.max() <= np.finfo(np.float32).max):
        return None
    weights.positions([inputs], [inputs])
    order = _descending(importance, inputs)[:k]
    kept = as_kept(importance)
    ties = int(np.count_nonzero(kept == kept[order[-1]]))
    param_ids, offsets = weights.space.locate(_taken(inputs, order))
    return Ranking(param_ids, offsets, _taken(kept, order), _taken(values, order), ties)


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


def _taken(array: npt.NDArray[Any], order: IntArray) -> npt.NDArray[Any]:
    """The rows of an array in another order."""
    ordered = np.empty((len(order), *array.shape[1:]), array.dtype)

    def take(start: int, stop: int) -> None:
        # "clip" only spares NumPy a copy: every index lies inside.
        np.take(array, order[start:stop], axis=0, out=ordered[start:stop], mode="clip")

    by_slices(take, len(order), least=LEAST)
    return ordered

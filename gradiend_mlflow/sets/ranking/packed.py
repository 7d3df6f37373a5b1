"""Rank weights of one value each by a single sort of integers that hold all that a ranking says of a weight.

From the highest bit on: 31 bits of the importance - a float32 that is not negative compares like its bits -, inverted,
so that the largest comes first; 32 of the base-global index, so that of equal ones the lowest does; the weight's sign.
Nothing has to be fetched from all over memory afterwards, which takes longer than the sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.ranking.importance import BLOCK_ADDED, SignedValues
from gradiend_mlflow.sets.ranking.selecting import Found
from gradiend_mlflow.sets.ranking.threads import LEAST, by_slices, in_threads
from gradiend_mlflow.sets.space import FloatArray, IntArray, WeightSpace
from gradiend_mlflow.sets.weights import GradiendWeights

BLOCK = 1 << 17  # keys that are unpacked at a time

Keys: TypeAlias = npt.NDArray[np.uint64]

_IMPORTANCE = np.uint64(33)  # where its bits begin
_LOWER = np.uint64((1 << 33) - 1)  # all bits that are not the importance's
_POSITION = np.uint64((1 << 32) - 1)
_ONE = np.uint64(1)
_SIGN = np.uint32(31)  # of a float32


def fit(found: Sequence[Found], signed: SignedValues, space: WeightSpace) -> bool:
    """Whether all of a weight fits into a key."""
    single = signed.width == 1 and all(own.importance.dtype == np.float32 for own in found)
    return single and space.size - 1 <= int(_POSITION)


def sorted_keys(found: list[Found], signed: SignedValues, weights: GradiendWeights) -> Keys:
    """The keys of all that was found, in rank order; the list is emptied."""
    ends = np.cumsum([len(own.inputs) for own in found], dtype=np.int64)
    keys: Keys = np.empty(ends[-1], dtype=np.uint64)
    rooms = np.split(keys, ends[:-1])
    weights.positions([own.inputs for own in found], [room.view(np.int64) for room in rooms])
    in_threads(lambda place: _pack(found[place], signed, rooms[place]), range(len(found)), most=len(keys) // LEAST)
    found.clear()
    keys.sort(kind="stable")  # which merges what is sorted already
    return keys


def _pack(own: Found, signed: SignedValues, keys: Keys) -> None:
    """Make sorted keys of what was found, in place of its positions."""
    step = min(signed.block, BLOCK_ADDED)  # so that torch starts no threads
    for start in range(0, len(keys), step):
        block = slice(start, start + step)
        key = keys[block]
        key <<= _ONE
        key |= signed.at(own.inputs[block])[:, 0].view(np.uint32) >> _SIGN
        key |= np.left_shift(~own.importance[block].view(np.uint32), _IMPORTANCE, dtype=np.uint64)
    keys.sort()


def ties(keys: Keys, key: np.uint64) -> int:
    """How many of the sorted keys have the importance of this one."""
    return int(np.searchsorted(keys, key | _LOWER, side="right") - np.searchsorted(keys, key & ~_LOWER))


def unpacked(keys: Keys, space: WeightSpace) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """The param_ids, offsets, importance and weights of keys, as `TopKSet` has them; offsets replace the keys."""
    count = len(keys)
    param_ids, offsets = np.empty(count, dtype=np.int64), keys.view(np.int64)
    importance, weights = np.empty(count, dtype=np.float32), np.empty((count, 1), dtype=np.float32)

    def unpack(first: int, end: int) -> None:
        for start in range(first, end, BLOCK):
            block = slice(start, min(start + BLOCK, end))
            key = keys[block]
            bits = (~key >> _IMPORTANCE).astype(np.uint32)
            importance[block] = bits.view(np.float32)
            bits |= (key & _ONE).astype(np.uint32) << _SIGN
            weights[block, 0] = bits.view(np.float32)
            param_ids[block], offsets[block] = space.locate((key >> _ONE & _POSITION).view(np.int64))

    by_slices(unpack, count, least=LEAST)
    return param_ids, offsets, importance, weights

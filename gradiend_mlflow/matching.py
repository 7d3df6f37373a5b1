"""Sets over different selections of parameters, brought into one space: what is compared is a weight's identity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gradiend_mlflow.errors import SpaceConflictError
from gradiend_mlflow.ranked import RankedSets
from gradiend_mlflow.space import IntArray, WeightSpace
from gradiend_mlflow.topk import TopKSet

_DIGIT_BITS = 16


def common_ground(sets: Mapping[str, TopKSet]) -> tuple[WeightSpace, npt.NDArray[np.bool_]]:
    """The union of the sets' spaces, and which set's space has which of its parameters; shape (N, parameters).

    Raises:
        SpaceConflictError: As for `union_space`.
    """
    space = union_space(sets)
    where = {name: index for index, name in enumerate(space.names)}
    selects = np.zeros((len(sets), len(where)), dtype=bool)
    for row, topk_set in zip(selects, sets.values(), strict=True):
        row[[where[name] for name in topk_set.space.names]] = True
    return space, selects


def matched(sets: Mapping[str, TopKSet], space: WeightSpace) -> tuple[IntArray, RankedSets]:
    """Every weight of any set as base-global indices over `space`, ascending, and the sets over them."""
    where = {name: index for index, name in enumerate(space.names)}
    every = np.concatenate([_keys(topk_set, space, where) for topk_set in sets.values()])
    keys, columns = distinct(every, space.size)
    ends = np.cumsum([len(topk_set) for topk_set in sets.values()])
    ranked = RankedSets(
        labels=tuple(sets),
        width=len(keys),
        columns=tuple(np.split(columns, ends[:-1])),
        importance=tuple(topk_set.importance for topk_set in sets.values()),
        weights=tuple(topk_set.weights for topk_set in sets.values()),
    )
    return keys, ranked


def union_space(sets: Mapping[str, TopKSet]) -> WeightSpace:
    """The space with every parameter of every set's space, in order of first appearance.

    Raises:
        SpaceConflictError: If two sets have the same parameter with different shapes; names both.
    """
    seen: dict[str, tuple[tuple[int, ...], str]] = {}
    spaces: set[str] = set()
    for label, topk_set in sets.items():
        if topk_set.space.fingerprint in spaces:
            continue
        spaces.add(topk_set.space.fingerprint)
        for name, shape in zip(topk_set.space.names, topk_set.space.shapes, strict=True):
            first_shape, first_label = seen.setdefault(name, (shape, label))
            if first_shape != shape:
                raise SpaceConflictError(
                    f"{first_label!r} and {label!r} cannot be compared: the parameter {name!r} has the shape "
                    f"{first_shape} in the first and {shape} in the second, so they have different base models "
                    f"({sets[first_label].space.base_model!r} and {topk_set.space.base_model!r})"
                )
    base_models = {topk_set.space.base_model for topk_set in sets.values()}
    return WeightSpace(
        names=tuple(seen),
        shapes=tuple(shape for shape, _ in seen.values()),
        base_model=base_models.pop() if len(base_models) == 1 else None,
    )


def _keys(topk_set: TopKSet, space: WeightSpace, where: Mapping[str, int]) -> IntArray:
    """The set's weights as base-global indices over `space`, in rank order."""
    if topk_set.space.fingerprint == space.fingerprint:
        return topk_set.base_global_indices()
    translate = np.array([where[name] for name in topk_set.space.names], dtype=np.int64)
    return space.starts[translate[topk_set.param_ids]] + topk_set.offsets


def distinct(keys: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The distinct keys, ascending, and the place of each key among them; keys are at least 0 and below `size`.

    As `np.unique` with `return_inverse`, in a third of its time: from the lowest digit to the highest, keys are put
    into the order of the digit. scipy does that when it turns rows into columns, by counting, in order within each.
    """
    order = np.arange(len(keys), dtype=sparse.get_index_dtype(maxval=len(keys)))
    whole = np.array([0, len(keys)], dtype=order.dtype)
    for shift in range(0, size.bit_length(), _DIGIT_BITS):
        digits = ((keys[order] >> shift) & (2**_DIGIT_BITS - 1)).astype(order.dtype)
        order = sparse.csr_array((order, digits, whole), shape=(1, 2**_DIGIT_BITS)).tocsc().data
    ordered = keys[order]
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    columns = np.empty_like(keys)
    columns[order] = np.cumsum(first) - 1
    return ordered[first], columns

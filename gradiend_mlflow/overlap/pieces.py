"""The overlap in pieces of parameters: attention heads, neurons and tokens, which no parameter's name tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.overlap.matrices import PairwiseOverlap
from gradiend_mlflow.sets.anatomy.architectures import OTHER
from gradiend_mlflow.sets.anatomy.heads import heads_of, units_of
from gradiend_mlflow.sets.anatomy.naming import namers
from gradiend_mlflow.sets.anatomy.places import token_rows
from gradiend_mlflow.sets.space import IntArray, WeightSpace

Piece = Literal["head", "neuron", "token"]
AnyOverlap = TypeVar("AnyOverlap", bound=PairwiseOverlap)
Names = npt.NDArray[np.object_]
# From a parameter's index and flat offsets in it to the pieces that these lie in, None where they lie in none.
Namer = Callable[[int, IntArray], Names]


def _namer(overlap: PairwiseOverlap, piece: Piece) -> Namer:
    """What the pieces of this kind are called: "layer_3 head 5", "layer_3.mlp.weight[17]", "[MASK]"."""
    space, anatomy = overlap.space, overlap.anatomy
    layer_of = namers(space.names)["layer"]

    def nothing(offsets: IntArray) -> Names:
        return np.full(len(offsets), None, dtype=object)

    def head(param_id: int, offsets: IntArray) -> Names:
        name, shape = space.names[param_id], space.shapes[param_id]
        if anatomy.heads is None:
            return nothing(offsets)
        found = heads_of(name, shape, offsets, anatomy.heads)
        return _mapped(found, lambda number: f"{layer_of(name)} head {number}")

    def neuron(param_id: int, offsets: IntArray) -> Names:
        name = space.names[param_id]
        units = units_of(name, space.shapes[param_id], offsets, anatomy.heads)
        return nothing(offsets) if units is None else _mapped(units, lambda unit: f"{name}[{unit}]")

    def token(param_id: int, offsets: IntArray) -> Names:
        name, shape = space.names[param_id], space.shapes[param_id]
        if not anatomy.has_tokens(name, shape):
            return nothing(offsets)
        # Another row may have the same string, and a row that no set knows the string of has a number.
        return _mapped(token_rows(shape, offsets), lambda row: anatomy.tokens.get(row, f"row {row}"))

    return {"head": head, "neuron": neuron, "token": token}[piece]


def _mapped(found: npt.NDArray[np.generic], name: Callable[[int], str]) -> Names:
    """Each value's name, None for None; each is made once."""
    names = {value: None if value is None else name(value) for value in set(found.tolist())}
    return np.array([names[value] for value in found.tolist()], dtype=object)


def refined(overlap: AnyOverlap, piece: Piece, most: int | None = None) -> tuple[AnyOverlap, dict[str, str]]:
    """The same overlap over a space whose parameters are parts of pieces, and the piece that each is a part of.

    A piece may have parts in several parameters, such as a head's queries and values. What lies in no piece, and in
    pieces beyond the `most` that hold the most weights of all sets together, is "other".
    """
    space, name_of = overlap.space, _namer(overlap, piece)
    param_ids, offsets = space.locate(overlap.keys)
    names = np.full(len(overlap.keys), None, dtype=object)
    for param_id in np.unique(param_ids):
        at = np.flatnonzero(param_ids == param_id)
        names[at] = name_of(int(param_id), offsets[at])
    kept = _largest(zip(names, overlap.ranked.presence.tolist(), strict=True), most)
    # A neuron lies in one parameter, so that one without weights of any set need not be looked at.
    searched = set(param_ids.tolist()) if piece == "neuron" else set(range(len(space.names)))
    sizes = _sizes(space, name_of, kept, searched)
    parts = {part: place for place, part in enumerate(sizes)}
    held = zip(param_ids.tolist(), (name if name in kept else OTHER for name in names), strict=True)
    part_of = np.array([parts[part] for part in held], dtype=np.int64)
    finer = WeightSpace(
        tuple(f"{space.names[param_id]} {name}" for param_id, name in sizes),
        tuple((size,) for size in sizes.values()),
        space.base_model,
    )
    order = np.lexsort((overlap.keys, part_of))  # the keys of a part are numbered in their order
    counts = np.bincount(part_of, minlength=len(sizes))
    number = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = np.empty(len(order), dtype=np.int64)
    column[order] = np.arange(len(order))
    moved = replace(
        overlap,
        space=finer,
        keys=finer.starts[part_of[order]] + number,
        ranked=replace(overlap.ranked, columns=tuple(column[columns] for columns in overlap.ranked.columns)),
        selects=overlap.selects[:, [param_id for param_id, _ in sizes]],
    )
    return moved, dict(zip(finer.names, (name for _, name in sizes), strict=True))


def _largest(names: Iterable[tuple[str | None, int]], most: int | None) -> set[str]:
    held: Counter[str] = Counter()
    for name, count in names:
        if name is not None:
            held[name] += count
    return {name for name, _ in held.most_common(most)}


def _sizes(space: WeightSpace, name_of: Namer, kept: set[str], searched: set[int]) -> dict[tuple[int, str], int]:
    """How many weights each part has, by parameter and piece; what is left of a parameter is its part "other"."""
    sizes: dict[tuple[int, str], int] = {}
    for param_id, size in enumerate(space.sizes.tolist()):
        counts = _counts(space.shapes[param_id], partial(name_of, param_id)) if param_id in searched else {}
        named = {(param_id, name): count for name, count in counts.items() if name in kept}
        left = size - sum(named.values())
        sizes |= named | ({(param_id, OTHER): left} if left else {})
    return sizes


def _counts(shape: tuple[int, ...], names: Callable[[IntArray], Names]) -> Mapping[str, int]:
    """The number of weights of each piece of a parameter.

    Pieces are slices along some of the axes, so that one weight of each slice tells.
    """
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    offsets, depth = np.zeros(1, dtype=np.int64), 1
    for length, stride in zip(shape, strides, strict=True):
        along = np.arange(length, dtype=np.int64) * stride
        if len(set(names(along).tolist())) > 1:
            offsets = np.add.outer(offsets, along).ravel()
        else:
            depth *= length
    return {name: count * depth for name, count in Counter(names(offsets).tolist()).items()}

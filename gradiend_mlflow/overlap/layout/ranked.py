"""N ranked sets over common columns, and sums over the weights that they share, which every measure is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gradiend_mlflow.errors import SpaceConflictError
from gradiend_mlflow.sets.ranks import ties_after
from gradiend_mlflow.sets.reading.signals import common_signal, conflict_of
from gradiend_mlflow.sets.space import IntArray, Matrix, WeightSpace
from gradiend_mlflow.sets.topk import TopKSet

Values = Sequence[npt.NDArray[Any]]
# What several sets together hold: what the first does, any of them, or all of them.
Merging = Literal["primary", "union", "intersection"]

# A weight that more than this share of the sets hold is cheaper in a dense product, any other in a sparse one.
_CROWDED = 1 / 16
_BLOCK = 4096  # columns of a dense product: float32 counts them exactly
_MOST_BITS = 63  # of a key and its place together
_STEP = 1 << 16  # keys that stay in the processor's cache


@dataclass(frozen=True, eq=False)
class RankedSets:
    """N sets over the same U columns, one column per weight; what every formula takes.

    Attributes:
        labels: One per set, for error messages.
        width: U.
        columns: Each set's columns, most important first; int32 or int64, shape (k,).
        importance: Each set's importances in that order; shape (k,). None for a set without a ranking, such as a
            union or an intersection of several seeds' sets.
        weights: Each set's signed weights in that order; shape (k, d). None as for `importance`.
        ties: Each set's `ties_at_cut`, None where it is not known.
    """

    labels: tuple[str, ...]
    width: int
    columns: tuple[IntArray, ...]
    importance: tuple[npt.NDArray[Any] | None, ...]
    weights: tuple[npt.NDArray[Any] | None, ...]
    ties: tuple[int | None, ...]

    @cached_property
    def sizes(self) -> IntArray:
        """Number of weights per set; shape (N,)."""
        return np.array([len(columns) for columns in self.columns], dtype=np.int64)

    @cached_property
    def presence(self) -> npt.NDArray[np.unsignedinteger]:
        """In how many sets each column is; of the narrowest type, because columns are many; shape (U,)."""
        kind = np.min_scalar_type(len(self.labels))
        return np.bincount(np.concatenate(self.columns), minlength=self.width).astype(kind)

    @cached_property
    def membership(self) -> Any:
        """Which set holds which weight; sparse, 0 or 1, int64, shape (N, U)."""
        columns = np.concatenate(self.columns)
        return sparse.csr_array(
            (np.ones(len(columns), dtype=np.int64), columns, self.ends), shape=(len(self.labels), self.width)
        )

    @cached_property
    def shared(self) -> Any:
        """Which set holds which of the V weights that several sets hold; sparse (CSC), shape (N, V).

        Its data are positions among all the sets' weights, set by set in rank order. The weights that only one set
        holds are left out: they add to no pair's number, and often they are most of the weights.
        """
        columns = np.concatenate(self.columns)
        several = self.presence > 1
        places = np.flatnonzero(several[columns])
        kind = index_type(len(columns))
        numbers = np.cumsum(several, dtype=kind) - kind(1)
        by_set = (places.astype(kind), numbers[columns[places]], np.searchsorted(places, self.ends).astype(kind))
        return sparse.csr_array(by_set, shape=(len(self.labels), np.count_nonzero(several))).tocsc()

    def products(self, left: Values | None, right: Values | None) -> Matrix:
        """For each two sets A and B, the sum of A's left value times B's right value over the weights that both hold.

        Args:
            left: For each set, one value per weight in rank order; None for 1 each.
            right: The same. If it is `left`, the result is symmetric to the last bit.

        Returns:
            The sum for A in row A, column B; float64, shape (N, N). Exact for counts.
        """
        crowded = np.diff(self.shared.indptr) > _CROWDED * len(self.labels)
        sides = (left,) if right is left else (left, right)
        few = [_filled(self.shared[:, np.flatnonzero(~crowded)], values, np.float64) for values in sides]
        many = [_filled(self.shared[:, np.flatnonzero(crowded)], values, np.float32) for values in sides]
        total: Matrix = (few[0] @ few[-1].T).toarray()
        for start in range(0, many[0].shape[1], _BLOCK):
            blocks = [side[:, start : start + _BLOCK].toarray() for side in many]
            total += blocks[0] @ blocks[-1].T
        for row, size in enumerate(self.sizes):
            own = [np.ones(size) if values is None else values[row] for values in sides]
            total[row, row] = own[0] @ own[-1]
        return total

    def top(self, k: int) -> RankedSets:
        """Every set's first `k` weights; sets that hold fewer stay as they are."""
        shorter = self.restricted([slice(k)] * len(self.labels))
        ends = zip(self.importance, shorter.sizes.tolist(), self.ties, strict=True)
        ties = tuple(None if own is None or not size else ties_after(own, size, at_end) for own, size, at_end in ends)
        return replace(shorter, ties=ties)

    def restricted(self, keep: Sequence[npt.NDArray[Any] | slice]) -> RankedSets:
        """The sets with only some of their weights, in the same order; `keep` has one index or mask per set.

        What ties with the last of these is not known: it may be among the weights that are left out here.
        """
        return replace(
            self,
            columns=tuple(columns[at] for columns, at in zip(self.columns, keep, strict=True)),
            importance=tuple(None if x is None else x[at] for x, at in zip(self.importance, keep, strict=True)),
            weights=tuple(None if x is None else x[at] for x, at in zip(self.weights, keep, strict=True)),
            ties=(None,) * len(self.labels),
        )

    def first(self, n: int) -> RankedSets:
        """The first `n` of the sets."""
        rows = [(row,) for row in range(min(n, len(self.labels)))]
        return self.merged(self.labels[:n], rows, "primary")

    def merged(self, labels: Sequence[str], members: Sequence[Sequence[int]], policy: Merging) -> RankedSets:
        """One set for each several of these sets, whose rows `members` has.

        Where it is not a set of its own, it has no ranks, importances and signed weights.
        """

        def one(values: tuple[Any, ...], rows: Sequence[int]) -> Any:
            return values[rows[0]] if policy == "primary" or len(rows) == 1 else None

        def columns(rows: Sequence[int]) -> IntArray:
            if (own := one(self.columns, rows)) is not None:
                return np.asarray(own)
            held, counts = np.unique(np.concatenate([self.columns[row] for row in rows]), return_counts=True)
            return np.asarray(held[counts >= (1 if policy == "union" else len(rows))])

        return RankedSets(
            labels=tuple(labels),
            width=self.width,
            columns=tuple(columns(rows) for rows in members),
            importance=tuple(one(self.importance, rows) for rows in members),
            weights=tuple(one(self.weights, rows) for rows in members),
            ties=tuple(one(self.ties, rows) for rows in members),
        )

    @property
    def ends(self) -> IntArray:
        """Where each set begins and ends among all the sets' weights, set by set; shape (N + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)])


def _filled(places: Any, values: Values | None, kind: type) -> Any:
    """A matrix of the form of `RankedSets.shared`, with values instead of places; ones of type `kind` for None."""
    data = np.ones(places.nnz, dtype=kind) if values is None else np.concatenate(values)[places.data]
    return sparse.csc_array((data, places.indices, places.indptr), shape=places.shape)


def exclusive_regions(sets: RankedSets) -> dict[tuple[str, ...], int]:
    """See `Overlap.regions`."""
    labels, shared = sets.labels, sets.shared
    alone = sets.sizes - np.bincount(shared.indices, minlength=len(labels))
    found: dict[tuple[str, ...], int] = {
        (label,): int(size) for label, size in zip(labels, alone, strict=True) if size
    }
    packed = np.zeros((shared.shape[1], (len(labels) + 7) // 8), dtype=np.uint8)
    columns = np.repeat(np.arange(shared.shape[1]), np.diff(shared.indptr))
    np.bitwise_or.at(packed, (columns, shared.indices // 8), (1 << (shared.indices % 8)).astype(np.uint8))
    patterns, sizes = np.unique(packed, axis=0, return_counts=True)
    for row, size in zip(np.unpackbits(patterns, axis=1, bitorder="little"), sizes, strict=True):
        found[tuple(labels[index] for index in np.flatnonzero(row))] = int(size)
    return dict(sorted(found.items(), key=lambda item: (-item[1], len(item[0]), item[0])))


def common_ground(spaces: Mapping[str, WeightSpace]) -> tuple[WeightSpace, npt.NDArray[np.bool_]]:
    """The union of the spaces of N sets, by label, and which of them has which parameter; shape (N, parameters).

    The union has every parameter of every space, in order of first appearance.

    Raises:
        SpaceConflictError: If two sets have the same parameter with different shapes, or signals of different kinds;
            names both.
    """
    for label, space in spaces.items():
        first = next(iter(spaces))
        if conflict := conflict_of(spaces[first].signal, space.signal):
            raise SpaceConflictError(f"{first!r} and {label!r} cannot be compared: {conflict}")
    seen: dict[str, tuple[tuple[int, ...], str]] = {}
    known: set[str] = set()
    for label, space in spaces.items():
        if space.fingerprint in known:
            continue
        known.add(space.fingerprint)
        for name, shape in zip(*space.params, strict=True):
            first_shape, first_label = seen.setdefault(name, (shape, label))
            if first_shape != shape:
                raise SpaceConflictError(
                    f"{first_label!r} and {label!r} cannot be compared: the parameter {name!r} has the shape "
                    f"{first_shape} in the first and {shape} in the second, so they have different base models "
                    f"({spaces[first_label].base_model!r} and {space.base_model!r})"
                )
    own = list(spaces.values())
    base_models = {space.base_model for space in own}
    base_model = base_models.pop() if len(base_models) == 1 else None
    signal = common_signal([space.signal for space in own], [space.names for space in own], tuple(seen))
    union = WeightSpace(tuple(seen), tuple(shape for shape, _ in seen.values()), base_model, signal)
    selects = np.zeros((len(own), len(seen)), dtype=bool)
    for row, space in zip(selects, own, strict=True):
        row[[union.places[name] for name in space.names]] = True
    return union, selects


def matched(sets: Mapping[str, TopKSet], space: WeightSpace) -> tuple[IntArray, RankedSets]:
    """Every weight of any set as base-global indices over `space`, ascending, and the sets over them."""
    keys, columns = distinct(np.concatenate([_keys(topk_set, space) for topk_set in sets.values()]), space.size)
    ends = np.cumsum([len(topk_set) for topk_set in sets.values()])
    ranked = RankedSets(
        labels=tuple(sets),
        width=len(keys),
        columns=tuple(np.split(columns, ends[:-1])),
        importance=tuple(topk_set.importance for topk_set in sets.values()),
        weights=tuple(topk_set.weights for topk_set in sets.values()),
        ties=tuple(topk_set.ties_at_cut for topk_set in sets.values()),
    )
    return keys, ranked


def per_weight(of_params: npt.NDArray[Any], keys: IntArray, space: WeightSpace) -> npt.NDArray[Any]:
    """What is said of each parameter of the space, for each weight of the ascending `keys`; shape (U,)."""
    bounds = np.append(space.starts, space.size)
    return np.repeat(of_params, np.diff(np.searchsorted(keys, bounds)))


def _keys(topk_set: TopKSet, space: WeightSpace) -> IntArray:
    """The set's weights as base-global indices over `space`, in rank order."""
    if topk_set.space.fingerprint == space.fingerprint:
        return topk_set.base_global_indices()
    translate = np.array([space.places[name] for name in topk_set.space.names], dtype=np.int64)
    return space.starts[translate[topk_set.param_ids]] + topk_set.offsets


def distinct(keys: IntArray, size: int) -> tuple[IntArray, npt.NDArray[Any]]:
    """The distinct keys, ascending, and the index of each key among them; keys are at least 0 and below `size`.

    The same as `np.unique` with `return_inverse`, but each key is put before its place in one integer, because NumPy
    sorts integers with vector instructions, from version 2 on nearly every processor. Measured on random weights of a
    BERT, this takes 0.7 of the time of `np.unique` for 10^4 keys, 0.5 for 10^6 and 0.25 for 10^7.

    Returns:
        The keys, int64, and the indices, int32 unless that is too narrow: many keys fill the memory.
    """
    count, kind = len(keys), index_type(len(keys))
    bits = count.bit_length()  # that places take
    if size.bit_length() + bits > _MOST_BITS:
        values, columns = np.unique(keys, return_inverse=True)
        return values, columns.astype(kind)
    packed = np.left_shift(keys, bits, dtype=np.int64)
    del keys
    for start in range(0, count, _STEP):
        packed[start : start + _STEP] |= np.arange(start, min(start + _STEP, count))
    packed.sort()
    first = np.ones(count, dtype=bool)
    for start in range(1, count, _STEP):
        own = packed[start - 1 : start + _STEP] >> bits
        np.not_equal(own[1:], own[:-1], out=first[start : start + _STEP])
    values = packed[first] >> bits
    packed &= (1 << bits) - 1
    columns = np.empty(count, dtype=kind)
    place = np.cumsum(first, dtype=kind)
    place -= kind(1)
    columns[packed] = place
    return values, columns


def index_type(count: int) -> Any:
    """The type for up to `count` indices; scipy computes in int64, which is slower, unless all indices are int32."""
    return np.int32 if count <= np.iinfo(np.int32).max else np.int64

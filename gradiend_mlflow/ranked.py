"""N ranked sets over common columns, and sums over the weights that they share: what every measure is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gradiend_mlflow.space import IntArray

Matrix = npt.NDArray[np.float64]
Values = Sequence[npt.NDArray[Any]]

# A weight in more than this share of the sets is cheaper in a dense product, one in fewer in a sparse one.
_CROWDED = 1 / 16
_BLOCK = 4096  # columns of a dense product: float32 counts them exactly


@dataclass(frozen=True, eq=False)
class RankedSets:
    """N sets over the same U columns, one column per weight: what every formula takes.

    Attributes:
        labels: One per set, for errors.
        width: U.
        columns: Each set's columns, most important first; int64, shape (k,).
        importance: Each set's importances in that order; shape (k,). None for a set without a ranking, which a
            union or an intersection of several seeds' sets is.
        weights: Each set's signed weights in that order; shape (k, d). None as for `importance`.
    """

    labels: tuple[str, ...]
    width: int
    columns: tuple[IntArray, ...]
    importance: tuple[npt.NDArray[Any] | None, ...]
    weights: tuple[npt.NDArray[Any] | None, ...]

    @cached_property
    def sizes(self) -> IntArray:
        """Number of weights per set; shape (N,)."""
        return np.array([len(columns) for columns in self.columns], dtype=np.int64)

    @cached_property
    def presence(self) -> IntArray:
        """In how many sets each column is; int64, shape (U,)."""
        return np.bincount(np.concatenate(self.columns), minlength=self.width).astype(np.int64, copy=False)

    @cached_property
    def membership(self) -> Any:
        """Which set holds which weight; sparse, 0 or 1, int64, shape (N, U)."""
        columns = np.concatenate(self.columns)
        return sparse.csr_array(
            (np.ones(len(columns), dtype=np.int64), columns, self._ends), shape=(len(self.labels), self.width)
        )

    @cached_property
    def shared(self) -> Any:
        """Who holds the weights that several sets hold; sparse, in the order of columns, shape (N, such columns).

        Its data are places among all the sets' weights, one set after the other in rank order. Few of the columns
        are here where sets have little in common, and no other column adds to a number of two sets.
        """
        columns = np.concatenate(self.columns)
        several = self.presence > 1
        places = np.flatnonzero(several[columns])
        kind = sparse.get_index_dtype(maxval=len(columns))  # scipy computes in int64 unless all indices are int32
        numbers = np.cumsum(several, dtype=kind) - kind(1)
        by_set = (places.astype(kind), numbers[columns[places]], np.searchsorted(places, self._ends).astype(kind))
        return sparse.csr_array(by_set, shape=(len(self.labels), np.count_nonzero(several))).tocsc()

    def products(self, left: Values | None, right: Values | None) -> Matrix:
        """For every two sets, the sum over the weights that both hold of the one's left times the other's right value.

        Args:
            left: One value per weight of every set, in rank order; None for 1 each.
            right: The same. If it is `left`, the result is symmetric to the last bit.

        Returns:
            Row A, column B: A's left times B's right values; float64, shape (N, N). Exact for counts.
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
        return self.restricted([slice(k)] * len(self.labels))

    def restricted(self, keep: Sequence[npt.NDArray[Any] | slice]) -> RankedSets:
        """The sets with some of their weights, in the same order; `keep` has one index or mask per set."""
        return RankedSets(
            labels=self.labels,
            width=self.width,
            columns=tuple(columns[at] for columns, at in zip(self.columns, keep, strict=True)),
            importance=tuple(None if x is None else x[at] for x, at in zip(self.importance, keep, strict=True)),
            weights=tuple(None if x is None else x[at] for x, at in zip(self.weights, keep, strict=True)),
        )

    @property
    def _ends(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self.sizes)])


def _filled(places: Any, values: Values | None, kind: type) -> Any:
    """A matrix of `shared`'s form with values instead of places; 1 of the given type for None."""
    data = np.ones(places.nnz, dtype=kind) if values is None else np.concatenate(values)[places.data]
    return sparse.csc_array((data, places.indices, places.indptr), shape=places.shape)

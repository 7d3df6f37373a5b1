"""How many weights the sets of one block share with those of another: a piece of a matrix that is never held whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gradiend_mlflow.overlap.layout.ranked import distinct
from gradiend_mlflow.sets.space import IntArray

# A weight that so many of the pairs of a piece share is cheaper in a dense product, any other in a sparse one.
_CROWDED = 1 / 128
_COLUMNS = 4096  # of a dense product: float32 counts them exactly


@dataclass(frozen=True, eq=False)
class Block:
    """Some sets, over the weights that any of them holds.

    Attributes:
        keys: These U weights as base-global indices over a space that all blocks have in common, ascending; int64.
        holders: Which set holds which weight; sparse (CSC), int32 ones, shape (number of sets, U).
    """

    keys: IntArray
    holders: Any

    @classmethod
    def of(cls, rows: IntArray, keys: IntArray, n: int, size: int) -> Block:
        """The block of `n` sets.

        Args:
            rows: The set, from 0, that each entry belongs to; shape (entries,).
            keys: The weight of each entry; shape (entries,). A set holds each weight once.
            n: How many sets.
            size: Number of weights in the space.
        """
        held, columns = distinct(keys, size)
        places = rows.astype(np.int32), columns.astype(np.int32)
        holders = sparse.coo_array((np.ones(len(rows), dtype=np.int32), places), shape=(n, len(held)))
        return cls(held, holders.tocsc())


def shared_weights(left: Block, right: Block) -> npt.NDArray[np.int32]:
    """How many weights each set of `left` shares with each of `right`; int32, shape (sets of left, sets of right)."""
    place = np.minimum(np.searchsorted(right.keys, left.keys), len(right.keys) - 1)
    both = np.flatnonzero(right.keys[place] == left.keys)
    sides = left.holders[:, both], right.holders[:, place[both]]
    pairs = np.multiply(*(np.diff(side.indptr).astype(np.int64) for side in sides))
    crowded = pairs > _CROWDED * sides[0].shape[0] * sides[1].shape[0]
    few = [side[:, np.flatnonzero(~crowded)] for side in sides]
    many = [side[:, np.flatnonzero(crowded)] for side in sides]
    total: npt.NDArray[np.int32] = (few[0] @ few[1].T).toarray()
    for start in range(0, many[0].shape[1], _COLUMNS):
        dense = [side[:, start : start + _COLUMNS].astype(np.float32).toarray() for side in many]
        total += (dense[0] @ dense[1].T).astype(np.int32)
    return total

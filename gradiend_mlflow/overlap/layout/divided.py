"""How sets, and the weights that several of them share, divide among groups of columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.overlap.layout.ranked import RankedSets
from gradiend_mlflow.sets.space import IntArray, Matrix


@dataclass(frozen=True, eq=False)
class Divided:
    """What `GroupedOverlap` says of shares, without an overlap per group, for each of which all weights are laid out.

    Attributes:
        own: The share of each set in each group, in [0, 1]; NaN for an empty set; float64, shape (G, N).
        shared: The same of the weights that at least two sets hold, and of those that all hold; shape (G, 2).
        same_sign: How many of the latter two have one sign in all the sets that hold them, in [0, 1]; NaN for none,
            and where signs are not known; shape (G, 2).
    """

    own: Matrix
    shared: Matrix
    same_sign: Matrix


def divided(sets: RankedSets, group_of: npt.NDArray[np.integer], groups: int, agreement: Matrix) -> Divided:
    """Divide sets among groups of columns.

    Args:
        sets: The sets.
        group_of: The group, from 0, of each column; shape (U,).
        groups: How many there are.
        agreement: What `shared_sign_agreement` says of the sets.
    """

    def count(columns: npt.NDArray[np.integer]) -> IntArray:
        return np.bincount(columns, minlength=groups)

    several = sets.presence > 1
    where = group_of[several]
    kinds = [np.ones(len(where), dtype=bool), sets.presence[several] == len(sets.labels)]
    shared = np.stack([count(where[held]) for held in kinds], axis=1)
    agreeing = np.stack([count(where[held & (agreement == 1)]) for held in kinds], axis=1)
    unknown = np.stack([count(where[held & np.isnan(agreement)]) for held in kinds], axis=1)
    own = np.stack([count(group_of[columns]) for columns in sets.columns], axis=1)
    same = np.divide(agreeing, shared, out=np.full(shared.shape, np.nan), where=(shared > 0) & (unknown == 0))
    return Divided(_shares(own), _shares(shared), same)


def _shares(counts: IntArray) -> Matrix:
    totals = counts.sum(axis=0)
    shares: Matrix = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    return shares

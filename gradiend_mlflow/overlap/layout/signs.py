"""Whether the sets that hold a weight change it in one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.overlap.layout.ranked import RankedSets
from gradiend_mlflow.sets.space import Matrix

_UNKNOWN = 2  # in place of a sign


def sign_agreement(sets: RankedSets) -> Matrix:
    """Per column, the share of the sets holding it that have its more frequent sign; float64, shape (U,).

    The mean over latent neurons. A weight of 0 has neither sign. NaN where a holder's signed weights are not known, or
    where its holders have different numbers of latent neurons.
    """
    columns, signs = np.concatenate(sets.columns), _signs(sets)
    alone = sets.presence[columns] == 1
    agreement = np.full(sets.width, np.nan)
    agreement[columns[alone]] = _agreement(_kinds(signs[alone]), np.ones(np.count_nonzero(alone)))
    agreement[sets.presence > 1] = shared_sign_agreement(sets)
    return agreement


def shared_sign_agreement(sets: RankedSets) -> Matrix:
    """`sign_agreement` of the columns that several sets hold, as `sets.shared` has them; float64, shape (V,)."""
    places, starts = sets.shared.data, sets.shared.indptr
    kinds = _kinds(_signs(sets)[places])
    if not len(places):
        return np.empty(0)
    sums = [np.add.reduceat(held, starts[:-1], axis=0, dtype=np.int64) for held in kinds]
    return _agreement(sums, np.diff(starts))


def _signs(sets: RankedSets) -> npt.NDArray[np.int8]:
    """The signs of all the sets' weights, set by set in rank order, -1, 0, 1 or `_UNKNOWN`; shape (n, d)."""
    depth = max((own.shape[1] for own in sets.weights if own is not None), default=1)
    signs = np.full((int(sets.ends[-1]), depth), _UNKNOWN, dtype=np.int8)
    for start, own in zip(sets.ends[:-1], sets.weights, strict=True):
        if own is not None:
            signs[start : start + len(own), : own.shape[1]] = np.where(np.isnan(own), _UNKNOWN, np.sign(own))
    return signs


def _kinds(signs: npt.NDArray[np.int8]) -> Sequence[npt.NDArray[np.bool_]]:
    """Which are positive, negative, known."""
    return signs == 1, signs == -1, signs != _UNKNOWN


def _agreement(kinds: Sequence[npt.NDArray[Any]], holders: npt.NDArray[Any]) -> Matrix:
    """The agreement of each weight: how many of its `holders`, shape (n,), are of which of the kinds, shape (n, d)."""
    positive, negative, known = kinds
    depth = (known > 0).sum(axis=1)
    comparable = ((known == holders[:, None]) | (known == 0)).all(axis=1) & (depth > 0)
    agreement = (np.maximum(positive, negative) / holders[:, None]).sum(axis=1)
    return np.where(comparable, agreement / np.maximum(depth, 1), np.nan)

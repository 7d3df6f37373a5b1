"""Means within and between groups of trainings, for one labeling or for many at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.overlap.statistics.permutations import Statistic
from gradiend_mlflow.sets.space import IntArray, Matrix

_CONFIDENCE = 0.95


def pair_values(matrix: Matrix, groups: IntArray) -> tuple[Matrix, Matrix]:
    """The values of the pairs within a group, and of those between two groups; each pair once."""
    rows, columns = np.triu_indices(len(groups), k=1)
    within = groups[rows] == groups[columns]
    values = matrix[rows, columns]
    return values[within], values[~within]


def mean_difference(matrix: Matrix, groups: IntArray) -> Statistic:
    """The mean within groups minus the mean between groups, of any labelings with the same numbers of each label."""
    pairs = len(groups) * (len(groups) - 1) // 2
    sizes = np.bincount(groups)
    within = int((sizes * (sizes - 1) // 2).sum())
    total = float(np.triu(matrix, k=1).sum())

    def statistic(labelings: npt.NDArray[Any]) -> Matrix:
        by_training = np.ascontiguousarray(labelings.T)
        inside = np.zeros(len(labelings))
        for row in range(len(matrix) - 1):
            inside += matrix[row, row + 1 :] @ (by_training[row + 1 :] == by_training[row])
        return inside / within - (total - inside) / (pairs - within)

    return statistic


def mean_against_rest(matrix: Matrix, size: int) -> Statistic:
    """The mean within the trainings labelled 1, `size` of them, minus their mean with those labelled 0."""
    within, across = size * (size - 1) // 2, size * (len(matrix) - size)
    with_all = matrix.sum(axis=1) - np.diag(matrix)

    def statistic(labelings: npt.NDArray[Any]) -> Matrix:
        chosen = np.ascontiguousarray(np.nonzero(labelings)[1].reshape(-1, size).T)
        inside = np.zeros(len(labelings))
        for place in range(size - 1):
            inside += matrix[chosen[place], chosen[place + 1 :]].sum(axis=0)
        difference: Matrix = inside / within - (with_all[chosen].sum(axis=0) - 2 * inside) / across
        return difference

    return statistic


def superiority(within: Matrix, between: Matrix) -> float:
    """P(within > between) + P(equal) / 2 over all pairs of the two kinds (Vargha and Delaney 2000)."""
    ranks = pd.Series(np.concatenate([within, between])).rank().to_numpy()
    above = ranks[: len(within)].sum() - len(within) * (len(within) + 1) / 2
    return float(above / (len(within) * len(between)))


def jackknife_interval(matrix: Matrix, groups: IntArray, cells: IntArray) -> tuple[float, float]:
    """A 95 % confidence interval of `mean_difference`, from leaving out one training at a time.

    The variance is the sum over the cells of (n - 1) / n times the sum of squares around the cell's mean (Arvesen
    1969); the quantile is Student's, with one degree of freedom less than trainings for each cell.

    Args:
        matrix: The overlap of the trainings; shape (N, N).
        groups: A group per training; shape (N,).
        cells: What is sampled separately, a group or a group in a stratum; shape (N,). At least two trainings each.
    """
    from scipy.special import stdtrit  # the quantile that scipy.stats has, which takes a second to import

    same = groups[:, None] == groups
    np.fill_diagonal(same, val=False)
    apart = groups[:, None] != groups
    own_within, own_between = (matrix * same).sum(axis=1), (matrix * apart).sum(axis=1)
    # Without training i, in place i; a sum over rows counts each pair twice.
    means_within = (own_within.sum() / 2 - own_within) / (same.sum() / 2 - same.sum(axis=1))
    means_between = (own_between.sum() / 2 - own_between) / (apart.sum() / 2 - apart.sum(axis=1))
    without = means_within - means_between
    sizes = np.bincount(cells)
    around = without - (np.bincount(cells, without) / sizes)[cells]
    variance = float(((sizes - 1) / sizes * np.bincount(cells, around**2)).sum())
    within, between = pair_values(matrix, groups)
    difference = float(within.mean() - between.mean())
    quantile = float(stdtrit(len(groups) - len(sizes), (1 + _CONFIDENCE) / 2))
    reach = quantile * math.sqrt(variance)
    return difference - reach, difference + reach


def holm(p_values: Matrix) -> Matrix:
    """The p-values adjusted for their number, so that none of them is wrong at a level (Holm 1979); NaN stays."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted

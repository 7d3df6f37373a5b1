"""The overlap that chance alone would give, and how unlikely it makes the overlap that was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import false_discovery_control

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.frames import square_frame
from gradiend_mlflow.sets.space import IntArray, Matrix

Level = Literal["population", "expected", "lift", "p_value", "q_value"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, eq=False)
class Chance:
    """Each pair's overlap compared with that of two random selections; returned by `Overlap.chance`.

    Rows and columns of every matrix, shape (N, N), follow `labels`.

    Attributes:
        labels: One label per set.
        population: N, the number of weights that both sets could have selected; int64.
        expected: The mean overlap of random selections, k_a k_b / N; float64.
        lift: The overlap divided by the expected one, so 1 for chance; NaN where nothing is expected.
        p_value: The probability that random selections share as many weights or more: the upper tail
            P(X >= observed) of the hypergeometric distribution, as `scipy.stats.hypergeom.sf(observed - 1, N, k_a,
            k_b)` returns it. 0 below the smallest float, about 1e-308. NaN where nothing is tested: on the
            diagonal, and where two sets have no parameter in common.
        q_value: The same, corrected for the number of pairs by the false discovery rate (Benjamini and Hochberg
            1995): of the pairs with a q-value up to 0.05, about 5 % at most overlap by chance.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1], space=10) for name in ("a", "b")}
        >>> chance = compute_overlap(sets).chance()
        >>> chance.expected[0, 1].item(), chance.lift[0, 1].item(), round(chance.p_value[0, 1].item(), 4)
        (0.4, 5.0, 0.0222)
    """

    labels: tuple[str, ...]
    population: IntArray = field(repr=False)
    expected: Matrix = field(repr=False)
    lift: Matrix = field(repr=False)
    p_value: Matrix = field(repr=False)
    q_value: Matrix = field(repr=False)

    def to_frame(self, value: Level = "lift") -> pd.DataFrame:
        """One of the matrices, by name, with the labels on both axes.

        Raises:
            InvalidInputError: If `value` is not the name of one.
        """
        return square_frame(getattr(self, check_choice("value", value, LEVELS)), self.labels)


def chance_of(labels: tuple[str, ...], shared: IntArray, drawn: IntArray, population: IntArray) -> Chance:
    """Compare overlaps with those of random selections.

    Args:
        labels: One per set.
        shared: Weights that each pair shares; shape (N, N), symmetric.
        drawn: Row A, column B: weights of A in the population of A and B; shape (N, N).
        population: Number of weights that both sets of a pair could have selected; shape (N, N), symmetric.

    Raises:
        InvalidInputError: If the two sets of a pair together have more weights than their population.
    """
    least = drawn + drawn.T - shared
    if (least > population).any():
        a, b = np.argwhere(least > population)[0]
        raise InvalidInputError(
            f"the population of {labels[a]!r} and {labels[b]!r} must hold at least the {least[a, b]} weights that "
            f"they have together; got {population[a, b]}"
        )
    expected = expected_overlap(drawn, population)
    lift = np.divide(shared, expected, out=np.full(shared.shape, np.nan), where=expected > 0)
    p_value, q_value = np.full((2, *shared.shape), np.nan)
    rows, columns = np.triu_indices(len(labels), k=1)
    testable = population[rows, columns] > 0
    rows, columns = rows[testable], columns[testable]
    if len(rows):
        tails = _upper_tails(
            shared[rows, columns], population[rows, columns], drawn[rows, columns], drawn.T[rows, columns]
        )
        for matrix, values in ((p_value, tails), (q_value, false_discovery_control(tails, method="bh"))):
            matrix[rows, columns] = matrix[columns, rows] = values
    return Chance(labels, population, expected, lift, p_value, q_value)


def expected_overlap(drawn: IntArray, population: IntArray) -> Matrix:
    """The mean overlap of two random selections; arguments as for `chance_of`."""
    products = drawn.astype(np.float64) * drawn.T
    return np.divide(products, population, out=np.zeros(drawn.shape), where=population > 0)


def _upper_tails(observed: IntArray, population: IntArray, drawn: IntArray, marked: IntArray) -> Matrix:
    """P(X >= observed) per pair.

    Pairs of the same sizes - usually all pairs - have the same distribution, so its tails are summed only once.
    scipy's `sf` computes the same numbers pair by pair, in a time that grows with the population: half a minute for
    10^10.
    """
    tails = np.empty(len(observed))
    # Exchanging the two sizes does not change the distribution.
    sizes = np.stack([population, np.minimum(drawn, marked), np.maximum(drawn, marked)], axis=1)
    kinds, kind_of = np.unique(sizes, axis=0, return_inverse=True)
    for kind, (size, few, many) in enumerate(kinds.tolist()):
        pairs = np.flatnonzero(kind_of.ravel() == kind)
        lowest = max(0, few + many - size)
        probabilities = _hypergeometric(size, few, many, lowest)
        upper = np.cumsum(probabilities[::-1])[::-1]  # the smallest first, which keeps their digits
        upper[0] = 1.0
        tails[pairs] = upper[observed[pairs] - lowest]
    return np.minimum(tails, 1.0)


def _hypergeometric(size: int, few: int, many: int, lowest: int) -> Matrix:
    """The probabilities of sharing `lowest`, ..., `few` weights, from the ratio of each to the one before it."""
    shared = np.arange(lowest, few, dtype=np.float64)
    ratios = (few - shared) * (many - shared) / ((shared + 1) * (size - few - many + shared + 1))
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    probabilities: Matrix = np.exp(logarithms - logsumexp(logarithms))
    return probabilities

"""The overlap that chance alone would give, and how unlikely it makes the overlap that was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.display.results import MOST_ROWS, Shown, html_table, html_text
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.frames import square_frame
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.wording import counted, named

Level = Literal["population", "expected", "lift", "p_value", "q_value"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, eq=False, repr=False)
class Chance(Shown):
    """Each pair's overlap compared with that of two random selections; returned by `Overlap.chance`.

    Rows and columns of every matrix, shape (N, N), follow `labels`.

    Attributes:
        labels: One label per set.
        population: N, the number of weights that both sets could have selected; int64, read-only.
        expected: The mean overlap of random selections; float64. Of weights k_a k_b / N; of neurons the sum over them
            of h_a h_b, where h = 1 - C(N - m, k) / C(N, k) is the probability that at least one of k weights is one
            of the neuron's m.
        lift: The overlap divided by the expected one, so 1 for chance; NaN where nothing is expected.
        p_value: The probability that random selections share as many weights or more: the upper tail
            P(X >= observed) of the hypergeometric distribution, as `scipy.stats.hypergeom.sf(observed - 1, N, k_a,
            k_b)` returns it. 0 below the smallest float, about 1e-308. NaN where nothing is tested: on the
            diagonal, where two sets have no parameter in common, and of neurons, whose number has no such simple
            distribution.
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

    def _line(self) -> str:
        return f"{counted(len(self.labels), 'set')}: {named(self.labels)}"

    def _html(self) -> Iterator[str]:
        rows, columns = np.triu_indices(len(self.labels), k=1)
        largest = np.argsort(-self.lift[rows, columns], kind="stable")[:MOST_ROWS]
        a, b = rows[largest], columns[largest]
        names = {"a": [self.labels[row] for row in a], "b": [self.labels[row] for row in b]}
        numbers = {level: getattr(self, level)[a, b] for level in LEVELS}
        yield html_text("The largest lifts over chance:")
        yield html_table(pd.DataFrame(names | numbers), of=len(rows))


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
    _check_population(labels, drawn + drawn.T - shared, population)
    expected = expected_overlap(drawn, population)
    p_value, q_value = np.full((2, *shared.shape), np.nan)
    tested = np.triu(population > 0, k=1)
    if tested.any():
        tails = _upper_tails(shared[tested], population[tested], drawn[tested], drawn.T[tested])
        for matrix, values in ((p_value, tails), (q_value, _q_values(tails))):
            matrix[tested] = matrix.T[tested] = values
    if population.size and population.min() == population.max():  # as usual; it need not be kept for each pair
        population = np.broadcast_to(population[0, 0], population.shape)
    population.flags.writeable = False
    return Chance(labels, population, expected, _lift(shared, expected), p_value, q_value)


def _check_population(labels: tuple[str, ...], least: IntArray, population: IntArray) -> None:
    if (least > population).any():
        a, b = np.argwhere(least > population)[0]
        raise InvalidInputError(
            f"the population of {labels[a]!r} and {labels[b]!r} must hold at least the {least[a, b]} weights that "
            f"they have together; got {population[a, b]}"
        )


def _q_values(p_values: Matrix) -> Matrix:
    """The p-values adjusted for the share of false discoveries (Benjamini and Hochberg 1995)."""
    order = np.argsort(p_values)[::-1]
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum.accumulate(p_values[order] * (len(order) / np.arange(len(order), 0, -1)))
    return adjusted


def chance_of_neurons(labels: tuple[str, ...], shared: IntArray, expected: Matrix, population: IntArray) -> Chance:
    """Compare overlaps of neurons with the expected ones of random selections; there are no p-values.

    Args:
        labels: One per set.
        shared: Neurons that each pair shares; shape (N, N), symmetric.
        expected: What `expected_neurons` gives.
        population: As for `chance_of`.
    """
    unknown = np.full(shared.shape, np.nan)
    return Chance(labels, population, expected, _lift(shared, expected), unknown, unknown)


def _lift(shared: IntArray, expected: Matrix) -> Matrix:
    lift: Matrix = np.divide(shared, expected, out=np.full(shared.shape, np.nan), where=expected > 0)
    return lift


def expected_neurons(drawn: IntArray, population: IntArray, neurons: Mapping[int, IntArray]) -> Matrix:
    """The mean number of neurons in which two random selections of weights both have one; shape (N, N).

    The selections are independent, so that it is the sum over neurons of the product of two probabilities.

    Args:
        drawn: As for `chance_of`: weights, not neurons.
        population: The same.
        neurons: By the number of their weights, how many neurons lie in the population of each pair; shape (N, N).
    """
    expected = np.zeros(drawn.shape)
    for size, count in neurons.items():
        hit = hit_probability(drawn, population, size)
        expected += count * hit * hit.T
    return expected


def hit_probability(drawn: IntArray, population: IntArray, size: int) -> Matrix:
    """How likely at least one of the weights that are drawn without replacement is one of `size` certain ones.

    That is 1 - C(N - m, k) / C(N, k), as a sum of logarithms that are all small: differences of log-gamma functions of
    10^9 have no digit left of a probability of 10^-6.

    Args:
        drawn: k, how many weights are drawn.
        population: N, out of how many; of the same shape.
        size: m.

    Returns:
        float64, of that shape; 0 where nothing is drawn.
    """
    hit = np.zeros(drawn.shape)
    for total in np.unique(population[population > 0]).tolist():
        own = population == total
        left = total - np.arange(int(drawn[own].max()), dtype=np.float64)  # when the next weight is drawn
        with np.errstate(divide="ignore"):  # it cannot miss when no other weights are left
            misses = np.log1p(-np.minimum(size / left, 1.0))
        hit[own] = -np.expm1(np.concatenate([[0.0], np.cumsum(misses)]))[drawn[own]]
    return hit


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
    sizes = population, np.minimum(drawn, marked), np.maximum(drawn, marked)
    for pairs in _alike(sizes):
        size, few, many = (int(some[pairs[0]]) for some in sizes)
        lowest = max(0, few + many - size)
        probabilities = _hypergeometric(size, few, many, lowest)
        upper = np.cumsum(probabilities[::-1])[::-1]  # the smallest first, which keeps their digits
        upper[0] = 1.0
        tails[pairs] = upper[observed[pairs] - lowest]
    return np.minimum(tails, 1.0)


def _alike(rows: Sequence[IntArray]) -> list[IntArray]:
    """The places at which all rows have the same numbers, for each such combination of numbers.

    `np.unique` of pairs of numbers compares them byte by byte, which takes seconds for two million.
    """
    kinds = np.zeros(len(rows[0]), dtype=np.int64)
    for row in rows:
        if row.min() == row.max():  # as usual
            continue
        values, of_row = np.unique(row, return_inverse=True)
        _, kinds = np.unique(kinds * len(values) + of_row, return_inverse=True)
    order = np.argsort(kinds, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)


def _hypergeometric(size: int, few: int, many: int, lowest: int) -> Matrix:
    """The probabilities of sharing `lowest`, ..., `few` weights, from the ratio of each to the one before it."""
    from scipy.special import logsumexp

    shared = np.arange(lowest, few, dtype=np.float64)
    ratios = (few - shared) * (many - shared) / ((shared + 1) * (size - few - many + shared + 1))
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    probabilities: Matrix = np.exp(logarithms - logsumexp(logarithms))
    return probabilities
